//! The figure of a run: lanes for nodes and clients and the charts below them, on one axis of virtual time.
//!
//! It is two drawings side by side, so that the lane names stay in sight while the plot scrolls on a narrow screen.
//! Everything is drawn here; the page's script only adds the cursor with its read-out.

use std::fmt::Write;

use super::{
    axis::{TimeScale, px},
    charts,
};
use crate::{
    ClientLane, FaultRecord, RunRecord,
    escape::{clip, clip_middle, html},
    quantity::{count, duration, instant, instant_short},
};

/// Width of the plot, of the lane names beside it, and of a character, in the figure's own units.
const PLOT_WIDTH: f64 = 1070.0;
const NAMES_WIDTH: f64 = 116.0;
const CHARACTER_WIDTH: f64 = 6.3;
const BOLD_WIDTH: f64 = 7.0;

/// About how many marks the axis of time has.
const TICKS: u64 = 14;

const LEADER_ROW: f64 = 17.0;
const CLIENT_LANE: f64 = 30.0;

/// A node has at most this many rows for the groups it leads, and a figure this many client lanes.
const GROUPS_MAX: usize = 4;
const CLIENTS_MAX: usize = 40;

/// The two halves while they are drawn, from the top down.
pub(super) struct Figure {
    pub(super) names: String,
    pub(super) plot: String,
    pub(super) y: f64,
    pub(super) scale: TimeScale,
}

impl Figure {
    /// A heading among the lane names, short enough for their column, and what it says beside it.
    pub(super) fn section(&mut self, title: &str, note: &str) {
        self.y += 12.0;
        let _ = write!(self.plot, "<text class=\"key halo\" x=4 y={}>{note}</text>", px(self.y + 9.0));
        let _ = write!(self.names, "<text class=sec x=0 y={}>{title}</text>", px(self.y + 9.0));
        self.y += 15.0;
    }

    /// A lane's name, centred at `y`.
    fn name(&mut self, y: f64, name: &str, class: &str) {
        let shown = clip_middle(name, 14);
        let _ = write!(
            self.names,
            "<text class=\"name {class}\" x={} y={}>{}<title>{}</title></text>",
            px(NAMES_WIDTH - 10.0),
            px(y + 4.0),
            html(&shown),
            html(name)
        );
    }

    fn rule(&mut self, y: f64) {
        let _ = write!(self.plot, "<path class=rule d=\"M0 {}h{}\"/>", px(y), px(self.scale.width()));
    }
}

/// The whole figure, for the run with the page-wide number `number`.
pub(super) fn figure(run: &RunRecord, number: usize) -> String {
    let scale = TimeScale::new(run.timeline.end_ns, PLOT_WIDTH);
    let mut figure = Figure { names: String::new(), plot: String::new(), y: 2.0, scale };
    fault_labels(&mut figure, &run.faults, number);
    let bands_top = figure.y;
    phases(&mut figure, run);
    nodes(&mut figure, run, number);
    clients(&mut figure, run);
    charts::latency(&mut figure, run);
    charts::throughput(&mut figure, run);
    let bands_bottom = figure.y;
    time_axis(&mut figure, bands_bottom);
    let height = px(figure.y);
    let under = fault_bands(run, scale, bands_top, bands_bottom);
    let grid = time_grid(scale, bands_top, bands_bottom);
    let marks = phase_lines(run, scale, bands_top, bands_bottom);
    let (names, plot) = (&figure.names, &figure.plot);
    format!(
        "<div class=figure data-run={number} tabindex=0 role=group aria-label=\"Timeline of the run. Left and right arrow \
         keys move the time cursor.\"><div class=scroll><svg class=names style=\"--w:{names_width};--h:{height}\" \
         viewBox=\"0 0 {names_width} {height}\" role=img aria-label=\"Lane names\">{names}</svg><svg class=plot \
         style=\"--w:{plot_width};--h:{height}\" viewBox=\"0 0 {plot_width} {height}\" role=img aria-label=\"Lanes and \
         charts over virtual time\">{defs}{grid}{under}{plot}{marks}<path class=cursor d=\"M0 {top}V{bottom}\"/></svg></div>\
         <div class=readout aria-live=polite hidden></div></div>{legend}",
        names_width = NAMES_WIDTH,
        plot_width = PLOT_WIDTH,
        defs = hatch(number),
        top = px(bands_top),
        bottom = px(bands_bottom),
        legend = LEGEND,
    )
}

/// The class that colours a node's marks: the same everywhere on the page.
pub(super) fn node_class(run: &RunRecord, node: &str) -> String {
    match run.timeline.nodes.iter().position(|other| other == node) {
        Some(index) => format!("n{}", index % 6),
        None => "nx".to_owned(),
    }
}

const LEGEND: &str = "<ul class=legend>\
    <li><svg viewBox=\"0 0 34 12\"><rect class=\"n0 fill\" width=34 height=12 rx=2 /></svg>leads (t: term)</li>\
    <li><svg viewBox=\"0 0 34 12\"><rect class=downkey width=34 height=12 /><path class=downkeyline d=\"M2 12L14 0M12 12L24 0M22 12L34 0\"/></svg>not running</li>\
    <li><svg viewBox=\"0 0 34 12\"><path class=\"n1 line\" d=\"M0 10h34\"/><path class=ok d=\"M0 8V3h10V1h12V4h12V8z\"/></svg>connected to that node; above, confirms or fresh deliveries</li>\
    <li><svg viewBox=\"0 0 34 12\"><path class=other d=\"M4 12V5h6V12zM16 12V2h6V12z\"/></svg>unknown, nacked or redelivered</li>\
    <li><svg viewBox=\"0 0 34 12\"><rect class=band width=34 height=12 /><path class=bandedge d=\"M.5 0V12M33.5 0V12\"/></svg>fault</li>\
    </ul>";

/// The number and kind of each fault above its band, in as many rows as keep them apart.
fn fault_labels(figure: &mut Figure, faults: &[FaultRecord], number: usize) {
    let mut row_ends: Vec<f64> = Vec::new();
    let top = figure.y;
    for fault in faults {
        let Some(began) = fault.began_ns else { continue };
        let width = 24.0 + fault.kind.chars().count() as f64 * BOLD_WIDTH;
        let left = figure.scale.x(began).min(figure.scale.width() - width).max(0.0);
        let row = row_ends.iter().position(|end| *end <= left).unwrap_or(row_ends.len());
        if row == row_ends.len() {
            row_ends.push(0.0);
        }
        row_ends[row] = left + width + 8.0;
        let y = top + row as f64 * 20.0;
        let _ = write!(
            figure.plot,
            "<a class=\"fault{miss}\" href=\"#run-{number}-fault-{step}\"><title>{title}</title><rect class=tag x={x} \
             y={y} width={width} height=16 rx=8 /><circle cx={cx} cy={cy} r=8 /><text class=num x={cx} y={ty}>{step}\
             </text><text class=kind x={kx} y={ty}>{kind}</text></a>",
            miss = if fault.bit { "" } else { " missed" },
            step = fault.step,
            title = html(&format!("{}. {}: {}", fault.step, fault.description, fault.effect)),
            x = px(left),
            y = px(y),
            width = px(width),
            cx = px(left + 8.0),
            cy = px(y + 8.0),
            ty = px(y + 12.0),
            kx = px(left + 20.0),
            kind = html(&fault.kind),
        );
    }
    if !row_ends.is_empty() {
        let middle = top + row_ends.len() as f64 * 10.0 - 2.0;
        figure.name(middle, "faults", "");
    }
    figure.y = top + row_ends.len() as f64 * 20.0 + 2.0;
}

fn fault_bands(run: &RunRecord, scale: TimeScale, top: f64, bottom: f64) -> String {
    let mut out = String::new();
    for fault in &run.faults {
        let Some(began) = fault.began_ns else { continue };
        let (x, width) = scale.span(began, Some(fault.ended_ns.unwrap_or(scale.end_ns())), 2.0);
        let class = if fault.bit { "" } else { " missed" };
        let _ = write!(
            out,
            "<g class=\"fault{class}\"><rect class=band x={x} y={y} width={w} height={h} /><path class=bandedge \
             d=\"M{x} {y}v{h}M{right} {y}v{h}\"/></g>",
            x = px(x),
            y = px(top),
            w = px(width),
            h = px(bottom - top),
            right = px(x + width),
        );
    }
    out
}

/// A strip that names what the harness was doing: load, healing, drain.
fn phases(figure: &mut Figure, run: &RunRecord) {
    let timeline = &run.timeline;
    let end = figure.scale.end_ns();
    let stops = [Some(0), timeline.load_stopped_ns, timeline.healed_ns, timeline.drain_began_ns];
    let names = ["load", "faults end", "settle", "drain"];
    let y = figure.y;
    figure.name(y + 8.0, "phase", "");
    for (i, name) in names.into_iter().enumerate() {
        let Some(from) = stops[i] else { continue };
        let to = stops[i + 1..].iter().flatten().next().copied().unwrap_or(end);
        let (x, width) = figure.scale.span(from, Some(to), 1.0);
        let _ = write!(
            figure.plot,
            "<g class=\"phase p{i}\"><rect x={} y={} width={} height=16 /><title>{name}: {} to {}</title>",
            px(x),
            px(y),
            px(width),
            instant(from),
            instant(to)
        );
        if width > name.len() as f64 * CHARACTER_WIDTH + 6.0 {
            let _ = write!(figure.plot, "<text x={} y={}>{name}</text>", px(x + 5.0), px(y + 12.0));
        }
        figure.plot.push_str("</g>");
    }
    figure.y = y + 16.0;
}

fn phase_lines(run: &RunRecord, scale: TimeScale, top: f64, bottom: f64) -> String {
    [run.timeline.load_stopped_ns, run.timeline.healed_ns, run.timeline.drain_began_ns]
        .into_iter()
        .flatten()
        .map(|at| format!("<path class=phaseline d=\"M{} {}V{}\"/>", px(scale.x(at)), px(top), px(bottom)))
        .collect()
}

fn nodes(figure: &mut Figure, run: &RunRecord, number: usize) {
    figure.section("Nodes", "which node leads which queue, in which term");
    let groups = groups_shown(run);
    let rows = groups.len().max(1) as f64;
    for node in &run.timeline.nodes {
        let class = node_class(run, node);
        let (top, height) = (figure.y, rows * LEADER_ROW + 5.0);
        figure.name(top + height / 2.0, node, &format!("{class} ink"));
        figure.rule(top + height);
        for span in run.timeline.leaders.iter().filter(|span| span.node == *node) {
            let Some(row) = groups.iter().position(|group| *group == span.group) else { continue };
            let (x, width) = figure.scale.span(span.from_ns, span.to_ns, 2.0);
            let y = top + 3.0 + row as f64 * LEADER_ROW;
            let _ = write!(
                figure.plot,
                "<g><title>{} leads {} in term {}, {} to {}</title><rect class=\"{class} fill\" x={} y={} width={} \
                 height={} rx=2 />",
                html(node),
                html(&span.group),
                span.term,
                instant(span.from_ns),
                span.to_ns.map_or("the end".to_owned(), instant),
                px(x),
                px(y),
                px(width),
                px(LEADER_ROW - 1.0)
            );
            let long = format!("{} t{}", span.group, span.term);
            let short = format!("t{}", span.term);
            let fits = |text: &str| text.chars().count() as f64 * CHARACTER_WIDTH + 8.0 < width;
            if let Some(label) = [long, short].into_iter().find(|text| fits(text)) {
                let _ = write!(
                    figure.plot,
                    "<text class=\"on {class}\" x={} y={}>{}</text>",
                    px(x + 5.0),
                    px(y + 12.0),
                    html(&label)
                );
            }
            figure.plot.push_str("</g>");
        }
        for down in run.timeline.down.iter().filter(|down| down.node == *node) {
            let (x, width) = figure.scale.span(down.from_ns, down.to_ns, 2.0);
            let _ = write!(
                figure.plot,
                "<g class=down><title>{} {}, {} to {}</title><rect x={} y={} width={} height={} fill=\"url(#hatch-{number})\"/>",
                html(node),
                html(&down.how),
                instant(down.from_ns),
                down.to_ns.map_or("the end".to_owned(), instant),
                px(x),
                px(top + 2.0),
                px(width),
                px(height - 3.0)
            );
            let label = clip(&down.how, 24);
            let label_width = label.chars().count() as f64 * CHARACTER_WIDTH + 6.0;
            // In the span if it fits, else right after it, else right before it.
            let left = match x {
                _ if label_width < width => x + (width - label_width) / 2.0,
                x if x + width + label_width < figure.scale.width() => x + width + 2.0,
                x => (x - label_width - 2.0).max(0.0),
            };
            let y = top + height / 2.0;
            let _ = write!(
                figure.plot,
                "<rect class=plate x={} y={} width={} height=14 rx=2 /><text x={} y={}>{}</text>",
                px(left),
                px(y - 7.0),
                px(label_width),
                px(left + label_width / 2.0),
                px(y + 4.0),
                html(&label)
            );
            figure.plot.push_str("</g>");
        }
        figure.y = top + height;
    }
    let hidden = all_groups(run).len() - groups.len();
    if hidden > 0 {
        let _ = write!(
            figure.plot,
            "<text class=note x=4 y={}>{hidden} more groups, with fewer leader changes, are not drawn</text>",
            px(figure.y + 12.0)
        );
        figure.y += 16.0;
    }
}

/// The groups that get a row: all of them, or those whose leaders changed most. The metadata group comes last.
fn groups_shown(run: &RunRecord) -> Vec<&str> {
    let mut groups = all_groups(run);
    let changes = |group: &str| run.timeline.leaders.iter().filter(|span| span.group == group).count();
    groups.sort_by_key(|group| std::cmp::Reverse(changes(group)));
    groups.truncate(GROUPS_MAX);
    groups.sort_by_key(|group| (*group == "meta", *group));
    groups
}

fn all_groups(run: &RunRecord) -> Vec<&str> {
    let mut groups: Vec<&str> = run.timeline.leaders.iter().map(|span| span.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn clients(figure: &mut Figure, run: &RunRecord) {
    if run.timeline.clients.is_empty() {
        return;
    }
    figure.section("Clients", "through which node each is connected, and how busy it is");
    for client in run.timeline.clients.iter().take(CLIENTS_MAX) {
        let busiest = run
            .timeline
            .clients
            .iter()
            .filter(|other| other.role == client.role)
            .flat_map(|other| &other.operations)
            .map(|bucket| u64::from(bucket.ok) + u64::from(bucket.other))
            .max()
            .unwrap_or(0);
        client_lane(figure, run, client, busiest);
    }
    if let Some(more) = run.timeline.clients.len().checked_sub(CLIENTS_MAX).filter(|more| *more > 0) {
        let y = px(figure.y + 12.0);
        let _ =
            write!(figure.plot, "<text class=note x=4 y={y}>{} more clients are not drawn</text>", count(more as u64));
        figure.y += 16.0;
    }
}

fn client_lane(figure: &mut Figure, run: &RunRecord, client: &ClientLane, busiest: u64) {
    let top = figure.y;
    let base = top + CLIENT_LANE - 7.0;
    let scale = figure.scale;
    figure.name(top + CLIENT_LANE / 2.0, &client.name, "");
    let bucket_ns = run.latency.bucket_ns.max(1);
    let (mut ok, mut other) = (String::new(), String::new());
    let full = CLIENT_LANE - 10.0;
    for bucket in &client.operations {
        let from = u64::from(bucket.bucket).saturating_mul(bucket_ns);
        let (x, width) = scale.span(from, Some(from.saturating_add(bucket_ns)), 0.5);
        let height = |n: u32| f64::from(n) / busiest.max(1) as f64 * full;
        let ok_height = height(bucket.ok);
        if bucket.ok > 0 {
            let h = px(ok_height.max(1.0));
            let _ = write!(ok, "M{} {}v-{h}h{}v{h}z", px(x), px(base), px(width));
        }
        if bucket.other > 0 {
            let h = px(height(bucket.other).max(3.0));
            let _ = write!(other, "M{} {}v-{h}h{}v{h}z", px(x), px(base - ok_height), px(width.max(2.0)));
        }
    }
    let _ = write!(figure.plot, "<g><path class=ok d=\"{ok}\"/><path class=other d=\"{other}\"/>");
    for connection in &client.connections {
        let (x, width) = scale.span(connection.from_ns, connection.to_ns, 2.0);
        let length = connection.to_ns.unwrap_or(scale.end_ns()).saturating_sub(connection.from_ns);
        let _ = write!(
            figure.plot,
            "<rect class=\"{} fill\" x={} y={} width={} height=4 rx=1><title>{} ({}) connected to {} from {} for {}\
             </title></rect>",
            node_class(run, &connection.node),
            px(x),
            px(base),
            px(width),
            html(&client.name),
            html(&client.role),
            html(&connection.node),
            instant(connection.from_ns),
            duration(length)
        );
        if width > 24.0 {
            let _ = write!(
                figure.plot,
                "<text class=\"via {}\" x={} y={}>{}</text>",
                node_class(run, &connection.node),
                px(x + 4.0),
                px(base - 3.0),
                html(&connection.node)
            );
        }
    }
    figure.plot.push_str("</g>");
    figure.rule(top + CLIENT_LANE);
    figure.y = top + CLIENT_LANE;
}

fn time_grid(scale: TimeScale, top: f64, bottom: f64) -> String {
    let line = |tick| format!("<path class=tick d=\"M{} {}V{}\"/>", px(scale.x(tick)), px(top), px(bottom + 4.0));
    scale.ticks(TICKS).into_iter().map(line).collect()
}

fn time_axis(figure: &mut Figure, bottom: f64) {
    let scale = figure.scale;
    for tick in scale.ticks(TICKS) {
        let x = scale.x(tick);
        let anchor = match x {
            x if x < 10.0 => "start",
            x if x > scale.width() - 16.0 => "end",
            _ => "middle",
        };
        let _ = write!(
            figure.plot,
            "<text class=axis text-anchor={anchor} x={} y={}>{}</text>",
            px(x),
            px(bottom + 16.0),
            instant_short(tick)
        );
    }
    figure.name(bottom + 12.0, "virtual time", "");
    figure.y = bottom + 22.0;
}

/// The pattern of a node that does not run. Its id must differ between the figures of a page.
fn hatch(number: usize) -> String {
    format!(
        "<defs><pattern id=hatch-{number} width=6 height=6 patternUnits=userSpaceOnUse \
         patternTransform=\"rotate(45)\"><rect class=hatchback width=6 height=6 /><path class=hatchline d=\"M0 0V6\"/>\
         </pattern></defs>"
    )
}
