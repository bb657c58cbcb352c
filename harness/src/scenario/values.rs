//! Values of a scenario file: each with its place, and with the JSON schema that editors show for it.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Range};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::{Invariant, Problems, Sometimes, Spread, text};

/// A value and its bytes in the file.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// A key that may be missing. (An `Option` would let the schema offer `null`, which TOML does not have.)
#[derive(Clone, Debug)]
pub(crate) struct Field<T>(pub(crate) Option<At<T>>);

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        let span = spanned.span();
        Ok(Self { value: spanned.into_inner(), span })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        At::deserialize(deserializer).map(|at| Self(Some(at)))
    }
}

macro_rules! schema_of_inner {
    ($outer:ident) => {
        impl<T: JsonSchema> JsonSchema for $outer<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }
            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }
            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    };
}
schema_of_inner!(At);
schema_of_inner!(Field);

/// A string that is checked later, with better messages than a pattern gives.
macro_rules! text {
    ($(#[$doc:meta])* $type:ident, $format:literal, [$($example:literal),+]) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $type(pub(crate) String);

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $format.replace(' ', "-").into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "title": $format, "examples": [$($example),+] })
            }
        }
    };
}
text!(
    /// A number and a unit, without a space: ns, us, ms, s, min or h.
    DurationText, "duration", ["5s", "250ms"]
);
text!(
    /// A duration, or two with `..` between them to draw from.
    DurationRangeText, "duration or range", ["5s", "1ms..15ms"]
);
text!(
    /// A number of bytes with a unit: B, KiB or MiB.
    SizeText, "size", ["1KiB", "64B"]
);
text!(
    /// A number of bytes with a unit, or two with `..` between them to draw from: B, KiB or MiB.
    SizeRangeText, "size or range", ["1KiB", "64B..4KiB"]
);
text!(
    /// Whom is meant: `leader:Q`, `followers:Q`, `one-follower:Q`, `one-learner:Q`,
    /// `majority`, `minority`, `all`, `any`, `n1`.
    TargetText, "target", ["leader:orders", "any", "n2"]
);

text!(
    /// What happens and to whom: `leader-changed:Q`, `redelivered:Q`, `snapshot-installed:Q`, `compacted:Q`, `down:N`,
    /// `restarted:N`, `reconnected:C`; Q is a queue, N a node or `any`, C a group of clients.
    EventText, "event", ["leader-changed:orders", "restarted:any"]
);

impl Problems {
    /// A number of bytes above 0; `default` if the key is not there.
    pub(super) fn size(&mut self, field: &Field<SizeText>, default: Option<u64>) -> Option<u64> {
        let Field(Some(at)) = field else { return default };
        match text::size_range(at.value.as_ref()) {
            Ok(Spread { min, max }) if min == max && min > 0 => Some(min),
            Ok(_) => {
                self.add(&at.span, "this must be one size", "above 0, and no range", None);
                None
            }
            Err(wrong) => {
                self.add(&at.span, "this is no size", wrong.what, Some(wrong.help));
                None
            }
        }
    }
}

/// One target, or a list of them.
#[derive(Clone, Debug)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<At<String>>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a target or a list of targets")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut targets = Vec::new();
                while let Some(target) = items.next_element()? {
                    targets.push(target);
                }
                Ok(OneOrMany::Many(targets))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "targets".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<TargetText>();
        json_schema!({
            "title": "target or list of targets",
            "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }]
        })
    }
}

/// One of the names that `K` lists.
pub(crate) struct Name<K> {
    pub(crate) text: String,
    kind: PhantomData<K>,
}

/// A fixed list of names.
pub(crate) trait Names {
    /// What one of them is: "invariant".
    const WHAT: &'static str;

    fn all() -> Vec<&'static str>;
}

impl<K> fmt::Debug for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl<'de, K> Deserialize<'de> for Name<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { text: String::deserialize(deserializer)?, kind: PhantomData })
    }
}

impl<K: Names> JsonSchema for Name<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        K::WHAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": K::WHAT, "enum": K::all() })
    }
}

pub(crate) mod names {
    //! The lists of names that the format knows.

    use warren::platform::Sabotage;

    use super::{
        super::{ChannelEnd, ClientKind, PANIC, SwarmKind},
        Invariant, Names, Sometimes,
    };

    macro_rules! names {
        ($($type:ident, $what:literal, $all:expr;)+) => {
            $(
                pub(crate) struct $type;

                impl Names for $type {
                    const WHAT: &'static str = $what;

                    fn all() -> Vec<&'static str> {
                        $all
                    }
                }
            )+
        };
    }

    names! {
        SabotageName, "planted bug", Sabotage::ALL.into_iter().map(Sabotage::name).collect();
        ClientName, "client", ClientKind::ALL.into_iter().map(ClientKind::name).collect();
        QueueTypeName, "queue type", vec!["quorum"];
        AckName, "ack mode", vec!["manual", "auto"];
        TakeName, "way to take a lock", vec!["get", "consume"];
        StallName, "kind of stall", vec!["sync", "all"];
        HealName, "thing to heal", vec!["all"];
        RingName, "ring", vec!["all"];
        DiskErrorName, "kind of disk error", vec!["sync", "read", "no-space"];
        ChannelEndName, "way for a channel to end", ChannelEnd::ALL.into_iter().map(ChannelEnd::name).collect();
        FreezeName, "kind of freeze", vec!["both", "wall"];
        SwarmKindName, "fault", SwarmKind::ALL.into_iter().map(SwarmKind::name).collect();
        InvariantName, "invariant", Invariant::ALL.into_iter().map(Invariant::name).collect();
        InvariantOrAll, "invariant",
            std::iter::once("all").chain(Invariant::ALL.into_iter().map(Invariant::name)).collect();
        InvariantOrPanic, "invariant",
            std::iter::once(PANIC).chain(Invariant::ALL.into_iter().map(Invariant::name)).collect();
        SometimesName, "thing that may happen", Sometimes::ALL.into_iter().map(Sometimes::name).collect();
    }
}
