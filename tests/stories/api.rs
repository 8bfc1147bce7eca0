//! The faces for programs, by programs that Rollcall did not write: a fuzzer that reads the
//! description, `promtool`, a Prometheus, and the parser of OpenTelemetry's makers.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::process::{self, Process};
use rollcall_tests::rig::webhook::Receiver;
use rollcall_tests::rig::{self, http, ports, repository};

use crate::settings;

/// How long the fuzzer may take; it is told to end long before.
const FUZZING: Duration = Duration::from_secs(180);

/// A collector with a laptop that reports, and the laptop.
fn with_a_laptop(folder: &Path) -> (Collector, Laptop) {
    let collector = Collector::start(folder, settings::QUICK);
    let mut laptop = Laptop::new(folder, "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();
    eventually("a reading of the laptop", PATIENCE, || {
        let devices = collector.devices()?;
        let seen = devices
            .iter()
            .any(|device| !device["last_report_at"].is_null());
        require(seen, || format!("{devices:?}"))
    });
    (collector, laptop)
}

/// Whatever a program may send by the description, nothing is answered with a failure of the
/// collector's own, and answers are what the description says.
#[test]
fn api_is_as_described_under_fuzzing() {
    let fuzzer = repository().join(".venv/bin/schemathesis");
    if !fuzzer.is_file() {
        return rig::skip("the API under fuzzing", "schemathesis is not installed");
    }
    let folder = rig::folder();
    let (mut collector, mut laptop) = with_a_laptop(folder.path());
    let device = collector.devices().unwrap()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // The token is in a file that only this user reads, not on the command line; and a device that is
    // there gets the fuzzer beyond "no such device".
    let settings = folder.path().join("schemathesis.toml");
    let text = format!(
        "headers = {{ Authorization = \"Bearer {}\" }}\n[parameters]\n\"path.id\" = \"{device}\"\n",
        collector.admin_token()
    );
    std::fs::write(&settings, text).unwrap();
    let mut command = Command::new(fuzzer);
    command.current_dir(folder.path()).arg("--config-file");
    command.arg(&settings).arg("run");
    command.arg(format!("http://{}/api/openapi.json", collector.http));
    command.args([
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        "25",
    ]);
    command.args([
        "--seed",
        "1",
        "--generation-database",
        "none",
        "--workers",
        "2",
    ]);
    command.args([
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,\
         response_schema_conformance",
    ]);
    let finished = process::run(&mut command, FUZZING);
    let said = finished.success();
    assert!(said.contains("Tested:"), "{said}");
    let ready = http::get(collector.http, "/readyz", None).unwrap();
    assert_eq!(ready.status, 200, "{}", ready.body);
    laptop.stop();
    collector.stop();
}

/// What is given to Prometheus is what Prometheus wants, and a real one reads it.
#[test]
fn api_metrics_are_read_by_prometheus() {
    let (Some(server), Some(tool)) = (rig::program("prometheus"), rig::program("promtool")) else {
        return rig::skip("metrics read by Prometheus", "prometheus is not installed");
    };
    let folder = rig::folder();
    let (mut collector, mut laptop) = with_a_laptop(folder.path());
    for path in [
        "/metrics",
        "/metrics/devices?metric=hw.battery.health,system.uptime,system.filesystem.free",
    ] {
        let answer = http::get(collector.http, path, Some(&collector.admin_token())).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        check(&tool, folder.path(), &answer.body);
    }
    let (port, token) = (ports::free(), folder.path().join("token"));
    std::fs::write(&token, collector.admin_token()).unwrap();
    let config = folder.path().join("prometheus.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: rollcall\n    \
         authorization: {{ credentials_file: {} }}\n    \
         static_configs: [{{ targets: [\"{}\"] }}]\n",
        token.display(),
        collector.http
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(server);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("tsdb").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let prometheus = Process::start("prometheus", folder.path(), &mut command);
    let at = ([127, 0, 0, 1], port).into();
    eventually("the laptop in Prometheus", PATIENCE, || {
        let answer = http::get(
            at,
            "/api/v1/query?query=sum(rollcall_devices_connected)",
            None,
        )?;
        let value: serde_json::Value =
            serde_json::from_str(&answer.body).map_err(|e| e.to_string())?;
        let seen = value["data"]["result"][0]["value"][1] == "1";
        require(seen, || format!("{value}"))
    });
    drop(prometheus);
    laptop.stop();
    collector.stop();
}

/// What is given to a stack of OpenTelemetry is what its own parser reads, field by field.
#[test]
fn api_otlp_is_read_by_its_makers_parser() {
    let python = repository().join(".venv/bin/python");
    let mut probe = Command::new(&python);
    let there = probe.args(["-c", "import opentelemetry.proto.collector.metrics.v1"]);
    if !there.output().is_ok_and(|output| output.status.success()) {
        return rig::skip(
            "OTLP by its makers' parser",
            "opentelemetry-proto is not installed",
        );
    }
    let folder = rig::folder();
    let (mut collector, mut laptop) = with_a_laptop(folder.path());
    let stack = Receiver::start();
    let feed = format!(
        "[[feed]]\nkind = \"otlp\"\nname = \"stack\"\nurl = \"http://{}/v1/metrics\"\ninterval_s = 10\n",
        stack.address
    );
    collector.stop();
    collector.configure(&format!("{}{feed}", settings::QUICK));
    collector.run();
    let call = eventually("a call of OTLP", PATIENCE, || {
        let call = stack.calls().into_iter().next();
        call.ok_or("none yet")
    });
    let file = folder.path().join("call.json");
    std::fs::write(&file, call.body.to_string()).unwrap();
    let mut reader = Command::new(python);
    reader.arg(repository().join("tests/src/rig/otlp.py"));
    reader.stdin(std::fs::File::open(&file).unwrap());
    let output = reader.output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problem}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let counts: Vec<u64> = said
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    assert!(
        counts[0] == 1 && counts[1] > 5 && counts[2] >= counts[1],
        "{said}"
    );
    laptop.stop();
    collector.stop();
}

/// `promtool check metrics` has nothing to say.
fn check(tool: &Path, folder: &Path, exposition: &str) {
    let file = folder.join("metrics.txt");
    std::fs::write(&file, exposition).unwrap();
    let mut command = Command::new(tool);
    command.args(["check", "metrics"]);
    command.stdin(std::fs::File::open(&file).unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "promtool: {said}\n{exposition}");
}
