//! The scenario's file with what was drawn in it.

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use super::{
    Swarm,
    draw::{Drawn, DrawnStep, Weather},
};
use crate::scenario::Scenario;

/// The text of a scenario that needs no swarm, with the user's comments and everything else that is not drawn.
pub(super) fn write(scenario: &Scenario, swarm: &Swarm, seed: u64, drawn: &Drawn) -> String {
    let mut file: DocumentMut = scenario.text.parse().expect("it has been parsed before");
    file.remove("swarm");
    let steps: Vec<InlineTable> = drawn.steps.iter().map(told).collect();
    put_steps(&mut file, swarm.keeps, steps);
    // What the command line has changed of the file is part of the run.
    file["run"]["client"] = scenario.run.client.name().into();
    if let Some(sabotage) = scenario.sabotage {
        file["sabotage"] = sabotage.name().into();
    }
    // Own spares keep their numbers, whether a step needs them or not.
    let spares = drawn.spares.max(scenario.cluster.spares);
    if spares > 0 {
        let spares = i64::try_from(spares).expect("they are few");
        file.entry("cluster").or_insert_with(|| Item::Table(Table::new()))["spares"] = spares.into();
    }
    let seeds = [("from", Value::from(i64::try_from(seed).unwrap_or(i64::MAX))), ("count", 1.into())];
    file["run"]["seeds"] = inline(seeds);
    if let Some(Weather { latency, loss, duplicate, sync }) = &drawn.weather {
        let share = |thousandths: u64| Value::from(thousandths as f64 / 1_000.0);
        let latency = format!("{}us..{}us", latency.start, latency.end);
        let net = [("latency", latency.into()), ("loss", share(*loss)), ("duplicate", share(*duplicate))];
        file["run"]["net"] = inline(net);
        file["run"]["disk"] = inline([("sync", format!("{}us..{}us", sync.start, sync.end).into())]);
    }
    let expect = file.entry("expect").or_insert_with(|| Item::Table(Table::new()));
    if let (false, Some(expect)) = (swarm.keeps, expect.as_table_like_mut()) {
        expect.remove("thresholds");
        expect.remove("sometimes");
    }
    let least = i64::try_from(scenario.expect.effective_faults.max(1)).unwrap_or(i64::MAX);
    expect["effective-faults"] = least.into();
    format!(
        "# Drawn by the swarm with seed {seed}: {} of {}.\n# The same run again, without the swarm: give this file to \
         `ferret run`.\n\n{}",
        match drawn.steps.len() {
            1 => "1 step".to_owned(),
            count => format!("{count} steps"),
        },
        scenario.path.replace('\n', " "),
        file.to_string().trim_start()
    )
}

/// Adds steps to the timeline, after its own or instead of them.
fn put_steps(file: &mut DocumentMut, keep: bool, steps: Vec<InlineTable>) {
    let timeline = file.entry("timeline").or_insert_with(|| Item::Table(Table::new()));
    let own = if keep { timeline.get("steps").cloned() } else { None };
    let mut all = own.and_then(array).unwrap_or_else(Array::new);
    for step in steps {
        all.push(step);
    }
    for step in all.iter_mut() {
        step.decor_mut().set_prefix("\n  ");
        step.decor_mut().set_suffix("");
    }
    all.set_trailing_comma(true);
    all.set_trailing("\n");
    timeline["steps"] = all.into();
}

/// A list of tables, however it is written.
fn array(item: Item) -> Option<Array> {
    match item {
        Item::ArrayOfTables(tables) => Some(tables.into_array()),
        Item::Value(Value::Array(array)) => Some(array),
        _ => None,
    }
}

/// The step as a scenario has it.
fn told(step: &DrawnStep) -> InlineTable {
    let mut told = InlineTable::new();
    told.insert("at", format!("{}ms", step.at).into());
    told.insert(step.kind, step.action.clone());
    // What rolls has its own end.
    if let (Some(lasts), false) = (step.lasts, step.kind == "rolling-restart") {
        told.insert("for", format!("{lasts}ms").into());
    }
    told.insert("may-miss", true.into());
    told
}

fn inline<const N: usize>(keys: [(&str, Value); N]) -> Item {
    InlineTable::from_iter(keys).into()
}
