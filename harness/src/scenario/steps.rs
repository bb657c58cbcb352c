//! The steps of the timeline: exactly one action each, with targets that exist, at a time that comes.

use std::{ops::Range, time::Duration};

use super::{
    Action, Errand, Partition, Publishers, Reset, Run, Spread, StallWhat, Step, Target, Trouble,
    check::line_of,
    problem::{Problems, suggestion},
    step_table::{OneWayTable, PartitionTable, ResetTable, StepTable},
    target::Roles,
    text,
    trigger::Begins,
    values::{At, DurationRangeText, Field, OneOrMany},
};

const ACTIONS: &str = "partition, one-way, kill, power-loss, disk-stall, disk-slow, reset, pause, heal, restart, \
    latency, loss, duplicate, reorder, bandwidth, black-hole, flap, rolling-restart, wipe, \
    slow-cpu, disk-error, bit-rot, misdirect, clock-jump, clock-drift, clock-freeze, slow-consumer, client-crash, \
    churn, channel-close, ignore-flow, transfer-leader, grow, shrink, add-member, remove-member";

/// Checks steps against the rest of the scenario.
pub(super) struct Steps<'a> {
    pub(super) problems: &'a mut Problems,
    pub(super) text: &'a str,
    pub(super) roles: Roles<'a>,
    /// Names of the groups of clients.
    pub(super) clients: &'a [String],
    pub(super) publishers: &'a [Publishers],
    pub(super) run: &'a Run,
}

impl Steps<'_> {
    pub(super) fn check(&mut self, tables: &[At<StepTable>]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for (position, table) in tables.iter().enumerate() {
            if let Some(step) = self.step(position, table) {
                self.restarts_something(&step, &steps);
                steps.push(step);
            }
        }
        steps
    }

    fn step(&mut self, position: usize, at: &At<StepTable>) -> Option<Step> {
        let table = &at.value;
        let begins = self.begins(at);
        let lasts = self.range(&table.lasts);
        if let (Some(lasts), Field(Some(field))) = (lasts, &table.lasts)
            && lasts.max == Duration::ZERO
        {
            self.problems.add(
                &field.span,
                "a step cannot last for no time",
                "must be above 0",
                Some("leave `for` out".into()),
            );
        }
        let action = self.action(at)?;
        if let Field(Some(field)) = &table.lasts
            && matches!(
                action,
                Action::Heal
                    | Action::Restart { .. }
                    | Action::Reset(_)
                    | Action::RollingRestart { .. }
                    | Action::Operate { .. }
                    | Action::Trouble { trouble: Trouble::BitRot { .. }, .. }
            )
        {
            let message = format!("`{}` has its own end", action.kind());
            self.problems.add(&field.span, message, "so it cannot last", Some("leave `for` out".into()));
        }
        let Begins { at: begins, trigger, repeat } = begins?;
        Some(Step {
            number: u32::try_from(position + 1).expect("a file holds fewer steps"),
            line: line_of(self.text, at.span.start),
            span: at.span.clone(),
            at: begins,
            trigger,
            repeat,
            lasts,
            may_miss: table.may_miss.0.as_ref().is_some_and(|at| at.value),
            action,
        })
    }

    /// The one action of a step.
    fn action(&mut self, at: &At<StepTable>) -> Option<Action<Vec<Target>>> {
        let StepTable {
            at: _,
            after: _,
            when: _,
            delay: _,
            every: _,
            count: _,
            until: _,
            lasts: _,
            may_miss: _,
            partition,
            one_way,
            kill,
            power_loss,
            disk_stall,
            disk_slow,
            reset,
            pause,
            heal,
            restart,
            latency,
            loss,
            duplicate,
            reorder,
            bandwidth,
            black_hole,
            flap,
            rolling_restart,
            wipe,
            slow_cpu,
            disk_error,
            bit_rot,
            misdirect,
            clock_jump,
            clock_drift,
            clock_freeze,
            slow_consumer,
            client_crash,
            churn,
            channel_close,
            ignore_flow,
            transfer_leader,
            grow,
            shrink,
            add_member,
            remove_member,
        } = &at.value;
        let given: Vec<(&str, &Range<usize>)> = [
            ("partition", span(partition)),
            ("one-way", span(one_way)),
            ("kill", span(kill)),
            ("power-loss", span(power_loss)),
            ("disk-stall", span(disk_stall)),
            ("disk-slow", span(disk_slow)),
            ("reset", span(reset)),
            ("pause", span(pause)),
            ("heal", span(heal)),
            ("restart", span(restart)),
            ("latency", span(latency)),
            ("loss", span(loss)),
            ("duplicate", span(duplicate)),
            ("reorder", span(reorder)),
            ("bandwidth", span(bandwidth)),
            ("black-hole", span(black_hole)),
            ("flap", span(flap)),
            ("rolling-restart", span(rolling_restart)),
            ("wipe", span(wipe)),
            ("slow-cpu", span(slow_cpu)),
            ("disk-error", span(disk_error)),
            ("bit-rot", span(bit_rot)),
            ("misdirect", span(misdirect)),
            ("clock-jump", span(clock_jump)),
            ("clock-drift", span(clock_drift)),
            ("clock-freeze", span(clock_freeze)),
            ("slow-consumer", span(slow_consumer)),
            ("client-crash", span(client_crash)),
            ("churn", span(churn)),
            ("channel-close", span(channel_close)),
            ("ignore-flow", span(ignore_flow)),
            ("transfer-leader", span(transfer_leader)),
            ("grow", span(grow)),
            ("shrink", span(shrink)),
            ("add-member", span(add_member)),
            ("remove-member", span(remove_member)),
        ]
        .into_iter()
        .filter_map(|(name, span)| Some((name, span?)))
        .collect();
        if given.is_empty() {
            // What was meant as the action may have been reported already.
            if !self.problems.any_within(&at.span) {
                let help = format!("add one of {ACTIONS}");
                self.problems.add(&at.span, "this step does nothing", "no action here", Some(help));
            }
            return None;
        }
        if given.len() > 1 {
            let mut in_order = given;
            in_order.sort_by_key(|(_, span)| span.start);
            let names: Vec<String> = in_order.iter().map(|(name, _)| format!("`{name}`")).collect();
            let help = "write one step for each, with the same `at`".to_owned();
            let label = format!("{} is the first", names[0]);
            self.problems.add(
                in_order[1].1,
                format!("this step has {} actions: {}", names.len(), names.join(", ")),
                label,
                Some(help),
            );
            return None;
        }
        if let Field(Some(at)) = partition {
            return self.partition(at).map(Action::Partition);
        }
        if let Field(Some(at)) = one_way {
            return self.one_way(at);
        }
        if let Field(Some(at)) = kill {
            return self.targets(&at.value.node).map(|node| Action::Kill { node });
        }
        if let Field(Some(at)) = power_loss {
            return self.targets(&at.value.node).map(|node| Action::PowerLoss { node });
        }
        if let Field(Some(at)) = disk_stall {
            let all = at.value.what.0.as_ref().is_some_and(|what| what.value.text == "all");
            let what = if all { StallWhat::All } else { StallWhat::Sync };
            return self.targets(&at.value.node).map(|node| Action::DiskStall { node, what });
        }
        if let Field(Some(at)) = disk_slow {
            let sync = self.range(&at.value.sync);
            return Some(Action::DiskSlow { node: self.targets(&at.value.node)?, sync: sync? });
        }
        if let Field(Some(at)) = reset {
            return self.reset(at).map(Action::Reset);
        }
        if let Field(Some(at)) = pause {
            return self.targets(&at.value.node).map(|node| Action::Pause { node });
        }
        if let Field(Some(at)) = restart {
            return self.targets(&at.value.node).map(|node| Action::Restart { node });
        }
        if span(heal).is_some() {
            return Some(Action::Heal);
        }
        self.network(&at.value)
            .or_else(|| self.machine(&at.value))
            .or_else(|| self.client(&at.value))
            .or_else(|| self.operator(&at.value))
    }

    fn partition(&mut self, at: &At<PartitionTable>) -> Option<Partition<Vec<Target>>> {
        let PartitionTable { isolate, halves, bridge, ring } = &at.value;
        match (&isolate.0, &halves.0) {
            (None, None) if bridge.0.is_some() && ring.0.is_none() => {
                return self.targets(bridge).map(Partition::Bridge);
            }
            (None, None) if ring.0.is_some() && bridge.0.is_none() => {
                if self.roles.nodes < 4 {
                    let help = "with fewer nodes all hear each other; add nodes, or use `isolate`".to_owned();
                    self.problems.add(&at.span, "a ring has four nodes at least", "too few nodes", Some(help));
                }
                return Some(Partition::Ring);
            }
            _ => {}
        }
        let other = bridge.0.is_some() || ring.0.is_some();
        match (&isolate.0, &halves.0) {
            (Some(_), None) if !other => self.targets(isolate).map(Partition::Isolate),
            (None, Some(halves)) if !other => {
                let parts: Vec<Option<Vec<Target>>> =
                    halves.value.iter().map(|part| self.list(&part.value, &part.span)).collect();
                if parts.len() < 2 {
                    let help = "write two lists, such as `halves = [[\"n1\"], [\"n2\", \"n3\"]]`".to_owned();
                    self.problems.add(&halves.span, "a partition has at least two parts", "too few", Some(help));
                }
                let parts: Vec<Vec<Target>> = parts.into_iter().collect::<Option<_>>()?;
                self.disjoint(&parts, &halves.span);
                Some(Partition::Halves(parts))
            }
            (isolate, _) => {
                let both = isolate.is_some() || other;
                self.one_key_of(both, &at.span, "a partition", "`isolate`, `halves`, `bridge` or `ring`");
                None
            }
        }
    }

    /// Reports a target that stands in two parts of a partition.
    fn disjoint(&mut self, parts: &[Vec<Target>], span: &Range<usize>) {
        let drawn = |target: &Target| matches!(target, Target::Any | Target::OneFollower(_));
        for (index, part) in parts.iter().enumerate() {
            let elsewhere = parts[index + 1..].iter().flatten();
            if elsewhere.clone().any(|target| !drawn(target) && part.contains(target)) {
                let help = "name each node in one part only".to_owned();
                self.problems.add(
                    span,
                    "the parts of this partition overlap",
                    "a target stands in two parts",
                    Some(help),
                );
                return;
            }
        }
    }

    fn one_way(&mut self, at: &At<OneWayTable>) -> Option<Action<Vec<Target>>> {
        let from = self.targets(&at.value.from);
        let to = self.targets(&at.value.to);
        let (from, to) = (from?, to?);
        if from == to && matches!(from[..], [Target::Node(_) | Target::Leader(_)]) {
            let help = "name two different ends, such as `to = \"all\"`".to_owned();
            self.problems.add(&at.span, "this cuts a node off from itself", "both ends are the same", Some(help));
        }
        Some(Action::OneWay { from, to })
    }

    fn reset(&mut self, at: &At<ResetTable>) -> Option<Reset<Vec<Target>>> {
        match (&at.value.node.0, &at.value.client.0) {
            (Some(_), None) => self.targets(&at.value.node).map(Reset::Node),
            (None, Some(client)) => Some(Reset::Client(self.group(client)?)),
            (node, _) => {
                let both = node.is_some();
                self.one_key_of(both, &at.span, "a reset", "`node` or `client`");
                None
            }
        }
    }

    /// The name of a group of clients.
    pub(super) fn group(&mut self, client: &At<String>) -> Option<String> {
        if self.clients.contains(&client.value) {
            return Some(client.value.clone());
        }
        let known: Vec<&str> = self.clients.iter().map(String::as_str).collect();
        let help = suggestion(&client.value, &known);
        let message = format!("unknown client `{}`", client.value);
        self.problems.add(&client.span, message, "no such group of clients", Some(help));
        None
    }

    /// The name of a group of publishers.
    pub(super) fn publishing_group(&mut self, client: &At<String>) -> Option<String> {
        let group = self.group(client)?;
        let known: Vec<&str> = self.publishers.iter().map(|group| group.name.as_str()).collect();
        if known.contains(&group.as_str()) {
            return Some(group);
        }
        let help = match known.first() {
            Some(_) => format!("name one of {}", known.join(", ")),
            None => "the scenario has no publishers".to_owned(),
        };
        self.problems.add(&client.span, format!("`{group}` does not publish"), "no group of publishers", Some(help));
        None
    }

    pub(super) fn one_key_of(&mut self, both: bool, span: &Range<usize>, what: &str, keys: &str) {
        if both {
            let help = "write one step for each".to_owned();
            self.problems.add(span, format!("{what} has either {keys}"), "more than one is here", Some(help));
        } else if !self.problems.any_within(span) {
            self.problems.add(span, format!("{what} has either {keys}"), "neither is here", None);
        }
    }

    fn restarts_something(&mut self, step: &Step, before: &[Step]) {
        let takes_down = |earlier: &Step| {
            // What happens to its disk may make a node give up by itself.
            matches!(
                earlier.action,
                Action::Kill { .. }
                    | Action::PowerLoss { .. }
                    | Action::Wipe { .. }
                    | Action::Operate { errand: Errand::RemoveMember, .. }
                    | Action::Trouble {
                        trouble: Trouble::DiskError(_) | Trouble::BitRot { .. } | Trouble::Misdirect { .. },
                        ..
                    }
            )
        };
        if matches!(step.action, Action::Restart { .. }) && !before.iter().any(takes_down) {
            let help = "put a `kill` or a `power-loss` before it".to_owned();
            self.problems.add(&step.span, "there is nothing to restart", "no node is down here", Some(help));
        }
    }

    pub(super) fn targets(&mut self, field: &Field<OneOrMany>) -> Option<Vec<Target>> {
        let at = field.0.as_ref()?;
        self.list(&at.value, &at.span)
    }

    fn list(&mut self, targets: &OneOrMany, span: &Range<usize>) -> Option<Vec<Target>> {
        match targets {
            OneOrMany::One(text) => Some(vec![self.roles.target(text, span, self.problems)?]),
            OneOrMany::Many(list) => {
                let found: Vec<Option<Target>> =
                    list.iter().map(|at| self.roles.target(&at.value, &at.span, self.problems)).collect();
                found.into_iter().collect()
            }
        }
    }

    pub(super) fn range(&mut self, field: &Field<DurationRangeText>) -> Option<Spread<Duration>> {
        let at = field.0.as_ref()?;
        match text::duration_range(&at.value.0) {
            Ok(spread) => Some(spread),
            Err(wrong) => {
                self.problems.add(&at.span, "this is no duration", wrong.what, Some(wrong.help));
                None
            }
        }
    }
}

fn span<T>(field: &Field<T>) -> Option<&Range<usize>> {
    field.0.as_ref().map(|at| &at.span)
}
