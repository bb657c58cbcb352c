//! The shape of a policy file, as serde reads it and as the JSON schema shows it. Doc comments below are what editors
//! show to those who write policies.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{baseline, policy};
use crate::scenario::{At, Field, Name, names};

/// A gate: which scenarios must run, with which seeds, and what they must show together.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["version", "name", "scenarios"]))]
pub(super) struct File {
    /// The version of this format: 1.
    pub(super) version: Field<u32>,
    /// Reports carry it.
    pub(super) name: Field<String>,
    /// Scenario files, or folders to search for them, from the policy's own folder on.
    #[schemars(extend("minItems" = 1))]
    pub(super) scenarios: Field<Vec<At<String>>>,
    /// Which of them, such as `tag(gate) & !name(soak)`. Default: all.
    pub(super) filter: Field<String>,
    /// The seeds of every scenario, `1..20`. Default: those that each names.
    pub(super) seeds: Field<String>,
    /// Begin no run after this much wall time, with a planted bug or without; a gate that has not made its runs and
    /// caught its bugs by then is incomplete.
    pub(super) budget: Field<String>,
    /// Begin no run after so many have failed.
    #[schemars(range(min = 1))]
    pub(super) max_fail: Field<u64>,
    pub(super) expect: ExpectTable,
    /// Bugs that must be caught, or the gate could not fail.
    pub(super) planted: Vec<At<PlantedTable>>,
    pub(super) baseline: Field<BaselineTable>,
}

/// What the runs must show together, beyond what each scenario asks for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExpectTable {
    /// What must have happened in at least one run.
    pub(super) sometimes: Vec<At<Name<names::SometimesName>>>,
    /// Limits that every run that measures them must keep to, such as `"confirm.p99" = "< 7s"`.
    #[schemars(schema_with = "thresholds_schema")]
    pub(super) thresholds: BTreeMap<String, At<String>>,
}

fn thresholds_schema(_: &mut SchemaGenerator) -> Schema {
    let limit = |name: &str| (name.to_owned(), serde_json::json!({ "type": "string", "examples": ["< 400ms"] }));
    let properties: serde_json::Map<String, serde_json::Value> = policy::metrics().map(|m| limit(m.name())).collect();
    json_schema!({
        "type": "object",
        "description": "Limits that every run that measures them must keep to, such as `\"confirm.p99\" = \"< 7s\"`.",
        "properties": properties,
        "additionalProperties": false
    })
}

/// A bug that must be caught when it is planted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["bug"]))]
pub(super) struct PlantedTable {
    /// Its name: see `ferret hunt --list`.
    pub(super) bug: Field<Name<names::SabotageName>>,
    /// Scenario files or folders to catch it in, from the policy's own folder on. Default: the gate's.
    #[schemars(extend("minItems" = 1))]
    pub(super) scenarios: Field<Vec<At<String>>>,
    /// The seeds to try in turn until it is caught. Default: 1..5.
    pub(super) seeds: Field<String>,
    /// The invariants of which one must tell. Default: any.
    #[schemars(extend("minItems" = 1))]
    pub(super) caught_by: Field<Vec<At<Name<names::InvariantName>>>>,
}

/// An earlier run that this one must not be worse than.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["file"]))]
pub(super) struct BaselineTable {
    /// What `ferret baseline save` has written, from the policy's own folder on.
    pub(super) file: Field<String>,
    /// By how much a metric may be worse, `5%`. Default: 10%.
    pub(super) tolerance: Field<String>,
    /// The same for single metrics, such as `"confirm.p99" = "25%"`.
    #[schemars(schema_with = "tolerances_schema")]
    pub(super) metrics: BTreeMap<String, At<String>>,
}

fn tolerances_schema(_: &mut SchemaGenerator) -> Schema {
    let one = |name: &str| (name.to_owned(), serde_json::json!({ "type": "string", "examples": ["25%"] }));
    let properties: serde_json::Map<String, serde_json::Value> =
        baseline::METRICS.iter().map(|metric| one(metric.name)).collect();
    json_schema!({
        "type": "object",
        "description": "The same for single metrics, such as `\"confirm.p99\" = \"25%\"`.",
        "properties": properties,
        "additionalProperties": false
    })
}
