//! The published list of what is collected is generated from the catalogue, and must agree with it.

use std::fmt::Write as _;
use std::path::Path;

use rollcall_shared::metric::{CATALOGUE, Kind, Metric};

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

#[test]
fn the_page_agrees_with_the_catalogue() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("COLLECTED.md");
    if std::env::var_os("ROLLCALL_WRITE_PAGES").is_some() {
        std::fs::write(&file, page()).expect("the page can be written");
    }
    let published = std::fs::read_to_string(&file).expect("the page is there");
    assert_eq!(
        published,
        page(),
        "run this test with ROLLCALL_WRITE_PAGES=1"
    );
}
