//! Commands of the guides, as they stand there, in a Debian system with a real collector.

use std::fs;
use std::path::{Path, PathBuf};

use rollcall_tests::rig;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::process::Process;
use rollcall_tests::rig::repository;
use rollcall_tests::rig::system_tree::{self, SystemTree};

use super::built;
use super::deb::tree;
use crate::settings::QUICK;

pub(super) const ADDRESS: &str = "rollcall.district.example:443";
pub(super) const TOKEN: &str = "rc1.YOUR-TOKEN";

/// The blocks of a page that are marked to be run, of one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("deploy/guides").join(page)).unwrap();
    let head = format!("\n```{language} test\n");
    let parts = text.split(&head).skip(1);
    parts
        .map(|part| part.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// A system with the package beside it, and a collector, for the commands of a page.
struct Road {
    tree: SystemTree,
    folder: PathBuf,
    collector: Collector,
}

impl Road {
    fn new(tree: SystemTree, folder: &Path) -> Self {
        let package = built().now("rollcall-agent_", ".deb");
        let version = env!("CARGO_PKG_VERSION");
        let named = tree.path(&format!("/var/tmp/rollcall-agent_{version}_amd64.deb"));
        fs::copy(package, named).unwrap();
        let collector = Collector::start(folder, QUICK);
        Self {
            tree,
            folder: folder.to_owned(),
            collector,
        }
    }

    /// The text with this collector's address and a token of its own in place of those of the page. A version in a
    /// guide is this one, or the guide has to be changed.
    fn filled_in(&self, text: &str) -> String {
        let token = self.collector.token(&["--site", "Lincoln", "--uses", "1"]);
        text.replace(ADDRESS, &self.collector.grpc.to_string())
            .replace(TOKEN, &token)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.tree.path("/var/tmp").join(name), self.filled_in(text)).unwrap();
    }

    /// Runs a block of shell commands where the package lies.
    fn run(&self, block: &str) -> String {
        self.write("block.sh", &format!("set -eu\ncd /var/tmp\n{block}\n"));
        let variables = [("LANG", "C.UTF-8"), ("HOME", "/root")];
        self.tree
            .run_with(&["sh", "/var/tmp/block.sh"], &variables)
            .success()
    }

    /// Starts the agent as systemd would, until it is connected.
    fn enrols(&self, name: &str) {
        let tree = &self.tree;
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
        let mut agent = Process::start(name, &self.folder, &mut command);
        eventually(name, PATIENCE, || {
            let status = tree.run(&["/usr/bin/rollcall-agent", "status"]);
            require(status.status.success(), || {
                format!("{}{}", status.stdout, status.stderr)
            })
        });
        assert!(agent.stop(PATIENCE).success());
    }

    fn is_purged(&self) {
        assert!(!self.tree.path("/var/lib/rollcall-agent").exists());
        assert!(!self.tree.path("/usr/bin/rollcall-agent").exists());
    }
}

#[test]
fn commands_of_the_guides_do_what_they_say() {
    let folder = rig::folder();
    let Some(tree) = tree("commands of the guides", folder.path()) else {
        return;
    };
    let mut road = Road::new(tree, folder.path());
    let script = blocks("script.md", "sh");
    let [debconf, files, undo] = &script[..] else {
        panic!("the page has {} blocks to run", script.len());
    };
    let _ = road.run(debconf);
    road.enrols("the road by debconf");
    let _ = road.run(undo);
    road.is_purged();
    let install = debconf.lines().last().unwrap();
    let _ = road.run(install);
    let _ = road.run(files);
    road.enrols("the road by the environment file");
    let _ = road.run(undo);
    let image = blocks("disk-image.md", "sh");
    let said = road.run(&image[0]);
    assert!(said.contains("no identity now"), "{said}");
    road.enrols("a clone of the image");
    road.collector.stop();
}

/// A tree with management tools, or the reason why there is none, told.
fn managed(story: &str, folder: &Path) -> Option<SystemTree> {
    match system_tree::managed_possible() {
        Ok(()) => Some(SystemTree::managed(folder)),
        Err(reason) => {
            rig::skip(story, reason);
            None
        }
    }
}

#[test]
fn the_guides_playbook_of_ansible_installs_changes_nothing_twice_and_undoes() {
    let folder = rig::folder();
    let Some(tree) = managed("Ansible", folder.path()) else {
        return;
    };
    let mut road = Road::new(tree, folder.path());
    let (plays, commands) = (blocks("ansible.md", "yaml"), blocks("ansible.md", "sh"));
    let ([site, undo], [apply, remove]) = (&plays[..], &commands[..]) else {
        panic!(
            "the page has {} playbooks and {} commands to run",
            plays.len(),
            commands.len()
        );
    };
    road.write(
        "inventory.ini",
        "[loaners]\nlocalhost ansible_connection=local\n",
    );
    road.write("secrets.yml", &format!("rollcall_token: {TOKEN}\n"));
    road.write("rollcall.yml", site);
    road.write("rollcall-undo.yml", undo);
    let first = road.run(apply);
    assert!(first.contains("failed=0"), "{first}");
    let secrets = fs::read_to_string(road.tree.path("/var/tmp/secrets.yml")).unwrap();
    assert!(
        !first.contains(secrets.trim().rsplit(' ').next().unwrap()),
        "no_log"
    );
    road.enrols("the road by Ansible");
    let second = road.run(apply);
    assert!(
        second.contains("changed=0") && second.contains("failed=0"),
        "{second}"
    );
    let undone = road.run(remove);
    assert!(undone.contains("failed=0"), "{undone}");
    road.is_purged();
    road.collector.stop();
}

#[test]
fn the_guides_class_of_puppet_installs_changes_nothing_twice_and_undoes() {
    let folder = rig::folder();
    let Some(tree) = managed("Puppet", folder.path()) else {
        return;
    };
    let mut road = Road::new(tree, folder.path());
    let manifests = blocks("puppet.md", "puppet");
    let [class, undo] = &manifests[..] else {
        panic!("the page has {} manifests to run", manifests.len());
    };
    // There is no repository here, and Puppet starts no service in a chroot.
    let from_repository = "package { 'rollcall-agent': ensure => latest }";
    let service = "\n  ~> service { 'rollcall-agent': ensure => running, enable => true }";
    assert!(
        class.contains(from_repository) && class.contains(service),
        "{class}"
    );
    let file = format!(
        "/var/tmp/rollcall-agent_{}_amd64.deb",
        env!("CARGO_PKG_VERSION")
    );
    let from_file = format!(
        "package {{ 'rollcall-agent': ensure => installed, provider => dpkg, source => '{file}' }}"
    );
    let class = class
        .replace(from_repository, &from_file)
        .replace(service, "");
    let given = format!(
        "class {{ 'profile::rollcall': collector => '{ADDRESS}', token => Sensitive('{TOKEN}') }}"
    );
    road.write("site.pp", &format!("{class}\n{given}\n"));
    road.write("undo.pp", undo);
    // It ends with 2 where it changed something, and with 0 where nothing was to be done.
    let apply = "code=0\npuppet apply --detailed-exitcodes site.pp || code=$?\necho \"code $code\"";
    let first = road.run(apply);
    assert!(first.ends_with("code 2\n"), "{first}");
    road.enrols("the road by Puppet");
    let second = road.run(apply);
    assert!(second.ends_with("code 0\n"), "{second}");
    let undone = road.run(&apply.replace("site.pp", "undo.pp"));
    assert!(undone.ends_with("code 2\n"), "{undone}");
    road.is_purged();
    road.collector.stop();
}

#[test]
fn the_guides_state_of_salt_installs_changes_nothing_twice_and_undoes() {
    let folder = rig::folder();
    let Some(salt) = std::env::var_os("ROLLCALL_SALT").map(PathBuf::from) else {
        return rig::skip("Salt", "`tests/run` has installed none");
    };
    let Some(mut tree) = managed("Salt", folder.path()) else {
        return;
    };
    tree.show(&salt, "/opt/salt");
    let program = tree.path("/usr/bin/salt-call");
    let text = "#!/bin/sh\nPYTHONPATH=/opt/salt exec python3 /opt/salt/bin/salt-call \"$@\"\n";
    fs::write(&program, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).unwrap();
    let version = tree.run(&["/usr/bin/salt-call", "--version"]);
    if !version.status.success() {
        return rig::skip("Salt", "it does not run on Debian's Python");
    }
    let mut road = Road::new(tree, folder.path());
    let (files, commands) = (blocks("salt.md", "yaml"), blocks("salt.md", "sh"));
    let ([pillar, state, undo], [apply, remove]) = (&files[..], &commands[..]) else {
        panic!(
            "the page has {} files and {} commands to run",
            files.len(),
            commands.len()
        );
    };
    // Salt starts no service in a chroot.
    let service = "  service.running:\n    - enable: true\n    - require: [{pkg: rollcall-agent}]";
    assert!(state.contains(service), "{state}");
    let write = |at: &str, text: &str| {
        let file = road.tree.path(at);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, road.filled_in(text)).unwrap();
    };
    write("/srv/pillar/top.sls", "base: {'*': [rollcall]}\n");
    write("/srv/pillar/rollcall.sls", pillar);
    write("/srv/salt/rollcall/init.sls", &state.replace(service, ""));
    write("/srv/salt/rollcall-undo.sls", undo);
    let package = format!("rollcall-agent_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    fs::copy(
        road.tree.path("/var/tmp").join(&package),
        road.tree.path("/srv/salt/rollcall").join(&package),
    )
    .unwrap();
    let token = fs::read_to_string(road.tree.path("/srv/pillar/rollcall.sls")).unwrap();
    let token = token.split('\'').nth(1).unwrap();
    let first = road.run(apply);
    assert!(
        first.contains("Failed:    0") && first.contains("(changed=3)"),
        "{first}"
    );
    assert!(!first.contains(token), "the token is not shown");
    road.enrols("the road by Salt");
    let second = road.run(apply);
    assert!(
        second.contains("Failed:    0") && !second.contains("changed="),
        "{second}"
    );
    let undone = road.run(remove);
    assert!(undone.contains("Failed:    0"), "{undone}");
    road.is_purged();
    road.collector.stop();
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
