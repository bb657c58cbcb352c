//! `warren serve`: a broker node on real sockets and files. `warren ctl`: see [`ctl`].

mod ctl;

use std::{collections::BTreeMap, io::IsTerminal, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use warren::{
    node::{self, Config},
    platform::{NodeId, real::RealPlatform},
};

const THREE_NODES: &str = "\
Three nodes on one machine, each in its own terminal:

  P=n1=127.0.0.1:25672,n2=127.0.0.1:25673,n3=127.0.0.1:25674
  warren serve --node n1 --listen 127.0.0.1:5672 --peers $P --data data/n1
  warren serve --node n2 --listen 127.0.0.1:5673 --peers $P --data data/n2
  warren serve --node n3 --listen 127.0.0.1:5674 --peers $P --data data/n3

Clients may connect to any of them, as guest with password guest. One node alone needs no --peers.

A fourth one, later: it knows itself and those who began the cluster, and waits until the cluster takes it in.

  warren serve --node n4 --listen 127.0.0.1:5675 --peers $P,n4=127.0.0.1:25675 --founders n1,n2,n3 --data data/n4
  warren ctl add-member --node n4 --address 127.0.0.1:25675";

/// A clustered AMQP 0-9-1 broker with Raft-replicated quorum queues.
#[derive(Parser)]
#[command(version, after_help = THREE_NODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a broker node until it is stopped.
    #[command(after_help = THREE_NODES)]
    Serve(Serve),
    Ctl(ctl::Ctl),
}

#[derive(Args)]
struct Serve {
    /// This node's name: n1, n2, …
    #[arg(long, value_name = "NODE", default_value = "n1", value_parser = node_id)]
    node: NodeId,

    /// Where AMQP clients connect. Reachable from this machine only, unless you say otherwise.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5672", value_parser = host_port)]
    listen: String,

    /// Where the other nodes connect, if not at the address that --peers has for this node. Traffic between nodes is
    /// neither encrypted nor authenticated: keep it on a network of its own.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    cluster_listen: Option<String>,

    /// Where nodes await each other: those that begin the cluster, and this one. Of those that join later, the cluster
    /// tells.
    #[arg(long, value_name = "NODE=HOST:PORT,…", value_delimiter = ',', value_parser = peer)]
    peers: Vec<(NodeId, String)>,

    /// The nodes that began the cluster, if this one joins it later. The same on every node, for ever.
    #[arg(long, value_name = "NODE,…", value_delimiter = ',', value_parser = node_id)]
    founders: Vec<NodeId>,

    /// The folder that holds everything this node has promised. Created if it is missing.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
}

fn main() -> ExitCode {
    let arguments = match Cli::parse().verb {
        Verb::Serve(arguments) => arguments,
        Verb::Ctl(ctl) => return ctl::run(ctl),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warren=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("warren: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the node until it fails or is asked to stop. A stop needs no ceremony: what was promised is on disk.
fn serve(arguments: Serve) -> Result<(), String> {
    let config = configure(&arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let tasks = tokio::task::LocalSet::new();
    let end = tasks.block_on(&runtime, async {
        let platform = RealPlatform::new(config.node, &arguments.data)
            .map_err(|error| format!("cannot use the data folder {}: {error}", arguments.data.display()))?;
        tokio::select! {
            end = node::run(platform, config) => match end {
                Err(error) => Err(error.to_string()),
            },
            signal = stop_signal() => {
                tracing::info!("stopping on {signal}");
                Ok(())
            }
        }
    });
    // A sync that never returns must not keep the process.
    runtime.shutdown_background();
    end
}

fn configure(arguments: &Serve) -> Result<Config, String> {
    let mut peers = BTreeMap::new();
    for (node, address) in &arguments.peers {
        if peers.insert(*node, address.clone()).is_some() {
            return Err(format!("--peers names {node} twice"));
        }
    }
    let node = arguments.node;
    if peers.is_empty() {
        let own = arguments.cluster_listen.clone().unwrap_or_else(|| "127.0.0.1:25672".to_owned());
        peers.insert(node, own);
    }
    if !peers.contains_key(&node) {
        return Err(format!("--peers does not name this node: add {node}=HOST:PORT, or say --node"));
    }
    let mut config = Config::new(node, arguments.listen.clone(), peers);
    if let Some(unknown) = arguments.founders.iter().find(|founder| !config.peers.contains_key(founder)) {
        return Err(format!(
            "--peers does not say where {unknown}, a founder, awaits the others: add {unknown}=HOST:PORT"
        ));
    }
    if !arguments.founders.is_empty() {
        config.founders.clone_from(&arguments.founders);
    }
    if let Some(address) = &arguments.cluster_listen {
        config.cluster_address.clone_from(address);
    }
    Ok(config)
}

/// Waits for SIGINT or SIGTERM; its name.
async fn stop_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process anyway.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

fn node_id(text: &str) -> Result<NodeId, String> {
    text.strip_prefix('n')
        .and_then(|number| number.parse().ok())
        .filter(|number| *number > 0)
        .map(NodeId)
        .ok_or_else(|| "a node is called n1, n2, n3, …".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len()));
    match (number.parse(), unit) {
        (Ok(number), "s") => Ok(Duration::from_secs(number)),
        (Ok(number), "ms") => Ok(Duration::from_millis(number)),
        _ => Err("a time is written as 10s or 500ms".to_owned()),
    }
}

fn peer(text: &str) -> Result<(NodeId, String), String> {
    let (node, address) = text.split_once('=').ok_or("expected NODE=HOST:PORT, as in n1=127.0.0.1:25672")?;
    Ok((node_id(node)?, host_port(address)?))
}

fn host_port(address: &str) -> Result<String, String> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(_) => Ok(address.to_owned()),
        None => Err(format!("'{address}' is not HOST:PORT, as in 127.0.0.1:5672")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused_before_anything_is_opened() {
        let parse = |listen: &str| Cli::try_parse_from(["warren", "serve", "--listen", listen]).map(|_| ());
        assert_eq!(parse("localhost:5672").err().map(|error| error.to_string()), None);
        for wrong in ["foo", ":5672", "foo:", "foo:99999"] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(&format!("'{wrong}' is not HOST:PORT")), "{error}");
        }
    }
}
