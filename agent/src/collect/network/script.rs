//! The ways that a proxy's script (PAC) chooses, where the system names one.
//!
//! A PAC file is a program that the network hands out, often in clear. The agent has no interpreter for it:
//! it asks the one that the system has for all programs, WinHTTP on Windows and the program `proxy` of
//! libproxy on Linux, which runs as a child with bounds. A script that nobody named and that would have to
//! be looked for in the network (WPAD) is not asked at all: any machine there could hand it out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcall_shared::time::SinceBootMs;
use tokio::process::Command;
use tokio::time::timeout;

use super::proxy::{Proxy, parse as parse_proxy};
use crate::collect::child::{self, Bounds};
use crate::collect::source::Sourced;

/// How long the script is given for all servers of one round: it is fetched for each, and a filter that is
/// out of reach must not cost the round.
const ROUND: Duration = Duration::from_secs(10);

/// How long what a script said of a server holds in one network.
const LIFE: Duration = Duration::from_secs(3600);

/// Ways of one answer that are tried: a browser goes on from a dead proxy to the next as well.
const WAYS: usize = 3;

/// What runs the script, and its engine, may take: libproxy with WebKit's engine takes 30 MiB and 0.05 s.
/// Its engine reserves address space by the gigabyte, so that what is resident is bounded.
const BOUNDS: Bounds = Bounds {
    address_space_bytes: None,
    resident_bytes: 80 * 1024 * 1024,
    processor_s: 2,
};

/// One way to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Without a proxy.
    Straight,
    /// By a proxy.
    Through(Proxy),
}

impl Way {
    /// The proxy, if there is one.
    #[must_use]
    pub const fn proxy(&self) -> Option<&Proxy> {
        match self {
            Self::Straight => None,
            Self::Through(proxy) => Some(proxy),
        }
    }
}

/// What the system runs scripts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interpreter {
    /// The program `proxy` of libproxy.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "Linux has it"))]
    Libproxy(PathBuf),
    /// WinHTTP.
    #[cfg(windows)]
    WinHttp,
    /// There is none, and why.
    Missing(&'static str),
}

impl Interpreter {
    /// Linux' own, where `program` is installed.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "Linux has it"))]
    #[must_use]
    pub fn of_linux(program: Option<&Path>) -> Self {
        program.map_or(
            Self::Missing("libproxy's `proxy` is not installed (package libproxy-tools)"),
            |program| Self::Libproxy(program.to_owned()),
        )
    }

    async fn ask(&self, script: &str, server: &str) -> Sourced<String> {
        match self {
            Self::Libproxy(program) => ask_libproxy(program, script, server).await,
            #[cfg(windows)]
            Self::WinHttp => {
                let (script, server) = (script.to_owned(), server.to_owned());
                let asked = tokio::task::spawn_blocking(move || {
                    crate::collect::windows::ask_script(&script, &server)
                });
                asked.await.map_err(|error| error.to_string())?
            }
            Self::Missing(why) => Err((*why).to_owned()),
        }
    }
}

/// What scripts have said, in the network of the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    network: Option<String>,
    script: String,
    found: BTreeMap<String, (SinceBootMs, Vec<Way>)>,
}

impl Ways {
    /// Asks the script for each of `servers`, an `http://` or `https://` address with nothing but host and
    /// port. What was said within [`LIFE`] in this network is not asked again. The first question that
    /// cannot be answered ends the round.
    ///
    /// # Errors
    /// Why a question had no answer.
    pub async fn look(
        &mut self,
        interpreter: &Interpreter,
        script: &str,
        servers: &[String],
        network: Option<&str>,
        now: SinceBootMs,
    ) -> Sourced<()> {
        if self.network.as_deref() != network || self.script != script {
            *self = Self {
                network: network.map(str::to_owned),
                script: script.to_owned(),
                found: BTreeMap::new(),
            };
        }
        if script.is_empty() {
            return Err("it has no address and is looked for in the network".to_owned());
        }
        self.found
            .retain(|server, (at, _)| servers.contains(server) && now.since(*at) < LIFE);
        let round = async {
            for server in servers {
                if !self.found.contains_key(server) {
                    let answer = interpreter.ask(script, server).await?;
                    self.found.insert(server.clone(), (now, parse(&answer)?));
                }
            }
            Ok(())
        };
        timeout(ROUND, round)
            .await
            .unwrap_or_else(|_| Err(format!("it took longer than {} s", ROUND.as_secs())))
    }

    /// The ways to a server, in their order; `None` where the script was not asked or had no answer.
    #[must_use]
    pub fn to(&self, server: &str) -> Option<&[Way]> {
        self.found.get(server).map(|(_, ways)| ways.as_slice())
    }

    /// Forgets what was said, as when the network changes.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

/// libproxy takes the script's address from the environment. Its engine's compiler is switched off: it
/// needs memory that is written and executed, which the service may not have, and with it one question in
/// four ended in a crash (libproxy 0.4.18).
async fn ask_libproxy(program: &Path, script: &str, server: &str) -> Sourced<String> {
    let by_script = format!("pac+{script}");
    let mut command = Command::new(program);
    command
        .arg(server)
        .env_clear()
        .env("http_proxy", &by_script)
        .env("https_proxy", &by_script)
        .env("PX_FORCE_CONFIG", "config-env")
        .env("JSC_useJIT", "0");
    let answer = child::answer_within(command, BOUNDS).await;
    let answer = answer.map_err(|error| format!("libproxy's `proxy` failed: {error}"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// `http://proxy:8080 direct://` as libproxy says it, `proxy:8080;other:8081` as WinHTTP does, which says
/// nothing for the straight way. What the agent cannot use (SOCKS, a proxy over TLS) is left out.
fn parse(answer: &str) -> Sourced<Vec<Way>> {
    let words = answer.split([' ', ';', '\n', '\r']).map(str::trim);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Ok(vec![Way::Straight]);
    }
    let ways = words.iter().filter_map(|word| match *word {
        "direct://" => Some(Way::Straight),
        proxy => parse_proxy(proxy).map(Way::Through),
    });
    let ways: Vec<Way> = ways.take(WAYS).collect();
    if ways.is_empty() {
        return Err("it names no proxy that the agent can use".to_owned());
    }
    Ok(ways)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ports(ways: &[Way]) -> Vec<u16> {
        let port = |way: &Way| way.proxy().map_or(0, |proxy| proxy.address.port);
        ways.iter().map(port).collect()
    }

    #[test]
    fn what_interpreters_say() {
        let libproxy = "http://127.0.0.1:3129 socks://127.0.0.1:1080 direct://\n";
        assert_eq!(ports(&parse(libproxy).unwrap()), [3129, 0]);
        assert_eq!(
            ports(&parse("proxy:8080;other:8081").unwrap()),
            [8080, 8081]
        );
        assert_eq!(ports(&parse("").unwrap()), [0]);
        let unusable = parse("socks://127.0.0.1:1080\n").unwrap_err();
        assert!(unusable.contains("no proxy that the agent can use"));
        assert_eq!(parse("a:1 b:2 c:3 d:4").unwrap().len(), WAYS);
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_told() {
        let missing = Interpreter::of_linux(None);
        let servers = ["https://canvas.example:443".to_owned()];
        let mut ways = Ways::default();
        let mut look = async |script: &str| {
            let now = SinceBootMs(0);
            ways.look(&missing, script, &servers, None, now).await
        };
        let why = look("http://wpad.school/wpad.dat").await.unwrap_err();
        assert!(why.contains("libproxy-tools"), "{why}");
        let why = look("").await.unwrap_err();
        assert!(why.contains("no address"), "{why}");
        assert_eq!(ways.to(&servers[0]), None);
    }

    #[cfg(target_os = "linux")]
    mod with_a_stand_in {
        use super::*;
        use crate::collect::testing;

        fn stand_in(folder: &Path, answer: Option<&str>) -> Interpreter {
            Interpreter::of_linux(Some(&testing::libproxy(folder, answer)))
        }

        fn asked(folder: &Path) -> usize {
            let text = std::fs::read_to_string(folder.join("asked"));
            text.unwrap_or_default().lines().count()
        }

        #[tokio::test]
        async fn an_answer_holds_for_an_hour_in_one_network() {
            let folder = tempfile::tempdir().unwrap();
            let interpreter = stand_in(folder.path(), Some("http://127.0.0.1:3128\n"));
            let servers = ["https://canvas.example:443".to_owned()];
            let mut ways = Ways::default();
            let mut look = async |network: &str, minutes: u64| {
                let now = SinceBootMs(minutes * 60_000);
                let script = "http://filter.school/p.pac";
                let looked = ways.look(&interpreter, script, &servers, Some(network), now);
                looked.await.unwrap();
                assert_eq!(ports(ways.to(&servers[0]).unwrap()), [3128]);
                asked(folder.path())
            };
            assert_eq!(look("school", 0).await, 1);
            assert_eq!(look("school", 59).await, 1);
            assert_eq!(look("school", 60).await, 2);
            assert_eq!(look("home", 61).await, 3);
            let noted = std::fs::read_to_string(folder.path().join("asked")).unwrap();
            let question = "https://canvas.example:443 pac+http://filter.school/p.pac";
            assert_eq!(noted.lines().next(), Some(question));
        }

        #[tokio::test]
        async fn one_that_cannot_answer_ends_the_round() {
            let folder = tempfile::tempdir().unwrap();
            let interpreter = stand_in(folder.path(), None);
            let servers = [
                "https://a.example:443".to_owned(),
                "https://b.example:443".to_owned(),
            ];
            let mut ways = Ways::default();
            let script = "http://filter.school/p.pac";
            let looked = ways.look(&interpreter, script, &servers, None, SinceBootMs(0));
            assert!(looked.await.unwrap_err().contains("proxy"));
            assert_eq!(asked(folder.path()), 1);
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer in ".{0,64}") {
            let _ = parse(&answer);
        }
    }
}
