//! Every dependency's licence lets a school use, change and pass on Rollcall.

use std::process::Command;

use serde_json::Value;

/// Licences that may be in the product, and what each asks for.
const ALLOWED: &[(&str, &str)] = &[
    ("0BSD", "asks for nothing"),
    ("Apache-2.0", "Rollcall's own"),
    (
        "Apache-2.0 WITH LLVM-exception",
        "Apache-2.0 with fewer duties",
    ),
    ("BSD-2-Clause", "asks for its notice"),
    ("BSD-3-Clause", "asks for its notice"),
    ("BSL-1.0", "asks for its notice in source form only"),
    (
        "CC0-1.0",
        "asks for nothing and grants no patents: tiny-keccak, which no build for Linux has",
    ),
    (
        "CDLA-Permissive-2.0",
        "of data (Mozilla's list of authorities): asks for its text",
    ),
    ("ISC", "asks for its notice"),
    ("MIT", "asks for its notice"),
    ("Unicode-3.0", "of Unicode's tables: asks for its notice"),
    ("Unlicense", "asks for nothing"),
    ("Zlib", "asks not to be misrepresented"),
];

#[test]
fn every_dependency_may_be_used_and_passed_on() {
    let wrong: Vec<String> = packages()
        .iter()
        .filter_map(|package| {
            let name = package["name"].as_str().unwrap();
            let licence = package["license"].as_str().unwrap_or("none");
            (!allows(licence)).then(|| format!("{name}: {licence}"))
        })
        .collect();
    assert!(wrong.is_empty(), "licences outside the list: {wrong:#?}");
}

#[test]
fn every_dependency_comes_from_the_registry_or_the_house() {
    for package in packages() {
        let source = package["source"]
            .as_str()
            .unwrap_or("registry+ of the house");
        assert!(
            source.starts_with("registry+"),
            "{}: {source}",
            package["name"]
        );
    }
}

#[test]
fn the_list_for_cargo_deny_is_the_same() {
    let deny = include_str!("../../.cargo/deny.toml");
    let start = deny
        .find("\nallow = [")
        .expect("deny.toml has a list of licences");
    let list = &deny[start..start + deny[start..].find("\n]").unwrap()];
    let there: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let here: Vec<&str> = ALLOWED.iter().map(|(licence, _)| *licence).collect();
    assert_eq!(there, here);
}

#[test]
fn a_licence_expression_is_read_as_spdx_has_it() {
    assert!(allows("MIT OR GPL-3.0-only"));
    assert!(allows("MIT/Apache-2.0"));
    assert!(allows("(MIT OR GPL-3.0-only) AND Unicode-3.0"));
    assert!(allows("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only"));
    assert!(!allows("MIT AND GPL-3.0-only"));
    assert!(!allows("GPL-3.0-only"));
    assert!(!allows("none"));
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {text}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// Whether an SPDX expression can be met from the list: one side of each OR, both of each AND.
fn allows(expression: &str) -> bool {
    let text = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(" WITH ", "\u{a0}WITH\u{a0}");
    let words: Vec<&str> = text.split([' ']).filter(|word| !word.is_empty()).collect();
    let (met, rest) = any_of(&words);
    met && rest.is_empty()
}

fn any_of<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = all_of(words);
    while let Some((&"OR", after)) = rest.split_first() {
        let (other, left) = all_of(after);
        (met, rest) = (met || other, left);
    }
    (met, rest)
}

fn all_of<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words);
    while let Some((&"AND", after)) = rest.split_first() {
        let (other, left) = one(after);
        (met, rest) = (met && other, left);
    }
    (met, rest)
}

fn one<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    match words.split_first() {
        Some((&"(", inner)) => {
            let (met, rest) = any_of(inner);
            (met, rest.split_first().map_or(rest, |(_, after)| after))
        }
        Some((licence, rest)) => {
            let licence = licence.replace('\u{a0}', " ");
            (ALLOWED.iter().any(|(allowed, _)| *allowed == licence), rest)
        }
        None => (false, words),
    }
}
