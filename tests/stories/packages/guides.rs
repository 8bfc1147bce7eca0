//! Commands of the guides, as they stand there, in a Debian system with a real collector.

use std::fs;
use std::path::{Path, PathBuf};

use rollcall_tests::rig;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::process::Process;
use rollcall_tests::rig::repository;

use super::built;
use super::deb::tree;
use crate::settings::QUICK;

const ADDRESS: &str = "rollcall.district.example:443";
const TOKEN: &str = "rc1.YOUR-TOKEN";

fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join("deploy/guides"))
        .unwrap()
        .flatten();
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_page).collect();
    pages.sort();
    pages
}

/// The blocks of a page that are marked to be run.
fn blocks(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let parts = text.split("\n```sh test\n").skip(1);
    parts
        .map(|part| part.split("\n```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn commands_of_the_guides_do_what_they_say() {
    let folder = rig::folder();
    let Some(tree) = tree("commands of the guides", folder.path()) else {
        return;
    };
    let package = built().now("rollcall-agent_", ".deb");
    let version = env!("CARGO_PKG_VERSION");
    let named = tree.path(&format!("/var/tmp/rollcall-agent_{version}_amd64.deb"));
    fs::copy(package, named).unwrap();
    let mut collector = Collector::start(folder.path(), QUICK);
    let run = |block: &str| {
        let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
        let text = block
            .replace(ADDRESS, &collector.grpc.to_string())
            .replace(TOKEN, &token);
        // A version in a guide is this one, or the guide has to be changed.
        let script = format!("set -eu\ncd /var/tmp\n{text}\n");
        fs::write(tree.path("/var/tmp/block.sh"), script).unwrap();
        tree.run(&["sh", "/var/tmp/block.sh"]).success()
    };
    let enrols = |name: &str| {
        let setup = ["/usr/lib/rollcall-agent/setup", "before-start"];
        let _ = tree.run(&setup).success();
        let mut command = std::process::Command::new("chroot");
        command
            .arg("--userspec=rollcall-agent:rollcall-agent")
            .arg(&tree.root);
        command.args([
            "sh",
            "-c",
            "set -a; . /var/tmp/environment; exec rollcall-agent run",
        ]);
        // Only root reads the settings; systemd hands them over.
        let _ = fs::copy(
            tree.path("/etc/rollcall/agent.env"),
            tree.path("/var/tmp/environment"),
        );
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(tree.path("/var/tmp/environment"), readable).unwrap();
        let mut agent = Process::start(name, folder.path(), &mut command);
        eventually(name, PATIENCE, || {
            let status = tree.run(&["/usr/bin/rollcall-agent", "status"]);
            require(status.status.success(), || {
                format!("{}{}", status.stdout, status.stderr)
            })
        });
        assert!(agent.stop(PATIENCE).success());
    };

    let script = blocks(&repository().join("deploy/guides/script.md"));
    let [debconf, files, undo] = &script[..] else {
        panic!("the page has {} blocks to run", script.len());
    };
    let _ = run(debconf);
    enrols("the road by debconf");
    let _ = run(undo);
    assert!(!tree.path("/var/lib/rollcall-agent").exists());
    let install = debconf.lines().last().unwrap();
    let _ = run(install);
    let _ = run(files);
    enrols("the road by the environment file");
    let _ = run(undo);
    let image = blocks(&repository().join("deploy/guides/disk-image.md"));
    let said = run(&image[0]);
    assert!(said.contains("no identity now"), "{said}");
    enrols("a clone of the image");
    collector.stop();
}

/// The way by which a firewall's administrator tells the collector from a filter.
#[test]
fn the_guides_question_to_the_collector_is_answered_by_its_authority() {
    if rig::program("openssl").is_none() {
        return rig::skip("the question of firewall.md", "`openssl` is not installed");
    }
    let page = fs::read_to_string(repository().join("deploy/guides/firewall.md")).unwrap();
    let block = page.split("\n```\n").nth(1).unwrap();
    assert!(block.starts_with("openssl s_client"), "{block}");
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    let command = block.replace(ADDRESS, &collector.grpc.to_string());
    let mut shell = std::process::Command::new("sh");
    let said = rig::process::run(shell.args(["-c", &command]), PATIENCE).success();
    assert!(
        page.contains("`CN = Rollcall authority`") && said.contains("CN = Rollcall authority"),
        "{said}"
    );
    collector.stop();
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
