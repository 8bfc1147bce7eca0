//! `check`: whether everything is as it was written.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{LOCKED_TRIES, LOCKED_WAIT, Places};
use crate::authority::Authority;
use crate::config::Config;
use crate::control::ask_for_check;
use crate::store::{CheckReport, Finding, OpenError, check_store};
use rollcall_shared::limits;

/// The exit status when something is damaged.
pub const DAMAGED: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A folder for copies while no collector runs, with room for the largest database; it is made and
    /// removed again. Without it `DATA.check`
    #[arg(long)]
    scratch: Option<PathBuf>,
}

/// Something is damaged: it has been told, and the exit status shall say so.
#[derive(Debug)]
pub struct DamageFound(u64);

impl fmt::Display for DamageFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} findings", self.0)
    }
}

impl std::error::Error for DamageFound {}

pub(super) fn check(places: &Places, args: &CheckArgs) -> anyhow::Result<()> {
    let (mut report, runs) = check_data(places, args)?;
    check_files(places, &mut report);
    for finding in &report.findings {
        println!("{finding}");
    }
    let (databases, values) = (report.databases, report.values);
    println!("{values} values in {databases} databases were read");
    if runs {
        println!(
            "the collector is running, so that what the trees say of each other was not compared; stop \
             it, or check a copy that `restore` has made, for that"
        );
    }
    if report.is_sound() {
        println!("all is as it was written");
        return Ok(());
    }
    let found = report.findings.len() as u64 + report.more;
    Err(DamageFound(found).into())
}

/// What the store holds, and whether a collector runs.
fn check_data(places: &Places, args: &CheckArgs) -> anyhow::Result<(CheckReport, bool)> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let scratch = args.scratch.clone().unwrap_or_else(|| {
        let mut beside = places.data.as_os_str().to_owned();
        beside.push(".check");
        beside.into()
    });
    for _ in 0..LOCKED_TRIES {
        if let Some(report) = runtime.block_on(ask_for_check(&places.data))? {
            return Ok((report, true));
        }
        match check_store(&places.data, &scratch) {
            Err(OpenError::Locked(_)) => runtime.block_on(tokio::time::sleep(LOCKED_WAIT)),
            done => return Ok((done?, false)),
        }
    }
    anyhow::bail!(
        "{} is in use by a collector that does not answer on its control.sock",
        places.data.display()
    )
}

/// The files beside the store.
fn check_files(places: &Places, report: &mut CheckReport) {
    let authority = Authority::open(&places.data, limits::CERTIFICATE_LIFE)
        .and_then(|authority| authority.server_names());
    if let Err(error) = authority {
        report.add(Finding {
            file: "authority".to_owned(),
            place: String::new(),
            problem: format!("{error:#}"),
            lost: "laptops cannot know their collector by it".to_owned(),
            remedy: "take the folder `authority` from a backup: restore one into another folder"
                .to_owned(),
        });
    }
    if let Err(error) = Config::read(places.config.as_deref()) {
        report.add(Finding {
            file: "the configuration".to_owned(),
            place: String::new(),
            problem: format!("{error:#}"),
            lost: "nothing".to_owned(),
            remedy: "correct the file; `rollcall-collector check-config` looks at it alone"
                .to_owned(),
        });
    }
}
