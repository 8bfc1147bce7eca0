use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::*;

const HEADER: &str = "time,device,metric,instance,value\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn options(&self, series: &str, labels: Option<&str>) -> BacktestOptions {
        BacktestOptions {
            rules: None,
            series: self.write("series.csv", &format!("{HEADER}{series}")),
            labels: labels.map(|text| self.write("labels.csv", text)),
            json: Some(self.0.path().join("out.json")),
        }
    }
}

fn run_text(options: &BacktestOptions) -> (BacktestReport, String) {
    let mut out = Vec::new();
    let report = run(options, &mut out).unwrap();
    (report, String::from_utf8(out).unwrap())
}

fn day(number: u32) -> String {
    format!("2026-0{}-{:02}T08:00:00Z", 1 + number / 28, 1 + number % 28)
}

/// A drive that fails, one that is well, and one that only looks ill.
fn drives() -> String {
    let mut rows = String::new();
    for number in 0..60 {
        let pending = if number < 30 { 0 } else { 24 };
        for (device, value) in [("ill", pending), ("well", 0), ("odd", pending)] {
            rows += &format!(
                "{},{device},hw.physical_disk.smart,sda/197,{value}\n",
                day(number)
            );
        }
    }
    rows
}

#[test]
fn alerts_and_scores_of_drives() {
    let folder = Folder::new();
    let labels = format!(
        "device,event,time\nill,failed,{}\nunseen,failed,{}\n",
        day(50),
        day(9)
    );
    let options = folder.options(&drives(), Some(&labels));
    let (report, text) = run_text(&options);
    assert_eq!((report.devices, report.rows, report.fired), (3, 180, 2));
    let first = &report.alerts[0];
    assert_eq!(
        (first.device.as_str(), first.rule.as_str()),
        ("ill", "drive-failing")
    );
    assert_eq!(first.fired, "2026-02-03T08:00:00.000Z");
    assert!(
        first.evidence.contains("24 sectors that cannot be read"),
        "{}",
        first.evidence
    );
    let score = &report.scores["drive-failing"];
    assert_eq!((score.recall, score.precision), (Some(0.5), Some(0.5)));
    assert_eq!(score.median_days_of_warning, Some(20.0));
    let per_year = score.false_alarms_per_device_year.unwrap();
    assert!((per_year - 365.25 / 186.0).abs() < 0.01, "{per_year}");
    assert!(
        text.contains("2026-02-03T08:00:00.000Z  open") && text.contains("recall 0.500"),
        "{text}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(options.json.unwrap()).unwrap()).unwrap();
    assert_eq!(json["scores"]["drive-failing"]["recall"], 0.5);
    assert_eq!(json["alerts"].as_array().unwrap().len(), 2);
}

#[test]
fn any_order_any_packing_and_many_runs_give_the_same_rows() {
    let folder = Folder::new();
    let rows = drives();
    let mut lines: Vec<&str> = rows.lines().collect();
    lines.reverse();
    let text = format!("{HEADER}{}\n", lines.join("\n"));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    let path = folder.0.path().join("series.csv.gz");
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    let rules = RuleSet::built_in();
    let alerts = |history: History| {
        let report = backtest(&rules, history, None, &mut Vec::new()).unwrap();
        let mut alerts = report.alerts;
        alerts.sort_by(|a, b| a.device.cmp(&b.device));
        alerts
    };
    let straight = folder.options(&rows, None).series;
    let expected = alerts(History::read(&straight).unwrap());
    assert_eq!(expected.len(), 2);
    assert_eq!(alerts(History::read(&path).unwrap()), expected);
    for run_rows in [1, 7, 180] {
        assert_eq!(
            alerts(History::read_in_runs(&path, run_rows).unwrap()),
            expected
        );
    }
}

#[test]
fn what_cannot_be_used_is_counted_or_named() {
    let folder = Folder::new();
    let odd = format!(
        "{0},a,hw.unheard.of,,1\n{0},a,hw.battery.health,BAT0,9000\n",
        day(1)
    );
    let (report, text) = run_text(&folder.options(&odd, None));
    assert_eq!((report.rows, report.left_out.len()), (0, 2));
    assert!(
        text.contains("metric `hw.unheard.of` is not known"),
        "{text}"
    );
    let fails = |options: &BacktestOptions| {
        let error = run(options, &mut Vec::new()).unwrap_err();
        format!("{error:#}")
    };
    let late = fails(&folder.options(
        &format!("{},a,os.name,,x\nlast week,a,os.name,,x\n", day(1)),
        None,
    ));
    assert!(
        late.contains("line 3") && late.contains("RFC 3339"),
        "{late}"
    );
    let mut options = folder.options("", Some("device,time\n"));
    let error = fails(&options);
    assert!(error.contains("no column `event`"), "{error}");
    options.labels = None;
    options.series = Path::new("/nowhere/series.csv").to_owned();
    assert!(fails(&options).contains("/nowhere/series.csv"));
}

#[test]
fn other_rules_can_be_tried_and_a_hold_counts_awake_time() {
    let folder = Folder::new();
    let rules = folder.write(
        "rules.toml",
        r#"
[[rule]]
name = "hot"
title = "Hot"
severity = "warning"
audience = "help-desk"
all = [{ metric = "hw.temperature", op = "above", value = 90 }]
for = "10m"
runbook-text = "Let it cool."
[rule.family]
en = "Let the laptop cool down before you use it again, please."
"#,
    );
    let minute = |n: u32| format!("2026-03-02T09:{n:02}:00Z,a,hw.temperature,cpu,95\n");
    let mut options = folder.options(&(0..30).map(minute).collect::<String>(), None);
    options.rules = Some(rules);
    let (report, _) = run_text(&options);
    assert_eq!(report.alerts.len(), 1);
    assert_eq!(report.alerts[0].fired, "2026-03-02T09:10:00.000Z");
}
