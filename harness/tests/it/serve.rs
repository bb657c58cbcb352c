//! `ferret serve` over a real socket, with a store that the real `ferret run` wrote from a script's runs.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ferret::cli::{self, Interrupt, Streams, Style, exit};
use ferret_reports::{PAGE_POLICY, Verdict};
use tempfile::TempDir;

use crate::cli::{Script, named};

const OLD: &str = "20260419-142501-1f3c";
const NEW: &str = "20260420-080000-aaaa";

/// A store with a passing call of one scenario, and a failing one of two; and a secret beside it.
fn store() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let root = folder.path().join("store");
    run(&folder, &root.join(OLD), &["calm"], &[], &Script::default());
    let script = Script { bad: Some((2, Verdict::Violated)), ..Script::default() };
    run(&folder, &root.join(NEW), &["calm", "rough"], &["--sabotage", "forget-vote"], &script);
    fs::write(folder.path().join("secret.txt"), "secret").expect("a file");
    symlink("../secret.txt", root.join("link.txt")).expect("a link");
    symlink("..", root.join("up")).expect("a link");
    symlink(NEW, root.join("latest")).expect("a link");
    folder
}

fn run(folder: &TempDir, out: &Path, scenarios: &[&str], options: &[&str], script: &Script) {
    let mut args: Vec<OsString> = vec!["ferret".into(), "run".into()];
    for name in scenarios {
        let file = folder.path().join(format!("{name}.toml"));
        fs::write(&file, format!("tags = [\"{name}-tag\"]\n{}", named(name))).expect("a scenario is written");
        args.push(file.into());
    }
    args.extend(["--out".into(), out.into()]);
    args.extend(options.iter().map(OsString::from));
    ferret(args, script);
}

fn ferret(args: Vec<OsString>, script: &Script) {
    let (mut printed, mut err) = (Vec::new(), Vec::new());
    let (out, err) = (&mut printed, &mut err);
    let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
    cli::main(args, script, &Interrupt::default(), &mut streams);
}

struct Server {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Server {
    fn of(folder: TempDir) -> Self {
        Self::start(serve(&folder.path().join("store"), "127.0.0.1:0"), folder)
    }

    fn start(mut command: Command, folder: TempDir) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it says where it is");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        let address = address.parse().expect("an address with a port");
        Self { child, address, _folder: folder }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "localhost")
    }

    fn ask(&self, method: &str, path: &str, host: &str) -> Answer {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }

    fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it takes the request");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it answers");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn interrupt(mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(store: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferret"));
    command.arg("serve").arg(store).args(["--listen", listen]);
    command
}

/// The exit code, and what is said of a mistake.
fn mistake(store: &Path, listen: &str) -> (Option<i32>, String) {
    let done = serve(store, listen).output().expect("it runs");
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn calls_are_listed_newest_first_with_what_failed_and_links_to_the_reports() {
    let server = Server::of(store());
    let list = server.get("/");
    assert_eq!(list.status, 200);
    let (new, old) = (list.body.find(NEW).expect("the new one"), list.body.find(OLD).expect("the old one"));
    assert!(new < old);
    for part in
        ["2 calls", "2 of 4 runs failed", "--sabotage forget-vote", "no-confirmed-loss violated", "seeds 1 to 2"]
    {
        assert!(list.body.contains(part), "{part} in {}", list.body);
    }
    let report = format!("/files/{NEW}/rough/seed-2/report.html");
    assert!(list.body.contains(&format!("href=\"{report}\"")), "{}", list.body);
    let page = server.get(&report);
    assert_eq!(page.status, 200);
    assert!(page.body.starts_with("<!doctype html>") && page.head.contains("content-type: text/html; charset=utf-8"));
    assert_eq!(list.body.matches("<li class=call>").count(), 2, "a link is no call of its own");
    assert_eq!(server.interrupt(), Some(0));
}

#[test]
fn a_new_call_is_there_on_reload() {
    let folder = store();
    let root = folder.path().join("store");
    let server = Server::of(folder);
    assert!(!server.get("/").body.contains("later-call"));
    let scratch = tempfile::tempdir().expect("a folder for the test");
    run(&scratch, &root.join("later-call"), &["calm"], &[], &Script::default());
    assert!(server.get("/").body.contains("later-call"));
}

#[test]
fn the_list_is_filtered_by_text_verdict_and_tag() {
    let server = Server::of(store());
    let shown = |query: &str| {
        let body = server.get(query).body;
        let list = body.split("<ol class=calls>").nth(1).unwrap_or_default().to_owned();
        (list.contains(OLD), list.contains(NEW))
    };
    assert_eq!(shown("/?text=calm"), (true, true));
    assert_eq!(shown("/?text=forget-vote"), (false, true));
    assert_eq!(shown("/?text=ROUGH+confirmed-loss"), (false, true));
    assert_eq!(shown("/?text=rough%20nonsense"), (false, false));
    assert_eq!(shown("/?verdict=pass"), (true, false));
    assert_eq!(shown("/?verdict=violated"), (false, true));
    assert_eq!(shown("/?tag=rough-tag"), (false, true));
    assert_eq!(shown("/?tag=calm-tag&verdict=pass"), (true, false));
    assert_eq!(server.get("/?verdict=splendid").status, 404);
}

#[test]
fn two_calls_are_compared_run_by_run_and_two_runs_event_by_event() {
    let server = Server::of(store());
    let calls = server.get(&format!("/compare?a={OLD}&b={NEW}"));
    assert_eq!(calls.status, 200);
    assert!(calls.body.contains("2 runs in both"), "{}", calls.body);
    assert!(calls.body.contains("Only in the first: 0; only in the second: 2."), "{}", calls.body);
    let pair = format!("/compare?a={OLD}/calm/seed-2&b={NEW}/calm/seed-2");
    let encoded = pair.replace("calm/seed", "calm%2Fseed").replace("c/calm", "c%2Fcalm").replace("a/calm", "a%2Fcalm");
    assert!(calls.body.contains(&encoded.replace('&', "&amp;")), "{encoded} in {}", calls.body);
    let runs = server.get(&pair);
    assert_eq!(runs.status, 200);
    assert!(runs.body.contains("The histories are equal"), "{}", runs.body);
    assert!(runs.body.contains("planted: forget-vote") && runs.body.contains("<th scope=row>no-confirmed-loss"));
    assert_eq!(server.get(&encoded).body, runs.body);
    for wrong in ["/compare", "/compare?a=x&b=y", &format!("/compare?a={OLD}&b={NEW}/calm/seed-1")] {
        assert_eq!(server.get(wrong).status, 404, "{wrong}");
    }
}

#[test]
fn runs_that_kept_no_history_are_compared_by_their_records_and_say_why() {
    let folder = store();
    let root = folder.path().join("store");
    run(&folder, &root.join("gated"), &["calm"], &["--keep", "failed"], &Script::default());
    let server = Server::of(folder);
    let page = server.get("/compare?a=gated/calm/seed-1&b=gated/calm/seed-2");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("has no history.jsonl.gz") && page.body.contains("--keep all"), "{}", page.body);
}

#[test]
fn scenarios_of_one_name_are_compared_each_with_its_own() {
    let folder = store();
    let root = folder.path().join("store");
    for place in ["here", "there"] {
        fs::create_dir(folder.path().join(place)).expect("a folder");
        fs::write(folder.path().join(place).join("twin.toml"), named("twin")).expect("a scenario is written");
    }
    let twins = ["here/twin.toml", "there/twin.toml"].map(|file| folder.path().join(file));
    for call in ["before", "after"] {
        let mut args: Vec<OsString> = vec!["ferret".into(), "run".into(), "--out".into(), root.join(call).into()];
        args.extend(twins.iter().map(OsString::from));
        ferret(args, &Script::default());
    }
    let page = Server::of(folder).get("/compare?a=before&b=after").body;
    assert!(page.contains("4 runs in both"), "two scenarios, two seeds each: {page}");
    for twin in ["twin", "twin~2"] {
        let pair = format!("/compare?a=before%2F{twin}%2Fseed-1&amp;b=after%2F{twin}%2Fseed-1");
        assert!(page.contains(&pair), "{pair} in {page}");
    }
}

#[test]
fn a_scenario_is_shown_over_all_calls() {
    let server = Server::of(store());
    let page = server.get("/scenario?name=calm");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("3 of 4 runs pass."), "{}", page.body);
    assert_eq!(page.body.matches("<figure>").count(), 4, "no chart of recovery, which none has measured");
    // Four runs in each chart, the two with a planted bug as rings.
    assert_eq!(page.body.matches("<circle class=\"n0\"").count(), 3);
    assert_eq!(page.body.matches("<circle class=\"n0 planted\"").count(), 3);
    assert_eq!(server.get("/scenario?name=nobody").status, 404);
}

#[test]
fn a_damaged_call_is_no_pass_and_no_link_leads_to_a_report_that_is_not_there() {
    let folder = store();
    let old = folder.path().join("store").join(OLD);
    fs::write(old.join("calm/seed-1/run.json"), "{").expect("it is damaged");
    fs::remove_file(old.join("calm/seed-2/report.html")).expect("it was there");
    let server = Server::of(folder);
    let href = |place: &str| format!("href=\"/files/{OLD}/{place}report.html\"");
    let list = server.get("/").body;
    assert!(list.contains("1 record cannot be relied on") && list.contains(&href("")), "{list}");
    assert!(server.get("/?verdict=incomplete").body.contains(&href("")), "what cannot be read is not known to pass");
    assert!(!server.get("/?verdict=pass").body.contains(&href("")));
    let scenario = server.get("/scenario?name=calm").body;
    assert!(scenario.contains("its report.html is not there"), "{scenario}");
    assert!(!scenario.contains(&href("calm/seed-2/")) && !scenario.contains(&href("calm/seed-1/")), "{scenario}");
}

#[test]
fn a_call_whose_files_say_otherwise_than_it_did_is_no_pass() {
    let folder = store();
    let old = folder.path().join("store").join(OLD);
    let edit = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let text = fs::read(old.join(name)).expect("it is there");
        let mut json = serde_json::from_slice(&text).expect("it is JSON");
        change(&mut json);
        fs::write(old.join(name), json.to_string()).expect("it is written");
        text
    };
    let server = Server::of(folder);
    let (shown, report) =
        (|verdict: &str| server.get(&format!("/?verdict={verdict}")).body, format!("{OLD}/report.html"));
    assert!(shown("pass").contains(&report));
    let whole = edit("calm/seed-1/run.json", &|run| run["verdict"] = "violated".into());
    let list = shown("violated");
    assert!(list.contains(&report) && list.contains("ended with `Pass`, and its record says"), "{list}");
    fs::write(old.join("calm/seed-1/run.json"), whole).expect("it is written");
    assert!(shown("pass").contains(&report));
    let whole = edit("calm/seed-1/run.json", &|run| run["trace_hash"] = "0000".into());
    assert!(shown("incomplete").contains("its record is that of another run"));
    fs::write(old.join("calm/seed-1/run.json"), whole).expect("it is written");
    edit("sweep.json", &|sweep| sweep["runs"].as_array_mut().expect("a list").truncate(1));
    let list = shown("incomplete");
    assert!(list.contains(&report) && list.contains("1 of 2 planned runs are named"), "{list}");
    assert!(!shown("pass").contains(&report));
}

#[test]
fn nothing_outside_the_store_is_read() {
    let server = Server::of(store());
    for wrong in [
        "/files/../secret.txt",
        "/files/%2e%2e/secret.txt",
        "/files/%2e%2e%2fsecret.txt",
        "/files/..%2fsecret.txt",
        "/files/..%5csecret.txt",
        "/files/%252e%252e/secret.txt",
        "/files//etc/passwd",
        "/files/%2fetc/passwd",
        "/files/link.txt",
        "/files/up/secret.txt",
        "/files/up/store/link.txt",
        &format!("/files/{OLD}/../../secret.txt"),
        &format!("/files/{OLD}/./report.html"),
        &format!("/files/{OLD}/report.html%00.txt"),
        &format!("/files/{OLD}"),
        "/files/",
        "/files/%ff",
        "/secret.txt",
        "/compare?a=../store&b=..",
        "/compare?a=up&b=up",
    ] {
        let answer = server.get(wrong);
        assert_eq!(answer.status, 404, "{wrong}");
        assert!(!answer.body.contains("secret\n") && !answer.body.contains("root:"), "{wrong}");
    }
    assert_eq!(server.get(&format!("/files/{OLD}/report%2Ehtml")).status, 200);
    assert_eq!(server.get("/files/latest/report.html").status, 200, "a link within the store may be followed");
}

#[test]
fn a_link_in_the_place_of_a_record_is_not_followed() {
    let folder = store();
    let record = folder.path().join("store").join(OLD).join("calm/seed-1/run.json");
    let outside = folder.path().join("outside.json");
    fs::rename(&record, &outside).expect("it can be moved");
    symlink(&outside, &record).expect("a link");
    let server = Server::of(folder);
    let list = server.get("/").body;
    assert!(list.contains("1 record cannot be relied on") && list.contains("run.json: not in the store"), "{list}");
}

#[test]
fn only_loopback_hosts_and_reading_are_answered() {
    let server = Server::of(store());
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1.nip.io"] {
        let answer = server.ask("GET", "/", host);
        assert_eq!(answer.status, 403, "{host}");
        assert!(!answer.body.contains(NEW), "{host}");
    }
    assert_eq!(server.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 403, "no host at all");
    let two = "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send(two).status, 403);
    let proxied = "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send(proxied).status, 403);
    for host in ["localhost", "127.0.0.1:1", "[::1]:7979"] {
        assert_eq!(server.ask("GET", "/", host).status, 200, "{host}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = server.ask(method, "/", "localhost");
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: get, head"), "{method}");
    }
    let head = server.ask("HEAD", "/", "localhost");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for path in ["/", &format!("/files/{OLD}/report.html"), "/nowhere"] {
        let answer = server.get(path);
        let policy = format!("content-security-policy: {}", PAGE_POLICY.to_lowercase());
        assert!(answer.head.contains(&policy), "{}", answer.head);
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
    }
}

#[test]
fn a_page_that_is_a_file_runs_as_a_stranger_to_the_stores_own() {
    let folder = store();
    fs::write(folder.path().join("store").join(OLD).join("foreign.html"), "<script>open('/')</script>")
        .expect("a file");
    let server = Server::of(folder);
    let boxed = |path: &str| {
        let head = server.get(path).head;
        let policies = head.lines().filter_map(|line| line.strip_prefix("content-security-policy: "));
        policies.flat_map(|policy| policy.split("; ")).find(|rule| rule.starts_with("sandbox")).map(str::to_owned)
    };
    for file in ["report.html", "foreign.html", "summary.md", "calm/seed-1/run.json"] {
        let rule = boxed(&format!("/files/{OLD}/{file}")).unwrap_or_else(|| panic!("{file} is not boxed"));
        assert!(rule.contains("allow-scripts") && !rule.contains("allow-same-origin"), "{file}: {rule}");
    }
    for own in ["/", "/scenario?name=calm", &format!("/compare?a={OLD}&b={NEW}")] {
        assert_eq!(boxed(own), None, "{own} needs its storage");
    }
}

#[test]
fn names_that_look_like_markup_stay_text() {
    let folder = store();
    let record = folder.path().join("store").join(NEW).join("rough/seed-2/run.json");
    let text = fs::read_to_string(&record).expect("the record");
    let evil = r#"<script>alert(1)</script>\"'&"#;
    let text = text.replace("\"rough\"", &format!("\"{evil}\"")).replace("rough-tag", "<img src=x>");
    fs::write(&record, text).expect("it can be written");
    let server = Server::of(folder);
    let name = "%3Cscript%3Ealert%281%29%3C%2Fscript%3E%22%27%26";
    for path in [
        "/".to_owned(),
        "/?text=%3Cscript%3E%22".to_owned(),
        "/?tag=%3Cimg%20src%3Dx%3E".to_owned(),
        format!("/scenario?name={name}"),
        format!("/compare?a={OLD}&b={NEW}"),
        format!("/compare?a={NEW}/rough/seed-1&b={NEW}/rough/seed-2"),
    ] {
        let page = server.get(&path);
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains("<script>alert") && !page.body.contains("<img"), "{path}: {}", page.body);
        assert_eq!(page.body.matches("<script").count(), 1, "{path}: only the page's own");
    }
    assert!(server.get("/").body.contains(&format!("/scenario?name={name}")));
}

#[test]
fn ctrl_c_ends_it_although_no_more_connections_can_be_taken() {
    let folder = store();
    let root = folder.path().join("store");
    // As many descriptors as it needs to start, and a few more.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 16; exec \"$0\" serve \"$1\" --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_ferret")]);
    limited.arg(root);
    let server = Server::start(limited, folder);
    let streams: Vec<_> = (0..30).filter_map(|_| TcpStream::connect(server.address).ok()).collect();
    let open = || fs::read_dir(format!("/proc/{}/fd", server.child.id())).map_or(0, Iterator::count);
    while open() < 16 {
        std::thread::yield_now();
    }
    #[expect(clippy::disallowed_methods, reason = "a real process, which must end before this test loses its patience")]
    let begun = Instant::now();
    let mut server = server;
    let sent = Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let mut ended = None;
    while ended.is_none() && begun.elapsed() < Duration::from_secs(20) {
        ended = server.child.try_wait().expect("it can be asked");
    }
    assert_eq!(ended.map(|status| status.code()), Some(Some(0)), "it is deaf");
    drop(streams);
}

#[test]
fn what_cannot_be_served_is_said_with_the_mend() {
    let folder = store();
    let root = folder.path().join("store");
    let usage = Some(i32::from(exit::USAGE));
    let (code, told) = mistake(&root, "0.0.0.0:7979");
    assert_eq!(code, usage);
    assert!(told.contains("0.0.0.0 is not a loopback address"), "{told}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has an address").to_string();
    let (code, told) = mistake(&root, &address);
    assert_eq!(code, usage);
    assert!(told.contains(&format!("cannot listen on {address}")) && told.contains("--listen 127.0.0.1:0"), "{told}");
    let nowhere: PathBuf = root.join("nowhere");
    let (code, told) = mistake(&nowhere, "127.0.0.1:0");
    assert_eq!(code, usage);
    assert!(told.contains("cannot serve") && told.contains("ferret demo"), "{told}");
}
