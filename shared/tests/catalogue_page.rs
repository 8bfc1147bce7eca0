//! The published pages are generated from the catalogue and the table of sources, and must agree with them.

use std::fmt::Write as _;
use std::path::Path;

use rollcall_shared::metric::{CATALOGUE, Kind, Metric};
use rollcall_shared::sources::{ROWS, Standing};

const OPENING: &str = "\
# What Rollcall collects

Every metric that an agent may send; nothing else may travel. Generated from `shared/src/metric.rs`:
after a change there, run the tests of `rollcall-shared` with `ROLLCALL_WRITE_PAGES=1`.

Never collected: a location, a network's name or its access point's address, a public address, a user or
file name, browsing, keystrokes, sound or pictures. `rollcall-agent report` prints what a laptop would send.

| metric | unit | values | meaning | privacy |
|---|---|---|---|---|
";

fn page() -> String {
    let mut page = OPENING.to_owned();
    for metric in CATALOGUE {
        let Metric {
            name,
            unit,
            meaning,
            privacy,
            ..
        } = metric;
        let unit = if unit.is_empty() {
            String::new()
        } else {
            format!("`{unit}`")
        };
        let values = values(metric.kind);
        writeln!(
            page,
            "| `{name}` | {unit} | {values} | {meaning} | {privacy} |"
        )
        .expect("a string takes any text");
    }
    page
}

fn values(kind: Kind) -> String {
    match kind {
        Kind::Gauge { .. } => "number".to_owned(),
        Kind::Counter { .. } => "number that grows".to_owned(),
        Kind::Flag => "yes or no".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::State(words) => words.join(", "),
    }
}

const SOURCES: &str = "\
# Where each metric comes from

By system: the source where it is collected, *not available* and *not collected* with the reason. `=` in the
second column means that the name is OpenTelemetry's own; another name there is the convention's nearest.
Generated from `shared/src/sources.rs`, and held against the agent's code by its tests.

| metric | OpenTelemetry | unit | Linux | Windows | macOS | privacy |
|---|---|---|---|---|---|---|
";

const FAMILIES: &str = "\
# What a school laptop tells its school

For families. On every laptop `rollcall-agent report` shows exactly what it would send, and sends nothing;
`rollcall-agent report --words` says it in sentences. This page explains every field of that report. There is
nothing else: a metric that is not in this list cannot be sent.

The laptop never tells where it is, what the Wi-Fi is called, which pages are visited, what is written or
opened, who uses it, or anything from camera and microphone. Nobody can make the laptop do anything through
this program: it answers no commands.

## About each report

| field | what it is |
|---|---|
| `hello.agent_version` | The version of this program. |
| `hello.hardware` | Scrambled numbers of the laptop's parts, so that two laptops are not taken for one; its maker and model. |
| `hello.spool` | A number drawn by lot, so that no report is counted twice. |
| `report.taken.wall` | The time by the laptop's clock. |
| `report.taken.boot` | A number drawn by lot at each start. |
| `report.taken.since_boot_ms` | How long ago that was. |
| `report.full` | Whether this is everything, or only what has changed. |

In each reading, `metric` is one of the names below, `unit` is what it is counted in, `instance` says which
battery, disk or service is meant, and `value` is what was read. Where something could not be read,
`unavailable` says why.

## Each reading

| metric | what it tells | what was done for your privacy |
|---|---|---|
";

fn sources_page() -> String {
    let mut page = SOURCES.to_owned();
    for row in ROWS {
        let Metric {
            name,
            unit,
            privacy,
            ..
        } = row.metric;
        let quoted = |text: &str| match text {
            "" | "=" => text.to_owned(),
            text => format!("`{text}`"),
        };
        let (otel, unit) = (quoted(row.opentelemetry), quoted(unit));
        let [linux, windows, macos] = [row.linux, row.windows, row.macos].map(standing);
        writeln!(
            page,
            "| `{name}` | {otel} | {unit} | {linux} | {windows} | {macos} | {privacy} |"
        )
        .expect("a string takes any text");
    }
    page
}

fn standing(standing: Standing) -> String {
    match standing {
        Standing::Collected(source) => source.to_owned(),
        Standing::NotAvailable(why) => format!("*not available*: {why}"),
        Standing::NotCollected(why) => format!("*not collected*: {why}"),
    }
}

fn families_page() -> String {
    let mut page = FAMILIES.to_owned();
    for row in ROWS {
        let (name, family, privacy) = (row.metric.name, row.family, row.metric.privacy);
        writeln!(page, "| `{name}` | {family} | {privacy} |").expect("a string takes any text");
    }
    page
}

#[test]
fn the_page_agrees_with_the_catalogue() {
    agrees("COLLECTED.md", &page());
}

#[test]
fn the_page_of_sources_agrees_with_their_table() {
    agrees("SOURCES.md", &sources_page());
}

#[test]
fn the_page_for_families_agrees_with_the_table() {
    agrees("FAMILIES.md", &families_page());
}

fn agrees(name: &str, page: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("ROLLCALL_WRITE_PAGES").is_some() {
        std::fs::write(&file, page).expect("the page can be written");
    }
    let published = std::fs::read_to_string(&file).expect("the page is there");
    assert_eq!(
        published, page,
        "{name}: run this test with ROLLCALL_WRITE_PAGES=1"
    );
}
