//! What the tree ships, as the program sees it: schemas and scenarios.

use super::*;

#[test]
fn the_schemas_in_the_tree_are_those_that_this_program_prints() {
    for (what, file) in [
        ("scenario", "scenarios/scenario.schema.json"),
        ("gate", "scenarios/gate.schema.json"),
        ("run", "reports/schema/run.schema.json"),
        ("sweep", "reports/schema/sweep.schema.json"),
        ("verdict", "reports/schema/gate.schema.json"),
    ] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args: [OsString; 3] = ["ferret".into(), "schema".into(), what.into()];
        let code = {
            let (out, err) = (&mut out, &mut err);
            let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
            cli::main(args, &Script::default(), &Interrupt::default(), &mut streams)
        };
        assert_eq!(code, exit::PASS);
        let kept = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap_or_default();
        assert!(kept == out, "write it anew: cargo run -- schema {what} > {file}");
    }
}

#[test]
fn every_scenario_in_the_tree_is_valid() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args: [OsString; 3] = ["ferret".into(), "check".into(), scenarios.into()];
    let code = {
        let (out, err) = (&mut out, &mut err);
        let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
        cli::main(args, &Script::default(), &Interrupt::default(), &mut streams)
    };
    assert_eq!(code, exit::PASS, "{}", String::from_utf8_lossy(&err));
}

#[test]
fn every_known_bad_scenario_plants_the_bug_of_its_name_and_says_what_it_violates() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/known-bad");
    for file in fs::read_dir(folder).expect("the folder is there") {
        let path = file.expect("it can be listed").path();
        let text = fs::read_to_string(&path).expect("it can be read");
        let scenario = Scenario::parse("known-bad", &text).expect("the scenario is valid");
        assert_eq!(scenario.sabotage.map(|bug| bug.name()), path.file_stem().and_then(|stem| stem.to_str()));
        assert!(!scenario.expect.violated.is_empty(), "it says what the bug violates");
    }
}

#[test]
fn every_incident_tells_where_it_was_reported_and_names_a_bug_of_its_kind() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/incidents");
    let mut incidents = 0;
    for file in fs::read_dir(folder).expect("the folder is there") {
        let path = file.expect("it can be listed").path();
        let text = fs::read_to_string(&path).expect("it can be read");
        let scenario = Scenario::parse("incidents", &text).expect("the scenario is valid");
        assert_eq!(Some(scenario.name.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
        assert!(scenario.matching_sabotage.is_some() && scenario.sabotage.is_none(), "{}", scenario.name);
        assert!(text.contains("# What happened: ") && text.contains("# Reported: "), "{}", scenario.name);
        incidents += 1;
    }
    assert!(incidents >= 14, "{incidents}");
}
