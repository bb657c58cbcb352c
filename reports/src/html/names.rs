//! The names behind the event log's indices.

use crate::{EventLog, Publish, RunRecord};

/// `pub-1/417`, or `pub-1/417.2` for the second attempt.
pub(super) fn message(run: &RunRecord, publish: &Publish) -> String {
    let client = client(run, publish.client);
    match publish.attempt {
        0 | 1 => format!("{client}/{}", publish.sequence),
        attempt => format!("{client}/{}.{attempt}", publish.sequence),
    }
}

pub(super) fn client(run: &RunRecord, client: u32) -> &str {
    run.timeline.clients.get(client as usize).map_or("?", |lane| lane.name.as_str())
}

pub(super) fn node(run: &RunRecord, node: u32) -> &str {
    run.timeline.nodes.get(node as usize).map_or("?", String::as_str)
}

/// The client that has the channel.
pub(super) fn client_of<'a>(run: &'a RunRecord, log: &EventLog, channel: u32) -> &'a str {
    log.channels.get(channel as usize).map_or("?", |channel| client(run, channel.client))
}

/// The node that the channel goes through.
pub(super) fn node_of<'a>(run: &'a RunRecord, log: &EventLog, channel: u32) -> &'a str {
    log.channels.get(channel as usize).map_or("?", |channel| node(run, channel.node))
}
