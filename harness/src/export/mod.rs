//! A run in the formats of other tools. Nothing is judged here, and nothing is simulated: what a format needs is in the
//! record, the history or the captured packets.

pub mod history;
pub mod openmetrics;
pub mod pcap;
pub mod perfetto;
