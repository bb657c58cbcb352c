//! A realistic record, made by a small model of a run instead of by a run: three nodes, four clients, three faults.
//!
//! The model: 400 publishes a second from two publishers for 60 s, delivered to two consumers. A leader partition at
//! 5 s and a power loss at 14 s each stop confirms until the next leader is elected; a disk stall of both followers
//! at 22 s stops them for as long as it lasts.

use ferret_reports::*;

pub(crate) const BUCKET_NS: u64 = 250_000_000;
const SECOND: u64 = 1_000_000_000;

/// What the scenario file says; its fault lines are 31 to 33.
pub(crate) const SCENARIO: &str = r#"version = 1
name = "quorum-leader-loss"
description = "Confirmed messages survive a leader partition, a power loss and a disk stall"
tags = ["quorum", "gate"]

[run]
duration = "60s"
drain = "20s"
seeds = { from = 1, count = 20 }
net = { latency = "1ms..15ms", loss = 0.001 }

[cluster]
nodes = 3

[[queues]]
name = "orders"
type = "quorum"

[[publishers]]
name = "pub"
count = 2
queue = "orders"
confirms = true
rate = 200

[[consumers]]
name = "con"
count = 2
queue = "orders"

[timeline]
steps = [
  { at = "5s",  partition  = { isolate = "leader:orders" }, for = "6s" },
  { at = "14s", power-loss = { node = "leader:orders" }, for = "3s" },
  { at = "22s", disk-stall = { node = "followers:orders" }, for = "4s" },
]

[expect]
invariants = ["all"]
sometimes  = ["leader-changed", "redelivered"]
thresholds = { "confirm.p99" = "< 400ms", "unavailable.max" = "< 8s" }
"#;

/// A run that passes.
pub(crate) fn passing(seed: u64) -> RunRecord {
    let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let end_ns = 64 * SECOND + noise.below(900) * 1_000_000;
    let (latency, published, confirmed, delivered) = latency(&mut noise, end_ns);
    let unknown = 34 + noise.below(20);
    RunRecord {
        version: RECORD_VERSION,
        scenario: ScenarioInfo {
            name: "quorum-leader-loss".into(),
            description: "Confirmed messages survive a leader partition, a power loss and a disk stall".into(),
            path: "scenarios/smoke/quorum-leader-loss.toml".into(),
            text: SCENARIO.into(),
            tags: vec!["quorum".into(), "gate".into()],
        },
        seed,
        sabotage: None,
        client: None,
        trace_hash: format!("{:016x}", seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        trace_events: 1_840_233 + seed * 977,
        replay: format!("ferret run scenarios/smoke/quorum-leader-loss.toml --seed {seed}"),
        verdict: Verdict::Pass,
        reasons: Vec::new(),
        invariants: invariants(confirmed),
        faults: faults(),
        chaos: Vec::new(),
        sometimes: vec![
            SometimesResult { name: "leader-changed".into(), required: true, count: 2 },
            SometimesResult { name: "redelivered".into(), required: true, count: 87 },
            SometimesResult { name: "unknown-outcome".into(), required: false, count: unknown },
        ],
        thresholds: vec![
            ThresholdResult {
                name: "confirm.p99".into(),
                limit: "< 400ms".into(),
                measured: Some("312ms".into()),
                held: true,
            },
            ThresholdResult {
                name: "unavailable.max".into(),
                limit: "< 8s".into(),
                measured: Some("4.12s".into()),
                held: true,
            },
        ],
        messages: MessageCounts {
            published: published + unknown,
            confirmed,
            nacked: 0,
            returned: 0,
            unknown,
            delivered,
            redelivered: 87,
            settled: delivered,
            drained: 12,
        },
        virtual_seconds: end_ns as f64 / 1e9,
        wall_seconds: 1.8 + noise.below(900) as f64 / 1e3,
        timeline: timeline(&mut noise, end_ns),
        latency,
    }
}

/// The same run with a planted bug, which loses a confirmed message.
pub(crate) fn violated(seed: u64) -> RunRecord {
    let mut run = passing(seed);
    run.verdict = Verdict::Violated;
    run.sabotage = Some("confirm-before-sync".into());
    run.replay = format!("ferret run {} --seed {seed} --sabotage confirm-before-sync", run.scenario.path);
    let sentence = "message pub-1/417 was confirmed at 14.003 s by n2; n2 lost its unsynced log at 14.010 s; n3 was \
                    elected without it";
    run.reasons = vec![format!("no-confirmed-loss: {sentence}")];
    let event = |at_ms: u64, who: &str, kind: WitnessKind, what: &str| WitnessEvent {
        at_ns: at_ms * 1_000_000,
        who: who.into(),
        kind,
        what: what.into(),
    };
    let loss = &mut run.invariants[0];
    loss.verdict = InvariantVerdict::Violated;
    loss.explanation = Some(sentence.into());
    loss.witness = vec![
        event(13_996, "pub-1", WitnessKind::Client, "publishes message pub-1/417 (attempt 1) to orders"),
        event(13_998, "n2", WitnessKind::Node, "appends index 5,561 of term 3 to its log, unsynced"),
        event(14_001, "n1", WitnessKind::Node, "acknowledges index 5,561 before its disk has synced it"),
        event(14_002, "n2", WitnessKind::Node, "commits index 5,561"),
        event(14_003, "pub-1", WitnessKind::Client, "receives the confirm of pub-1/417"),
        event(14_010, "faults", WitnessKind::FaultBegan(1), "began: cut the power of n2 (leader of orders) for 3 s"),
        event(14_010, "n2", WitnessKind::NodeDown, "loses power, and with it 3 unsynced entries up to index 5,561"),
        event(15_420, "n3", WitnessKind::Node, "becomes leader of orders in term 4 with a log up to index 5,558"),
        event(
            64_020,
            "drain",
            WitnessKind::Client,
            "finds orders empty through n1, n2 and n3; pub-1/417 was never seen",
        ),
    ];
    run.invariants[12].verdict = InvariantVerdict::Undecided;
    run.invariants[12].explanation = Some("queue-linearizable gave up after 2,000,000 states".into());
    run
}

/// What the clients and replicas of [`violated`] did around the loss: three publishes, of which the second is lost and
/// the third is of unknown outcome.
pub(crate) fn events() -> EventLog {
    let ms = |ms: u64| ms * 1_000_000;
    let publish = |at, sequence, outcome, number| Publish {
        at_ns: ms(at),
        client: 0,
        channel: 0,
        queue: 0,
        sequence,
        attempt: 1,
        outcome: Some(outcome),
        number,
    };
    let receipt = |at, publish, tag| Receipt {
        at_ns: ms(at),
        channel: 1,
        queue: 0,
        publish: Some(publish),
        redelivered: false,
        got: false,
        tag,
        settled: Some((Settled::Acked, ms(at + 20))),
    };
    let replica = |at, node, kind, what, more| ReplicaEvent { at_ns: ms(at), node, group: 1, kind, what, more };
    EventLog {
        queues: vec!["orders".into()],
        groups: vec!["meta".into(), "orders".into()],
        channels: vec![Channel { client: 0, node: 1 }, Channel { client: 2, node: 2 }],
        publishes: vec![
            publish(13_980, 416, (Outcome::Confirmed, ms(13_990)), 416),
            publish(13_996, 417, (Outcome::Confirmed, ms(14_003)), 0),
            publish(14_005, 418, (Outcome::Unknown, ms(17_005)), 0),
        ],
        receipts: vec![receipt(13_995, 0, 1)],
        replicas: vec![
            replica(13_985, 1, ReplicaKind::Appended, 5_560, 3),
            replica(13_986, 2, ReplicaKind::Appended, 5_560, 3),
            replica(13_988, 1, ReplicaKind::Persisted, 5_560, 0),
            replica(13_989, 1, ReplicaKind::Committed, 5_560, 0),
            replica(13_989, 1, ReplicaKind::Enqueued, 416, 0),
            replica(13_989, 1, ReplicaKind::Applied, 5_560, 3),
            replica(13_998, 1, ReplicaKind::Appended, 5_561, 3),
            replica(17_000, 1, ReplicaKind::Recovered, 5_560, 3),
        ],
        sample_ns: ms(50),
        disks: vec![DiskSample { sample: 440, node: 0, held: 3, ..DiskSample::default() }],
        links: vec![LinkSample { sample: 279, from: 1, to: LinkSample::CLIENTS, sent: 9, dropped: 2, delayed: 0 }],
        drained: true,
    }
}

/// Twelve runs of four scenarios, three of which do not pass.
pub(crate) fn twelve() -> Vec<RunRecord> {
    let names = ["leader-partition", "quorum-leader-loss", "one-way-cut-of-the-leader", "lapin-through-leader-change"];
    let mut runs = Vec::new();
    for (i, name) in names.into_iter().enumerate() {
        for seed in 1..=3 {
            let mut run = if (i, seed) == (1, 2) { violated(seed) } else { passing(seed + 10 * i as u64) };
            run.seed = seed;
            run.scenario.name = name.into();
            run.scenario.path = format!("scenarios/smoke/{name}.toml");
            run.replay = format!("ferret run scenarios/smoke/{name}.toml --seed {seed}");
            runs.push(run);
        }
    }
    let vacuous = &mut runs[7];
    vacuous.verdict = Verdict::Vacuous;
    vacuous.reasons = vec!["step 3 (line 33) had no effect: no sync was under way while the disk was stalled".into()];
    vacuous.faults[2].bit = false;
    vacuous.faults[2].effect = "held no sync".into();
    let threshold = &mut runs[10];
    threshold.verdict = Verdict::Threshold;
    threshold.thresholds[0].held = false;
    threshold.thresholds[0].measured = Some("604ms".into());
    threshold.reasons = vec!["confirm.p99 is 604ms, the limit is < 400ms".into()];
    runs
}

/// More of everything than a figure has room for, with long names: 7 nodes, 9 groups, 48 clients, 14 faults.
pub(crate) fn crowded() -> RunRecord {
    let mut run = passing(5);
    run.verdict = Verdict::Vacuous;
    run.scenario.name = "a-scenario-whose-name-is-longer-than-any-reasonable-person-would-make-it".into();
    run.faults = (1..=14_u32)
        .map(|step| FaultRecord {
            step,
            line: 30 + step % 5,
            began_ns: (step != 9).then_some(u64::from(step) * 900_000_000),
            ended_ns: (step % 4 != 0).then_some(u64::from(step) * 900_000_000 + 2 * SECOND),
            bit: step % 3 != 0,
            may_miss: step % 2 == 0,
            ..run.faults[step as usize % 3].clone()
        })
        .collect();
    // A repeated step is several faults.
    run.faults[12].step = 14;
    run.timeline.nodes = (1..=7).map(|n| format!("n{n}")).collect();
    run.timeline.nodes[6] = "node-with-a-very-long-name".into();
    for group in 0..7_u64 {
        let turns = 3 + group % 4;
        for turn in 0..turns {
            run.timeline.leaders.push(LeaderSpan {
                group: format!("queue-{group}"),
                term: 1 + 2 * turn,
                node: run.timeline.nodes[((group + turn) % 7) as usize].clone(),
                from_ns: run.timeline.end_ns / turns * turn,
                to_ns: (turn + 1 < turns).then(|| run.timeline.end_ns / turns * (turn + 1)),
            });
        }
    }
    run.timeline.down.push(DownSpan {
        node: "n5".into(),
        from_ns: 63 * SECOND,
        to_ns: None,
        how: "exited by itself: the log is corrupt".into(),
    });
    let clients = run.timeline.clients.clone();
    for copy in 0..11 {
        for client in &clients {
            run.timeline
                .clients
                .push(ClientLane { name: format!("{}-of-group-{copy}", client.name), ..client.clone() });
        }
    }
    run
}

/// Chance that is the same everywhere (xorshift).
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn invariants(confirmed: u64) -> Vec<InvariantResult> {
    let rows: [(&str, u64, &str); 14] = [
        ("no-confirmed-loss", confirmed, "confirmed messages"),
        ("no-phantom", confirmed + 121, "deliveries"),
        ("no-fresh-duplicate", confirmed + 34, "fresh deliveries"),
        ("attempts-bound", confirmed + 51, "sequences"),
        ("publisher-order", confirmed + 34, "fresh deliveries"),
        ("requeue-order", 87, "requeued messages"),
        ("prefetch", confirmed + 121, "deliveries"),
        ("one-leader-per-term", 6, "terms"),
        ("committed-stays", confirmed + 1_204, "committed entries"),
        ("replica-agreement", 3 * confirmed + 3_612, "applied entries"),
        ("durability", 1, "restart"),
        ("liveness", 9, "conditions"),
        ("queue-linearizable", confirmed + 85, "operations"),
        ("lock", 0, "locks"),
    ];
    rows.into_iter()
        .map(|(name, checked, unit)| InvariantResult {
            name: name.into(),
            promise: format!("what {name} stands for is so"),
            verdict: if checked == 0 { InvariantVerdict::Vacuous } else { InvariantVerdict::Holds },
            required: checked > 0,
            checked,
            unit: unit.into(),
            explanation: None,
            witness: Vec::new(),
        })
        .collect()
}

fn faults() -> Vec<FaultRecord> {
    let fault = |step, kind: &str, description: &str, from: u64, to: u64, nodes: &[&str], effect: &str| FaultRecord {
        step,
        line: 30 + step,
        kind: kind.into(),
        description: description.into(),
        began_ns: Some(from * SECOND),
        ended_ns: Some(to * SECOND),
        nodes: nodes.iter().map(|node| (*node).into()).collect(),
        effect: effect.into(),
        bit: true,
        may_miss: false,
    };
    vec![
        fault(1, "partition", "isolate n1 (leader of orders) for 6 s", 5, 11, &["n1"], "dropped 1,204 packets"),
        fault(
            2,
            "power-loss",
            "cut the power of n2 (leader of orders) for 3 s",
            14,
            17,
            &["n2"],
            "lost 18,432 unsynced bytes; cut 5 streams",
        ),
        fault(
            3,
            "disk-stall",
            "stall the disks of n1 and n2 (followers of orders) for 4 s",
            22,
            26,
            &["n1", "n2"],
            "held 38 syncs, the longest for 3.98 s",
        ),
    ]
}

fn timeline(noise: &mut Noise, end_ns: u64) -> Timeline {
    let ms = |ms: u64| ms * 1_000_000;
    let leader = |group: &str, term, node: &str, from, to: Option<u64>| LeaderSpan {
        group: group.into(),
        term,
        node: node.into(),
        from_ns: ms(from),
        to_ns: to.map(ms),
    };
    let connection =
        |from, to: Option<u64>, node: &str| ConnectionSpan { from_ns: ms(from), to_ns: to.map(ms), node: node.into() };
    let mut client = |name: &str, role: &str, connections: Vec<ConnectionSpan>| ClientLane {
        name: name.into(),
        role: role.into(),
        operations: (0..(60 * SECOND / BUCKET_NS) as u32)
            .filter_map(|bucket| {
                let at = u64::from(bucket) * BUCKET_NS;
                let connected =
                    connections.iter().any(|c| c.from_ns <= at && c.to_ns.is_none_or(|to| at + BUCKET_NS <= to));
                let ok = if connected && !stalled(at) { 45 + noise.below(10) as u32 } else { 0 };
                let other = if matches!(bucket, 23 | 24 | 56 | 57) { 4 + noise.below(9) as u32 } else { 0 };
                (ok + other > 0).then_some(OperationBucket { bucket, ok, other })
            })
            .collect(),
        connections,
    };
    Timeline {
        end_ns,
        load_stopped_ns: Some(60 * SECOND),
        healed_ns: Some(ms(60_050)),
        drain_began_ns: Some(ms(61_300)),
        nodes: vec!["n1".into(), "n2".into(), "n3".into()],
        clients: vec![
            client("pub-1", "publisher", vec![connection(300, Some(5_900), "n1"), connection(6_300, None, "n2")]),
            client("pub-2", "publisher", vec![connection(310, Some(14_010), "n2"), connection(14_700, None, "n3")]),
            client("con-1", "consumer", vec![connection(320, None, "n3")]),
            client("con-2", "consumer", vec![connection(330, Some(6_100), "n1"), connection(6_800, None, "n3")]),
        ],
        leaders: vec![
            leader("meta", 1, "n3", 210, None),
            leader("orders", 1, "n1", 240, Some(6_350)),
            leader("orders", 3, "n2", 6_380, Some(14_010)),
            leader("orders", 4, "n3", 15_420, None),
        ],
        down: vec![DownSpan {
            node: "n2".into(),
            from_ns: ms(14_010),
            to_ns: Some(ms(17_000)),
            how: "lost power".into(),
        }],
    }
}

fn stalled(at: u64) -> bool {
    (5_000..6_500).contains(&(at / 1_000_000))
        || (14_000..15_500).contains(&(at / 1_000_000))
        || (22_000..26_000).contains(&(at / 1_000_000))
}

fn latency(noise: &mut Noise, end_ns: u64) -> (Latency, u64, u64, u64) {
    let mut buckets = Vec::new();
    let (mut published, mut confirmed, mut delivered, mut waiting) = (0_u64, 0_u64, 0_u64, 0_u32);
    for bucket in 0..end_ns.div_ceil(BUCKET_NS) {
        let at = bucket * BUCKET_NS;
        let loaded = (SECOND / 2..60 * SECOND).contains(&at);
        let sent = if loaded && !(stalled(at) && waiting > 200) { 96 + noise.below(8) as u32 } else { 0 };
        waiting += sent;
        let done = if stalled(at) { 0 } else { waiting };
        waiting -= done;
        let late = done > 150;
        let p50 = if late { 1_200_000_000 } else { 9_000_000 + noise.below(4_000_000) };
        buckets.push(LatencyBucket {
            published: sent,
            confirmed: done,
            delivered: done,
            confirm: (done > 0).then(|| Quantiles {
                count: u64::from(done),
                p50_ns: p50,
                p90_ns: p50 * 2,
                p99_ns: p50 * 3 + noise.below(20_000_000),
                max_ns: p50 * 3 + 30_000_000 + noise.below(60_000_000),
            }),
        });
        published += u64::from(sent);
        confirmed += u64::from(done);
        delivered += u64::from(done);
    }
    let quantiles = |p50_ms: u64, p99_ms: u64| Quantiles {
        count: confirmed,
        p50_ns: p50_ms * 1_000_000,
        p90_ns: 24_000_000,
        p99_ns: p99_ms * 1_000_000,
        max_ns: 4_120_000_000,
    };
    let latency = Latency {
        bucket_ns: BUCKET_NS,
        buckets,
        confirm: Some(quantiles(11, 312)),
        end_to_end: Some(quantiles(17, 340)),
        unavailable_max_ns: 4_120_000_000,
        recovery_max_ns: 640_000_000,
        recovery_measured: true,
    };
    (latency, published, confirmed, delivered + 99)
}
