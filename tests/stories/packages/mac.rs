//! The flat package of macOS, opened here. Its program stands in for one of a Mac: nothing runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rollcall_tests::rig;
use rollcall_tests::rig::process;
use rollcall_tests::rig::repository;

use super::deb::tree;
use super::{BUILDING, package};

#[test]
fn a_package_for_macos_opens_and_holds_what_it_should() {
    let folder = rig::folder();
    let program = folder.path().join("rollcall-agent");
    fs::write(&program, "a program for a Mac").unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    for out in [&one, &two] {
        let binary = program.to_string_lossy();
        let _ = package(folder.path(), out, &["pkg", "--binary", &binary]).success();
    }
    let name = format!("rollcall-agent-{}.pkg", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        fs::read(one.join(&name)).unwrap(),
        fs::read(two.join(&name)).unwrap()
    );
    let Some(tar) = rig::program("bsdtar") else {
        return rig::skip(
            "opening the .pkg",
            "`bsdtar` is not installed (libarchive-tools)",
        );
    };
    let open = |archive: &Path, to: &str| {
        let to = folder.path().join(to);
        fs::create_dir(&to).unwrap();
        let mut command = Command::new(&tar);
        command.arg("-xf").arg(archive).arg("-C").arg(&to);
        let _ = process::run(&mut command, BUILDING).success();
        to
    };
    let opened = open(&one.join(&name), "opened");
    let info = fs::read_to_string(opened.join("PackageInfo")).unwrap();
    assert!(info.contains("identifier=\"org.rollcall.agent\"") && info.contains("./postinstall"));
    let payload = open(&opened.join("Payload"), "payload");
    assert_eq!(
        fs::read(payload.join("usr/local/bin/rollcall-agent")).unwrap(),
        fs::read(&program).unwrap()
    );
    let daemon =
        fs::read_to_string(payload.join("Library/LaunchDaemons/org.rollcall.agent.plist")).unwrap();
    assert!(daemon.contains("<string>/usr/local/bin/rollcall-agent</string>"));
    let scripts = open(&opened.join("Scripts"), "scripts");
    for script in [
        scripts.join("preinstall"),
        scripts.join("postinstall"),
        payload.join("usr/local/rollcall/uninstall"),
    ] {
        let _ = process::run(Command::new("sh").arg("-n").arg(&script), BUILDING).success();
    }
    let bill = paths_of(&fs::read(opened.join("Bom")).unwrap());
    let mut find = Command::new("find");
    find.arg(".").current_dir(&payload);
    let mut found: Vec<String> = process::run(&mut find, BUILDING)
        .success()
        .lines()
        .map(str::to_owned)
        .collect();
    let mut listed = bill;
    found.sort();
    listed.sort();
    assert_eq!(listed, found, "the bill lists what is in the payload");

    // The uninstall script, on a tree of its own.
    for kept in ["Library/Application Support/Rollcall/identity", "var/log"] {
        fs::create_dir_all(payload.join(kept)).unwrap();
    }
    let uninstall = |options: &[&str]| {
        let mut command = Command::new("sh");
        command
            .arg(repository().join("deploy/macos/uninstall"))
            .args(options);
        process::run(command.env("ROLLCALL_PREFIX", &payload), BUILDING)
    };
    if !rig::is_root() {
        return rig::skip(
            "the uninstall script of macOS",
            "it wants root, as on a Mac",
        );
    }
    let _ = uninstall(&["--keep-data"]).success();
    assert!(!payload.join("usr/local/bin/rollcall-agent").exists());
    assert!(
        payload
            .join("Library/Application Support/Rollcall/identity")
            .exists()
    );
    let _ = uninstall(&[]).success();
    assert!(
        !payload
            .join("Library/Application Support/Rollcall")
            .exists()
    );
    assert_eq!(uninstall(&["--all"]).status.code(), Some(2));
}

/// By a launchctl that only tells how it was called: what it does is for a Mac to show.
#[test]
fn scripts_of_the_package_for_macos_stop_and_start_the_daemon() {
    let folder = rig::folder();
    let Some(tree) = tree("the scripts of the .pkg", folder.path()) else {
        return;
    };
    for script in ["preinstall", "postinstall"] {
        let ours = repository().join("deploy/macos/scripts").join(script);
        fs::copy(ours, tree.path("/var/tmp").join(script)).unwrap();
    }
    let launchctl = tree.path("/usr/bin/launchctl");
    fs::write(
        &launchctl,
        "#!/bin/sh\necho \"$*\" >> /var/tmp/calls\nexit ${FAILS:-0}\n",
    )
    .unwrap();
    fs::set_permissions(&launchctl, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |script: &str, volume: &str, fails: &str| {
        let words = [
            "sh",
            &format!("/var/tmp/{script}"),
            "agent.pkg",
            volume,
            volume,
            "/",
        ];
        let _ = tree.run_with(&words, &[("FAILS", fails)]).success();
        let calls = fs::read_to_string(tree.path("/var/tmp/calls")).unwrap_or_default();
        let _ = fs::remove_file(tree.path("/var/tmp/calls"));
        calls
    };
    let data = "Library/Application Support/Rollcall";
    let stops = "bootout system/org.rollcall.agent\n";
    let starts = "bootstrap system /Library/LaunchDaemons/org.rollcall.agent.plist\n";
    assert_eq!(run("preinstall", "/", "0"), stops);
    assert_eq!(run("preinstall", "/", "1"), stops, "there was none to stop");
    assert_eq!(run("postinstall", "/", "0"), starts);
    let mode = fs::metadata(tree.path(data)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // A daemon that does not start now starts with the Mac: no reason for a half-installed state.
    assert!(run("postinstall", "/", "1").starts_with(starts));
    assert_eq!(
        run("postinstall", "/Volumes/Image", "0"),
        "",
        "another volume"
    );
    assert!(tree.path("/Volumes/Image").join(data).is_dir());
}

/// Both are property lists, the daemon's program is the package's, and the settings are those that are read.
#[test]
fn property_lists_for_macos_are_sound() {
    let script = "import plistlib, sys\n\
         daemon, profile = (plistlib.load(open(name, 'rb')) for name in sys.argv[1:])\n\
         assert daemon['Label'] == 'org.rollcall.agent' and daemon['RunAtLoad'] and daemon['KeepAlive']\n\
         assert daemon['ProgramArguments'] == ['/usr/local/bin/rollcall-agent', 'run'], daemon\n\
         assert profile['PayloadType'] == 'Configuration' and profile['PayloadScope'] == 'System'\n\
         values = [one for one in profile['PayloadContent'] if one['PayloadType'] == 'org.rollcall.agent'][0]\n\
         print(*sorted(key for key in values if not key.startswith('Payload')))\n";
    let mac = repository().join("deploy/macos");
    let mut command = Command::new("python3");
    command.args(["-c", script]);
    command.args([
        mac.join("org.rollcall.agent.plist"),
        mac.join("rollcall-agent.mobileconfig"),
    ]);
    let settings = process::run(&mut command, BUILDING).success();
    assert_eq!(settings.trim(), "Collector Token");
    let read = fs::read_to_string(repository().join("agent/src/settings.rs")).unwrap();
    for name in settings.split_whitespace() {
        assert!(
            read.contains(&format!("\"{name}\")")),
            "the agent reads no {name}"
        );
    }
}

#[test]
fn a_package_for_macos_is_refused_without_a_program_for_a_mac() {
    let folder = rig::folder();
    let said = package(folder.path(), &folder.path().join("out"), &["pkg"]).failure();
    assert!(said.contains("--binary FILE"), "{said}");
}

/// Every path that a bill of materials lists; see packaging/bom.py for its form.
fn paths_of(bill: &[u8]) -> Vec<String> {
    let word = |at: usize| u32::from_be_bytes(bill[at..at + 4].try_into().unwrap()) as usize;
    let half = |at: usize| usize::from(u16::from_be_bytes(bill[at..at + 2].try_into().unwrap()));
    assert_eq!(&bill[..8], b"BOMStore");
    let (index, variables) = (word(16), word(24));
    let block = |number: usize| word(index + 4 + 8 * number);
    let mut at = variables + 4;
    let mut tree = None;
    for _ in 0..word(variables) {
        let length = usize::from(bill[at + 4]);
        if &bill[at + 5..at + 5 + length] == b"Paths" {
            tree = Some(block(word(at)));
        }
        at += 5 + length;
    }
    let leaf = block(word(tree.expect("there are paths") + 8));
    let mut paths: Vec<String> = Vec::new();
    for entry in 0..half(leaf + 2) {
        let file = block(word(leaf + 12 + 8 * entry + 4));
        let name: Vec<u8> = bill[file + 4..]
            .iter()
            .copied()
            .take_while(|&byte| byte != 0)
            .collect();
        let name = String::from_utf8(name).unwrap();
        paths.push(match word(file) {
            0 => name,
            parent => format!("{}/{name}", paths[parent - 1]),
        });
    }
    paths
}
