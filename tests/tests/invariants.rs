//! Invariants of the source that no type can hold: who may name what, and that every limit is used.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 5] = ["agent", "collector", "proto", "shared", "tests"];

struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every Rust file of the workspace, with its path from the workspace's root.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for name in CRATES {
        walk(&root().join(name), &mut found);
    }
    assert!(
        found.len() > 40,
        "only {} files found: the walk is broken",
        found.len()
    );
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path
                .strip_prefix(root())
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            found.push(Source { path, text });
        }
    }
}

/// The files outside `allowed` whose code (comments aside) has `word`.
fn offenders(word: &str, allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let speaks = |text: &str| {
        text.lines()
            .any(|line| !line.trim_start().starts_with("//") && line.contains(word))
    };
    let this = file!().replace('\\', "/");
    sources()
        .into_iter()
        .filter(|source| source.path != this && !allowed(&source.path) && speaks(&source.text))
        .map(|source| source.path)
        .collect()
}

#[test]
fn only_the_store_names_sled() {
    let allowed =
        |path: &str| path == "collector/src/store.rs" || path.starts_with("collector/src/store/");
    assert_eq!(offenders("sled::", allowed), [] as [&str; 0]);
}

#[test]
fn agent_and_collector_do_not_know_each_other() {
    let agent = fs::read_to_string(root().join("agent/Cargo.toml")).unwrap();
    let collector = fs::read_to_string(root().join("collector/Cargo.toml")).unwrap();
    assert!(!agent.contains("rollcall-collector") && !collector.contains("rollcall-agent"));
    let shared = fs::read_to_string(root().join("shared/Cargo.toml")).unwrap();
    assert!(
        ["proto", "agent", "collector"]
            .iter()
            .all(|name| !shared.contains(&format!("rollcall-{name}")))
    );
}

#[test]
fn unsafe_code_stands_in_platform_files_only() {
    let platform = |path: &str| {
        ["linux", "macos", "unix", "windows"].iter().any(|name| {
            path.ends_with(&format!("{name}.rs")) || path.contains(&format!("/{name}/"))
        })
    };
    assert_eq!(offenders("unsafe ", platform), [] as [&str; 0]);
}

#[test]
fn clocks_are_read_in_one_file() {
    for word in ["SystemTime::now", "Instant::now"] {
        assert_eq!(
            offenders(word, |path| path == "shared/src/time.rs"),
            [] as [&str; 0]
        );
    }
}

#[test]
fn modules_have_files_of_their_own_name() {
    let named_mod: Vec<String> = sources()
        .into_iter()
        .map(|s| s.path)
        .filter(|path| path.ends_with("/mod.rs"))
        .collect();
    assert_eq!(named_mod, [] as [&str; 0]);
    let vague = [
        "utils", "util", "helpers", "helper", "common", "manager", "misc",
    ];
    let stem = |path: &str| {
        Path::new(path)
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let vague: Vec<String> = sources()
        .into_iter()
        .map(|s| s.path)
        .filter(|p| vague.contains(&&*stem(p)))
        .collect();
    assert_eq!(vague, [] as [&str; 0]);
}

#[test]
fn nothing_is_left_unfinished_or_switched_off() {
    for word in ["todo!(", "unimplemented!(", "#[ignore", "FIXME"] {
        assert_eq!(offenders(word, |_| false), [] as [&str; 0]);
    }
}

#[test]
fn every_limit_is_used() {
    let all = sources();
    let limits = all
        .iter()
        .find(|source| source.path == "shared/src/limits.rs")
        .unwrap();
    let names = limits.text.lines().filter_map(|line| {
        line.strip_prefix("pub const ")?
            .split_once(':')
            .map(|(name, _)| name.to_owned())
    });
    let unused: Vec<String> = names
        .filter(|name| {
            !all.iter().any(|source| {
                source.path != limits.path && source.text.contains(&format!("limits::{name}"))
            })
        })
        .collect();
    assert_eq!(unused, [] as [&str; 0]);
}

/// Each metric of the catalogue is either collected by some probe or worked out by the collector.
#[test]
fn every_metric_is_used() {
    let all = sources();
    let catalogue = all
        .iter()
        .find(|source| source.path == "shared/src/metric.rs")
        .unwrap();
    let names = catalogue.text.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(" = ")?;
        let constant = name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        (constant && rest.starts_with(|c: char| c.is_ascii_digit())).then(|| name.to_owned())
    });
    let names: Vec<String> = names.collect();
    assert!(names.len() > 80, "only {} metrics found", names.len());
    let unused: Vec<String> = names
        .into_iter()
        .filter(|name| {
            !all.iter()
                .any(|source| source.path != catalogue.path && source.text.contains(name.as_str()))
        })
        .collect();
    assert_eq!(unused, [] as [&str; 0]);
}

/// What is served and not described is found by nobody, and what is described and not served misleads.
#[test]
fn every_address_of_the_json_api_is_described() {
    let sources = sources();
    let texts = |folder: &str, mark: &str| -> std::collections::BTreeSet<String> {
        let here = sources.iter().filter(|s| s.path.starts_with(folder));
        let found = here.flat_map(|source| source.text.split(mark).skip(1));
        let text = found.filter_map(|rest| rest.split_once('"').map(|(text, _)| text.to_owned()));
        text.filter(|text| text.starts_with("/api/v1/")).collect()
    };
    let folder = "collector/src/query/http";
    let served = texts(folder, ".route(\"");
    let mut with_breaks = texts(folder, ".route(\n            \"");
    with_breaks.extend(served);
    let described = texts("collector/src/query/http/openapi", "path: \"");
    assert!(described.len() >= 9, "the walk is broken");
    assert_eq!(
        with_breaks, described,
        "left: the addresses of `.route(…)`; right: those of `ENDPOINTS` in query/http/openapi.rs, \
         where each needs an entry with its role, parameters and answer"
    );
}
