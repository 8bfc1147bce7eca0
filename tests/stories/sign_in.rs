//! Signing in to the web page: with a name and a password, and through a provider of identities.

use std::net::SocketAddr;
use std::path::Path;

use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::oidc::{CLIENT, Provider, SECRET};
use rollcall_tests::rig::visitor::{Page, Visitor};
use rollcall_tests::rig::{self, ports};

const FIRST: &str = "correct horse battery";
const SECOND: &str = "another horse staple";

fn home(collector: &Collector) -> String {
    format!("http://{}/", collector.http)
}

fn is_signed_in(browser: &mut Visitor, collector: &Collector) -> bool {
    let page = browser.open(&home(collector));
    assert_eq!(page.status, 200, "{page:?}");
    !page.address.ends_with("/sign-in")
}

/// A password file that only its owner reads.
fn password_file(folder: &Path, password: &str) -> String {
    let file = folder.join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    file.display().to_string()
}

#[test]
fn sign_in_with_a_password() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    let user = |arguments: &[&str], password: &str| {
        let file = password_file(folder.path(), password);
        let command = [&["user"], arguments, &["--password-file", &file]].concat();
        collector.command(&command)
    };
    let weak = user(&["add", "anna", "--role", "viewer"], "rollcall");
    assert!(
        !weak.status.success() && weak.stderr.contains("15 to 256"),
        "{weak:?}"
    );
    let added = user(
        &["add", "Anna", "--role", "technician", "--site", "Lincoln"],
        FIRST,
    );
    let _ = added.success();
    let list = collector.command(&["user", "list"]).success();
    assert!(
        list.starts_with("anna\ttechnician\tLincoln\tpassword\t"),
        "{list}"
    );

    let (mut browser, mut other) = (Visitor::default(), Visitor::default());
    let wrong = browser.sign_in(collector.http, "anna", SECOND);
    assert_eq!(wrong.status, 401);
    assert!(
        wrong.body.contains("do not belong together"),
        "{}",
        wrong.body
    );
    let unknown = browser.sign_in(collector.http, "ben", SECOND);
    assert_eq!(unknown.status, 401);
    for browser in [&mut browser, &mut other] {
        let page = browser.sign_in(collector.http, "anna", FIRST);
        assert_eq!((page.status, page.address), (200, home(&collector)));
    }
    // A new password ends every session; what was done stands in the audit log, without it.
    let _ = user(&["passwd", "anna"], SECOND).success();
    assert!(!is_signed_in(&mut browser, &collector));
    assert!(!is_signed_in(&mut other, &collector));
    assert_eq!(browser.sign_in(collector.http, "anna", SECOND).status, 200);
    assert!(is_signed_in(&mut browser, &collector));
    let audit = collector.command(&["audit"]).success();
    for line in [
        "admin\tuser.create\tanna",
        "user anna\tsign-in\tanna",
        "admin\tuser.password\tanna",
    ] {
        assert!(audit.contains(line), "{line}: {audit}");
    }
    // What may be seen follows the record at once; the user outlives a restart, sessions do not.
    let role = [
        "user", "role", "anna", "--role", "viewer", "--site", "Lincoln",
    ];
    let _ = collector.command(&role).success();
    let page = browser.open(&home(&collector));
    assert!(page.body.contains("(viewer)"), "{}", page.body);
    collector.kill();
    collector.run();
    assert!(!is_signed_in(&mut browser, &collector));
    assert_eq!(browser.sign_in(collector.http, "anna", SECOND).status, 200);
    let _ = collector.command(&["user", "remove", "anna"]).success();
    assert!(!is_signed_in(&mut browser, &collector));
    let log = collector.log();
    assert!(!log.contains("horse") && !audit.contains("horse"), "{log}");
}

/// A collector that trusts this provider.
fn with_provider(folder: &Path, http: SocketAddr, provider: &Provider) -> Collector {
    std::fs::write(folder.join("oidc.secret"), format!("{SECRET}\n")).unwrap();
    let config = format!(
        "[http]\nlisten = \"{http}\"\n\
         [oidc]\nissuer = \"{}\"\naddress = \"http://{http}\"\nclient_id = \"{CLIENT}\"\n\
         client_secret_file = \"oidc.secret\"\nname = \"the district\"\n\
         scopes = [\"openid\", \"email\", \"groups\"]\n\
         [[oidc.grant]]\nrole = \"technician\"\nsites = [\"Lincoln\"]\nclaim = \"groups\"\n\
         values = [\"lincoln-desk\"]\n\
         [[oidc.grant]]\nrole = \"viewer\"\nemail_domain = \"district.example\"\n",
        provider.issuer
    );
    let mut collector = Collector::initialised(folder, &config);
    collector.http = http;
    collector.run();
    collector
}

fn arrive(collector: &Collector, account: &str) -> (Visitor, Page) {
    let mut browser = Visitor::of(account);
    let page = browser.open(&format!("{}sign-in/provider", home(collector)));
    (browser, page)
}

#[test]
fn sign_in_through_a_provider_of_identities() {
    let folder = rig::folder();
    let http = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let callback = format!("http://{http}/sign-in/provider/callback");
    let Some(mut provider) = Provider::start(folder.path(), &callback) else {
        let why =
            "node or the npm package oidc-provider is not installed (npm ci --prefix tests/oidc)";
        return rig::skip("signing in through a provider of identities", why);
    };
    let collector = with_provider(folder.path(), http, &provider);
    let form = Visitor::default().open(&home(&collector));
    assert!(
        form.body.contains("Sign in with the district"),
        "{}",
        form.body
    );

    let (mut anna, page) = arrive(&collector, "anna");
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("http-equiv=\"refresh\""), "{page:?}");
    let shown = anna.open(&home(&collector));
    assert!(
        shown.body.contains(">anna@district.example</a>"),
        "{}",
        shown.body
    );
    assert!(shown.body.contains("(technician)"), "{}", shown.body);
    let (mut dora, _) = arrive(&collector, "dora");
    assert!(dora.open(&home(&collector)).body.contains("(viewer)"));
    for (account, status, told) in [
        ("ben", 403, "nothing here is granted to you"),
        ("carla", 403, "your address of e-mail is verified"),
        ("impostor", 403, "another account `anna@district.example`"),
        ("nobody", 400, "may not use this application"),
    ] {
        let (mut browser, page) = arrive(&collector, account);
        assert_eq!(page.status, status, "{account}: {page:?}");
        let body = page.body.replace("&#39;", "'");
        assert!(body.contains(told), "{account}: {body}");
        assert!(!is_signed_in(&mut browser, &collector), "{account}");
    }

    // What comes back in another browser, or with another state, was not begun there.
    let mut begun = Visitor::of("anna");
    let mut address = format!("{}sign-in/provider", home(&collector));
    while !address.starts_with(&callback) {
        let (status, next) = begun.step(&address);
        assert_eq!(status, 303, "{address}");
        address = match next.strip_prefix('/') {
            Some(path) => format!("{}/{path}", provider.issuer),
            None => next,
        };
    }
    let mut thief = Visitor::default();
    let stolen = thief.open(&address);
    assert_eq!(stolen.status, 400, "{stolen:?}");
    assert!(
        stolen.body.contains("not begun in this browser"),
        "{stolen:?}"
    );
    let forged = begun.clone().open(&address.replace("state=", "state=x"));
    assert_eq!(forged.status, 400, "{forged:?}");
    assert_eq!(begun.clone().open(&address).status, 200, "the rightful one");
    let twice = begun.open(&address);
    assert_eq!(twice.status, 400, "a code is good once: {twice:?}");

    // An administrator ends it; and a provider that is gone is told of in words.
    let _ = collector
        .command(&["user", "remove", "anna@district.example"])
        .success();
    assert!(!is_signed_in(&mut anna, &collector));
    let audit = collector.command(&["audit"]).success();
    assert!(audit.contains("nothing here is granted"), "{audit}");
    assert!(!collector.log().contains("a secret"), "{}", collector.log());
    provider.kill();
    let mut collector = collector;
    collector.kill();
    collector.run();
    let (_, gone) = arrive(&collector, "anna");
    assert_eq!(gone.status, 502, "{gone:?}");
    assert!(gone.body.contains("cannot be asked at present"), "{gone:?}");
}
