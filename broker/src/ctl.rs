//! `warren ctl`: an operator's requests to a running cluster.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use warren::{
    operator::{self, GroupMembers, Reply, Request, listed},
    platform::{NodeId, real::RealAsker},
};

use crate::{duration, node_id};

const CTL_EXAMPLES: &str = "\
  warren ctl members
  warren ctl transfer-leader --queue orders --to n2
  warren ctl grow-queue --queue orders --node n4
  warren ctl add-member --node n4 --address 10.0.0.4:25672
  warren ctl remove-member --node n2
  warren ctl --cluster 10.0.0.1:25672,10.0.0.2:25672 shrink-queue --queue orders --node n1

Any node of the cluster will do; it says who leads the queue, and that one is asked then.";

/// Change a running cluster: its leaders and its members.
#[derive(Args)]
#[command(after_help = CTL_EXAMPLES)]
pub(crate) struct Ctl {
    /// Where nodes of the cluster await each other, as in --peers or --cluster-listen. One is enough.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', default_value = "127.0.0.1:25672")]
    cluster: Vec<String>,

    /// How long to try.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    within: Duration,

    #[command(subcommand)]
    verb: CtlVerb,
}

#[derive(Subcommand)]
enum CtlVerb {
    /// Show who leads, votes and follows in the metadata and in each queue.
    Members,
    /// Let another voter lead a queue. Nothing is lost meanwhile; publishes wait for a moment.
    TransferLeader {
        #[arg(long)]
        queue: String,
        /// Who leads from then on.
        #[arg(long, value_name = "NODE", value_parser = node_id)]
        to: NodeId,
    },
    /// Give a node a vote in a queue: it must be caught up. Every node has a replica; voters decide.
    GrowQueue {
        #[arg(long)]
        queue: String,
        /// Who votes from then on.
        #[arg(long, value_name = "NODE", value_parser = node_id)]
        node: NodeId,
    },
    /// Take a node's vote in a queue away: its replica goes on without. A leader hands over first.
    ShrinkQueue {
        #[arg(long)]
        queue: String,
        /// Who votes no more from then on.
        #[arg(long, value_name = "NODE", value_parser = node_id)]
        node: NodeId,
    },
    /// Let a node join the cluster: it gets a replica of every queue, and a vote in the metadata. Start it with the
    /// cluster's --founders.
    AddMember {
        /// Its name, which no member had before.
        #[arg(long, value_name = "NODE", value_parser = node_id)]
        node: NodeId,
        /// Where it awaits the other nodes.
        #[arg(long, value_name = "HOST:PORT")]
        address: String,
    },
    /// Take a node out of the cluster, for good: a learner votes in its place where there is one, what its clients
    /// held goes back to the queues, and the node ends. Its name does not come back.
    RemoveMember {
        #[arg(long, value_name = "NODE", value_parser = node_id)]
        node: NodeId,
    },
}

pub(crate) fn run(ctl: Ctl) -> ExitCode {
    let request = match ctl.verb {
        CtlVerb::Members => Request::Members,
        CtlVerb::TransferLeader { queue, to } => Request::TransferLeader { queue, to },
        CtlVerb::GrowQueue { queue, node } => Request::GrowQueue { queue, node },
        CtlVerb::ShrinkQueue { queue, node } => Request::ShrinkQueue { queue, node },
        CtlVerb::AddMember { node, address } => Request::AddMember { node, address },
        CtlVerb::RemoveMember { node } => Request::RemoveMember { node },
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let asker = RealAsker::new();
    match runtime.block_on(operator::ask(&asker, &ctl.cluster, &request, ctl.within)) {
        Ok(Reply::Members(groups)) => {
            print!("{}", table(&groups));
            ExitCode::SUCCESS
        }
        Ok(Reply::Done(change)) => {
            println!("{change}");
            ExitCode::SUCCESS
        }
        Ok(other) => fail(&format!("the cluster answers out of turn: {other:?}")),
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("warren: {message}");
    ExitCode::FAILURE
}

fn table(groups: &[GroupMembers]) -> String {
    let name = |group: &GroupMembers| group.queue.clone().unwrap_or_else(|| "(metadata)".to_owned());
    let width = groups.iter().map(|group| name(group).chars().count()).max().unwrap_or(0).max("queue".len());
    let mut text = format!("{:<width$}  {:<8}  {:<20}  learners\n", "queue", "leader", "voters");
    for group in groups {
        let leader = group.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
        let (voters, learners) = (listed(&group.members.voters), listed(&group.members.learners));
        text.push_str(&format!("{:<width$}  {leader:<8}  {voters:<20}  {learners}\n", name(group)));
    }
    text
}
