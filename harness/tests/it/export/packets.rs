//! `--format pcap`: what the file says, read by a reader of its own; and that capturing changes no run.

use std::{collections::BTreeMap, fs, sync::atomic::AtomicBool};

use ferret::{
    cli::exit,
    progress::Progress,
    run::{self, RunOptions},
    scenario::Scenario,
    sim::{Fate, TraceKind},
};

use ferret_reports::Verdict;

use super::{Exported, ROUGH, ferret, text};

type Address = [u8; 4];

/// Who sends, and who receives.
type Ends = ((Address, u16), (Address, u16));

/// A TCP segment of a capture.
#[derive(Clone, Debug)]
struct Segment {
    at: u64,
    from: (Address, u16),
    to: (Address, u16),
    sequence: u32,
    acknowledged: u32,
    syn: bool,
    ack: bool,
    fin: bool,
    rst: bool,
    payload: Vec<u8>,
    comment: Option<String>,
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) << 16 | u32::from(short(bytes, at + 2))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    long(bytes, at).swap_bytes()
}

/// The blocks of a pcapng file: kind and body.
fn blocks(file: &[u8]) -> Vec<(u32, &[u8])> {
    let (mut at, mut found) = (0, Vec::new());
    while at < file.len() {
        let length = word(file, at + 4) as usize;
        assert_eq!(length % 4, 0);
        assert_eq!(word(file, at + length - 4) as usize, length, "a block ends with its length");
        found.push((word(file, at), &file[at + 8..at + length - 4]));
        at += length;
    }
    found
}

fn segments(file: &[u8]) -> Vec<Segment> {
    let blocks = blocks(file);
    assert_eq!(blocks[0].0, 0x0a0d_0d0a, "a section header comes first");
    let interfaces = blocks.iter().filter(|(kind, _)| *kind == 1).count();
    let packets = blocks.iter().filter(|(kind, _)| *kind == 6).map(|(_, body)| {
        assert!((word(body, 0) as usize) < interfaces);
        let length = word(body, 12) as usize;
        let options = &body[20 + length.next_multiple_of(4)..];
        let comment = (!options.is_empty()).then(|| {
            let size = usize::from(short(options, 2).swap_bytes());
            String::from_utf8(options[4..4 + size].to_vec()).expect("a comment is text")
        });
        let at = u64::from(word(body, 4)) << 32 | u64::from(word(body, 8));
        segment(at, &body[20..20 + length], comment)
    });
    packets.collect()
}

fn segment(at: u64, datagram: &[u8], comment: Option<String>) -> Segment {
    assert_eq!((datagram[0], datagram[9]), (0x45, 6), "TCP over IPv4");
    assert_eq!(usize::from(short(datagram, 2)), datagram.len());
    let address = |at: usize| [datagram[at], datagram[at + 1], datagram[at + 2], datagram[at + 3]];
    let flag = |bit: u8| datagram[33] & bit != 0;
    Segment {
        at,
        from: (address(12), short(datagram, 20)),
        to: (address(16), short(datagram, 22)),
        sequence: long(datagram, 24),
        acknowledged: long(datagram, 28),
        syn: flag(2),
        ack: flag(16),
        fin: flag(1),
        rst: flag(4),
        payload: datagram[20 + usize::from(datagram[32] >> 4) * 4..].to_vec(),
        comment,
    }
}

/// One direction of a connection, as somebody sees it who knows nothing but the packets.
#[derive(Default)]
struct Direction {
    initial: Option<u32>,
    bytes: Vec<u8>,
    /// Positions that were sent, a FIN's included.
    sent: u64,
}

/// Puts the streams of a capture together.
///
/// Refuses what a capture at the senders cannot have: bytes that nobody sent, an acknowledgement of what was not sent
/// yet, a packet outside of a connection, and a byte that was sent again as another one.
fn streams(segments: &[Segment]) -> Result<BTreeMap<Ends, Vec<u8>>, String> {
    let mut directions: BTreeMap<Ends, Direction> = BTreeMap::new();
    for (number, segment) in segments.iter().enumerate() {
        let refuse = |why: &str| Err(format!("packet {}: {why}: {segment:?}", number + 1));
        if number > 0 && segments[number - 1].at > segment.at {
            return refuse("time goes backwards");
        }
        let (there, back) = ((segment.from, segment.to), (segment.to, segment.from));
        if segment.ack {
            let other = directions.get(&back).filter(|it| it.initial.is_some());
            let Some(other) = other else { return refuse("it acknowledges a stream that was never opened") };
            let acknowledged = segment.acknowledged.wrapping_sub(other.initial.unwrap_or(0)).wrapping_sub(1);
            if u64::from(acknowledged) > other.sent {
                return refuse("it acknowledges what was never sent");
            }
        }
        let direction = directions.entry(there).or_default();
        if segment.syn {
            if direction.initial.replace(segment.sequence).is_some_and(|known| known != segment.sequence) {
                return refuse("a port is used by two connections");
            }
            continue;
        }
        if segment.rst {
            continue;
        }
        let Some(initial) = direction.initial else { return refuse("the stream was never opened") };
        // The byte before the first of a probe is the SYN.
        let position = segment.sequence.wrapping_sub(initial).wrapping_sub(1);
        if segment.payload.is_empty() && !segment.fin {
            continue;
        }
        let begin = position as usize;
        if begin > direction.bytes.len() {
            return refuse("bytes are missing before it");
        }
        let known = (direction.bytes.len() - begin).min(segment.payload.len());
        if direction.bytes[begin..begin + known] != segment.payload[..known] {
            return refuse("it repeats other bytes than were sent");
        }
        direction.bytes.extend(&segment.payload[known..]);
        direction.sent = direction.sent.max((begin + segment.payload.len()) as u64 + u64::from(segment.fin));
    }
    Ok(directions.into_iter().map(|(ends, direction)| (ends, direction.bytes)).collect())
}

#[test]
fn a_capture_of_a_rough_run_gives_whole_streams_and_says_what_was_lost() {
    let run = Exported::run(ROUGH, &[]);
    let segments = segments(&run.export("pcap", &[]));
    let streams = streams(&segments).unwrap_or_else(|why| panic!("{why}"));
    let to_brokers: Vec<_> = streams.iter().filter(|((_, to), bytes)| to.1 == 5672 && !bytes.is_empty()).collect();
    assert!(to_brokers.len() >= 4, "{} clients spoke", to_brokers.len());
    for ((from, _), bytes) in to_brokers {
        assert!(bytes.starts_with(b"AMQP\x00\x00\x09\x01"), "{from:?} begins with {:?}", &bytes[..8.min(bytes.len())]);
    }
    assert!(streams.keys().any(|(_, to)| to.1 == 25672), "nodes talk to each other");
    let with = |comment: &str| segments.iter().filter(|it| it.comment.as_deref() == Some(comment)).count();
    for comment in ["lost by chance", "lost to a cut", "doubled on its way"] {
        assert!(with(comment) > 0, "nothing was {comment}");
    }
    assert!(segments.iter().any(|it| it.fin) && segments.iter().any(|it| it.rst), "a killed node says goodbye");
}

#[test]
fn a_stream_with_a_hole_is_refused_and_so_is_an_early_acknowledgement() {
    let run = Exported::run(ROUGH, &[]);
    let whole = segments(&run.export("pcap", &[]));
    let with_payload = |it: &Segment| !it.payload.is_empty() && it.to.1 == 5672;
    // The first bytes of the capture's first client; unless sent again, they are now missing.
    let first = whole.iter().position(with_payload).expect("a client speaks");
    let ends = (whole[first].from, whole[first].to);
    let mut hole = whole.clone();
    hole.retain(|it| (it.from, it.to) != ends || it.sequence != whole[first].sequence || it.payload.is_empty());
    assert!(streams(&hole).is_err_and(|why| why.contains("missing") || why.contains("never sent")));
    let mut early = whole.clone();
    let ack = early.iter().position(|it| it.ack && !it.syn && !it.rst).expect("something is acknowledged");
    early[ack].acknowledged = early[ack].acknowledged.wrapping_add(1 << 20);
    assert!(streams(&early).is_err_and(|why| why.contains("never sent")));
    assert!(streams(&whole).is_ok());
}

#[test]
fn capturing_changes_nothing_and_tells_what_the_trace_tells() {
    let scenario = Scenario::parse("rough.toml", ROUGH).expect("the scenario is valid");
    let play = |packets: bool| {
        let options = RunOptions { packets, record_trace: true, ..RunOptions::default() };
        run::run(&scenario, 3, &options, &AtomicBool::new(false), &Progress::default())
    };
    let (without, with) = (play(false), play(true));
    assert!(without.packets.is_empty());
    assert_eq!(without.record.trace_hash, with.record.trace_hash);
    assert_eq!(without.history, with.history);
    let traced = |kinds: &[TraceKind]| with.trace.iter().filter(|event| kinds.contains(&event.kind)).count();
    let fate = |wanted: fn(Fate) -> bool| with.packets.iter().filter(|packet| wanted(packet.fate)).count();
    assert_eq!(fate(|it| it == Fate::Lost), traced(&[TraceKind::PacketLost]));
    assert_eq!(with.packets.iter().filter(|packet| packet.doubled).count(), traced(&[TraceKind::PacketDuplicated]));
    let departed = [
        TraceKind::PacketSent,
        TraceKind::PacketDuplicated,
        TraceKind::PacketHeldUp,
        TraceKind::PacketLost,
        TraceKind::PacketOverflowed,
    ];
    // A cut takes packets at either end of their way; each is captured once.
    assert!(with.packets.len() >= traced(&departed));
    assert!(with.packets.len() <= traced(&departed) + traced(&[TraceKind::PacketCut]));
    assert!(fate(|it| it == Fate::Cut) > 0 && fate(|it| it == Fate::Unheard) == 0);
}

#[test]
fn a_run_that_this_program_does_not_give_is_not_exported() {
    let run = Exported::run(ROUGH, &[]);
    let record = fs::read_to_string(run.record()).expect("a record");
    let begin = record.find("\"trace_hash\": \"").expect("it has a trace hash") + 15;
    fs::write(run.record(), [&record[..begin], "0123456789abcdef", &record[begin + 16..]].concat()).expect("written");
    let out = run.path("none.pcapng");
    let (code, _, err) = ferret(&["export", text(&run.record()), "--format", "pcap", "--out", text(&out)]);
    assert_eq!(code, 103, "{err}");
    assert!(err.contains("this program gives another run") && err.contains("ferret run "), "{err}");
    assert!(!out.exists());
}

#[test]
fn a_run_that_kept_no_history_is_exported_where_none_is_needed_and_elsewhere_says_what_to_do() {
    let run = Exported::run(ROUGH, &["--keep", "failed"]);
    assert_eq!(run.read().verdict, Verdict::Pass);
    assert!(!streams(&segments(&run.export("pcap", &[]))).expect("whole streams").is_empty());
    let (code, _, err) = ferret(&["export", text(&run.path("run")), "--format", "events"]);
    assert_eq!(code, exit::USAGE, "{err}");
    let again = format!("Make it anew: {} --keep all", run.read().replay);
    assert!(err.contains("rough/seed-1 has no history.jsonl.gz") && err.contains(&again), "{err}");
}

#[test]
fn a_run_with_another_client_and_a_planted_bug_is_exported_as_it_was() {
    let options = ["--client", "lapin", "--sabotage", "prefetch-ignored"];
    let run = Exported::run(ROUGH, &options);
    let streams = streams(&segments(&run.export("pcap", &[]))).unwrap_or_else(|why| panic!("{why}"));
    let lapin = |bytes: &Vec<u8>| bytes.windows(5).any(|it| it == b"lapin");
    assert!(streams.iter().any(|((_, to), bytes)| to.1 == 5672 && lapin(bytes)));
}

#[test]
fn the_client_of_a_run_that_was_compared_with_another_is_known() {
    let run = Exported::run(ROUGH, &["--client", "lapin"]);
    let mut record = run.read();
    // What it takes to see again that two runs differ.
    record.replay += " --verify-determinism";
    fs::write(run.record(), serde_json::to_vec(&record).expect("it is JSON")).expect("written");
    assert!(!run.export("pcap", &[]).is_empty());
}

#[test]
fn a_scenario_is_run_and_exported_to_standard_output() {
    let run = Exported::run(ROUGH, &["--seed", "4"]);
    let scenario = run.path("scenario.toml");
    let (code, out, err) = ferret(&["export", text(&scenario), "--format", "pcap", "--seed", "4"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, run.export("pcap", &[]), "the run of the same seed, to the byte");
}
