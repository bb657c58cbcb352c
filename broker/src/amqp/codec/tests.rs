use amq_protocol::{
    protocol::{basic, queue},
    types::{AMQPValue, FieldTable},
};
use proptest::{collection::vec, prelude::*};

use super::*;

const FRAME_MAX: u32 = 4096;

fn decode_all(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut buffer = BytesMut::from(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decode(&mut buffer, FRAME_MAX)? {
        frames.push(frame);
    }
    Ok(frames)
}

fn method_frame(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, FRAME_METHOD, 1, &[payload]);
    out
}

fn declare(arguments: FieldTable) -> AMQPClass {
    let declare = queue::Declare { queue: "orders".into(), durable: true, arguments, ..Default::default() };
    AMQPClass::Queue(queue::AMQPMethod::Declare(declare))
}

#[test]
fn a_frame_is_found_only_when_it_is_complete() {
    let mut bytes = Vec::new();
    put_method(&mut bytes, 3, &declare(FieldTable::default()));
    for len in 0..bytes.len() {
        assert_eq!(decode_all(&bytes[..len]), Ok(vec![]));
    }
    assert_eq!(decode_all(&bytes), Ok(vec![Frame::Method(3, declare(FieldTable::default()))]));
}

#[test]
fn a_frame_above_frame_max_is_refused_by_its_head_alone() {
    let head = [FRAME_BODY, 0, 1, 0, 0, 0x10, 0];
    assert_eq!(decode_all(&head), Err(FrameError::TooLarge { size: 4104, limit: FRAME_MAX }));
    let mut bytes = Vec::new();
    put_frame(&mut bytes, FRAME_BODY, 1, &[&[0; FRAME_MAX as usize - FRAME_OVERHEAD]]);
    assert_eq!(decode_all(&bytes).map(|frames| frames.len()), Ok(1));
}

#[test]
fn a_wrong_type_and_a_wrong_end_octet_are_refused() {
    assert_eq!(decode_all(b"GET / HTTP/1.1"), Err(FrameError::UnknownType(b'G')));
    assert_eq!(decode_all(&[FRAME_HEARTBEAT, 0, 0, 0, 0, 0, 0, 0xcd]), Err(FrameError::BadEnd(0xcd)));
}

#[test]
fn a_limit_of_bytes_on_what_is_unacked_is_not_overlooked() {
    let qos = |size: u32| {
        let [a, b, c, d] = size.to_be_bytes();
        method_frame(&[0, 60, 0, 10, a, b, c, d, 0, 20, 0])
    };
    assert!(matches!(decode_all(&qos(0)).as_deref(), Ok([Frame::Method(..)])));
    assert_eq!(decode_all(&qos(65_536)), Err(FrameError::PrefetchSize(65_536)));
}

#[test]
fn tables_nested_too_deep_are_refused_instead_of_overflowing_the_stack() {
    fn nested(levels: usize) -> Vec<u8> {
        let mut table = vec![0, 0, 0, 0];
        for _ in 1..levels {
            let inner = [&[0, b'F'], table.as_slice()].concat();
            table = [&u32::try_from(inner.len()).unwrap().to_be_bytes(), inner.as_slice()].concat();
        }
        let declare = [&[0, 50, 0, 10, 0, 0, 1, b'q', 0], table.as_slice()].concat();
        method_frame(&declare)
    }
    assert_eq!(decode_all(&nested(nesting::LIMIT)).map(|frames| frames.len()), Ok(1));
    assert_eq!(decode_all(&nested(nesting::LIMIT + 1)), Err(FrameError::TooDeep));
    let mut deep = BytesMut::from(nested(20_000).as_slice());
    assert_eq!(decode(&mut deep, 0), Err(FrameError::TooDeep));
}

#[test]
fn a_body_is_split_at_frame_max_and_put_together_again() {
    let body: Vec<u8> = (0..20_000u32).map(|i| i as u8).collect();
    let properties = encode_properties(&BasicProperties::default().with_user_id("guest".into()));
    let mut bytes = Vec::new();
    put_content(&mut bytes, 9, &properties, &body, FRAME_MAX);
    let frames = decode_all(&bytes).expect("own frames");
    let header = ContentHeader {
        class: BASIC_CLASS,
        body_size: 20_000,
        properties: properties.clone(),
        user_id: Some("guest".into()),
    };
    assert_eq!(frames[0], Frame::Header(9, header));
    assert_eq!(frames.len(), 1 + 20_000usize.div_ceil(FRAME_MAX as usize - FRAME_OVERHEAD));
    let joined: Vec<u8> = frames[1..]
        .iter()
        .flat_map(|frame| if let Frame::Body(9, part) = frame { part.to_vec() } else { panic!("{frame:?}") })
        .collect();
    assert_eq!(joined, body);
}

/// Payloads that begin as something the parsers know, so that they get past the first bytes.
fn plausible_payload() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let class = prop_oneof![Just(10u8), Just(20), Just(40), Just(50), Just(60), Just(85), Just(90), any::<u8>()];
    let table_bytes = prop_oneof![Just(b'F'), Just(b'A'), Just(b'S'), Just(0u8), Just(1), Just(4), any::<u8>()];
    let method = (class, 0..13u8, vec(table_bytes, 0..200))
        .prop_map(|(class, method, rest)| (FRAME_METHOD, [vec![0, class, 0, method * 10], rest].concat()));
    let header = vec(any::<u8>(), 0..80).prop_map(|bytes| (FRAME_HEADER, bytes));
    prop_oneof![method, header]
}

fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        vec(any::<u8>(), 0..20).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| AMQPValue::FieldArray(values.into())),
            table(inner).prop_map(AMQPValue::FieldTable),
        ]
    })
}

fn table(value: impl Strategy<Value = AMQPValue>) -> impl Strategy<Value = FieldTable> {
    vec(("[a-z]{0,8}", value), 0..4).prop_map(|entries| {
        let mut table = FieldTable::default();
        for (key, value) in entries {
            table.insert(key.into(), value);
        }
        table
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode_all(&bytes);
    }

    #[test]
    fn arbitrary_payloads_in_whole_frames_never_panic((kind, payload) in plausible_payload()) {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, kind, 1, &[&payload]);
        let _ = decode_all(&bytes);
    }

    #[test]
    fn methods_round_trip(arguments in table(value()), channel: u16, tag: u64, multiple: bool) {
        let ack = AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: tag, multiple }));
        let mut bytes = Vec::new();
        put_method(&mut bytes, channel, &declare(arguments.clone()));
        put_method(&mut bytes, channel, &ack);
        put_heartbeat(&mut bytes);
        let expected =
            vec![Frame::Method(channel, declare(arguments)), Frame::Method(channel, ack), Frame::Heartbeat(0)];
        prop_assert_eq!(decode_all(&bytes), Ok(expected));
    }

    #[test]
    fn properties_round_trip(headers in table(value()), priority: u8, kind in "[a-z]{0,40}") {
        let properties =
            BasicProperties::default().with_headers(headers).with_priority(priority).with_content_type(kind.into());
        prop_assert_eq!(decode_properties(&encode_properties(&properties)), Ok(properties));
    }
}
