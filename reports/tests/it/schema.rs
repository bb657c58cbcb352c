//! The published shape of `run.json`.

use ferret_reports::{RunRecord, record_schema};

use crate::sample;

#[test]
fn the_schema_names_every_field_of_a_record() {
    let schema = record_schema();
    let record = serde_json::to_value(sample::passing(1)).expect("a record is JSON");
    let fields = record.as_object().expect("a record is an object");
    for field in fields.keys() {
        assert!(schema["properties"].get(field).is_some(), "{field}");
    }
    assert_eq!(schema["properties"].as_object().map(|p| p.len()), Some(fields.len()));
}

#[test]
fn a_record_survives_its_file() {
    let record = sample::violated(9);
    let text = serde_json::to_string(&record).expect("a record is JSON");
    assert_eq!(serde_json::from_str::<RunRecord>(&text).expect("it reads back"), record);
}
