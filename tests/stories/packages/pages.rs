//! What the pages say, held against what there is: commands and options, links, versions, times.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rollcall_agent::waiting::Waiting;
use rollcall_tests::rig;
use rollcall_tests::rig::patience::PATIENCE;
use rollcall_tests::rig::repository;

fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join("deploy/guides"))
        .unwrap()
        .flatten();
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_page).collect();
    pages.sort();
    pages
}

/// Commands and options in code, of both programs, on every page that goes with the product.
#[test]
fn commands_on_the_pages_exist_with_their_options() {
    let mut checked = 0;
    for page in all_pages() {
        let text = fs::read_to_string(&page).unwrap();
        for code in code_of(&text) {
            for program in ["rollcall-agent", "rollcall-collector"] {
                for rest in calls(&code, program) {
                    checked += usize::from(exists(program, rest, &page));
                }
            }
        }
    }
    assert!(checked > 60, "{checked} commands were found");
}

fn all_pages() -> Vec<PathBuf> {
    let deploy = repository().join("deploy");
    let folders = [
        "collector",
        "guides",
        "helpdesk",
        "linux",
        "macos",
        "windows",
    ];
    let below = folders
        .iter()
        .flat_map(|folder| fs::read_dir(deploy.join(folder)).unwrap().flatten());
    let pages = below.map(|entry| entry.path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    pages
        .filter(is_page)
        .chain([repository().join("README.md")])
        .collect()
}

/// Lines of fenced blocks and indented ones, with those that go on joined, and what stands between backticks.
fn code_of(page: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut is_fenced = false;
    let joined = page.replace("\\\n", " ");
    for line in joined.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") {
            code.push(line.to_owned());
        } else {
            code.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    code
}

/// What follows a program's name where it is called.
fn calls<'a>(code: &'a str, program: &str) -> Vec<&'a str> {
    let is_start = |before: &str| before.is_empty() || before.ends_with([' ', '/', '\\', '(']);
    let found = code
        .match_indices(program)
        .filter(|(at, _)| is_start(&code[..*at]));
    let rests = found.filter_map(|(at, _)| {
        let rest = &code[at + program.len()..];
        rest.strip_prefix(".exe\"")
            .unwrap_or(rest)
            .strip_prefix(' ')
    });
    rests.collect()
}

/// Whether this is a call of a command, which then has to exist with all of its options.
fn exists(program: &str, rest: &str, page: &Path) -> bool {
    let end = rest
        .find(['|', '#', ';', '&', ')', '>', '<'])
        .unwrap_or(rest.len());
    let words: Vec<&str> = rest[..end].split_whitespace().collect();
    let is_command = |word: &&&str| {
        !word.is_empty()
            && **word != program
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            && !word.starts_with('-')
    };
    let commands: Vec<&str> = words
        .iter()
        .take(2)
        .take_while(is_command)
        .copied()
        .collect();
    // The service of Windows is a command there alone.
    if commands.is_empty() || (program == "rollcall-agent" && commands[0] == "service") {
        return false;
    }
    let help = |commands: &[&str]| {
        let file = if program == "rollcall-agent" {
            rig::binaries::agent()
        } else {
            rig::binaries::collector()
        };
        let mut command = std::process::Command::new(file);
        let said = rig::process::run(command.args(commands).arg("--help"), PATIENCE);
        assert!(
            said.status.success(),
            "{}: {program} {rest}: {}",
            page.display(),
            said.stderr
        );
        said.stdout
    };
    let mut said = help(&commands[..1]);
    if commands.len() > 1 && said.contains("\nCommands:\n") {
        said = help(&commands);
    }
    for option in words
        .iter()
        .filter(|word| word.starts_with("--") && word.len() > 2)
    {
        let name = option
            .split(['=', ',', ':'])
            .next()
            .unwrap()
            .trim_end_matches(['.', ']']);
        assert!(
            said.contains(name),
            "{}: {program} {rest}: no {name}",
            page.display()
        );
    }
    true
}

#[test]
fn every_road_of_the_guides_is_there_and_says_how_to_verify_undo_and_mend() {
    let roads = [
        "intune",
        "group-policy",
        "pdq",
        "sccm",
        "jamf",
        "munki",
        "mosyle",
        "ansible",
        "puppet",
        "salt",
        "script",
        "disk-image",
    ];
    let guides = repository().join("deploy/guides");
    let index = fs::read_to_string(guides.join("README.md")).unwrap();
    for road in roads {
        let page = fs::read_to_string(guides.join(format!("{road}.md"))).unwrap();
        for heading in [
            "## What you need",
            "## Steps",
            "## Verify",
            "## Undo",
            "## What goes wrong, and why",
        ] {
            assert!(page.contains(heading), "{road}.md lacks `{heading}`");
        }
        assert!(index.contains(&format!("({road}.md)")), "{road}");
    }
}

/// What families are told of how long anything is kept is what a collector does that nobody has told otherwise.
#[test]
fn families_are_told_how_long_readings_are_kept() {
    let page = fs::read_to_string(repository().join("deploy/guides/families.md")).unwrap();
    let store = rollcall_collector::config::Config::default().store;
    for (words, days) in [
        ("every single reading for", store.raw_days),
        ("for each quarter of an hour", store.rollup_15m_days),
        ("for each hour", store.rollup_1h_days),
        ("is kept for", store.retention_days),
    ] {
        let told = format!("{words} {days} days");
        assert!(page.contains(&told), "families.md lacks `{told}`");
    }
    assert_eq!(
        store.rollup_1d_days / 366,
        5,
        "five years, says families.md"
    );
    assert!(page.contains("for each day five\nyears"));
}

#[test]
fn links_and_versions_in_the_guides_are_right() {
    let version = env!("CARGO_PKG_VERSION");
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let exists = link.starts_with("http") || folder.join(link).exists();
            assert!(exists, "{}: {link}", page.display());
        }
        for name in ["rollcall-agent_", "rollcall-agent-"] {
            for rest in text.split(name).skip(1) {
                let is_version = rest.starts_with(|c: char| c.is_ascii_digit());
                assert!(
                    !is_version || rest.starts_with(version),
                    "{}: {name}{:.12}",
                    page.display(),
                    rest
                );
            }
        }
    }
}

/// What the firewall's page quotes is what the agent says: each part between its dots, in the agent's own source.
#[test]
fn words_that_the_firewalls_page_quotes_are_the_agents() {
    let page = fs::read_to_string(repository().join("deploy/guides/firewall.md")).unwrap();
    let source = fs::read_to_string(repository().join("agent/src/stream/connector.rs")).unwrap();
    let words: Vec<&str> = source
        .split_whitespace()
        .filter(|word| *word != "\\")
        .collect();
    let source = words.join(" ");
    let (_, table) = page.split_once("| it says | cause |").unwrap();
    let quoted = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut rows = 0;
    for words in quoted {
        rows += 1;
        let seconds = rollcall_shared::limits::CONNECT_TIMEOUT.as_secs();
        let general = words.replace(&format!(" {seconds} s"), " {} s");
        for part in general.split("...").flat_map(|part| part.split(" X")) {
            let part = part.trim().trim_end_matches(',');
            assert!(
                source.contains(part),
                "the agent never says `{part}`, as firewall.md has it"
            );
        }
    }
    assert!(rows >= 6, "{rows} rows");
}

/// The card that hangs on the wall has every exit code of `status`, and none that is never given.
#[test]
fn the_quick_card_has_every_exit_code() {
    let card = fs::read_to_string(repository().join("deploy/guides/quick-card.md")).unwrap();
    let (_, table) = card.split_once("| code | it waits for | do |").unwrap();
    let cells = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let told: BTreeSet<u8> = cells
        .flat_map(|cell| cell.split(", "))
        .filter_map(|code| code.parse().ok())
        .collect();
    let waiting = Waiting::ALL
        .iter()
        .filter_map(|waiting| waiting.exit_code());
    // Connected, not running, not enrolled.
    let given: BTreeSet<u8> = waiting.chain([0, 3, 5]).collect();
    assert_eq!(told, given);
}
