//! Confirm latency and throughput over virtual time, below the lanes and on their axis.

use std::fmt::Write;

use super::{
    axis::{Decades, Linear, px},
    timeline::Figure,
};
use crate::{
    LatencyBucket, RunRecord,
    quantity::{count, duration, instant_short},
};

const HEIGHT: f64 = 104.0;

/// One of the counts of a bucket.
type Count = fn(&LatencyBucket) -> u32;

/// p50, p99 and the maximum of each bucket, logarithmic, and the times in which no publish was confirmed.
pub(super) fn latency(figure: &mut Figure, run: &RunRecord) {
    let buckets = &run.latency.buckets;
    let quantiles = || buckets.iter().filter_map(|bucket| bucket.confirm);
    let Some(smallest) = quantiles().map(|q| q.p50_ns).min() else { return };
    let largest = quantiles().map(|q| q.max_ns).max().unwrap_or(smallest);
    let axis = Decades::new(smallest, largest);
    figure.section("Confirm latency", "");
    key(figure, &[("p50", "p50"), ("p99", "p99"), ("max", "max")], latency_finding(run).as_deref());
    let (top, bottom) = (figure.y, figure.y + HEIGHT);
    for tick in axis.ticks() {
        grid(figure, bottom - axis.share(tick) * HEIGHT, &round_duration(tick));
    }
    for (from, to) in silences(buckets) {
        silence(figure, run, from, to, top);
    }
    for (class, value) in [("max", pick(|q| q.max_ns)), ("p99", pick(|q| q.p99_ns)), ("p50", pick(|q| q.p50_ns))] {
        let y = |bucket: &LatencyBucket| value(bucket).map(|ns| bottom - axis.share(ns) * HEIGHT);
        let path = line(figure, run, y);
        let _ = write!(figure.plot, "<path class=\"series {class}\" d=\"{path}\"/>");
    }
    figure.y = bottom + 4.0;
}

/// Published, confirmed and delivered messages per second.
pub(super) fn throughput(figure: &mut Figure, run: &RunRecord) {
    let buckets = &run.latency.buckets;
    let per_second = 1e9 / run.latency.bucket_ns.max(1) as f64;
    let busiest = buckets.iter().map(|b| b.published.max(b.confirmed).max(b.delivered)).max().unwrap_or(0);
    if busiest == 0 {
        return;
    }
    let axis = Linear::new((f64::from(busiest) * per_second).ceil() as u64);
    figure.section("Messages/s", "");
    key(figure, &[("published", "published"), ("confirmed", "confirmed"), ("delivered", "delivered")], None);
    let bottom = figure.y + HEIGHT;
    for tick in &axis.ticks {
        grid(figure, bottom - axis.share(*tick as f64) * HEIGHT, &count(*tick));
    }
    let series: [(&str, Count); 3] =
        [("published", |b| b.published), ("confirmed", |b| b.confirmed), ("delivered", |b| b.delivered)];
    for (class, value) in series {
        let y = |bucket: &LatencyBucket| Some(bottom - axis.share(f64::from(value(bucket)) * per_second) * HEIGHT);
        let path = line(figure, run, y);
        let _ = write!(figure.plot, "<path class=\"series {class}\" d=\"{path}\"/>");
    }
    figure.y = bottom + 4.0;
}

fn pick(value: fn(crate::Quantiles) -> u64) -> impl Fn(&LatencyBucket) -> Option<u64> {
    move |bucket| bucket.confirm.map(value)
}

/// A line through the middles of the buckets, with gaps where there is no value.
fn line(figure: &Figure, run: &RunRecord, y: impl Fn(&LatencyBucket) -> Option<f64>) -> String {
    let bucket_ns = run.latency.bucket_ns.max(1);
    let mut path = String::new();
    let mut drawing = false;
    for (i, bucket) in run.latency.buckets.iter().enumerate() {
        let Some(y) = y(bucket) else {
            drawing = false;
            continue;
        };
        let middle = (i as u64).saturating_mul(bucket_ns).saturating_add(bucket_ns / 2);
        let x = px(figure.scale.x(middle));
        // A lone point has no length: the round cap of a zero-length stroke makes it a dot.
        let _ = if drawing { write!(path, "L{x} {}", px(y)) } else { write!(path, "M{x} {}h0", px(y)) };
        drawing = true;
    }
    path
}

/// Runs of at least two buckets without a confirm between two buckets that have some.
fn silences(buckets: &[LatencyBucket]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut last_confirm = None;
    for (i, bucket) in buckets.iter().enumerate() {
        if bucket.confirmed == 0 {
            continue;
        }
        if let Some(last) = last_confirm
            && i - last > 2
            && buckets[last..=i].iter().any(|b| b.published > 0)
        {
            found.push((last + 1, i));
        }
        last_confirm = Some(i);
    }
    found
}

fn silence(figure: &mut Figure, run: &RunRecord, from: usize, to: usize, top: f64) {
    let bucket_ns = run.latency.bucket_ns.max(1);
    let (from_ns, to_ns) = (from as u64 * bucket_ns, to as u64 * bucket_ns);
    let (x, width) = figure.scale.span(from_ns, Some(to_ns), 2.0);
    let length = instant_short(to_ns - from_ns);
    let _ = write!(
        figure.plot,
        "<g class=silence><title>no confirm for about {length} from {from}</title><rect x={x} y={y} width={w} \
         height={HEIGHT} /><path d=\"M{x} {y}h{w}\"/>",
        from = instant_short(from_ns),
        x = px(x),
        y = px(top),
        w = px(width),
    );
    for (i, label) in ["no confirm", &length].into_iter().enumerate() {
        if label.len() as f64 * 6.4 < width {
            let y = px(top + 20.0 + i as f64 * 14.0);
            let _ = write!(figure.plot, "<text x={} y={y}>{label}</text>", px(x + width / 2.0));
        }
    }
    figure.plot.push_str("</g>");
}

fn latency_finding(run: &RunRecord) -> Option<String> {
    let overall = run.latency.confirm?;
    let (i, worst) = run
        .latency
        .buckets
        .iter()
        .enumerate()
        .filter_map(|(i, bucket)| Some((i, bucket.confirm?.max_ns)))
        .max_by_key(|(i, max)| (*max, std::cmp::Reverse(*i)))?;
    Some(format!(
        "p99 {} over the run; the slowest took {}, near {}",
        duration(overall.p99_ns),
        duration(worst.max(overall.max_ns)),
        instant_short(i as u64 * run.latency.bucket_ns)
    ))
}

/// The key of a chart, in its heading's line, followed by its finding.
fn key(figure: &mut Figure, entries: &[(&str, &str)], finding: Option<&str>) {
    let y = figure.y - 10.0;
    let mut x = 4.0;
    for (class, label) in entries {
        let _ = write!(
            figure.plot,
            "<path class=\"series {class}\" d=\"M{} {}h20\"/><text class=\"key halo\" x={} y={}>{label}</text>",
            px(x),
            px(y),
            px(x + 26.0),
            px(y + 4.0)
        );
        x += 26.0 + label.len() as f64 * 6.3 + 16.0;
    }
    if let Some(finding) = finding {
        let _ = write!(
            figure.plot,
            "<text class=\"key finding halo\" x={} y={}>{finding}</text>",
            px(x + 6.0),
            px(y + 4.0)
        );
    }
    figure.y += 6.0;
}

fn grid(figure: &mut Figure, y: f64, label: &str) {
    let (x, y_text) = (px(106.0), px(y + 4.0));
    let _ = write!(figure.names, "<text class=\"name value\" x={x} y={y_text}>{label}</text>");
    let _ = write!(figure.plot, "<path class=rule d=\"M0 {}h{}\"/>", px(y), px(figure.scale.width()));
}

/// A power of ten in its own unit, without decimals.
fn round_duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", count(ns / 1_000_000_000)),
    }
}
