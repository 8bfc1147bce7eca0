//! The .deb in a Debian system: installed, updated, refused, removed, installed again, purged, and broken in
//! every way that a Friday afternoon offers.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::system_tree::{self, SystemTree};

use super::built;

const TOKEN: &str = "rc1.c2VjcmV0LXNlY3JldC1zZWNyZXQ.x";

/// The tree, or the reason why this machine has none, told.
pub fn tree(story: &str, folder: &std::path::Path) -> Option<SystemTree> {
    match system_tree::possible() {
        Ok(()) => Some(SystemTree::new(folder)),
        Err(reason) => {
            rig::skip(story, reason);
            None
        }
    }
}

fn preset(tree: &SystemTree) {
    let answers = format!(
        "rollcall-agent rollcall-agent/collector string rollcall.example:443\n\
         rollcall-agent rollcall-agent/token password {TOKEN}\n"
    );
    fs::write(tree.path("/var/tmp/answers"), answers).unwrap();
    let _ = tree
        .run(&["debconf-set-selections", "/var/tmp/answers"])
        .success();
    fs::remove_file(tree.path("/var/tmp/answers")).unwrap();
}

#[test]
fn a_deb_installs_updates_removes_and_purges_in_silence() {
    let folder = rig::folder();
    let Some(tree) = tree("the .deb's life", folder.path()) else {
        return;
    };
    let before = tree.listing();
    preset(&tree);
    let (now, next) = (
        built().now("rollcall-agent_", ".deb"),
        built().next("rollcall-agent_", ".deb"),
    );
    let said = tree.install(&now).success();
    assert!(!said.contains(TOKEN));

    // Both values are where the agent finds them, and the token nowhere else.
    let settings = fs::read_to_string(tree.path("/etc/rollcall/agent.env")).unwrap();
    assert!(
        settings.contains("\nROLLCALL_COLLECTOR=rollcall.example:443\n"),
        "{settings}"
    );
    let token = tree.path("/var/lib/rollcall-agent/token");
    assert_eq!(fs::read_to_string(&token).unwrap().trim(), TOKEN);
    let seen = fs::metadata(&token).unwrap();
    assert_eq!(seen.permissions().mode() & 0o777, 0o600);
    assert_ne!(seen.uid(), 0, "it is the agent's own");
    let mut find = Command::new("grep");
    find.args(["-rl", TOKEN])
        .args(["etc", "var", "usr"].map(|top| tree.path(top)));
    let holders = rig::process::run(&mut find, PATIENCE).stdout;
    assert_eq!(holders.trim(), token.to_string_lossy());
    let enabled = "/etc/systemd/system/multi-user.target.wants/rollcall-agent.service";
    assert!(
        tree.path(enabled).is_symlink(),
        "enabled without a running systemd"
    );
    let help = tree.run(&["/usr/bin/rollcall-agent", "version"]).success();
    assert!(help.starts_with("rollcall-agent "));

    // What the administrator changed, and what the agent keeps, outlive an update.
    fs::remove_file(tree.path(enabled)).unwrap();
    fs::write(
        tree.path("/var/lib/rollcall-agent/identity-stand-in"),
        "kept",
    )
    .unwrap();
    let _ = tree.install(&next).success();
    assert!(
        !tree.path(enabled).is_symlink(),
        "what was disabled stays so"
    );
    let refused = tree.install(&now).failure();
    assert!(refused.contains("is older"), "{refused}");
    let version = tree.run(&[
        "dpkg-query",
        "-W",
        "-f",
        "${Version} ${Status}",
        "rollcall-agent",
    ]);
    assert_eq!(
        version.success(),
        format!("{} install ok installed", super::NEXT)
    );

    let _ = tree.run(&["dpkg", "--remove", "rollcall-agent"]).success();
    assert!(!tree.path("/usr/bin/rollcall-agent").exists());
    assert!(
        tree.path("/var/lib/rollcall-agent/identity-stand-in")
            .exists()
    );
    assert!(tree.path("/etc/rollcall/agent.env").exists());
    let _ = tree.install(&next).success();
    assert!(
        tree.path("/var/lib/rollcall-agent/identity-stand-in")
            .exists()
    );
    let _ = tree.run(&["dpkg", "--purge", "rollcall-agent"]).success();
    assert_eq!(difference(&before, &tree.listing()), Vec::<String>::new());
}

#[test]
fn a_deb_that_was_interrupted_is_mended_by_the_next_try() {
    let folder = rig::folder();
    let Some(tree) = tree("the .deb interrupted", folder.path()) else {
        return;
    };
    let package = built().now("rollcall-agent_", ".deb");
    fs::copy(&package, tree.path("/var/tmp/agent.deb")).unwrap();
    let mut cut = 0;
    for after_ms in [15, 60, 150, 400, 900] {
        let mut command = Command::new("setsid");
        command.arg("chroot").arg(&tree.root);
        command.args(["dpkg", "--install", "/var/tmp/agent.deb"]);
        cut += u32::from(is_cut(&mut command, after_ms));
        // What a deployment tool does next: the same once more.
        let _ = tree.run(&["dpkg", "--configure", "-a"]);
        let _ = tree
            .run(&["dpkg", "--install", "/var/tmp/agent.deb"])
            .success();
        assert_eq!(tree.run(&["dpkg", "--audit"]).success(), "");
        let _ = tree.run(&["/usr/bin/rollcall-agent", "version"]).success();
        let _ = tree.run(&["dpkg", "--purge", "rollcall-agent"]).success();
    }
    assert!(cut > 0, "no try was fast enough to cut anything");
}

#[test]
fn a_deb_waits_for_another_program_that_adds_a_user() {
    let folder = rig::folder();
    let Some(tree) = tree("the .deb beside another program", folder.path()) else {
        return;
    };
    let mut other = Command::new("sleep").arg("2").spawn().unwrap();
    fs::write(tree.path("/etc/passwd.lock"), other.id().to_string()).unwrap();
    let end = std::thread::spawn(move || other.wait());
    let package = built().now("rollcall-agent_", ".deb");
    let installed = tree.install(&package);
    assert!(end.join().unwrap().unwrap().success());
    assert!(
        installed.stderr.contains("passwd.lock already used"),
        "nothing was in the way: {}",
        installed.stderr
    );
    let _ = installed.success();
    let _ = tree.run(&["/usr/bin/rollcall-agent", "version"]).success();
}

#[test]
fn a_deb_meets_a_read_only_usr_and_a_full_disk() {
    let folder = rig::folder();
    let Some(mut tree) = tree("the .deb on bad disks", folder.path()) else {
        return;
    };
    let package = built().now("rollcall-agent_", ".deb");
    let before = tree.listing();
    tree.make_read_only("/usr");
    let said = tree.install(&package).failure();
    assert!(said.contains("Read-only file system"), "{said}");
    tree.unmount();
    let _ = tree.install(&package).success();
    let _ = tree.run(&["dpkg", "--purge", "rollcall-agent"]).success();
    assert_eq!(difference(&before, &tree.listing()), Vec::<String>::new());

    // Too little room for what the agent keeps: its configuration fails, and is finished later.
    preset(&tree);
    tree.mount("tmpfs", "size=4k,mode=0755", "/var/lib/rollcall-agent");
    fs::write(tree.path("/var/lib/rollcall-agent/fill"), [0; 4096]).unwrap();
    let full = tree.install(&package);
    assert!(!full.status.success(), "{}{}", full.stdout, full.stderr);
    tree.unmount();
    let _ = tree.run(&["dpkg", "--configure", "-a"]).success();
    let token = fs::read_to_string(tree.path("/var/lib/rollcall-agent/token")).unwrap();
    assert_eq!(
        token.trim(),
        TOKEN,
        "the preset token was not lost on the way"
    );
}

#[test]
fn a_deb_of_the_collector_installs_and_purges_and_keeps_backups() {
    let folder = rig::folder();
    let Some(tree) = tree("the collector's .deb", folder.path()) else {
        return;
    };
    let before = tree.listing();
    let package = built().now("rollcall-collector_", ".deb");
    let _ = tree.install(&package).success();
    let config = ["check-config", "--config", "/etc/rollcall/collector.toml"];
    let _ = tree
        .run(&[&["/usr/bin/rollcall-collector"], &config[..]].concat())
        .success();
    let init = [
        "chroot",
        "--userspec=rollcall-collector:rollcall-collector",
        "/",
        "/usr/bin/rollcall-collector",
        "init",
        "--data",
        "/var/lib/rollcall-collector",
        "--name",
        "rollcall.example",
    ];
    let _ = tree.run(&init).success();
    let backup = [
        "chroot",
        "--userspec=rollcall-collector:rollcall-collector",
        "/",
        "/usr/bin/rollcall-collector",
        "backup",
        "--data",
        "/var/lib/rollcall-collector",
        "--out",
        "/var/lib/rollcall-collector-backup",
        "--keep",
        "14",
    ];
    let _ = tree.run(&backup).success();
    let _ = tree
        .run(&["dpkg", "--purge", "rollcall-collector"])
        .success();
    let left = difference(&before, &tree.listing());
    assert!(!left.is_empty(), "a backup is kept");
    let is_backup = |line: &String| {
        line.contains("rollcall-collector-backup")
            || line.starts_with("+ etc/")
            || line.starts_with("- etc/")
    };
    assert!(left.iter().all(is_backup), "{left:#?}");
}

#[test]
fn debian_packages_are_as_dpkg_wants_them() {
    if rig::program("dpkg-deb").is_none() {
        return rig::skip(
            "what dpkg-deb says of the .deb",
            "`dpkg-deb` is not installed",
        );
    }
    for name in ["rollcall-agent_", "rollcall-collector_"] {
        let mut command = Command::new("dpkg-deb");
        command.arg("--contents").arg(built().now(name, ".deb"));
        let listed = rig::process::run(&mut command, Duration::from_secs(60)).success();
        assert!(
            listed.lines().all(|line| line.contains("root/root")),
            "{listed}"
        );
        let mut command = Command::new("dpkg-deb");
        command
            .arg("--field")
            .arg(built().now(name, ".deb"))
            .arg("Depends");
        let depends = rig::process::run(&mut command, Duration::from_secs(60)).success();
        let known = |part: &str| {
            ["libc6", "libgcc-s1", "passwd"].contains(&part.trim().split(' ').next().unwrap())
        };
        assert!(depends.split(',').all(known), "{depends}");
    }
}

/// Starts a command in a session of its own and kills all of it after so long; whether it was still at work.
pub fn is_cut(command: &mut Command, after_ms: u64) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let waited = rig::patience::since_boot();
    eventually("the moment of the cut", PATIENCE, || {
        let passed = rig::patience::since_boot().since(waited);
        require(passed >= Duration::from_millis(after_ms), || {
            "not yet".to_owned()
        })
    });
    let at_work = child.try_wait().unwrap().is_none();
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    let _ = child.wait();
    // A member that is still dying holds locks of its own, which the next try would meet.
    eventually("the end of all that was cut", PATIENCE, || {
        let lives = Command::new("kill").args(["-0", "--", &group]).output();
        require(!lives.unwrap().status.success(), || {
            format!("some of {group} are left")
        })
    });
    at_work
}

/// Lines of one listing alone, marked as diff does.
pub fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before.iter().filter(|line| !after.contains(line));
    let fresh = after.iter().filter(|line| !before.contains(line));
    gone.map(|line| format!("- {line}"))
        .chain(fresh.map(|line| format!("+ {line}")))
        .collect()
}
