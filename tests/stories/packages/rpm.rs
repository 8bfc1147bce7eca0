//! The .rpm by rpm's own hand, in a root of its own. That root is a Debian system, since no other can be had
//! here: so dependencies are looked at, and not resolved.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::patience::{eventually, require, wall_clock};
use rollcall_tests::rig::process::{self, Finished};
use rollcall_tests::rig::system_tree::SystemTree;

use super::built;
use super::deb::{difference, is_cut, tree};

const STEP: Duration = Duration::from_secs(120);

fn rpm(tree: &SystemTree, options: &[&str], package: &Path) -> Finished {
    let mut command = Command::new("rpm");
    command.arg("--root").arg(&tree.root).args(options);
    process::run(command.arg(package), STEP)
}

/// Whether there is rpm here; if not, that is told.
pub fn possible(story: &str) -> bool {
    let there = rig::program("rpm").is_some() && rig::program("rpmbuild").is_some();
    if !there {
        rig::skip(story, "`rpm` is not installed");
    }
    there
}

/// Installs a package as a deployment tool does that does not know what is there already.
pub fn install(tree: &SystemTree, package: &Path) -> Finished {
    rpm(tree, &["--upgrade", "--replacepkgs", "--nodeps"], package)
}

fn erase(tree: &SystemTree) -> Finished {
    rpm(tree, &["--erase", "--nodeps"], Path::new("rollcall-agent"))
}

#[test]
fn an_rpm_installs_updates_and_erases_in_silence() {
    if !possible("the .rpm's life") {
        return;
    }
    let folder = rig::folder();
    let Some(mut tree) = tree("the .rpm's life", folder.path()) else {
        return;
    };
    let before = tree.listing();
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
    let _ = erase(&tree).success();
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

    // An rpm knows no purge: the README has the three commands, and nothing is left.
    let _ = erase(&tree).success();
    let page = fs::read_to_string(rig::repository().join("deploy/linux/README.md")).unwrap();
    let block = page.split("\n    rpm -e rollcall-agent\n").nth(1).unwrap();
    let by_hand = block.split("\n\n").next().unwrap();
    assert!(by_hand.contains("userdel"), "{by_hand}");
    let _ = tree.run(&["sh", "-euc", by_hand]).success();
    assert_eq!(difference(&before, &tree.listing()), Vec::<String>::new());
}

#[test]
fn an_rpm_that_was_interrupted_is_mended_by_the_next_try() {
    if !possible("the .rpm interrupted") {
        return;
    }
    let folder = rig::folder();
    let Some(tree) = tree("the .rpm interrupted", folder.path()) else {
        return;
    };
    let package = built().now("rollcall-agent-", ".x86_64.rpm");
    // A system with rpm has its books already.
    let mut books = Command::new("rpm");
    let _ = process::run(books.arg("--root").arg(&tree.root).arg("--initdb"), STEP).success();
    let mut cut = 0;
    for after_ms in [5, 20, 60, 150, 400] {
        let mut command = Command::new("setsid");
        command.args(["rpm", "--root"]).arg(&tree.root);
        command.args(["--install", "--nodeps"]).arg(&package);
        cut += u32::from(is_cut(&mut command, after_ms));
        // rpm names what it unpacks by the second, and meets its own leftovers within the same one.
        let second = wall_clock().0 / 1000;
        eventually("the next second", STEP, || {
            require(wall_clock().0 / 1000 > second, || "the same".to_owned())
        });
        // What a deployment tool does next: the same once more.
        let _ = install(&tree, &package).success();
        let programs = fs::read_dir(tree.path("/usr/bin")).unwrap().flatten();
        let names = programs.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let left: Vec<String> = names
            .filter(|name| name.starts_with("rollcall-agent;"))
            .collect();
        assert_eq!(
            left,
            Vec::<String>::new(),
            "what the cut left is taken away"
        );
        let verified = rpm(
            &tree,
            &["--verify", "--nodeps"],
            Path::new("rollcall-agent"),
        );
        assert_eq!(verified.success(), "");
        let _ = tree.run(&["/usr/bin/rollcall-agent", "version"]).success();
        let _ = erase(&tree).success();
        assert!(!tree.path("/usr/bin/rollcall-agent").exists());
    }
    assert!(cut > 0, "no try was fast enough to cut anything");
}

#[test]
fn an_rpm_package_meets_a_full_disk() {
    if !possible("the .rpm on a full disk") {
        return;
    }
    let folder = rig::folder();
    let Some(mut tree) = tree("the .rpm on a full disk", folder.path()) else {
        return;
    };
    let package = built().now("rollcall-agent-", ".x86_64.rpm");
    // Too little room for the files: refused before anything is changed.
    tree.mount("tmpfs", "size=4k,mode=0755", "/usr/lib/rollcall-agent");
    let before = tree.listing();
    let said = rpm(&tree, &["--install", "--nodeps"], &package).failure();
    assert!(said.contains("more space"), "{said}");
    assert_eq!(difference(&before, &tree.listing()), Vec::<String>::new());
    tree.unmount();
    let _ = install(&tree, &package).success();

    // Too little room for the token: it stays where it was given, and is handed over later.
    let given = "ROLLCALL_COLLECTOR=h:1\nROLLCALL_TOKEN=rc1.a.b\n";
    fs::write(tree.path("/etc/rollcall/agent.env"), given).unwrap();
    tree.mount("tmpfs", "size=4k,mode=0755", "/var/lib/rollcall-agent");
    fs::write(tree.path("/var/lib/rollcall-agent/fill"), [0; 4096]).unwrap();
    let setup = ["/usr/lib/rollcall-agent/setup", "before-start"];
    let _ = tree.run(&setup).failure();
    assert_eq!(
        fs::read_to_string(tree.path("/etc/rollcall/agent.env")).unwrap(),
        given
    );
    tree.unmount();
    let _ = tree.run(&setup).success();
    let token = fs::read_to_string(tree.path("/var/lib/rollcall-agent/token")).unwrap();
    assert_eq!(token, "rc1.a.b\n");
}

#[test]
fn what_packages_need_of_the_c_library_is_what_their_page_says() {
    let page = fs::read_to_string(rig::repository().join("deploy/linux/README.md")).unwrap();
    let floor = page
        .split("need glibc\n")
        .nth(1)
        .or_else(|| page.split("need glibc ").nth(1));
    let floor = floor
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap();
    if rig::program("objdump").is_none() {
        return rig::skip("what programs need of glibc", "`objdump` is not installed");
    }
    for program in [rig::binaries::agent(), rig::binaries::collector()] {
        let mut command = Command::new("objdump");
        let symbols = process::run(command.arg("-T").arg(&program), STEP).success();
        let versions = symbols.split("GLIBC_").skip(1);
        let newest = versions
            .filter_map(|rest| version(rest.split(')').next()?))
            .max()
            .unwrap();
        assert!(
            newest <= version(floor).unwrap(),
            "{} needs glibc {newest:?}, and deploy/linux/README.md promises {floor}",
            program.display()
        );
    }
}

/// `2.34` or `2.2.5` as numbers that can be compared.
fn version(text: &str) -> Option<Vec<u32>> {
    text.trim()
        .split('.')
        .map(|part| part.parse().ok())
        .collect()
}

#[test]
fn an_rpm_package_needs_nothing_that_a_minimal_system_lacks() {
    if !possible("what the .rpm needs") {
        return;
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
