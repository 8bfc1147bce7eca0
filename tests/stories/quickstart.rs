//! `deploy/quickstart`: the whole line on this very machine, twice in a row, and after a crash.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::process::{Finished, Process, run};
use rollcall_tests::rig::{http, ports};
use serde_json::Value;

/// A build from nothing, in release mode.
const BUILD: Duration = Duration::from_secs(1800);
const ALERT: Duration = Duration::from_secs(120);

#[test]
fn quickstart_runs_twice_in_a_row_and_after_a_crash() {
    let folder = rig::folder();
    let data = folder.path().join("data");
    let mut first = start(folder.path(), "first", &data);
    let summary = await_summary(&mut first, &data);
    let device = check_this_machine(&summary);
    eventually("an alert, or the word that all is well", ALERT, || {
        let log = first.log();
        let told = log.contains("\n! ") || log.contains("This machine is healthy");
        require(told, || log)
    });
    for what in ["web page", "JSON API", "curl -H", "to stop", "in words"] {
        assert!(
            first.log().contains(what),
            "`{what}` is not told: {}",
            first.log()
        );
    }
    let locked = run(&mut quickstart(&data), PATIENCE).failure();
    assert!(
        locked.contains("another quickstart") && locked.contains("--data"),
        "{locked}"
    );
    let left = processes(&data);
    assert!(
        left.len() >= 2 && left.iter().all(|&pid| is_running(pid)),
        "{left:?}"
    );
    assert!(first.stop(PATIENCE).success(), "{}", first.log());
    assert!(
        !left.iter().any(|&pid| is_running(pid)),
        "something is left running"
    );
    assert!(!data.join("quickstart.json").exists());

    let mut second = start(folder.path(), "second", &data);
    let summary = await_summary(&mut second, &data);
    assert_eq!(
        check_this_machine(&summary),
        device,
        "the same identity as before"
    );
    let left = processes(&data);
    second.kill();
    let mut third = start(folder.path(), "third", &data);
    let summary = await_summary(&mut third, &data);
    assert_eq!(
        check_this_machine(&summary),
        device,
        "the same identity after a crash"
    );
    assert!(
        !left.iter().any(|&pid| is_running(pid)),
        "what a crash left is ended"
    );
    third.signal(rustix::process::Signal::INT);
    assert!(third.wait(PATIENCE).success(), "{}", third.log());
}

#[test]
fn quickstart_says_how_to_choose_another_port() {
    let folder = rig::folder();
    let (_holder, taken) = ports::taken();
    for option in ["--http", "--grpc"] {
        let said = refused(folder.path(), &[option, &taken.to_string()]);
        let clear = said.contains(&format!("{option} {taken} cannot be used"));
        assert!(
            clear && said.contains(&format!("{option} 127.0.0.1:0")),
            "{said}"
        );
    }
    let form = refused(folder.path(), &["--http", "8480"]);
    assert!(form.contains("HOST:PORT"), "{form}");
}

fn refused(folder: &Path, options: &[&str]) -> String {
    // The last of two options counts; the ports that are not the story's must be free.
    let mut command = quickstart(&folder.join("data"));
    command.args(options);
    let finished: Finished = run(&mut command, PATIENCE);
    finished.failure()
}

fn quickstart(data: &Path) -> Command {
    let profile = std::env::var("ROLLCALL_QUICKSTART_PROFILE");
    let profile = profile.unwrap_or_else(|_| "dev".to_owned());
    let mut command = Command::new(rig::repository().join("deploy/quickstart"));
    command.args([
        "--http",
        "127.0.0.1:0",
        "--grpc",
        "127.0.0.1:0",
        "--profile",
        &profile,
    ]);
    command.arg("--data").arg(data).current_dir("/");
    command
}

fn start(folder: &Path, name: &str, data: &Path) -> Process {
    Process::start(name, folder, &mut quickstart(data))
}

fn await_summary(process: &mut Process, data: &Path) -> Value {
    eventually("the summary", BUILD, || {
        if let Some(status) = process.ended() {
            panic!("quickstart ended with {status}");
        }
        let told = process.log().contains("is stored");
        require(told, || process.log())?;
        let text = fs::read_to_string(data.join("quickstart.json"));
        let text = text.map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    })
}

/// Asks as the summary says, and returns the id of this machine.
fn check_this_machine(summary: &Value) -> String {
    let http: SocketAddr = summary["http"].as_str().unwrap().parse().unwrap();
    let token = PathBuf::from(summary["admin_token_file"].as_str().unwrap());
    let token = fs::read_to_string(token).unwrap();
    assert_eq!(http::get(http, "/healthz", None).unwrap().status, 200);
    let path = "/api/v1/devices";
    assert_eq!(http::get(http, path, None).unwrap().status, 401);
    let answer = http::get(http, path, Some(token.trim())).unwrap();
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let devices = answer["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "{answer}");
    assert_eq!(devices[0]["simulated"], false);
    devices[0]["id"].as_str().unwrap().to_owned()
}

fn processes(data: &Path) -> Vec<u64> {
    let text = fs::read_to_string(data.join("processes.json")).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    list.as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["pid"].as_u64().unwrap())
        .collect()
}

fn is_running(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    matches!(state, Some(Some(letter)) if letter != 'Z')
}
