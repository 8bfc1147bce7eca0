//! Every page: for those who cannot see, on every width, in light and in dark, without a script, without a
//! connection, and light enough to be there at once.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rollcall_tests::rig::browser::Window;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::{repository, skip};
use serde_json::{Value, json};

use super::{Desk, SCHEDULE};

/// The widths of a desk, a tablet and a phone.
const WIDTHS: [u32; 3] = [1440, 768, 390];

/// A sheet of A4 between Chromium's margins, in pixels: the narrower of the usual ones.
const PAPER: u32 = 718;

/// What the first page may weigh on the wire, with all that it loads.
const FIRST_PAGE_BYTES: f64 = 150_000.0;

/// Within how many milliseconds the first page can be used.
const FIRST_PAGE_MS: f64 = 1000.0;

/// What is judged: the rules of WCAG up to 2.2 AA, and good practice.
const JUDGED: &str = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']";

/// Every page with a name for its picture.
fn pages(laptop: &str, alerting: &str) -> Vec<(&'static str, String)> {
    let device = |more: &str| format!("/devices/{laptop}{more}");
    vec![
        ("attention", "/".to_owned()),
        ("attention-site-empty", "/?site=Nowhere".to_owned()),
        ("fleet", "/devices".to_owned()),
        (
            "fleet-none",
            "/devices?search=nothing-is-called-this".to_owned(),
        ),
        (
            "fleet-filtered",
            "/devices?health=warning&sort=battery".to_owned(),
        ),
        ("device", device("")),
        ("device-alerting", format!("/devices/{alerting}")),
        ("device-battery-week", device("?part=battery&range=week")),
        ("device-network-year", device("?part=network&range=year")),
        (
            "device-one-hour",
            device("?metric=hw.battery.charge&range=hour"),
        ),
        ("collected", device("/collected")),
        ("reachability", "/reachability".to_owned()),
        ("reports", "/reports".to_owned()),
        ("administration", "/administration".to_owned()),
        ("people", "/administration/people".to_owned()),
        ("silences", "/administration/silences".to_owned()),
        ("channels", "/administration/channels".to_owned()),
        ("rules", "/administration/rules".to_owned()),
        ("rule", "/administration/rules/battery-worn".to_owned()),
        ("rule-another", "/administration/rules/another".to_owned()),
        (
            "rules-version",
            "/administration/rules/versions/0".to_owned(),
        ),
        ("audit", "/administration/audit".to_owned()),
        ("account", "/account".to_owned()),
        ("api-docs", "/api/docs".to_owned()),
        ("missing", "/nowhere".to_owned()),
        ("mistake", "/devices?sort=colour".to_owned()),
        // Last, since it is of those who are not signed in.
        ("sign-in", "/sign-in".to_owned()),
    ]
}

/// The default rules, with lists that are told at once, and a channel that reaches nobody: something stands on
/// every page.
fn everything(folder: &Path) -> String {
    let rules = fs::read_to_string(repository().join("collector/rules/default.toml")).unwrap();
    let quick = rules.replace("gather = \"1h\"", "gather = \"1s\"");
    assert_ne!(quick, rules, "there are lists");
    fs::write(folder.join("rules.toml"), quick).unwrap();
    fs::write(folder.join("secret"), "a secret of more than 24 bytes\n").unwrap();
    fs::set_permissions(folder.join("secret"), Permissions::from_mode(0o600)).unwrap();
    format!(
        "rules = \"{0}/rules.toml\"\n{SCHEDULE}[[channel]]\nkind = \"webhook\"\nname = \"desk-hook\"\n\
         url = \"http://127.0.0.1:9/rollcall\"\nsecret_file = \"{0}/secret\"\n",
        folder.display()
    )
}

/// People, a silence, the summer, and a list of laptops that share what is wrong.
fn furnish(desk: &Desk) {
    let told = |arguments: &[&str]| {
        let _ = desk.collector.command(arguments).success();
    };
    let password = desk.folder.path().join("password");
    fs::write(&password, "correct horse battery staple\n").unwrap();
    let password = password.display().to_string();
    let anna = ["user", "add", "anna@school.example", "--role", "technician"];
    told(
        &[
            &anna[..],
            &["--site", "Lincoln", "--password-file", &password],
        ]
        .concat(),
    );
    let summer = [
        "maintenance",
        "yearly",
        "--from",
        "06-20",
        "--through",
        "08-15",
    ];
    told(&[&summer[..], &["--reason", "the summer"]].concat());
    let images = ["silence", "create", "--rule", "disk-full", "--for", "7d"];
    told(&[&images[..], &["--reason", "new images"]].concat());
    eventually("a list of laptops", PATIENCE, || {
        let incidents = desk.collector.get("/api/v1/incidents")?;
        let shared = incidents["incidents"].as_array().into_iter().flatten();
        let shared = shared.filter(|incident| incident["shared"] == true).count();
        require(shared > 0, || format!("{incidents:#}"))
    });
}

#[test]
fn browser_every_page_fits_and_is_accessible() {
    let story = "every page judged by axe-core, in Chromium";
    let axe = repository().join("tests/browser/node_modules/axe-core/axe.min.js");
    let Ok(axe) = fs::read_to_string(axe) else {
        return skip(
            story,
            "axe-core is not there (npm ci --prefix tests/browser)",
        );
    };
    let Some(desk) = Desk::open_with(story, everything) else {
        return;
    };
    let window = desk.admin();
    let _lesson = desk.lesson(&window);
    furnish(&desk);
    let mut wrong = Vec::new();
    for (name, path) in pages(&desk.laptop(), &desk.alerting()) {
        if name == "sign-in" {
            said_of_forms(&desk, &window, &axe, &mut wrong);
            let _ = window.tool("Network.clearBrowserCookies", &json!({}));
        }
        for scheme in ["light", "dark"] {
            prefer(&window, scheme);
            window.resize(WIDTHS[0], 1000);
            window.go(&desk.at(&path));
            look(&window, &axe, name, scheme, &mut wrong);
        }
        listen(&desk, &window, name, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What comes of forms: what is shown once, what a change would have fired, and what is wrong.
fn said_of_forms(desk: &Desk, window: &Window, axe: &str, wrong: &mut Vec<String>) {
    let administration = "/administration";
    let form = "form[action='/administration/tokens']";
    let make = |uses: &str| {
        window.go(&desk.at(administration));
        window.fill(&format!("{form} [name=site]"), "Lincoln");
        window.fill(&format!("{form} [name=uses]"), uses);
        window.click(&format!("{form} button"));
    };
    let rule = |from: &str, to: &str, button: &str| {
        window.go(&desk.at("/administration/rules/battery-worn"));
        super::together::write_rule(window, from, to);
        window.click(&format!("button[value={button}]"));
    };
    let mut see = |name: &str, shown: &str| {
        window.wait(name, &format!("document.querySelector('{shown}')"));
        for scheme in ["light", "dark"] {
            prefer(window, scheme);
            look(window, axe, name, scheme, wrong);
        }
    };
    make("20");
    see("token-made", "code.token");
    make("many");
    see("form-mistake", "#problem");
    rule("severity = \"warning\"", "severity = \"warnin\"", "save");
    see("rule-mistake", "#problem");
    rule("value = \"60 %\"", "value = \"62 %\"", "preview");
    see("rule-preview", "#preview");
    listen(desk, window, "what comes of forms", wrong);
}

fn prefer(window: &Window, scheme: &str) {
    window.prefer(&[
        ("prefers-color-scheme", scheme),
        ("prefers-reduced-motion", "reduce"),
    ]);
}

/// Looks at a page in every width.
fn look(window: &Window, axe: &str, name: &str, scheme: &str, wrong: &mut Vec<String>) {
    let charts = "document.querySelector('script[src*=\"charts.js\"]')";
    window.wait(
        name,
        &format!("!{charts} || document.querySelector('[data-ready]')"),
    );
    for width in WIDTHS {
        window.resize(width, 1000);
        let fit = "[...document.querySelectorAll('figure canvas')].every((each) => \
                   each.getBoundingClientRect().right <= each.closest('figure').getBoundingClientRect().right)";
        window.wait(&format!("charts of {name} that fit"), fit);
        wrong.extend(too_wide(window).map(|by| format!("{name} at {width}: {by}")));
        keep(window, &format!("{name}-{width}-{scheme}"));
        // A tablet has the layout of a desk, so that its colours are judged where they are hardest.
        if width != WIDTHS[1] || scheme == "dark" {
            let found = judge(window, axe).into_iter();
            wrong.extend(found.map(|f| format!("{name} at {width}, {scheme}: {f}")));
        }
    }
}

/// Whom the page has asked, and what the browser said of it.
fn listen(desk: &Desk, window: &Window, name: &str, wrong: &mut Vec<String>) {
    let traffic = window.traffic();
    let elsewhere = traffic.beyond(&desk.at("/"));
    wrong.extend(elsewhere.iter().map(|a| format!("{name} asks {a}")));
    let refused =
        |said: &String| !said.contains("status of 404") && !said.contains("status of 400");
    let said = window.complaints().into_iter().filter(refused);
    wrong.extend(said.map(|said| format!("{name}: {said}")));
}

/// How much wider than the window the page is, and what sticks out.
fn too_wide(window: &Window) -> Option<String> {
    let found = window.run(
        "const width = document.documentElement.clientWidth;
         const over = document.documentElement.scrollWidth - width;
         if (over <= 0) return null;
         const out = [...document.querySelectorAll('body *')]
           .filter((each) => each.getBoundingClientRect().right > width + 1).slice(-3);
         return `${over} pixels too wide: ${out.map((each) => each.outerHTML.slice(0, 150)).join(' | ')}`;",
    );
    found.as_str().map(ToOwned::to_owned)
}

/// What axe-core finds that is serious or critical.
fn judge(window: &Window, axe: &str) -> Vec<String> {
    let loaded = window.run("return Boolean(window.axe)");
    if loaded != true {
        let _ = window.run(axe);
    }
    let found = window.run(&format!(
        "return window.axe.run(document, {{ runOnly: {JUDGED}, resultTypes: ['violations'] }})
           .then((found) => found.violations
             .filter(({{ impact }}) => impact === 'serious' || impact === 'critical')
             .map(({{ id, nodes }}) => `${{id}}: ${{nodes.slice(0, 3).map((node) => node.html).join(' | ')}}`))"
    ));
    let found = found.as_array().cloned().expect("axe answers with a list");
    let text = |found: &Value| found.as_str().map(ToOwned::to_owned);
    found.iter().filter_map(text).collect()
}

#[test]
fn browser_pages_print_as_ink_on_paper() {
    let Some(desk) = Desk::open("pages on paper, in Chromium") else {
        return;
    };
    let window = desk.admin();
    let device = format!("/devices/{}?part=battery&range=week", desk.alerting());
    let whole = "/devices?health=warning".to_owned();
    for path in [
        "/".to_owned(),
        whole,
        device,
        "/reachability".to_owned(),
        "/reports".to_owned(),
    ] {
        window.resize(PAPER, 1000);
        let dark = json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
        let media = json!({ "media": "print", "features": dark });
        let _ = window.tool("Emulation.setEmulatedMedia", &media);
        window.go(&desk.at(&path));
        assert_eq!(too_wide(&window), None, "{path}");
        let is_white =
            "return getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'";
        assert_eq!(window.run(is_white), true, "{path}: a screen's dark ground");
        let useless = "return [...document.querySelectorAll('nav, button, select, input, summary')]
            .filter((each) => each.checkVisibility()).map((each) => each.outerHTML.slice(0, 150))";
        assert_eq!(
            window.run(useless),
            json!([]),
            "{path}: nobody presses paper"
        );
        let shown = window.text("main h1").expect("a page has a title");
        assert!(!shown.is_empty(), "{path}");
        let name = path
            .trim_matches('/')
            .split(['/', '?'])
            .next()
            .unwrap_or_default();
        keep(&window, &format!("print-{name}"));
        let printed = window.tool(
            "Page.printToPDF",
            &json!({ "paperWidth": 8.27, "paperHeight": 11.69 }),
        );
        let bytes = printed["data"].as_str().map_or(0, str::len);
        assert!(bytes > 10_000, "{path}: {bytes} characters of PDF");
    }
    let shown = "return [...document.querySelectorAll('.report')].filter((each) => each.checkVisibility()).length";
    assert_eq!(window.run(shown), 4, "all reports on one sheet");
    window.go(&desk.at("/reports#systems"));
    assert_eq!(window.run(shown), 1, "the one that was chosen");
    let _ = window.tool("Emulation.setEmulatedMedia", &json!({ "media": "" }));
    assert_eq!(window.run(shown), 4, "the screen has them all");
}

/// Keeps a picture of the page where `ROLLCALL_SHOTS` names a folder.
fn keep(window: &Window, name: &str) {
    let Some(folder) = std::env::var_os("ROLLCALL_SHOTS").map(PathBuf::from) else {
        return;
    };
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.png")), window.picture()).unwrap();
}

#[test]
fn browser_the_first_page_is_light_and_there_at_once() {
    let Some(desk) = Desk::open("the first page's weight and speed, in Chromium") else {
        return;
    };
    let window = desk.admin();
    let _ = window.tool("Network.enable", &json!({}));
    let _ = window.tool(
        "Network.setCacheDisabled",
        &json!({ "cacheDisabled": true }),
    );
    // One of many loads is quick enough, whatever else the machine does meanwhile.
    let (traffic, ms) = eventually("a first page within a second", PATIENCE, || {
        let _ = window.traffic();
        window.go(&desk.at("/"));
        let timing = "const [page] = performance.getEntriesByType('navigation');
                      return page.domContentLoadedEventEnd";
        let ms = window.run(timing).as_f64().unwrap_or(f64::MAX);
        require(ms < FIRST_PAGE_MS, || format!("{ms} ms"))?;
        Ok::<_, String>((window.traffic(), ms))
    });
    let bytes = traffic.bytes;
    println!("first page: {bytes:.0} bytes on the wire, usable after {ms:.0} ms");
    assert!(bytes > 1000.0 && bytes < FIRST_PAGE_BYTES, "{bytes} bytes");
    assert_eq!(traffic.beyond(&desk.at("/")), [""; 0], "asks elsewhere");
}

#[test]
fn browser_a_collector_that_is_away_is_said_and_what_was_known_stays() {
    let Some(mut desk) = Desk::open("a collector that is away, in Chromium") else {
        return;
    };
    let window = desk.admin();
    window.wait(
        "a page that renews itself",
        "document.querySelector('main[data-at]')",
    );
    let known = window.text("main h1");
    desk.collector.stop();
    let said = "!document.getElementById('state').hidden";
    window.wait("that it is away", said);
    let state = window.text("#state").unwrap_or_default();
    assert!(state.contains("This is how it was at"), "{state}");
    assert_eq!(window.text("main h1"), known);
    desk.collector.run();
    // Whether a session outlives a restart is not this story's: either the page is as it was, or it says why not.
    let state = "document.getElementById('state')";
    let is_back = format!("{state}.hidden || {state}.textContent.startsWith('Signed out')");
    window.wait("that it is back", &is_back);
}

#[test]
fn browser_pages_are_whole_without_a_script() {
    let Some(desk) = Desk::open("pages without a script, in Chromium") else {
        return;
    };
    let window = desk.driver.open();
    let _ = window.tool(
        "Emulation.setScriptExecutionDisabled",
        &json!({ "value": true }),
    );
    window.go(&desk.at("/sign-in"));
    desk.sign_in(&window, &desk.collector.admin_token());
    let laptop = desk.laptop();
    for (range, drawn) in [("day", "svg .line"), ("week", "svg .band")] {
        window.go(&desk.at(&format!("/devices/{laptop}?part=battery&range={range}")));
        let charts = window.count(&format!("figure {drawn}"));
        assert!(charts > 0, "the server draws a {range}");
        assert_eq!(window.count("figure canvas"), 0, "no script runs");
    }
    window.go(&desk.at("/devices"));
    let all = window.text("caption").expect("a table has a caption");
    window.click("#site option:nth-child(2)");
    window.click("form.filter button");
    window.wait_at("/devices?");
    assert_ne!(window.text("caption").expect("a table has a caption"), all);
}
