//! Every fault that a timeline can hold, and every way in which a step can begin, with one example each.

/// One kind of fault, as `ferret faults` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Network, process, disk, clock, client, cluster, or timeline for what ends other faults.
    pub part: &'static str,
    /// The action's key in a scenario.
    pub kind: &'static str,
    pub what: &'static str,
    /// A step of a scenario with four nodes and a spare, a queue `orders`, publishers `pub` and consumers `con`.
    pub example: &'static str,
}

const fn listed(part: &'static str, kind: &'static str, what: &'static str, example: &'static str) -> Listed {
    Listed { part, kind, what, example }
}

/// In the order in which they are shown.
pub const CATALOGUE: &[Listed] = &[
    listed(
        "network",
        "partition",
        "nodes are cut from all others; clients still reach every node",
        r#"{ at = "5s", partition = { isolate = "leader:orders" }, for = "6s" }"#,
    ),
    listed(
        "network",
        "partition",
        "nodes of different lists do not hear each other",
        r#"{ at = "5s", partition = { halves = [["n1"], ["n2", "n3"]] }, for = "6s" }"#,
    ),
    listed(
        "network",
        "partition",
        "two halves do not hear each other; the bridge hears both",
        r#"{ at = "5s", partition = { bridge = "one-follower:orders" }, for = "6s" }"#,
    ),
    listed(
        "network",
        "partition",
        "every node hears a majority, and no two the same",
        r#"{ at = "5s", partition = { ring = "all" }, for = "6s" }"#,
    ),
    listed(
        "network",
        "one-way",
        "one direction is cut, the way back works",
        r#"{ at = "5s", one-way = { from = "leader:orders", to = "all" }, for = "6s" }"#,
    ),
    listed(
        "network",
        "flap",
        "nodes are cut off and joined again, over and over",
        r#"{ at = "5s", flap = { isolate = "any", period = "600ms" }, for = "6s" }"#,
    ),
    listed(
        "network",
        "black-hole",
        "all packets of a node vanish, also those of clients",
        r#"{ at = "5s", black-hole = { node = "leader:orders" }, for = "6s" }"#,
    ),
    listed(
        "network",
        "latency",
        "packets take longer, each by a draw from the range",
        r#"{ at = "5s", latency = { from = "leader:orders", to = "all", add = "50ms..150ms" }, for = "6s" }"#,
    ),
    listed(
        "network",
        "loss",
        "a share of the packets is lost",
        r#"{ at = "5s", loss = { from = "all", to = "all", share = 0.1 }, for = "6s" }"#,
    ),
    listed(
        "network",
        "duplicate",
        "a share of the packets arrives twice",
        r#"{ at = "5s", duplicate = { from = "all", to = "all", share = 0.2 }, for = "6s" }"#,
    ),
    listed(
        "network",
        "reorder",
        "a share of the packets is overtaken by later ones",
        r#"{ at = "5s", reorder = { from = "all", to = "all", share = 0.2, delay = "10ms..50ms" }, for = "6s" }"#,
    ),
    listed(
        "network",
        "bandwidth",
        "so many bytes per second get through; a bounded queue waits, the rest is dropped",
        r#"{ at = "5s", bandwidth = { from = "leader:orders", to = "all", rate = "50KiB", queue = "64KiB" }, for = "6s" }"#,
    ),
    listed(
        "network",
        "reset",
        "established connections of nodes, or of a group of clients, are reset",
        r#"{ at = "5s", reset = { client = "pub" } }"#,
    ),
    listed(
        "process",
        "kill",
        "the process ends at once; its machine, and what it had not synced, live on",
        r#"{ at = "5s", kill = { node = "leader:orders" }, for = "3s" }"#,
    ),
    listed(
        "process",
        "power-loss",
        "the machine goes dark; what was not synced is lost or torn, sector by sector",
        r#"{ at = "5s", power-loss = { node = "all" }, for = "3s" }"#,
    ),
    listed(
        "process",
        "wipe",
        "the machine goes dark and comes back with an empty disk",
        r#"{ at = "5s", wipe = { node = "one-follower:orders" }, for = "3s", may-miss = true }"#,
    ),
    listed("process", "restart", "a node that is down is started", r#"{ at = "8s", restart = { node = "all" } }"#),
    listed(
        "process",
        "rolling-restart",
        "nodes are killed and started one after the other",
        r#"{ at = "5s", rolling-restart = { node = "all", down = "1s", pause = "2s" } }"#,
    ),
    listed(
        "process",
        "pause",
        "the process is held, as by SIGSTOP; its timers fire late",
        r#"{ at = "5s", pause = { node = "leader:orders" }, for = "4s" }"#,
    ),
    listed(
        "process",
        "slow-cpu",
        "each step of a task occupies the processor for so long",
        r#"{ at = "5s", slow-cpu = { node = "leader:orders", poll = "2ms" }, for = "6s" }"#,
    ),
    listed(
        "disk",
        "disk-slow",
        "syncs take longer",
        r#"{ at = "5s", disk-slow = { node = "followers:orders", sync = "50ms..200ms" }, for = "6s" }"#,
    ),
    listed(
        "disk",
        "disk-stall",
        "syncs, or all operations, hang",
        r#"{ at = "5s", disk-stall = { node = "majority", what = "sync" }, for = "4s" }"#,
    ),
    listed(
        "disk",
        "disk-error",
        "syncs fail and drop their pages, reads fail, or there is no space",
        r#"{ at = "5s", disk-error = { node = "any", what = "sync" }, for = "2s" }"#,
    ),
    listed(
        "disk",
        "bit-rot",
        "bits of synced data flip for good",
        r#"{ at = "5s", bit-rot = { node = "one-follower:orders", bits = 3 } }"#,
    ),
    listed(
        "disk",
        "misdirect",
        "a sector of a sync lands in the place of another one",
        r#"{ at = "5s", misdirect = { node = "one-follower:orders", writes = 1 }, for = "6s" }"#,
    ),
    listed(
        "clock",
        "clock-jump",
        "the wall clock jumps; it is set right at the end. A node reads it when it starts: let one start meanwhile",
        r#"{ at = "5s", clock-jump = { node = "any", back = "5min" }, for = "6s", may-miss = true }"#,
    ),
    listed(
        "clock",
        "clock-drift",
        "clocks and timers run at a wrong rate",
        r#"{ at = "5s", clock-drift = { node = "leader:orders", rate = 0.5 }, for = "6s" }"#,
    ),
    listed(
        "clock",
        "clock-freeze",
        "both clocks stand still with the timers, or the wall clock alone",
        r#"{ at = "5s", clock-freeze = { node = "leader:orders", what = "both" }, for = "4s" }"#,
    ),
    listed(
        "client",
        "slow-consumer",
        "clients take long for each step: they read and settle late",
        r#"{ at = "5s", slow-consumer = { client = "con", poll = "100ms" }, for = "6s" }"#,
    ),
    listed(
        "client",
        "client-crash",
        "clients end without closing anything, and start again at the end",
        r#"{ at = "5s", client-crash = { client = "con" }, for = "2s" }"#,
    ),
    listed(
        "client",
        "churn",
        "all connections of a group of clients break, over and over",
        r#"{ at = "5s", churn = { client = "con", every = "500ms" }, for = "6s" }"#,
    ),
    listed(
        "client",
        "channel-close",
        "publishers' channels end behind publishes without an answer; the connection stays, unless a message breaks off",
        r#"{ at = "5s", channel-close = { client = "pub", every = "500ms", how = "error" }, for = "6s" }"#,
    ),
    listed(
        "client",
        "ignore-flow",
        "publishers heed neither connection.blocked nor their own window of open publishes",
        r#"{ at = "5s", ignore-flow = { client = "pub" }, for = "6s", may-miss = true }"#,
    ),
    listed(
        "cluster",
        "transfer-leader",
        "an operator lets another voter lead a queue",
        r#"{ at = "5s", transfer-leader = { queue = "orders", to = "one-follower:orders" } }"#,
    ),
    listed(
        "cluster",
        "grow",
        "an operator gives a learner a vote in a queue",
        r#"{ at = "5s", grow = { queue = "orders", node = "one-learner:orders" } }"#,
    ),
    listed(
        "cluster",
        "shrink",
        "an operator takes a voter's vote in a queue away; a leader hands over first",
        r#"{ at = "5s", shrink = { queue = "orders", node = "leader:orders" } }"#,
    ),
    listed(
        "cluster",
        "add-member",
        "a spare is started, and an operator lets it join: a replica of every queue, a vote in the metadata",
        r#"{ at = "5s", add-member = { node = "spare" } }"#,
    ),
    listed(
        "cluster",
        "remove-member",
        "an operator takes a node out for good; where there is a learner, it votes in its place",
        r#"{ at = "5s", remove-member = { node = "leader:orders" } }"#,
    ),
    listed("timeline", "heal", "every fault ends and every node is started", r#"{ at = "12s", heal = "all" }"#),
];

/// Ways in which a step begins, as `ferret faults` lists them after the faults.
pub const BEGINNINGS: &[Listed] = &[
    listed(
        "when a step begins",
        "at",
        "at a time since the start of the load",
        r#"{ at = "5s..8s", kill = { node = "any" }, for = "2s" }"#,
    ),
    listed(
        "when a step begins",
        "after",
        "once so many messages were published, confirmed, delivered or acked",
        r#"{ after = { confirmed = 1000 }, power-loss = { node = "leader:orders" }, for = "2s" }"#,
    ),
    listed(
        "when a step begins",
        "when",
        "once a queue's leader changed, and a delay after it",
        r#"{ when = "leader-changed:orders", delay = "0s..500ms", pause = { node = "leader:orders" }, for = "1s" }"#,
    ),
    listed(
        "when a step begins",
        "when",
        "once a message of a queue was redelivered",
        r#"{ when = "redelivered:orders", reset = { client = "con" } }"#,
    ),
    listed(
        "when a step begins",
        "when",
        "once a replica of a queue received a snapshot",
        r#"{ when = "snapshot-installed:orders", kill = { node = "leader:orders" }, for = "1s" }"#,
    ),
    listed(
        "when a step begins",
        "when",
        "once a replica cut a queue's log behind a snapshot",
        r#"{ when = "compacted:orders", power-loss = { node = "all" }, for = "1s" }"#,
    ),
    listed(
        "when a step begins",
        "when",
        "once a node, or any, went down: by a fault or by itself",
        r#"{ when = "down:any", partition = { isolate = "leader:orders" }, for = "2s" }"#,
    ),
    listed(
        "when a step begins",
        "when",
        "once a node, or any, was started again",
        r#"{ when = "restarted:n1", delay = "100ms", kill = { node = "n1" }, for = "1s" }"#,
    ),
    listed(
        "when a step begins",
        "when",
        "once a client of a group made another connection",
        r#"{ when = "reconnected:pub", reset = { client = "pub" } }"#,
    ),
    listed(
        "when a step begins",
        "every",
        "again and again, so often or until a time; each time is a fault of its own",
        r#"{ at = "2s", every = "3s..5s", count = 3, kill = { node = "leader:orders" }, for = "1s" }"#,
    ),
];
