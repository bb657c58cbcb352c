//! How long the checkers take: the bare FIFO sweep on 10^5 and 10^6 operations, and every checker together on the
//! history of a minute's run.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ferret::{
    check::{CheckConfig, Invariant, check, fifo, sample},
    history::{
        ChannelId, ClientId, Connection, Delivery, Event, EventKind, History, MessageId, Nanos, PublishOutcome,
        QueueId, Settle,
    },
};
use warren::platform::{GroupId, LogIndex, NodeId, Observation, Term};

/// A minute of 400 messages a second through a queue on three nodes.
fn minute() -> History {
    let nodes = [NodeId(1), NodeId(2), NodeId(3)];
    let mut events = Vec::new();
    let group = GroupId(2);
    let opened = |channel: u32, node| EventKind::ChannelOpened {
        client: ClientId(channel),
        channel: ChannelId(channel),
        node,
        connection: Connection::New,
    };
    events.push(opened(0, nodes[0]));
    events.push(opened(1, nodes[1]));
    events.push(EventKind::Subscribe { channel: ChannelId(1), queue: QueueId(0), prefetch: 50, no_ack: false });
    for number in 1..=24_000_u64 {
        let message = MessageId { publisher: ClientId(0), sequence: number, attempt: 1 };
        events.push(EventKind::Publish { message, queue: QueueId(0), channel: ChannelId(0) });
        for node in nodes {
            let (index, term) = (LogIndex(number), Term(1));
            let observations = [
                Observation::Appended { group, index, term, hash: number },
                Observation::Persisted { group, last: index },
                Observation::AppendAcknowledged { group, term, index },
                Observation::Committed { group, index, term },
                Observation::Applied { group, index, term, hash: number, state_hash: number },
                Observation::Assigned {
                    group,
                    message: number,
                    owner: nodes[1],
                    channel: 1,
                    consumer: Some(1),
                    count: 0,
                },
                Observation::Settled { group, message: number },
            ];
            events.extend(observations.map(|observation| EventKind::Observed { node, observation }));
        }
        let delivery = Delivery { message: Some(message), redelivered: false, delivery_count: None, tag: number };
        events.push(EventKind::PublishOutcome { message, outcome: PublishOutcome::Confirmed });
        events.push(EventKind::Deliver { channel: ChannelId(1), queue: QueueId(0), delivery });
        let settle = Settle::Ack { multiple: false };
        events.push(EventKind::Settle { channel: ChannelId(1), tag: number, settle });
    }
    let step = 60_000_000_000 / events.len() as u64;
    let events = events.into_iter().enumerate();
    History {
        clients: vec!["pub-1".to_owned(), "con-1".to_owned()],
        queues: vec!["orders".to_owned()],
        nodes: nodes.to_vec(),
        faults: Vec::new(),
        locks: Vec::new(),
        events: events.map(|(at, kind)| Event { at: Nanos(at as u64 * step), kind }).collect(),
        ..History::default()
    }
}

fn checkers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue-linearizable");
    group.sample_size(10);
    for operations in [100_000, 1_000_000] {
        let intervals = sample::correct_queue(operations);
        assert_eq!(fifo::check(&intervals), fifo::Verdict::Linearizable);
        group.throughput(Throughput::Elements(operations));
        group.bench_with_input(BenchmarkId::from_parameter(operations), &intervals, |bencher, intervals| {
            bencher.iter(|| fifo::check(black_box(intervals)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("a minute's run");
    group.sample_size(10);
    let history = minute();
    let config = CheckConfig::default();
    group.throughput(Throughput::Elements(history.events.len() as u64));
    group.bench_function("all", |bencher| {
        bencher.iter(|| check(black_box(&history), &config, &Invariant::ALL));
    });
    for invariant in Invariant::ALL {
        group.bench_function(invariant.name(), |bencher| {
            bencher.iter(|| check(black_box(&history), &config, &[invariant]));
        });
    }
    group.finish();
}

criterion_group!(benches, checkers);
criterion_main!(benches);
