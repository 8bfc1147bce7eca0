//! The .rpm by rpm's own hand, in a root of its own. That root is a Debian system, since no other can be had
//! here: so dependencies are looked at, and not resolved.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::process::{self, Finished};
use rollcall_tests::rig::system_tree::SystemTree;

use super::built;
use super::deb::tree;

const STEP: Duration = Duration::from_secs(120);

fn rpm(tree: &SystemTree, options: &[&str], package: &Path) -> Finished {
    let mut command = Command::new("rpm");
    command.arg("--root").arg(&tree.root).args(options);
    process::run(command.arg(package), STEP)
}

#[test]
fn an_rpm_installs_updates_and_erases_in_silence() {
    if rig::program("rpm").is_none() || rig::program("rpmbuild").is_none() {
        return rig::skip("the .rpm's life", "`rpm` is not installed");
    }
    let folder = rig::folder();
    let Some(mut tree) = tree("the .rpm's life", folder.path()) else {
        return;
    };
    let now = built().now("rollcall-agent-", ".x86_64.rpm");
    let next = built().next("rollcall-agent-", ".x86_64.rpm");
    let install = ["--install", "--nodeps"];
    let update = ["--upgrade", "--nodeps"];

    tree.make_read_only("/usr");
    let read_only = rpm(&tree, &install, &now);
    assert!(!read_only.status.success());
    tree.unmount();
    let _ = rpm(&tree, &install, &now).success();
    let enabled = tree.path("/etc/systemd/system/multi-user.target.wants/rollcall-agent.service");
    assert!(enabled.is_symlink());
    let users = fs::read_to_string(tree.path("/etc/passwd")).unwrap();
    assert!(users.contains("\nrollcall-agent:"), "{users}");
    let _ = tree.run(&["/usr/bin/rollcall-agent", "version"]).success();

    let kept = tree.path("/var/lib/rollcall-agent/identity-stand-in");
    fs::write(&kept, "kept").unwrap();
    fs::write(
        tree.path("/etc/rollcall/agent.env"),
        "ROLLCALL_COLLECTOR=h:1\nROLLCALL_TOKEN=rc1.a.b\n",
    )
    .unwrap();
    let _ = tree
        .run(&["/usr/lib/rollcall-agent/setup", "before-start"])
        .success();
    let settings = fs::read_to_string(tree.path("/etc/rollcall/agent.env")).unwrap();
    assert_eq!(
        settings, "ROLLCALL_COLLECTOR=h:1\n",
        "the token was handed over"
    );
    let token = fs::read_to_string(tree.path("/var/lib/rollcall-agent/token")).unwrap();
    assert_eq!(token, "rc1.a.b\n");

    let _ = rpm(&tree, &update, &next).success();
    let older = rpm(&tree, &update, &now).failure();
    assert!(older.contains("is already installed"), "{older}");
    let _ = rpm(&tree, &["--erase", "--nodeps"], Path::new("rollcall-agent")).success();
    assert!(kept.exists() && tree.path("/etc/rollcall/agent.env").exists());
    assert!(!enabled.is_symlink() && !tree.path("/usr/bin/rollcall-agent").exists());
    assert!(!tree.path("/usr/lib/rollcall-agent").exists());
    let _ = rpm(&tree, &install, &next).success();
    assert!(kept.exists());
    let _ = rpm(
        &tree,
        &["--verify", "--nodeps"],
        Path::new("rollcall-agent"),
    )
    .success();
}

#[test]
fn an_rpm_package_needs_nothing_that_a_minimal_system_lacks() {
    if rig::program("rpm").is_none() || rig::program("rpmbuild").is_none() {
        return rig::skip("what the .rpm needs", "`rpm` is not installed");
    }
    let known = [
        "/bin/sh",
        "/usr/sbin/useradd",
        "libc.so.6",
        "libgcc_s.so.1",
        "libm.so.6",
        "ld-linux-x86-64.so.2",
        "rpmlib(",
        "config(",
        "rtld(",
    ];
    for name in ["rollcall-agent-", "rollcall-collector-"] {
        let mut command = Command::new("rpm");
        command
            .args(["--query", "--requires", "--package"])
            .arg(built().now(name, ".x86_64.rpm"));
        let needs = process::run(&mut command, STEP).success();
        let strange = needs
            .lines()
            .find(|line| !known.iter().any(|known| line.starts_with(known)));
        assert_eq!(strange, None, "{needs}");
    }
}
