use std::pin::pin;

use amq_protocol::protocol::connection::AMQPMethod as Method;
use tokio::io::{AsyncReadExt, DuplexStream};

use super::*;
use crate::platform::{NodeId, real::RealPlatform};

/// What became of a handshake with a client that first sends `header`, then answers `replies` one by one, and what
/// the client received.
fn shake(header: &[u8], replies: Vec<Method>) -> (Result<Agreed, HandshakeError>, Vec<Method>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let platform = RealPlatform::new(NodeId(1), folder.path()).expect("a platform");
    let (broker, client) = tokio::io::duplex(1 << 16);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let broker = async {
            let (read, mut write) = tokio::io::split(broker);
            let config = AmqpConfig::default();
            let mut incoming = Incoming::new(platform.clone(), read, config.frame_max);
            accept(&mut incoming, &mut write, &config).await
        };
        tokio::join!(broker, play_client(platform.clone(), client, header, replies))
    })
}

async fn play_client(platform: RealPlatform, stream: DuplexStream, header: &[u8], replies: Vec<Method>) -> Vec<Method> {
    let (read, write) = tokio::io::split(stream);
    let mut write = pin!(write);
    write.write_all(header).await.expect("the broker reads");
    let mut incoming = Incoming::new(platform, read, 0);
    let mut received = Vec::new();
    let mut replies = replies.into_iter();
    while let Ok(Some(Frame::Method(0, AMQPClass::Connection(method)))) = incoming.frame().await {
        let last = matches!(method, Method::OpenOk(_));
        received.push(method);
        if last {
            break;
        }
        // tune-ok and open go out together, as clients send them.
        let count = if matches!(received.last(), Some(Method::Tune(_))) { 2 } else { 1 };
        for reply in replies.by_ref().take(count) {
            send(&mut write, reply).await.expect("the broker reads");
        }
    }
    received
}

fn start_ok(response: &[u8], capabilities: &[&str]) -> Method {
    let mut table = FieldTable::default();
    for name in capabilities {
        table.insert((*name).into(), AMQPValue::Boolean(true));
    }
    let mut client_properties = FieldTable::default();
    client_properties.insert("capabilities".into(), AMQPValue::FieldTable(table));
    Method::StartOk(connection::StartOk {
        client_properties,
        mechanism: "PLAIN".into(),
        response: response.to_vec().into(),
        locale: "en_US".into(),
    })
}

fn tune_ok(channel_max: u16, frame_max: u32, heartbeat: u16) -> Method {
    Method::TuneOk(connection::TuneOk { channel_max, frame_max, heartbeat })
}

fn open(virtual_host: &str) -> Method {
    Method::Open(connection::Open { virtual_host: virtual_host.into() })
}

const GUEST: &[u8] = b"\0guest\0guest";

fn code(result: &Result<Agreed, HandshakeError>) -> Option<u16> {
    if let Err(HandshakeError::Refused(error)) = result { Some(error.code.number()) } else { None }
}

#[test]
fn a_client_with_the_right_password_agrees_on_the_lower_limits() {
    let replies =
        vec![start_ok(GUEST, &["consumer_cancel_notify", "connection.blocked"]), tune_ok(100, 8192, 7), open("/")];
    let (result, received) = shake(&codec::PROTOCOL_HEADER, replies);
    let agreed = Agreed {
        user: "guest".into(),
        frame_max: 8192,
        channel_max: 100,
        heartbeat: Duration::from_secs(7),
        consumer_cancel_notify: true,
        blocked_notify: true,
    };
    assert_eq!(result.expect("a connection"), agreed);
    let [Method::Start(start), Method::Tune(tune), Method::OpenOk(_)] = received.as_slice() else {
        panic!("{received:?}")
    };
    assert_eq!(start.mechanisms.as_bytes(), b"PLAIN");
    assert!(is_capable(&start.server_properties, "publisher_confirms"));
    assert!(is_capable(&start.server_properties, "connection.blocked"));
    assert!(!is_capable(&start.server_properties, "exchange_exchange_bindings"));
    assert_eq!((tune.channel_max, tune.frame_max, tune.heartbeat), (2047, 131_072, 60));
}

#[test]
fn a_wrong_password_is_told_only_to_a_client_that_understands() {
    for response in [&b"\0guest\0wrong"[..], b"\0nobody\0guest", b"guest", b"\0guest\0guest\0"] {
        let told = shake(&codec::PROTOCOL_HEADER, vec![start_ok(response, &["authentication_failure_close"])]).0;
        assert_eq!(code(&told), Some(403));
        let cut = shake(&codec::PROTOCOL_HEADER, vec![start_ok(response, &[])]).0;
        assert!(matches!(cut, Err(HandshakeError::Gone(_))));
    }
}

#[test]
fn another_vhost_and_raised_limits_are_not_allowed() {
    let with = |tune_ok, open| code(&shake(&codec::PROTOCOL_HEADER, vec![start_ok(GUEST, &[]), tune_ok, open]).0);
    assert_eq!(with(tune_ok(2047, 131_072, 0), open("/")), None);
    assert_eq!(with(tune_ok(2047, 131_072, 0), open("other")), Some(530));
    assert_eq!(with(tune_ok(2048, 131_072, 0), open("/")), Some(530));
    assert_eq!(with(tune_ok(0, 131_072, 0), open("/")), Some(530));
    assert_eq!(with(tune_ok(2047, 0, 0), open("/")), Some(530));
    assert_eq!(with(tune_ok(2047, 1000, 0), open("/")), Some(530));
}

#[test]
fn methods_out_of_turn_are_invalid() {
    assert_eq!(code(&shake(&codec::PROTOCOL_HEADER, vec![open("/")]).0), Some(503));
    assert_eq!(code(&shake(&codec::PROTOCOL_HEADER, vec![start_ok(GUEST, &[]), open("/"), open("/")]).0), Some(503));
}

#[test]
fn another_protocol_is_answered_with_ours_at_its_first_wrong_byte() {
    for header in [&b"AMQP\x00\x01\x00\x00"[..], b"GET", b"AMQP\x03"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let platform = RealPlatform::new(NodeId(1), folder.path()).expect("a platform");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let answer = runtime.block_on(async {
            let (broker, mut client) = tokio::io::duplex(64);
            let (read, mut write) = tokio::io::split(broker);
            client.write_all(header).await.expect("the broker reads");
            let mut incoming = Incoming::new(platform, read, 4096);
            let result = accept(&mut incoming, &mut write, &AmqpConfig::default()).await;
            assert!(matches!(result, Err(HandshakeError::Gone(_))));
            let mut answer = [0; 8];
            client.read_exact(&mut answer).await.expect("an answer");
            answer
        });
        assert_eq!(answer, codec::PROTOCOL_HEADER);
    }
}
