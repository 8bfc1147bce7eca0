//! What `smartctl` says in its text, for releases before 7.0, which know no JSON: read into the shape that
//! JSON has, so that one reader judges both.
//!
//! The text has the count of an attribute where JSON has all of its bits too; what is not in the text is
//! not in the shape.

use serde_json::{Map, Value, json};

/// Fields of NVMe's health log, as the text and as JSON call them.
const NVME: [(&str, &str); 16] = [
    ("Critical Warning", "critical_warning"),
    ("Temperature", "temperature"),
    ("Available Spare", "available_spare"),
    ("Available Spare Threshold", "available_spare_threshold"),
    ("Percentage Used", "percentage_used"),
    ("Data Units Read", "data_units_read"),
    ("Data Units Written", "data_units_written"),
    ("Host Read Commands", "host_reads"),
    ("Host Write Commands", "host_writes"),
    ("Power Cycles", "power_cycles"),
    ("Power On Hours", "power_on_hours"),
    ("Unsafe Shutdowns", "unsafe_shutdowns"),
    ("Media and Data Integrity Errors", "media_errors"),
    ("Error Information Log Entries", "num_err_log_entries"),
    ("Warning Comp. Temperature Time", "warning_temp_time"),
    ("Critical Comp. Temperature Time", "critical_comp_time"),
];

/// Lines that are looked at: an answer to `--all` has some hundreds.
const LINES: usize = 4096;

/// Whether this is the answer of a `smartctl` that does not know JSON.
#[must_use]
pub fn knows_no_json(answer: &str) -> bool {
    answer.contains("UNRECOGNIZED OPTION") || answer.contains("unrecognized option")
}

/// The text as JSON would say it; `None` where it has nothing of a drive's health.
#[must_use]
pub fn parse(text: &str) -> Option<Value> {
    let mut all = Map::new();
    let mut table = Vec::new();
    let mut nvme = Map::new();
    let mut section = Section::Other;
    for line in text.lines().take(LINES) {
        section = section.after(line);
        match section {
            Section::Attributes { raw_at } => table.extend(attribute(line, raw_at)),
            Section::Nvme => nvme.extend(nvme_field(line)),
            Section::Other => header(line, &mut all),
        }
    }
    if let Some(celsius) = temperature(&all, &table, &nvme) {
        all.insert("temperature".to_owned(), json!({ "current": celsius }));
    }
    let counted = |id: u64, field: &str| count_of(&table, id).or_else(|| nvme.get(field).cloned());
    if let Some(hours) = counted(9, "power_on_hours") {
        all.insert("power_on_time".to_owned(), json!({ "hours": hours }));
    }
    if let Some(cycles) = counted(12, "power_cycles") {
        all.insert("power_cycle_count".to_owned(), cycles);
    }
    if !table.is_empty() {
        all.insert("ata_smart_attributes".to_owned(), json!({ "table": table }));
    }
    if !nvme.is_empty() {
        all.insert(
            "nvme_smart_health_information_log".to_owned(),
            Value::Object(nvme),
        );
    }
    let keys = [
        "smart_status",
        "ata_smart_attributes",
        "nvme_smart_health_information_log",
    ];
    keys.iter()
        .any(|key| all.contains_key(*key))
        .then_some(Value::Object(all))
}

/// Where in the answer a line is.
#[derive(Clone, Copy)]
enum Section {
    Other,
    /// In the table of attributes, whose raw values begin with this word of a line.
    Attributes {
        raw_at: usize,
    },
    Nvme,
}

impl Section {
    fn after(self, line: &str) -> Self {
        if line.starts_with("ID# ATTRIBUTE_NAME") {
            let raw_at = if line.contains("WHEN_FAILED") { 9 } else { 7 };
            return Self::Attributes { raw_at };
        }
        if line.starts_with("SMART/Health Information") {
            return Self::Nvme;
        }
        if line.trim().is_empty() || line.starts_with("===") {
            return Self::Other;
        }
        self
    }
}

fn header(line: &str, all: &mut Map<String, Value>) {
    let Some((key, value)) = line.split_once(':') else {
        return;
    };
    let value = value.trim();
    let (name, value) = match key.trim() {
        "Device Model" | "Model Number" => ("model_name", json!(value)),
        "Firmware Version" => ("firmware_version", json!(value)),
        "Product" => ("scsi_model_name", json!(value)),
        "Revision" => ("scsi_revision", json!(value)),
        "Rotation Rate" if value == "Solid State Device" => ("rotation_rate", json!(0)),
        "Rotation Rate" => match number(value) {
            Some(rpm) => ("rotation_rate", rpm),
            None => return,
        },
        "Current Temperature" => match number(value) {
            Some(celsius) => ("sct_temperature", celsius),
            None => return,
        },
        "SMART overall-health self-assessment test result" => {
            ("smart_status", json!({ "passed": value == "PASSED" }))
        }
        "SMART Health Status" => ("smart_status", json!({ "passed": value == "OK" })),
        _ => return,
    };
    all.entry(name).or_insert(value);
}

/// Either form of the table has number, name, flags, value, worst and threshold first.
fn attribute(line: &str, raw_at: usize) -> Option<Value> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let id: u64 = words
        .first()?
        .parse()
        .ok()
        .filter(|id| (1..=255).contains(id))?;
    let raw = words.get(raw_at..)?.join(" ");
    let normalised = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let mut row = json!({
        "id": id,
        "name": words.get(1)?,
        "raw": { "string": raw },
    });
    for (name, at) in [("value", 3), ("worst", 4), ("thresh", 5)] {
        if let Some(value) = normalised(at) {
            row[name] = json!(value);
        }
    }
    if let Some(value) = number(&raw) {
        row["raw"]["value"] = value;
    }
    Some(row)
}

fn nvme_field(line: &str) -> Option<(String, Value)> {
    let (key, value) = line.split_once(':')?;
    // Two of the names have two blanks within.
    let key = key.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, name) = NVME.iter().find(|(text, _)| *text == key)?;
    let value = value.trim();
    let number = match value.strip_prefix("0x") {
        Some(hex) => json!(u64::from_str_radix(hex, 16).ok()?),
        None => number(value)?,
    };
    Some(((*name).to_owned(), number))
}

/// The number that a text begins with; thousands may be set apart.
fn number(text: &str) -> Option<Value> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',');
    let digits: String = text[..end.unwrap_or(text.len())]
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let whole: u64 = digits.parse().ok()?;
    Some(json!(whole))
}

fn count_of(table: &[Value], id: u64) -> Option<Value> {
    let mut rows = table.iter();
    let row = rows.find(|row| row["id"] == id)?;
    row.pointer("/raw/value").cloned()
}

fn temperature(
    all: &Map<String, Value>,
    table: &[Value],
    nvme: &Map<String, Value>,
) -> Option<Value> {
    let told = nvme
        .get("temperature")
        .or_else(|| all.get("sct_temperature"));
    told.cloned()
        .or_else(|| count_of(table, 194))
        .or_else(|| count_of(table, 190))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "\
Device Model:     KINGSTON SHSS37A480G
Rotation Rate:    Solid State Device
SMART overall-health self-assessment test result: FAILED!

ID# ATTRIBUTE_NAME          FLAG     VALUE WORST THRESH TYPE      UPDATED  WHEN_FAILED RAW_VALUE
  5 Reallocated_Sector_Ct   0x0033   099   099   010    Pre-fail  Always       -       17 (4 1)
  9 Power_On_Hours          0x0032   100   100   000    Old_age   Always       -       13299h+14m+51s
170 Bad_Blk_Ct_Erl/Lat      0x0013   100   100   010    Pre-fail  Always       -       0/893
194 Temperature_Celsius     0x0022   068   054   030    Old_age   Always       -       32 (Min/Max 17/46)

General Purpose Log Directory Version 1
";

    #[test]
    fn a_text_has_the_shape_of_json() {
        let json = parse(TABLE).unwrap();
        assert_eq!(json["model_name"], "KINGSTON SHSS37A480G");
        assert_eq!(json["rotation_rate"], 0);
        assert_eq!(json["smart_status"]["passed"], false);
        assert_eq!(json["power_on_time"]["hours"], 13299);
        assert_eq!(json["temperature"]["current"], 32);
        let table = &json["ata_smart_attributes"]["table"];
        assert_eq!(table.as_array().unwrap().len(), 4);
        assert_eq!(
            table[0]["raw"],
            json!({ "string": "17 (4 1)", "value": 17 })
        );
        assert_eq!(
            (&table[0]["value"], &table[2]["raw"]["value"]),
            (&json!(99), &json!(0))
        );
        assert_eq!(parse("smartctl 6.6 2017-11-05 r4594\n\nno drive\n"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(ID# ATTRIBUTE_NAME\n|SMART/Health Information\n|[0-9]{1,3} [A-Z_]{1,9} [0-9 x-]{0,40}\n|.{0,40}\n){0,20}") {
            let _ = parse(&text);
        }
    }
}
