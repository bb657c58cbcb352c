//! Renderings of realistic, hostile and degenerate records.

mod gate;
mod html;
mod junit;
mod markdown;
mod sample;
mod schema;

/// A passing run in which every text from outside tries to become markup.
fn hostile() -> ferret_reports::RunRecord {
    let nasty = || "</script><script>alert(1)</script>\"'&|`\n\u{0}\u{1b}[31m ]]> <!--".to_owned();
    let mut run = sample::violated(3);
    run.scenario.name = nasty();
    run.scenario.description = nasty();
    run.scenario.path = nasty();
    run.scenario.text = nasty();
    run.scenario.tags = vec![nasty()];
    run.sabotage = Some(nasty());
    run.trace_hash = nasty();
    run.replay = nasty();
    run.reasons = vec![nasty(), nasty()];
    for invariant in &mut run.invariants {
        invariant.name = nasty();
        invariant.promise = nasty();
        invariant.unit = nasty();
        invariant.explanation = Some(nasty());
        for event in &mut invariant.witness {
            event.who = nasty();
            event.what = nasty();
        }
    }
    for fault in &mut run.faults {
        fault.kind = nasty();
        fault.description = nasty();
        fault.effect = nasty();
    }
    for sometimes in &mut run.sometimes {
        sometimes.name = nasty();
    }
    for threshold in &mut run.thresholds {
        threshold.name = nasty();
        threshold.limit = nasty();
        threshold.measured = Some(nasty());
    }
    run.timeline.nodes = vec![nasty()];
    for client in &mut run.timeline.clients {
        client.name = nasty();
        client.role = nasty();
        for connection in &mut client.connections {
            connection.node = nasty();
        }
    }
    for leader in &mut run.timeline.leaders {
        leader.group = nasty();
        leader.node = nasty();
    }
    for down in &mut run.timeline.down {
        down.node = nasty();
        down.how = nasty();
    }
    run
}

/// A record in which everything that may be empty is, and every number is the worst of its kind.
fn degenerate() -> ferret_reports::RunRecord {
    let mut run = sample::passing(1);
    run.verdict = ferret_reports::Verdict::Internal;
    run.invariants.clear();
    run.faults.clear();
    run.sometimes.clear();
    run.thresholds.clear();
    run.scenario.text.clear();
    run.virtual_seconds = f64::NAN;
    run.wall_seconds = 0.0;
    run.timeline = ferret_reports::Timeline::default();
    run.latency = ferret_reports::Latency::default();
    run
}
