//! `ferret serve`: the store of runs in a browser, on this machine only.
//!
//! It reads and never writes. Whoever can reach the port can read the store, so the port is on the loopback address,
//! and only requests that name a loopback host are answered: a page from elsewhere whose name was made to point here
//! (DNS rebinding) names its own. A page that is a file of the store may be anybody's, and runs as a stranger to all
//! other pages: each file has an origin of its own. So a report has no storage here, and the theme lasts as long as its
//! page.

mod pages;
mod store;

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use clap::Args;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use self::{pages::Page, store::Store};
use super::{Streams, exit, interrupt::Interrupt};
use crate::cli::shown::Shown;

const EXAMPLES: &str = "\
Examples:
  ferret serve
      All runs below target/ferret, newest first: filter them by text, verdict or tag, open their
      reports, compare two, see how one scenario fared over time. New runs appear on reload.
  ferret serve artifacts --listen 127.0.0.1:0
      Those of another folder, on any free port, which is printed. They may be anybody's: each report
      is kept apart from all other pages, so that the theme chosen in it lasts as long as it is open.
  ssh -L 7979:127.0.0.1:7979 HOST
      How to see what `ferret serve` shows on another machine: it listens on the loopback address
      only, since it asks nobody for a password.

It reads and never writes. Ctrl-C ends it.

Exit codes: 0 ended by Ctrl-C · 2 no such folder, not a loopback address, or the port is taken";

/// Show all runs so far in a browser: list, filter, compare
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret serve --help` for examples and exit codes.")]
pub(super) struct ServeArgs {
    /// The folder with the runs
    #[arg(value_name = "DIR", default_value = "target/ferret")]
    folder: PathBuf,

    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7979", value_parser = loopback)]
    listen: SocketAddr,
}

/// How often to look for Ctrl-C.
const TICK: Duration = Duration::from_millis(100);

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let example = "write an address and a port, such as 127.0.0.1:7979 or [::1]:7979";
    let address: SocketAddr = text.replacen("localhost:", "127.0.0.1:", 1).parse().map_err(|_| example.to_owned())?;
    if !address.ip().is_loopback() {
        let port = address.port();
        return Err(format!(
            "{} is not a loopback address: others could read the store. Use 127.0.0.1:{port}, and from another machine \
             `ssh -L {port}:127.0.0.1:{port} HOST`",
            address.ip()
        ));
    }
    Ok(address)
}

pub(super) fn serve(args: &ServeArgs, interrupt: &Interrupt, streams: &mut Streams<'_>) -> io::Result<u8> {
    let folder = args.folder.shown();
    let store = match Store::open(&args.folder) {
        Ok(store) => Rc::new(store),
        Err(error) => {
            writeln!(
                streams.err,
                "ferret: cannot serve {folder}: {error}; `ferret run` and `ferret demo` make target/ferret"
            )?;
            return Ok(exit::USAGE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let listener = match TcpListener::bind(args.listen).await {
            Ok(listener) => listener,
            Err(error) => {
                let (listen, ip) = (args.listen, args.listen.ip());
                let any = SocketAddr::new(ip, 0);
                writeln!(
                    streams.err,
                    "ferret: cannot listen on {listen}: {error}; --listen {any} takes any free port"
                )?;
                return Ok(exit::USAGE);
            }
        };
        writeln!(streams.out, "{folder} is shown on http://{}/ (Ctrl-C ends it)", listener.local_addr()?)?;
        streams.out.flush()?;
        while !interrupt.asked() {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = tick() => continue,
            };
            let Ok((stream, _)) = accepted else {
                // A client that is gone before it is greeted is no reason to end. Nor is a want of descriptors, which
                // would come at once again and again.
                tick().await;
                continue;
            };
            let store = store.clone();
            let answered = service_fn(move |request| {
                let response = answer(&store, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answered);
            #[expect(clippy::disallowed_methods, reason = "real sockets in real time; no simulation is near")]
            tokio::task::spawn_local(async move {
                // A connection that breaks is its client's business.
                let _ = connection.await;
            });
        }
        Ok(exit::PASS)
    })
}

async fn tick() {
    #[expect(clippy::disallowed_methods, reason = "real sockets in real time; no simulation is near")]
    tokio::time::sleep(TICK).await;
}

fn answer(store: &Store, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let page = match refusal(request) {
        Some(page) => page,
        None => pages::page(store, request.uri().path(), request.uri().query().unwrap_or_default()),
    };
    respond(page, request.method() == Method::HEAD)
}

/// Requests that are not for us, and why.
fn refusal(request: &Request<Incoming>) -> Option<Page> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).filter(|_| hosts.next().is_none());
    if !host.is_some_and(is_loopback_host) {
        let why = "This is answered only if it is asked for by a loopback name: localhost, 127.0.0.1 or [::1].";
        return Some(Page::text(StatusCode::FORBIDDEN, why));
    }
    if request.uri().authority().is_some_and(|authority| !is_loopback_host(authority.as_str())) {
        return Some(Page::text(StatusCode::FORBIDDEN, "This is no proxy."));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Some(Page::text(
            StatusCode::METHOD_NOT_ALLOWED,
            "The store is read, never written: GET and HEAD only.",
        ));
    }
    None
}

/// Whether a `Host` header names this machine and nothing else.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What files of the store may do beyond [`ferret_reports::PAGE_POLICY`]: run their script, follow links, also into new
/// windows. Without `allow-same-origin`, they can neither read nor steer any other page.
const FOREIGN: &str = "sandbox allow-scripts allow-popups allow-top-navigation-by-user-activation";

fn respond(page: Page, head: bool) -> Response<Full<Bytes>> {
    let length = page.body.len();
    let mut response = Response::new(Full::new(if head { Bytes::new() } else { page.body.into() }));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, page.kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(ferret_reports::PAGE_POLICY));
    if page.foreign {
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(FOREIGN));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if page.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_listened_on() {
        for fine in ["127.0.0.1:0", "127.8.9.1:7979", "[::1]:7979", "localhost:80"] {
            assert!(loopback(fine).is_ok(), "{fine}");
        }
        for wrong in ["0.0.0.0:80", "[::]:80", "192.168.1.2:80", "7979", "example.org:80", "[::ffff:10.0.0.1]:80"] {
            assert!(loopback(wrong).is_err(), "{wrong}");
        }
        let why = loopback("0.0.0.0:80").expect_err("it is everybody's");
        assert!(why.starts_with("0.0.0.0 is not a loopback address") && why.contains("127.0.0.1:80"), "{why}");
    }

    #[test]
    fn only_loopback_hosts_are_answered() {
        for fine in ["localhost", "LOCALHOST:7979", "127.0.0.1:7979", "127.0.0.1", "[::1]:7979", "[::1]"] {
            assert!(is_loopback_host(fine), "{fine}");
        }
        let strange =
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "localhost:", "0.0.0.0"];
        for wrong in strange.into_iter().chain(["10.0.0.1:80", "localhost:80@evil.example", "[::1", "evil.example:127"])
        {
            assert!(!is_loopback_host(wrong), "{wrong}");
        }
    }
}
