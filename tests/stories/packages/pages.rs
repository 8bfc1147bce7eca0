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

/// What the collector's page says of machines follows from the benchmarks of the README, and is neither too small nor
/// many times too large.
#[test]
fn the_sizes_of_machines_follow_from_the_benchmarks() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let page = fs::read_to_string(repository().join("deploy/collector/README.md")).unwrap();
    let cell = |row: &str| {
        let line = readme
            .lines()
            .find(|line| line.starts_with(&format!("| {row}")));
        let line = line.unwrap_or_else(|| panic!("README.md has no row `{row}`"));
        line.split('|').nth(2).unwrap().trim().to_owned()
    };
    let number = |text: &str| text.replace(',', "").parse::<f64>().unwrap();
    let parts = cell("of these: every reading; roll-ups; state");
    let parts: Vec<&str> = parts.split("; ").collect();
    let (reading, rolled) = (parts[0], parts[1]);
    let (memory, wire) = (
        cell("KiB of memory for each connected laptop"),
        cell("bytes on the wire a day"),
    );
    let silent = cell("CPU s an hour of a collector with ten silent laptops");
    let quarters = "1.7 KB\na laptop and day";
    assert!(readme.contains(quarters), "README.md lacks `{quarters}`");
    let page_line = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        format!("At {reading} bytes each"),
        format!("{rolled} bytes each for 400 days"),
        format!("{memory} KiB of memory for each connection"),
        format!(
            "{:.0} kB a laptop and day on the wire",
            number(&wire) / 1000.0
        ),
        format!(
            "{} processor seconds an hour for 1,000 silent",
            &silent[silent.len() - 3..]
        ),
    ] {
        assert!(page_line.contains(&told), "the page lacks `{told}`");
    }

    let store = rollcall_collector::config::Config::default().store;
    let samples = 21_600.0;
    let days = |days: u32| f64::from(days);
    let of_laptop = samples * number(reading) * days(store.raw_days)
        + samples * number(rolled) * days(store.rollup_1h_days)
        + 1700.0 * days(store.rollup_15m_days - store.raw_days);
    let (_, table) = page.split_once("| laptops | processors |").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut checked = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let amount =
            |cell: &str| number(cell.trim_start_matches("under ").split(' ').next().unwrap());
        let laptops = amount(cells[1]);
        let (gib, gb, mbit) = (amount(cells[3]), amount(cells[4]), amount(cells[5]));
        let disk = laptops * of_laptop / 1e9;
        assert!(
            (1.5 * disk..4.0 * disk).contains(&gb),
            "{row}: {disk:.1} GB are needed"
        );
        let connections = laptops * number(&memory) / 1024.0 / 1024.0;
        assert!(
            gib > 2.0 * connections,
            "{row}: {connections:.2} GiB for connections"
        );
        let mean = laptops * number(&wire) * 8.0 / 36_000.0 / 1e6;
        assert!(
            (0.9 * mean..1.5 * mean).contains(&mbit),
            "{row}: {mean:.3} Mbit/s"
        );
        checked += 1;
    }
    assert_eq!(checked, 5);
}

/// Where the installers put things, and what they call them, is what the pages say.
#[test]
fn paths_and_names_on_the_pages_are_those_of_the_packages() {
    let read = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
    let guides: String = ["intune", "group-policy", "pdq", "sccm", "disk-image"]
        .map(|name| read(&format!("deploy/guides/{name}.md")))
        .concat()
        + &read("deploy/windows/README.md");
    let installer = read("deploy/windows/rollcall-agent.wxs");
    // Each property that a command of the pages sets is one that the installer knows.
    let set = guides.split_whitespace().filter_map(|word| {
        let (name, _) = word.trim_matches(['`', '[', '(']).split_once('=')?;
        let is_property = name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase());
        is_property.then(|| name.to_owned())
    });
    let set: BTreeSet<String> = set.collect();
    let of_windows = ["REINSTALL", "REINSTALLMODE"];
    for name in &set {
        let known = of_windows.contains(&name.as_str()) || installer.contains(name.as_str());
        assert!(known, "the installer knows no {name}");
    }
    assert!(
        set.contains("COLLECTOR") && set.contains("TOKEN") && set.contains("KEEPDATA"),
        "{set:?}"
    );
    // The registry, the program, the data folder and the service.
    for (told, written) in [
        (
            r"SOFTWARE\Rollcall\Agent",
            r#"Key="SOFTWARE\Rollcall\Agent" Name="Version""#,
        ),
        (
            r"%ProgramFiles%\Rollcall\rollcall-agent.exe",
            r#"Name="rollcall-agent.exe""#,
        ),
        (r"%ProgramData%\Rollcall", "[CommonAppDataFolder]Rollcall"),
        (
            "sc query rollcall-agent",
            r#"<ServiceInstall Id="Service" Name="rollcall-agent""#,
        ),
    ] {
        assert!(guides.contains(told), "no page says {told}");
        assert!(
            installer.contains(written),
            "the installer has no {written}"
        );
    }
    let code = |text: &str| {
        text.split('`')
            .filter(|code| code.contains('%'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let known = [
        r"%ProgramFiles%\Rollcall",
        r"%ProgramData%\Rollcall",
        "%TEMP%",
    ];
    for code in code(&guides) {
        for path in code
            .split('"')
            .flat_map(|part| part.split(' '))
            .filter(|part| part.starts_with('%'))
        {
            assert!(
                known.iter().any(|known| path.starts_with(known)),
                "nothing lies in {path}"
            );
        }
    }

    let mac: String = ["jamf", "munki", "mosyle"]
        .map(|name| read(&format!("deploy/guides/{name}.md")))
        .concat();
    let packaging = read("deploy/packaging/flatpkg.py");
    let paths = mac
        .split(['`', ' ', '\n'])
        .filter_map(|word| word.strip_prefix("/usr/local/"));
    let paths: BTreeSet<&str> = paths.collect();
    assert_eq!(paths.len(), 2, "{paths:?}");
    for path in paths {
        let packed = format!("\"usr/local/{path}\"");
        assert!(
            packaging.contains(&packed),
            "/usr/local/{path} is in no package"
        );
    }
    let daemon = read("deploy/macos/org.rollcall.agent.plist");
    for (told, file) in [
        ("org.rollcall.agent", daemon),
        (
            "/Library/Application Support/Rollcall",
            read("agent/src/config.rs"),
        ),
        (
            "/Library/Managed Preferences/org.rollcall.agent.plist",
            read("agent/src/settings/policy.rs"),
        ),
    ] {
        assert!(mac.contains(told) && file.contains(told), "{told}");
    }
}
