//! What `smartctl --json` says, in the many versions of it that are out there: every field is
//! optional, and what is missing is not reported as zero.
//!
//! Sources: smartctl(8), section "exit status"; the NVMe base specification, SMART / Health log;
//! names of ATA attributes by smartmontools' drivedb.

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Reading;
use serde_json::Value;

use super::{text, wear};
use crate::collect::source;

/// The command line was wrong, or the drive could not be opened or asked.
const NOT_READ: u64 = 0b011;

/// The drive could not be opened, or was left asleep.
const NOT_OPENED: u64 = 0b010;

/// Attributes of one drive that are reported: limits.rs counts on 30.
const ATTRIBUTES: usize = 40;

/// How asking a drive ended.
#[derive(Debug)]
pub enum Outcome {
    /// It answered.
    Health(Box<Health>),
    /// It sleeps and was left alone.
    Asleep,
    /// It could not be asked, and why.
    Failed(String),
    /// The program is from before 7.0 and has to be asked for its text.
    KnowsNoJson,
    /// It is behind a USB bridge of which the program does not know how it passes questions on.
    UnknownBridge,
}

/// An answer.
#[derive(Debug)]
pub struct Health(Value);

/// What a drive says that it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Model.
    pub model: Option<String>,
    /// Firmware version.
    pub firmware: Option<String>,
    /// How it stores.
    pub kind: Option<&'static str>,
}

/// Parses one answer.
#[must_use]
pub fn parse(answer: &[u8]) -> Outcome {
    let Ok(json) = serde_json::from_slice::<Value>(answer) else {
        return parse_text(&String::from_utf8_lossy(answer));
    };
    let messages = messages(&json);
    if messages.to_ascii_uppercase().contains("STANDBY")
        || messages.to_ascii_uppercase().contains("SLEEP MODE")
    {
        return Outcome::Asleep;
    }
    let has_health = [
        "smart_status",
        "ata_smart_attributes",
        "nvme_smart_health_information_log",
    ]
    .iter()
    .any(|key| json.get(key).is_some());
    let status = json
        .pointer("/smartctl/exit_status")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    // Before 7.3 a drive in standby is told by the status alone; what else ends with it has a message.
    if !has_health && messages.is_empty() && status == NOT_OPENED {
        return Outcome::Asleep;
    }
    if !has_health || status & NOT_READ == NOT_READ {
        return failed(&messages, status);
    }
    Outcome::Health(Box::new(Health(json)))
}

/// Parses an answer in text.
fn parse_text(answer: &str) -> Outcome {
    if text::knows_no_json(answer) {
        return Outcome::KnowsNoJson;
    }
    if let Some(json) = text::parse(answer) {
        return Outcome::Health(Box::new(Health(json)));
    }
    let upper = answer.to_ascii_uppercase();
    if upper.contains("IN STANDBY MODE") || upper.contains("IN SLEEP MODE") {
        return Outcome::Asleep;
    }
    let told = ["failed:", "Unknown USB bridge", "specify device type"];
    let line = answer
        .lines()
        .find(|line| told.iter().any(|word| line.contains(word)));
    let damaged = || "its answer is damaged, or has nothing of the drive's health".to_owned();
    line.map_or_else(|| Outcome::Failed(damaged()), |line| failed(line.trim(), 0))
}

fn messages(json: &Value) -> String {
    let messages = json.pointer("/smartctl/messages").and_then(Value::as_array);
    let texts = messages
        .into_iter()
        .flatten()
        .filter_map(|message| message.get("string")?.as_str());
    texts.collect::<Vec<_>>().join("; ")
}

fn failed(messages: &str, status: u64) -> Outcome {
    let lower = messages.to_ascii_lowercase();
    if lower.contains("unknown usb bridge") || lower.contains("please specify device type") {
        return Outcome::UnknownBridge;
    }
    Outcome::Failed(reason(messages, status))
}

fn reason(messages: &str, status: u64) -> String {
    let lower = messages.to_ascii_lowercase();
    if lower.contains("permission denied") || lower.contains("operation not permitted") {
        return "the agent may not ask the drive (it needs to run as root)".to_owned();
    }
    if messages.is_empty() {
        return format!("the drive tells nothing of its health (smartctl ended with {status})");
    }
    format!("smartctl: {messages}")
}

impl Health {
    /// What the drive says that it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let text = |key: &str| {
            self.0
                .get(key)
                .and_then(Value::as_str)
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let kind = match self.number("/rotation_rate") {
            _ if self.0.get("nvme_smart_health_information_log").is_some() => Some("nvme"),
            Some(0.0) => Some("ssd"),
            Some(_) => Some("hdd"),
            None => None,
        };
        Identity {
            model: text("model_name")
                .or_else(|| text("scsi_model_name"))
                .map(str::to_owned),
            firmware: text("firmware_version")
                .or_else(|| text("scsi_revision"))
                .map(str::to_owned),
            kind,
        }
    }

    /// Every reading of its health.
    #[must_use]
    pub fn readings(&self, drive: &str) -> Vec<Reading> {
        let mut readings = vec![self.verdict(drive)];
        let mut push = |metric: &'static Metric, value: Option<f64>| {
            readings.extend(value.map(|value| Reading::number(metric, drive, value)));
        };
        push(
            &metric::DRIVE_TEMPERATURE,
            self.number("/temperature/current"),
        );
        push(&metric::DRIVE_POWER_ON, self.number("/power_on_time/hours"));
        push(
            &metric::DRIVE_POWER_CYCLES,
            self.number("/power_cycle_count"),
        );
        push(
            &metric::DRIVE_REALLOCATED,
            self.raw(5)
                .or_else(|| self.number("/scsi_grown_defect_list")),
        );
        push(&metric::DRIVE_PENDING, self.raw(197));
        push(&metric::DRIVE_UNCORRECTABLE, self.uncorrectable());
        push(&metric::DRIVE_CRC_ERRORS, self.raw(199));
        push(&metric::DRIVE_ENDURANCE_USED, self.endurance_used());
        for (metric, field) in NVME {
            push(
                metric,
                self.number(&format!("/nvme_smart_health_information_log/{field}")),
            );
        }
        readings.extend(self.attributes(drive));
        readings
    }

    fn verdict(&self, drive: &str) -> Reading {
        let passed = self
            .0
            .pointer("/smart_status/passed")
            .and_then(Value::as_bool);
        let word = passed.map(|passed| if passed { "passed" } else { "failed" }.to_owned());
        let why = || "the drive gives no verdict".to_owned();
        source::text_or_why(&metric::DRIVE_VERDICT, drive, word.ok_or_else(why))
    }

    fn attributes(&self, drive: &str) -> impl Iterator<Item = Reading> {
        let rows = self.rows().take(ATTRIBUTES).filter_map(|row| {
            let value = row.pointer("/raw/value").and_then(Value::as_f64)?;
            Some((row.get("id")?.as_u64()?, value))
        });
        rows.map(move |(id, raw)| {
            Reading::number(&metric::DRIVE_SMART, &format!("{drive}/{id}"), raw)
        })
    }

    fn rows(&self) -> impl Iterator<Item = &Value> {
        self.0
            .pointer("/ata_smart_attributes/table")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    }

    fn row(&self, id: u64) -> Option<&Value> {
        self.rows()
            .find(|row| row.get("id").and_then(Value::as_u64) == Some(id))
    }

    /// The count in an attribute's raw value: some makers pack more beside it, which smartctl
    /// leaves out of the text.
    fn raw(&self, id: u64) -> Option<f64> {
        let row = self.row(id)?;
        let text = row.pointer("/raw/string").and_then(Value::as_str);
        let count = text.and_then(|text| source::parse_number(text.split_whitespace().next()?));
        count.or_else(|| row.pointer("/raw/value")?.as_f64())
    }

    /// 187 counts at once, 198 after the drive's own search; SCSI counts each way.
    fn uncorrectable(&self) -> Option<f64> {
        let ata = self
            .raw(187)
            .into_iter()
            .chain(self.raw(198))
            .reduce(f64::max);
        let ways = ["read", "write", "verify"];
        let scsi = ways.iter().filter_map(|way| {
            self.number(&format!(
                "/scsi_error_counter_log/{way}/total_uncorrected_errors"
            ))
        });
        ata.or_else(|| scsi.reduce(|a, b| a + b))
    }

    /// NVMe counts up from zero; ATA's normalised attributes count down from 100.
    fn endurance_used(&self) -> Option<f64> {
        let told = [
            "/endurance_used/current_percent",
            "/nvme_smart_health_information_log/percentage_used",
        ];
        if let Some(percent) = told.iter().find_map(|at| self.number(at)) {
            return Some(percent / 100.0);
        }
        wear::used(self.rows())
    }

    fn number(&self, at: &str) -> Option<f64> {
        self.0.pointer(at).and_then(Value::as_f64)
    }
}

static NVME: [(&Metric, &str); 10] = [
    (&metric::NVME_CRITICAL_WARNING, "critical_warning"),
    (&metric::NVME_AVAILABLE_SPARE, "available_spare"),
    (&metric::NVME_SPARE_THRESHOLD, "available_spare_threshold"),
    (&metric::NVME_PERCENTAGE_USED, "percentage_used"),
    (&metric::NVME_MEDIA_ERRORS, "media_errors"),
    (&metric::NVME_ERROR_LOG_ENTRIES, "num_err_log_entries"),
    (&metric::NVME_UNSAFE_SHUTDOWNS, "unsafe_shutdowns"),
    (&metric::NVME_WRITTEN, "data_units_written"),
    (&metric::NVME_WARNING_TEMPERATURE_TIME, "warning_temp_time"),
    (
        &metric::NVME_CRITICAL_TEMPERATURE_TIME,
        "critical_comp_time",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{data, number, value};
    use proptest::prelude::*;

    fn health(answer: &str) -> Health {
        match parse(answer.as_bytes()) {
            Outcome::Health(health) => *health,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_failing_hard_disk() {
        let health = health(include_str!("../fixtures/drive/sata_hdd_failing.json"));
        let readings = health.readings("sda");
        assert_eq!(
            value(&readings, "hw.physical_disk.verdict", "sda"),
            "failed"
        );
        assert_eq!(
            number(&readings, "hw.physical_disk.reallocated_sectors", "sda"),
            Some(2047.0)
        );
        assert_eq!(
            number(&readings, "hw.physical_disk.pending_sectors", "sda"),
            Some(24.0)
        );
        assert_eq!(
            number(&readings, "hw.physical_disk.uncorrectable_errors", "sda"),
            Some(131.0)
        );
        assert_eq!(
            number(&readings, "hw.physical_disk.temperature", "sda"),
            Some(38.0)
        );
        assert_eq!(
            number(&readings, "hw.physical_disk.smart", "sda/194"),
            Some(163_210_330_150.0)
        );
        assert_eq!(health.identity().kind, Some("hdd"));
    }

    #[test]
    fn a_healthy_nvme_drive() {
        let readings =
            health(include_str!("../fixtures/drive/nvme_healthy.json")).readings("nvme0n1");
        assert_eq!(
            number(
                &readings,
                "hw.physical_disk.nvme.available_spare",
                "nvme0n1"
            ),
            Some(100.0)
        );
        assert_eq!(
            number(
                &readings,
                "hw.physical_disk.endurance_utilization",
                "nvme0n1"
            ),
            Some(0.03)
        );
        assert!(
            !readings
                .iter()
                .any(|reading| reading.metric().name.contains("reallocated")),
            "absence is not zero"
        );
    }

    #[test]
    fn each_way_of_not_answering_has_its_reason() {
        let failed = |message: &str, status: u64| {
            let answer = serde_json::json!({"smartctl": {"exit_status": status, "messages": [{"string": message}]}});
            match parse(answer.to_string().as_bytes()) {
                Outcome::Failed(why) => why,
                other => panic!("{other:?}"),
            }
        };
        assert!(
            failed(
                "Smartctl open device: /dev/sda failed: Permission denied",
                2
            )
            .contains("root")
        );
        let bridge = br#"{"smartctl":{"exit_status":1,"messages":[{"string":"/dev/sda: Unknown USB bridge [0x0bda:0x9210 (0xf200)]"}]}}"#;
        assert!(matches!(parse(bridge), Outcome::UnknownBridge));
        let bridge = b"smartctl 6.6\n\n/dev/sdb: Unknown USB bridge [0x152d:0x0583]\nPlease specify device type with the -d option.\n";
        assert!(matches!(parse(bridge), Outcome::UnknownBridge));
        assert!(failed("", 4).contains("ended with 4"));
        let asleep = parse(br#"{"smartctl":{"version":[7,2],"exit_status":2}}"#);
        assert!(matches!(asleep, Outcome::Asleep), "{asleep:?}");
        let old = b"smartctl 6.6 2017-11-05\n=======> UNRECOGNIZED OPTION: json\n";
        assert!(matches!(parse(old), Outcome::KnowsNoJson));
        let refused = b"smartctl 6.6\n\nSmartctl open device: /dev/sda failed: Permission denied\n";
        assert!(matches!(parse(refused), Outcome::Failed(why) if why.contains("root")));
        assert!(matches!(parse(b"{\"smart"), Outcome::Failed(why) if why.contains("damaged")));
    }

    #[test]
    fn every_captured_answer_is_understood() {
        let Some(folder) = data("drives/smartctl_json") else {
            return;
        };
        let names = source::names(&folder);
        assert!(names.len() > 90, "{}", names.len());
        for name in names {
            let answer = std::fs::read_to_string(folder.join(&name)).unwrap();
            let readings = health(&answer).readings("d");
            let worn = number(&readings, "hw.physical_disk.endurance_utilization", "d");
            assert!(
                worn.is_none_or(|worn| (0.0..=1.5).contains(&worn)),
                "{name}: {worn:?}"
            );
            let refused: Vec<_> = readings
                .iter()
                .filter(|reading| {
                    !reading.value().is_available() && reading.metric() != &metric::DRIVE_VERDICT
                })
                .collect();
            assert!(refused.is_empty(), "{name}: {refused:?}");
        }
    }

    /// Every text gives a verdict or attributes, and no number that its metric refuses.
    #[test]
    fn every_captured_text_is_understood() {
        let Some(folder) = data("drives/smartctl_x_text") else {
            return;
        };
        let names = source::names(&folder);
        assert!(names.len() > 300, "{}", names.len());
        let (mut lying, mut silent) = (0, 0);
        for name in names {
            let answer =
                String::from_utf8_lossy(&std::fs::read(folder.join(&name)).unwrap()).into_owned();
            // Some drives do not give their health to whoever asked, and say so.
            if answer.contains("Read NVMe SMART/Health Information failed") {
                let parsed = parse(answer.as_bytes());
                let Outcome::Failed(why) = &parsed else {
                    panic!("{name}: {parsed:?}");
                };
                assert!(why.contains("Health Information failed"), "{name}: {why}");
                silent += 1;
                continue;
            }
            let health = health(&answer);
            let readings = health.readings("d");
            assert!(readings.len() > 5, "{name}: {readings:?}");
            let tells = |words: &str| answer.contains(words);
            let verdict = value(&readings, "hw.physical_disk.verdict", "d");
            if tells("self-assessment test result: FAILED") {
                assert_eq!(verdict, "failed", "{name}");
            } else if tells("self-assessment test result: PASSED") {
                assert_eq!(verdict, "passed", "{name}");
            }
            let refused = readings.iter().any(|reading| {
                !reading.value().is_available() && reading.metric() != &metric::DRIVE_VERDICT
            });
            lying += usize::from(refused);
        }
        // Some makers pack several numbers into the raw values of 187 and 197, and one drive counts more
        // sectors than it has: that is said, not believed.
        assert!(lying <= 5, "{lying} drives gave numbers that were refused");
        assert!(silent <= 20, "{silent} drives gave no health at all");
    }

    /// The captures have no drive in both forms. So each answer in JSON is written as smartctl prints
    /// it, and read again: text and JSON of one drive must not disagree.
    #[test]
    fn text_and_json_of_one_drive_agree() {
        let Some(folder) = data("drives/smartctl_json") else {
            return;
        };
        let mut compared = 0;
        for name in source::names(&folder) {
            let answer = std::fs::read_to_string(folder.join(&name)).unwrap();
            let json = health(&answer);
            let text = print(&json.0);
            let Some(parsed) = text::parse(&text) else {
                continue;
            };
            let ours = Health(parsed).readings("d");
            for theirs in json.readings("d") {
                // The text has an attribute's count, JSON all of its bits.
                let is_packed = theirs.metric() == &metric::DRIVE_SMART;
                let is_elsewhere = theirs.metric() == &metric::DRIVE_TEMPERATURE;
                let same = ours.iter().find(|reading| {
                    reading.metric() == theirs.metric() && reading.instance() == theirs.instance()
                });
                let Some(same) = same.filter(|_| !is_packed && !is_elsewhere) else {
                    continue;
                };
                assert_eq!(
                    same.value(),
                    theirs.value(),
                    "{name}: {}",
                    theirs.metric().name
                );
                compared += 1;
            }
        }
        assert!(compared > 300, "{compared}");
    }

    /// As ataprint.cpp and nvmeprint.cpp print it.
    fn print(json: &Value) -> String {
        let mut text = String::new();
        if let Some(passed) = json
            .pointer("/smart_status/passed")
            .and_then(Value::as_bool)
        {
            let word = if passed { "PASSED" } else { "FAILED!" };
            text += &format!("SMART overall-health self-assessment test result: {word}\n\n");
        }
        text += "ID# ATTRIBUTE_NAME          FLAGS    VALUE WORST THRESH FAIL RAW_VALUE\n";
        let rows = json.pointer("/ata_smart_attributes/table");
        for row in rows.and_then(Value::as_array).into_iter().flatten() {
            let word = |at: &str| {
                row.pointer(at)
                    .and_then(Value::as_str)
                    .unwrap_or("-")
                    .to_owned()
            };
            let number = |at: &str| row[at].as_u64().unwrap_or(0);
            text += &format!(
                "{:3} {:<24}-O--CK   {:03}   {:03}   {:03}    -    {}\n",
                number("id"),
                word("/name"),
                number("value"),
                number("worst"),
                number("thresh"),
                word("/raw/string"),
            );
        }
        let log = json.get("nvme_smart_health_information_log");
        if let Some(log) = log.and_then(Value::as_object) {
            text += "\nSMART/Health Information (NVMe Log 0x02)\n";
            for (label, field) in [
                ("Critical Warning", "critical_warning"),
                ("Available Spare", "available_spare"),
                ("Available Spare Threshold", "available_spare_threshold"),
                ("Percentage Used", "percentage_used"),
                ("Data Units Written", "data_units_written"),
                ("Power Cycles", "power_cycles"),
                ("Power On Hours", "power_on_hours"),
                ("Unsafe Shutdowns", "unsafe_shutdowns"),
                ("Media and Data Integrity Errors", "media_errors"),
                ("Error Information Log Entries", "num_err_log_entries"),
                ("Warning  Comp. Temperature Time", "warning_temp_time"),
                ("Critical Comp. Temperature Time", "critical_comp_time"),
            ] {
                if let Some(number) = log.get(field).and_then(Value::as_u64) {
                    text += &format!("{label}:    {}\n", in_thousands(number));
                }
            }
        }
        text
    }

    fn in_thousands(number: u64) -> String {
        let digits = number.to_string();
        let parts: Vec<&str> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(|part| std::str::from_utf8(part).unwrap())
            .collect();
        parts.join(",")
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), id in any::<u64>(), raw in ".{0,20}") {
            let _ = parse(&bytes);
            let odd = serde_json::json!({"smart_status": raw, "ata_smart_attributes": {"table": [{"id": id, "raw": {"string": raw}}, raw]}});
            if let Outcome::Health(health) = parse(odd.to_string().as_bytes()) {
                let _ = health.readings(&raw);
            }
        }
    }
}
