//! Steps that worsen links, machines and clients without taking them away.

use std::{ops::Range, time::Duration};

use super::{
    Action, ChannelEnd, ClientKind, ClientTrouble, DiskError, Target, Trouble, Weather,
    step_table::StepTable,
    steps::Steps,
    text,
    values::{DurationText, Field, OneOrMany},
};

/// Room in front of a bottleneck unless the step says otherwise, in bytes.
const QUEUE_BYTES: u64 = 64 << 10;

type Ends<'a> = (&'a Field<OneOrMany>, &'a Field<OneOrMany>);

impl Steps<'_> {
    /// A step that worsens the network.
    pub(super) fn network(&mut self, table: &StepTable) -> Option<Action<Vec<Target>>> {
        if let Field(Some(at)) = &table.latency {
            let add = self.range(&at.value.add);
            return self.weather((&at.value.from, &at.value.to), add.map(Weather::Latency));
        }
        if let Field(Some(at)) = &table.loss {
            let share = value(&at.value.share);
            return self.weather((&at.value.from, &at.value.to), share.map(Weather::Loss));
        }
        if let Field(Some(at)) = &table.duplicate {
            let share = value(&at.value.share);
            return self.weather((&at.value.from, &at.value.to), share.map(Weather::Duplicate));
        }
        if let Field(Some(at)) = &table.reorder {
            let (share, delay) = (value(&at.value.share), self.range(&at.value.delay));
            let weather = share.zip(delay).map(|(share, delay)| Weather::Reorder { share, delay });
            return self.weather((&at.value.from, &at.value.to), weather);
        }
        if let Field(Some(at)) = &table.bandwidth {
            let rate = self.problems.size(&at.value.rate, None);
            let queue = self.problems.size(&at.value.queue, Some(QUEUE_BYTES));
            let weather = rate
                .zip(queue)
                .map(|(bytes_per_second, queue_bytes)| Weather::Bandwidth { bytes_per_second, queue_bytes });
            return self.weather((&at.value.from, &at.value.to), weather);
        }
        if let Field(Some(at)) = &table.black_hole {
            return self.targets(&at.value.node).map(|node| Action::BlackHole { node });
        }
        if let Field(Some(at)) = &table.flap {
            let period = self.time(&at.value.period, None);
            return Some(Action::Flap { isolate: self.targets(&at.value.isolate)?, period: period? });
        }
        None
    }

    fn weather(&mut self, (from, to): Ends<'_>, weather: Option<Weather>) -> Option<Action<Vec<Target>>> {
        let from = self.targets(from);
        let to = self.targets(to);
        Some(Action::Weather { from: from?, to: to?, weather: weather? })
    }

    /// A step that troubles machines.
    pub(super) fn machine(&mut self, table: &StepTable) -> Option<Action<Vec<Target>>> {
        if let Field(Some(at)) = &table.rolling_restart {
            let down = self.time(&at.value.down, Some(Duration::from_secs(1)));
            let pause = self.time(&at.value.pause, Some(Duration::from_secs(2)));
            return Some(Action::RollingRestart { node: self.targets(&at.value.node)?, down: down?, pause: pause? });
        }
        if let Field(Some(at)) = &table.wipe {
            return self.targets(&at.value.node).map(|node| Action::Wipe { node });
        }
        let (node, trouble) = if let Field(Some(at)) = &table.slow_cpu {
            (&at.value.node, self.time(&at.value.poll, None).map(|poll| Trouble::SlowCpu { poll }))
        } else if let Field(Some(at)) = &table.disk_error {
            let what = at.value.what.0.as_ref().map(|what| match what.value.text.as_str() {
                "read" => DiskError::Read,
                "no-space" => DiskError::NoSpace,
                _ => DiskError::Sync,
            });
            (&at.value.node, what.map(Trouble::DiskError))
        } else if let Field(Some(at)) = &table.bit_rot {
            (&at.value.node, Some(Trouble::BitRot { bits: value(&at.value.bits).unwrap_or(1) }))
        } else if let Field(Some(at)) = &table.misdirect {
            (&at.value.node, Some(Trouble::Misdirect { writes: value(&at.value.writes).unwrap_or(1) }))
        } else if let Field(Some(at)) = &table.clock_jump {
            if at.value.forward.0.is_some() == at.value.back.0.is_some() {
                self.one_key_of(at.value.back.0.is_some(), &at.span, "a clock jump", "`forward` or `back`");
                return None;
            }
            let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
            let forward = self.time(&at.value.forward, Some(Duration::ZERO));
            let back = self.time(&at.value.back, Some(Duration::ZERO));
            let by = forward.zip(back).map(|(forward, back)| nanos(forward) - nanos(back));
            (&at.value.node, by.map(|by_nanos| Trouble::ClockJump { by_nanos }))
        } else if let Field(Some(at)) = &table.clock_drift {
            let gain = value(&at.value.rate).map(|rate| ((rate - 1.0) * 1e6).round() as i32);
            if let (Some(0), Field(Some(rate))) = (gain, &at.value.rate) {
                let help = "write how fast it runs, such as `rate = 0.9` or `rate = 1.1`".to_owned();
                self.problems.add(&rate.span, "a clock at this rate is right", "this is no drift", Some(help));
            }
            (&at.value.node, gain.map(|gain| Trouble::ClockDrift { gain }))
        } else if let Field(Some(at)) = &table.clock_freeze {
            let wall_only = at.value.what.0.as_ref().is_some_and(|what| what.value.text == "wall");
            (&at.value.node, Some(Trouble::ClockFreeze { wall_only }))
        } else {
            return None;
        };
        Some(Action::Trouble { node: self.targets(node)?, trouble: trouble? })
    }

    /// A step that troubles clients.
    pub(super) fn client(&mut self, table: &StepTable) -> Option<Action<Vec<Target>>> {
        if table.channel_close.0.is_some() || table.ignore_flow.0.is_some() {
            return self.publisher(table);
        }
        let (client, trouble) = if let Field(Some(at)) = &table.slow_consumer {
            (&at.value.client, self.time(&at.value.poll, None).map(|poll| ClientTrouble::Slow { poll }))
        } else if let Field(Some(at)) = &table.client_crash {
            let help = "the lapin client's thread cannot be ended from outside; use `churn`";
            self.native_only(&at.span, "only the native client can crash", help);
            (&at.value.client, Some(ClientTrouble::Crash))
        } else if let Field(Some(at)) = &table.churn {
            (&at.value.client, self.time(&at.value.every, None).map(|every| ClientTrouble::Churn { every }))
        } else {
            return None;
        };
        let client = client.0.as_ref().and_then(|client| self.group(client));
        Some(Action::Client { client: client?, trouble: trouble? })
    }

    /// A step that lets publishers misbehave.
    fn publisher(&mut self, table: &StepTable) -> Option<Action<Vec<Target>>> {
        let (client, trouble) = if let Field(Some(at)) = &table.channel_close {
            let help = "Ferret's link to lapin does not close channels; use `churn`";
            self.native_only(&at.span, "only the native client can end its channels at will", help);
            let how = at.value.how.0.as_ref().and_then(|how| ChannelEnd::from_name(&how.value.text));
            let how = how.unwrap_or(ChannelEnd::Clean);
            let every = self.time(&at.value.every, None);
            (&at.value.client, every.map(|every| ClientTrouble::ChannelClose { how, every }))
        } else if let Field(Some(at)) = &table.ignore_flow {
            let help = "lapin holds publishes back by itself";
            self.native_only(&at.span, "only the native client can ignore what it is told", help);
            (&at.value.client, Some(ClientTrouble::IgnoreFlow))
        } else {
            return None;
        };
        let client = client.0.as_ref().and_then(|client| self.publishing_group(client));
        Some(Action::Client { client: client?, trouble: trouble? })
    }

    fn native_only(&mut self, span: &Range<usize>, message: &str, help: &str) {
        if self.run.client != ClientKind::Native {
            let help = Some(help.to_owned());
            self.problems.add(span, message, "`client` under `[run]` is another one", help);
        }
    }

    /// A time above 0; `default` if the key is not there.
    fn time(&mut self, field: &Field<DurationText>, default: Option<Duration>) -> Option<Duration> {
        let Field(Some(at)) = field else { return default };
        match text::duration(at.value.as_ref()) {
            Ok(Duration::ZERO) => {
                self.problems.add(&at.span, "this duration is out of range", "must be above 0", None);
                None
            }
            Ok(time) => Some(time),
            Err(wrong) => {
                self.problems.add(&at.span, "this is no duration", wrong.what, Some(wrong.help));
                None
            }
        }
    }
}

fn value<T: Copy>(field: &Field<T>) -> Option<T> {
    field.0.as_ref().map(|at| at.value)
}
