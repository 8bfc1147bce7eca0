//! `tests/bench`: each bench in its smoke form, which installs nothing. Figures are not looked at:
//! only that it ends well, that its JSON has its keys, and that nothing is left behind.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::binaries;
use rollcall_tests::rig::process::run;
use serde_json::Value;

/// The smoke forms take some 20 s where nothing else runs.
const SMOKE: Duration = Duration::from_secs(300);

#[test]
fn bench_ingest_runs() {
    let seen = smoke("ingest");
    has(
        &seen,
        &["rollcall_cpu_s_per_million", "rollcall_samples_per_s"],
    );
    has(&seen, &["rollcall_1_per_push_cpu_s_per_million"]);
    has(&seen, &["rollcall_rest_cpu_s_per_1000_laptops_hour"]);
    beside(
        &seen,
        "victoria-metrics",
        "victoriametrics_cpu_s_per_million",
    );
    beside(&seen, "influxd", "influxdb_cpu_s_per_million");
}

#[test]
fn bench_disk_runs() {
    let seen = smoke("disk");
    has(&seen, &["rollcall_bytes_per_sample"]);
    beside(
        &seen,
        "victoria-metrics",
        "victoriametrics_bytes_per_sample",
    );
    beside(&seen, "influxd", "influxdb_bytes_per_sample");
}

#[test]
fn bench_connections_runs() {
    has(&smoke("connections"), &["rollcall_kib_per_connection"]);
}

#[test]
fn bench_query_runs() {
    let seen = smoke("query");
    has(
        &seen,
        &["rollcall_attention_p50_ms", "rollcall_fleet_page_p99_ms"],
    );
    has(
        &seen,
        &[
            "rollcall_fleet_counts_p50_ms",
            "rollcall_laptop_30_days_p50_ms",
        ],
    );
    beside(
        &seen,
        "victoria-metrics",
        "victoriametrics_fleet_counts_p50_ms",
    );
}

#[test]
fn bench_dashboard_runs() {
    let seen = smoke("dashboard");
    has(&seen, &["attention_p99_ms", "fleet_filtered_p99_ms"]);
    has(
        &seen,
        &["laptop_history_of_30_days_p99_ms", "first_page_bytes"],
    );
}

#[test]
fn bench_restart_runs() {
    has(&smoke("restart"), &["rollcall_restart_s"]);
}

#[test]
fn bench_ack_runs() {
    has(&smoke("ack"), &["half_ack_p99_ms", "full_ack_p99_ms"]);
}

#[test]
fn bench_growth_runs() {
    let seen = smoke("growth");
    assert!(
        seen["sizes"]
            .as_array()
            .is_some_and(|sizes| sizes.len() > 1),
        "{seen}"
    );
}

#[test]
fn bench_agent_runs() {
    let seen = smoke("agent");
    // Network namespaces need root, and `ip`.
    if let Some(reason) = seen["not_measured"].as_str() {
        rig::skip("bench_agent_runs", reason);
        return;
    }
    for figure in ["pss_mb", "rss_mb", "cpu_s_per_hour", "wakeups_per_minute"] {
        assert!(
            seen["rollcall_agent"][figure].is_number(),
            "{figure}: {seen}"
        );
    }
}

#[test]
fn bench_says_what_it_can_measure() {
    let mut command = Command::new(bench());
    let help = run(command.arg("--help"), SMOKE).success();
    for name in [
        "ingest",
        "disk",
        "connections",
        "query",
        "restart",
        "ack",
        "growth",
        "agent",
        "dashboard",
    ] {
        assert!(help.contains(name), "{help}");
    }
    let wrong = run(Command::new(bench()).arg("speed"), SMOKE).failure();
    assert!(wrong.contains("invalid choice: 'speed'"), "{wrong}");
}

fn bench() -> std::path::PathBuf {
    rig::repository().join("tests/bench")
}

/// Runs a bench from a foreign folder, and reads what it wrote.
fn smoke(name: &str) -> Value {
    let folder = rig::folder();
    let json = folder.path().join("found.json");
    let mut command = Command::new(bench());
    command.args([name, "--smoke", "--json"]).arg(&json);
    command.current_dir("/").env("TMPDIR", folder.path());
    let built = binaries::collector();
    command.env(
        "ROLLCALL_BENCH_BINARIES",
        built.parent().unwrap_or(Path::new(".")),
    );
    let told = run(&mut command, SMOKE).success();
    let text = std::fs::read_to_string(&json).unwrap();
    let seen: Value = serde_json::from_str(&text).unwrap();
    has(
        &seen,
        &["machine", "commit", "parameters", "targets", "measured"],
    );
    assert_eq!(seen["form"], "smoke", "{told}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "only what was asked for is left: {told}");
    seen
}

fn has(seen: &Value, keys: &[&str]) {
    for key in keys {
        assert!(!seen[key].is_null(), "`{key}` is missing in {seen:#}");
    }
}

/// A key that is there where the other program is.
fn beside(seen: &Value, program: &str, key: &str) {
    if rig::program(program).is_some() {
        has(seen, &[key]);
    } else {
        rig::skip("bench", &format!("{program} is not installed"));
    }
}
