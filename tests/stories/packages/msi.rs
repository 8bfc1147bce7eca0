//! The installer for Windows, looked into here: its tables, and the same bytes twice. Its program stands in for the
//! real one: nothing runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use rollcall_agent::settings::policy::REGISTRY_KEY;
use rollcall_tests::rig;
use rollcall_tests::rig::process;

use super::{BUILDING, NEXT, package};

#[test]
fn a_package_for_windows_has_the_tables_that_it_should() {
    for tool in ["wixl", "msibuild", "msiinfo", "x86_64-w64-mingw32-gcc"] {
        if rig::program(tool).is_none() {
            return rig::skip(
                "the installer for Windows",
                &format!("`{tool}` is not installed"),
            );
        }
    }
    let folder = rig::folder();
    fs::write(
        folder.path().join("rollcall-agent.exe"),
        "a program for Windows",
    )
    .unwrap();
    let make = |out: &str, options: &[&str]| {
        let out = folder.path().join(out);
        let _ = package(folder.path(), &out, &[&["msi"], options].concat()).success();
        super::one(&out, "rollcall-agent-", ".msi")
    };
    let (one, two) = (make("one", &[]), make("two", &[]));
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());

    let properties = table(&one, "Property");
    let value = |name: &str| {
        let line = properties.iter().find(|line| line[0] == name);
        line.unwrap_or_else(|| panic!("no {name}"))[1].clone()
    };
    assert_eq!(value("MsiHiddenProperties"), "TOKEN;TakeToken");
    assert_eq!(value("ALLUSERS"), "1", "per machine");
    assert_eq!(value("ProductVersion"), env!("CARGO_PKG_VERSION"));
    for property in ["COLLECTOR", "TOKEN", "KEEPDATA"] {
        assert!(
            value("SecureCustomProperties").contains(property),
            "{property}"
        );
    }
    let service = &table(&one, "ServiceInstall")[0];
    assert_eq!(service[1], "rollcall-agent");
    assert!(service[10].starts_with("service run --data"), "{service:?}");
    let actions = table(&one, "CustomAction");
    let kind = |name: &str| actions.iter().find(|line| line[0] == name).unwrap()[1].clone();
    // In a DLL, deferred, as the system, its data in no log.
    assert_eq!(
        (kind("TakeToken"), kind("ForgetData")),
        ("11265".to_owned(), "11265".to_owned())
    );
    assert_eq!(
        (kind("SetToken"), kind("KeepCollector")),
        ("51".to_owned(), "51".to_owned())
    );
    assert_eq!(kind("SettleService"), "11265");
    assert_eq!(kind("MarkUpdate"), "65");
    let order = table(&one, "InstallExecuteSequence");
    let at = |name: &str| {
        let line = order.iter().find(|line| line[0] == name);
        line.unwrap_or_else(|| panic!("no {name}"))[2]
            .parse::<u32>()
            .unwrap()
    };
    let rises = |names: &[&str]| assert!(names.is_sorted_by_key(|name| at(name)), "{names:?}");
    // The old version goes within the transaction that puts it back where the new one fails.
    rises(&[
        "InstallInitialize",
        "RemoveExistingProducts",
        "InstallFiles",
    ]);
    rises(&["InstallServices", "SettleService", "StartServices"]);
    rises(&[
        "SetToken",
        "TakeToken",
        "InstallFinalize",
        "ForgetToken",
        "ForgetTakeToken",
    ]);
    let registry: String = table(&one, "Registry").concat().concat();
    assert!(
        !registry.contains("TOKEN"),
        "verbose logs show what the registry is given"
    );

    // Another version is another product of the same family, so that it replaces this one.
    let next = table(&make("next", &["--as-version", NEXT]), "Property");
    let of = |name: &str| next.iter().find(|line| line[0] == name).unwrap()[1].clone();
    assert_eq!(of("UpgradeCode"), value("UpgradeCode"));
    assert_ne!(of("ProductCode"), value("ProductCode"));
}

/// The template for Group Policy and Intune: each text has its words, and each setting is one that the agent reads.
#[test]
fn the_policy_template_is_whole_and_names_settings_that_are_read() {
    let windows = rig::repository().join("deploy/windows");
    let template = fs::read_to_string(windows.join("rollcall-agent.admx")).unwrap();
    let words = fs::read_to_string(windows.join("en-US/rollcall-agent.adml")).unwrap();
    let read = fs::read_to_string(rig::repository().join("agent/src/settings.rs")).unwrap();
    let named = |before: &str, after: char| -> Vec<String> {
        let parts = template.split(before).skip(1);
        parts
            .map(|part| part.split(after).next().unwrap().to_owned())
            .collect()
    };
    let texts = named("$(string.", ')');
    assert!(texts.len() > 6, "{texts:?}");
    for id in texts {
        assert!(
            words.contains(&format!("<string id=\"{id}\">")),
            "no words for {id}"
        );
    }
    for id in named("$(presentation.", ')') {
        assert!(
            words.contains(&format!("<presentation id=\"{id}\">")),
            "no presentation {id}"
        );
    }
    let settings = named("valueName=\"", '"');
    assert!(settings.len() >= 3, "{settings:?}");
    for name in settings {
        assert!(
            read.contains(&format!("\"{name}\")")),
            "the agent reads no {name}"
        );
    }
    for key in named(" key=\"", '"') {
        assert!(
            REGISTRY_KEY.ends_with(&format!("\\{key}")),
            "the agent reads no {key}"
        );
    }
}

/// The rows of a table, without its three lines of head.
fn table(installer: &Path, name: &str) -> Vec<Vec<String>> {
    let mut command = Command::new("msiinfo");
    command.arg("export").arg(installer).arg(name);
    let text = process::run(&mut command, BUILDING).success();
    let cells = |line: &str| {
        line.trim_end_matches('\r')
            .split('\t')
            .map(str::to_owned)
            .collect()
    };
    text.lines().skip(3).map(cells).collect()
}
