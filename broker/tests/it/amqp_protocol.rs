//! The protocol as a client sees it: one node, a raw client, and the exact answer to each right or wrong request.

mod raw_client;

use std::{collections::BTreeMap, future::Future};

use amq_protocol::protocol::{AMQPClass, basic, basic::AMQPMethod as Basic, channel, connection, exchange, queue, tx};
use bytes::Bytes;
use warren::{
    amqp::codec::Frame,
    node::{self, Config},
    platform::NodeId,
};

use crate::memory_platform::MemoryPlatform;
use raw_client::{FRAME_MAX, RawClient};

const CLIENTS: &str = "clients:5672";
/// What the tests' broker takes as a message's body at most, in bytes.
const MESSAGE_SIZE_MAX: u64 = 100_000;

/// Bytes that may wait for a queue there before its publishers are stopped.
const BACKLOG_MAX: usize = 50_000;

/// Where a test's clients come from.
struct Broker {
    platform: MemoryPlatform,
}

impl Broker {
    async fn client(&self) -> RawClient {
        RawClient::login(self.platform.connect_when_bound(CLIENTS).await, 0).await
    }

    /// A client with channel 1 open.
    async fn client_with_channel(&self) -> RawClient {
        let mut client = self.client().await;
        client.open_channel(1).await;
        client
    }
}

/// Runs `test` against a broker of one node, in paused time.
fn with_broker<F: Future<Output = ()>>(test: impl FnOnce(Broker) -> F) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let node = NodeId(1);
        let platform = MemoryPlatform::new(node, folder.path()).expect("a platform");
        let peers = BTreeMap::from([(node, "n1:25672".to_owned())]);
        let mut config = Config::new(node, CLIENTS, peers);
        config.clients.message_size_max = MESSAGE_SIZE_MAX;
        config.clients.backlog_max = BACKLOG_MAX;
        tokio::select! {
            biased;
            end = node::run(platform.clone(), config) => panic!("the broker ended: {:?}", end.err()),
            () = test(Broker { platform }) => {}
        }
    });
}

fn to_queue(name: &str) -> basic::Publish {
    basic::Publish { routing_key: name.into(), ..Default::default() }
}

fn ack(delivery_tag: u64, multiple: bool) -> AMQPClass {
    AMQPClass::Basic(Basic::Ack(basic::Ack { delivery_tag, multiple }))
}

fn nack(delivery_tag: u64) -> Basic {
    Basic::Nack(basic::Nack { delivery_tag, multiple: false, requeue: true })
}

fn passive(name: &str) -> AMQPClass {
    let declare = queue::Declare { queue: name.into(), passive: true, ..Default::default() };
    AMQPClass::Queue(queue::AMQPMethod::Declare(declare))
}

fn declare_exchange(name: &str, kind: &str) -> AMQPClass {
    let declare = exchange::Declare { exchange: name.into(), kind: kind.into(), durable: true, ..Default::default() };
    AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare))
}

fn delete_queue(name: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Delete(queue::Delete { queue: name.into(), ..Default::default() }))
}

fn close_channel() -> AMQPClass {
    AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close { reply_code: 200, ..Default::default() }))
}

/// Tag and redelivered flag of a delivery, by push or by get.
fn tag(method: &Basic) -> (u64, bool) {
    match method {
        Basic::Deliver(deliver) => (deliver.delivery_tag, deliver.redelivered),
        Basic::GetOk(get_ok) => (get_ok.delivery_tag, get_ok.redelivered),
        other => panic!("not a delivery: {other:?}"),
    }
}

#[test]
fn each_channel_error_has_its_code_and_names_its_method() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        let get = |name: &str| AMQPClass::Basic(Basic::Get(basic::Get { queue: name.into(), no_ack: false }));
        let transient = queue::Declare { queue: "t".into(), ..Default::default() };
        let bind = queue::Bind { queue: "q".into(), exchange: "nowhere".into(), ..Default::default() };
        let cases = [
            (passive("nothing"), 404, (50, 10)),
            (get("nothing"), 404, (60, 70)),
            (get(""), 404, (60, 70)),
            (AMQPClass::Queue(queue::AMQPMethod::Bind(bind)), 404, (50, 20)),
            (declare_exchange("amq.mine", "direct"), 403, (40, 10)),
            (AMQPClass::Queue(queue::AMQPMethod::Declare(transient)), 406, (50, 10)),
            (declare_exchange("amq.direct", "fanout"), 406, (40, 10)),
            (ack(1, false), 406, (60, 80)),
            (ack(0, false), 406, (60, 80)),
        ];
        for (number, (method, code, cause)) in (2..).zip(cases) {
            client.open_channel(number).await;
            client.send(number, method.clone()).await;
            assert_eq!(client.channel_error(number).await, (code, cause), "{method:?}");
        }
        assert_eq!(client.declare(1, "q").await.message_count, 0, "other channels go on");
    });
}

#[test]
fn each_connection_error_has_its_code_and_names_its_method() {
    with_broker(|broker| async move {
        let consume = basic::Consume { queue: "q".into(), consumer_tag: "twice".into(), ..Default::default() };
        let exclusive = basic::Consume { queue: "q".into(), exclusive: true, ..Default::default() };
        let cases = [
            (AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})), 540, (90, 10)),
            (declare_exchange("x", "topic"), 503, (40, 10)),
            (AMQPClass::Basic(Basic::Recover(basic::Recover { requeue: false })), 540, (60, 110)),
            (AMQPClass::Basic(Basic::ConsumeOk(basic::ConsumeOk::default())), 503, (60, 21)),
            (AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})), 504, (20, 10)),
            (AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active: false })), 540, (20, 20)),
            (AMQPClass::Basic(Basic::Consume(consume.clone())), 530, (60, 20)),
            (AMQPClass::Basic(Basic::Consume(exclusive)), 540, (60, 20)),
        ];
        for (method, code, cause) in cases {
            let mut client = broker.client_with_channel().await;
            client.declare(1, "q").await;
            client.consume(1, consume.clone()).await;
            client.send(1, method.clone()).await;
            assert_eq!(client.connection_error().await, (code, cause), "{method:?}");
        }
        let mut client = broker.client_with_channel().await;
        client.publish(1, basic::Publish { immediate: true, ..Default::default() }, b"").await;
        assert_eq!(client.connection_error().await, (540, (60, 40)));
        let mut client = broker.client().await;
        client.send(1, passive("q")).await;
        assert_eq!(client.connection_error().await, (504, (50, 10)), "a channel that is not open");
        let mut client = broker.client().await;
        client.send(0, passive("q")).await;
        assert_eq!(client.connection_error().await, (503, (50, 10)), "a channel's method on channel 0");
    });
}

#[test]
fn bytes_that_are_no_frames_and_frames_out_of_sequence_end_the_connection() {
    with_broker(|broker| async move {
        let too_large = [&[3, 0, 1][..], &(FRAME_MAX - 7).to_be_bytes()].concat();
        let cases: [(&[u8], u16); 6] = [
            (b"GET / HTTP/1.1\r\n", 501),
            (&too_large, 501),
            (&[1, 0, 1, 0, 0, 0, 1, 0, 0xff], 501),
            (&[1, 0, 1, 0, 0, 0, 4, 0, 99, 0, 99, 0xce], 502),
            (&[3, 0, 1, 0, 0, 0, 1, b'x', 0xce], 505),
            (&[8, 0, 1, 0, 0, 0, 0, 0xce], 501),
        ];
        for (bytes, code) in cases {
            let mut client = broker.client_with_channel().await;
            client.bytes(bytes).await;
            assert_eq!(client.connection_error().await.0, code, "{bytes:?}");
        }
        let mut client = broker.client_with_channel().await;
        client.basic(1, Basic::Publish(to_queue("q"))).await;
        client.send(1, passive("q")).await;
        assert_eq!(client.connection_error().await.0, 505, "a method in the middle of a message");
    });
}

#[test]
fn a_channel_closed_by_the_broker_ignores_everything_until_the_client_agrees_and_can_then_be_opened_again() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        client.publish(1, basic::Publish { exchange: "nowhere".into(), ..Default::default() }, b"lost").await;
        client.publish(1, to_queue("q"), b"ignored").await;
        client.send(1, passive("nothing")).await;
        assert_eq!(client.channel_error(1).await, (404, (60, 40)));
        client.open_channel(1).await;
        assert_eq!(client.declare(1, "q").await.message_count, 0);
        client.send(1, close_channel()).await;
        let method = client.method(1).await;
        assert!(matches!(method, AMQPClass::Channel(channel::AMQPMethod::CloseOk(_))), "{method:?}");
        client.open_channel(1).await;
    });
}

#[test]
fn a_body_of_many_frames_comes_back_whole_with_its_confirm_before() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        client.select_confirms(1).await;
        let body: Vec<u8> = (0..MESSAGE_SIZE_MAX).map(|i| (i / 7) as u8).collect();
        client.publish(1, to_queue("q"), &body).await;
        assert_eq!(client.method(1).await, ack(1, false));
        let received = client.get(1, "q").await;
        assert_eq!(received.body, body);
        assert_eq!(received.frames, body.len().div_ceil(FRAME_MAX as usize - 8));
        let mut too_large = body;
        too_large.push(0);
        client.publish(1, to_queue("q"), &too_large).await;
        assert_eq!(client.channel_error(1).await, (406, (60, 40)));
    });
}

#[test]
fn an_unroutable_mandatory_message_is_returned_before_it_is_confirmed() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.select_confirms(1).await;
        client.publish(1, basic::Publish { mandatory: true, ..to_queue("nothing") }, b"back").await;
        let returned = client.message(1).await;
        let Basic::Return(method) = &returned.method else { panic!("{returned:?}") };
        assert_eq!((method.reply_code, method.routing_key.as_str()), (312, "nothing"));
        assert_eq!(returned.body, b"back");
        assert_eq!(client.method(1).await, ack(1, false));
        client.publish(1, to_queue("nothing"), b"dropped").await;
        assert_eq!(client.method(1).await, ack(2, false));
    });
}

#[test]
fn a_requeued_message_comes_again_first_with_the_flag_and_its_count() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        for body in [&b"first"[..], b"second"] {
            client.publish(1, to_queue("q"), body).await;
        }
        let first = client.get(1, "q").await;
        assert_eq!((first.body.as_slice(), tag(&first.method)), (&b"first"[..], (1, false)));
        assert_eq!(first.properties.headers(), &None);
        client.basic(1, nack(1)).await;
        let again = client.get(1, "q").await;
        assert_eq!((again.body.as_slice(), tag(&again.method)), (&b"first"[..], (2, true)));
        let headers = again.properties.headers().as_ref().expect("headers");
        assert_eq!(headers.inner().get("x-delivery-count"), Some(&amq_protocol::types::AMQPValue::LongLongInt(1)));
    });
}

#[test]
fn deliveries_stop_at_the_prefetch_and_go_on_with_acks() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        client.basic(1, Basic::Qos(basic::Qos { prefetch_count: 2, global: false })).await;
        assert_eq!(client.method(1).await, AMQPClass::Basic(Basic::QosOk(basic::QosOk {})));
        let consumer = client.consume(1, basic::Consume { queue: "q".into(), ..Default::default() }).await;
        for body in [b"1", b"2", b"3", b"4"] {
            client.publish(1, to_queue("q"), body).await;
        }
        for expected in [b"1", b"2"] {
            assert_eq!(client.message(1).await.body, expected);
        }
        client.send(1, passive("q")).await;
        let method = client.method(1).await;
        let AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) = method else { panic!("{method:?}") };
        assert_eq!((ok.message_count, ok.consumer_count), (2, 1));
        client.send(1, ack(2, true)).await;
        for expected in [b"3", b"4"] {
            assert_eq!(client.message(1).await.body, expected);
        }
        let cancel = basic::Cancel { consumer_tag: consumer.as_str().into(), nowait: false };
        client.basic(1, Basic::Cancel(cancel)).await;
        let method = client.method(1).await;
        assert!(matches!(method, AMQPClass::Basic(Basic::CancelOk(_))), "{method:?}");
    });
}

#[test]
fn what_a_lost_connection_held_goes_to_the_next_consumer_in_order() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        for body in [b"1", b"2", b"3"] {
            client.publish(1, to_queue("q"), body).await;
        }
        client.consume(1, basic::Consume { queue: "q".into(), ..Default::default() }).await;
        for _ in 0..3 {
            client.message(1).await;
        }
        client.send(1, ack(2, false)).await;
        drop(client);
        let mut other = broker.client_with_channel().await;
        other.consume(1, basic::Consume { queue: "q".into(), ..Default::default() }).await;
        for (number, expected) in (1..).zip([b"1", b"3"]) {
            let received = other.message(1).await;
            assert_eq!((received.body.as_slice(), tag(&received.method)), (&expected[..], (number, true)));
        }
    });
}

#[test]
fn what_was_asked_before_the_connection_was_closed_is_done() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        for _ in 0..100 {
            client.publish(1, to_queue("q"), b"x").await;
        }
        let close = connection::Close { reply_code: 200, ..Default::default() };
        client.send(0, AMQPClass::Connection(connection::AMQPMethod::Close(close))).await;
        let method = client.method(0).await;
        assert!(matches!(method, AMQPClass::Connection(connection::AMQPMethod::CloseOk(_))), "{method:?}");
        let mut other = broker.client_with_channel().await;
        assert_eq!(other.declare(1, "q").await.message_count, 100);
    });
}

#[test]
fn recover_gives_everything_back_in_order() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        for body in [b"1", b"2"] {
            client.publish(1, to_queue("q"), body).await;
            client.get(1, "q").await;
        }
        client.basic(1, Basic::Recover(basic::Recover { requeue: true })).await;
        assert_eq!(client.method(1).await, AMQPClass::Basic(Basic::RecoverOk(basic::RecoverOk {})));
        for expected in [b"1", b"2"] {
            assert_eq!(client.get(1, "q").await.body, expected);
        }
    });
}

#[test]
fn deleting_a_queue_cancels_its_consumers_and_forgives_their_acks() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        client.publish(1, to_queue("q"), b"held").await;
        let consumer = client.consume(1, basic::Consume { queue: "q".into(), ..Default::default() }).await;
        client.message(1).await;
        client.open_channel(2).await;
        client.send(2, delete_queue("q")).await;
        let cancel = basic::Cancel { consumer_tag: consumer.as_str().into(), nowait: true };
        let (mut cancelled, mut deleted) = (false, false);
        while !(cancelled && deleted) {
            match client.frame().await {
                Some(Frame::Method(1, AMQPClass::Basic(Basic::Cancel(method)))) if method == cancel => cancelled = true,
                Some(Frame::Method(2, AMQPClass::Queue(queue::AMQPMethod::DeleteOk(_)))) => deleted = true,
                other => panic!("unexpected {other:?}"),
            }
        }
        client.send(1, ack(1, false)).await;
        client.send(1, delete_queue("q")).await;
        let method = client.method(1).await;
        assert!(
            matches!(method, AMQPClass::Queue(queue::AMQPMethod::DeleteOk(_))),
            "deleting twice is fine: {method:?}"
        );
    });
}

#[test]
fn confirms_cover_every_publish_once() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        client.select_confirms(1).await;
        for _ in 0..500 {
            client.publish(1, to_queue("q"), b"x").await;
        }
        let mut confirmed = 0;
        while confirmed < 500 {
            let method = client.method(1).await;
            let AMQPClass::Basic(Basic::Ack(ack)) = method else { panic!("{method:?}") };
            assert!(ack.delivery_tag > confirmed, "one queue confirms in order");
            assert!(ack.multiple || ack.delivery_tag == confirmed + 1);
            confirmed = ack.delivery_tag;
        }
        assert_eq!(client.declare(1, "q").await.message_count, 500);
    });
}

#[test]
fn who_can_hear_it_is_told_that_a_queue_is_behind_and_when_it_has_caught_up() {
    with_broker(|broker| async move {
        let stream = broker.platform.connect_when_bound(CLIENTS).await;
        let mut told = RawClient::login_with(stream, 0, &["connection.blocked"]).await;
        told.open_channel(1).await;
        told.declare(1, "q").await;
        told.select_confirms(1).await;
        told.publish(1, to_queue("q"), &[7; BACKLOG_MAX + 1]).await;
        let AMQPClass::Connection(connection::AMQPMethod::Blocked(blocked)) = told.method(0).await else {
            panic!("not told that it is blocked");
        };
        assert!(blocked.reason.as_str().contains("queue"), "{blocked:?}");
        // The confirm is of channel 1, and what says that it may go on of channel 0: in either order.
        let mut rest = Vec::new();
        for _ in 0..2 {
            let Some(Frame::Method(channel, method)) = told.frame().await else { panic!("no method") };
            rest.push((channel, method));
        }
        rest.sort_by_key(|(channel, _)| *channel);
        let unblocked = AMQPClass::Connection(connection::AMQPMethod::Unblocked(connection::Unblocked {}));
        assert_eq!(rest, [(0, unblocked), (1, ack(1, false))]);

        let mut untold = broker.client_with_channel().await;
        untold.select_confirms(1).await;
        untold.publish(1, to_queue("q"), &[7; BACKLOG_MAX + 1]).await;
        assert_eq!(untold.method(1).await, ack(1, false));
        untold.publish(1, to_queue("q"), b"small").await;
        assert_eq!(untold.method(1).await, ack(2, false));
    });
}

#[test]
fn heartbeats_are_sent_and_a_silent_client_is_cut_off_after_two_intervals() {
    with_broker(|broker| async move {
        let stream = broker.platform.connect_when_bound(CLIENTS).await;
        let mut client = RawClient::login(stream, 10).await;
        let mut heartbeats = 0;
        while let Some(frame) = client.frame().await {
            assert_eq!(frame, Frame::Heartbeat(0));
            heartbeats += 1;
        }
        // Every 5 s until 20 s have passed.
        assert!((3..=4).contains(&heartbeats), "{heartbeats}");
    });
}

#[test]
fn a_client_that_does_not_read_is_not_buffered_for_without_end() {
    with_broker(|broker| async move {
        let mut client = broker.client_with_channel().await;
        client.declare(1, "q").await;
        let body = Bytes::from(vec![7; MESSAGE_SIZE_MAX as usize]);
        for _ in 0..60 {
            client.publish(1, to_queue("q"), &body).await;
        }
        let consume = basic::Consume { queue: "q".into(), ..Default::default() };
        client.basic(1, Basic::Consume(consume)).await;
        // Another client is served meanwhile.
        let mut other = broker.client_with_channel().await;
        other.declare(1, "other").await;
        let method = client.method(1).await;
        assert!(matches!(method, AMQPClass::Basic(Basic::ConsumeOk(_))), "{method:?}");
        for _ in 0..60 {
            assert_eq!(client.message(1).await.body, body);
        }
    });
}
