//! `rollcall-agent prepare-image`: an installation without identity, from which a disk is imaged.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::agent::Setup;
use crate::paths::with_suffix;

use super::is_running;

/// Removes what belongs to this laptop alone; settings and a token that waits to be used stay.
pub(super) fn prepare_image(setup: &Setup) -> anyhow::Result<ExitCode> {
    let paths = &setup.paths;
    if is_running(paths)? {
        bail!(
            "the agent runs, and would enrol again at once; stop its service first (Linux: systemctl \
             stop rollcall-agent; Windows: sc stop rollcall-agent; macOS: launchctl bootout \
             system/org.rollcall.agent)"
        );
    }
    let identity = paths.identity();
    let own = [
        with_suffix(&identity, ".next"),
        with_suffix(&identity, ".old"),
        identity,
        paths.pending(),
        with_suffix(&paths.pending(), ".new"),
        paths.spool(),
        paths.configuration(),
        paths.status(),
        with_suffix(&paths.status(), ".new"),
    ];
    let mut removed = 0;
    for path in &own {
        removed += usize::from(remove(path).with_context(|| path.display().to_string())?);
    }
    println!(
        "this installation has no identity now ({removed} of {} files and folders removed); image the \
         disk before the agent is started again",
        own.len()
    );
    match setup.token.token() {
        Ok(Some(_)) => {
            println!("each laptop enrols at its first start with the token that is there")
        }
        Ok(None) => println!(
            "no token is there: give each laptop one (the file `{}`, the environment, agent.toml or a \
             policy), or its agent waits for one",
            paths.dropped_token().display()
        ),
        Err(words) => bail!("the token that is there cannot be used: {words}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether there was something to remove.
fn remove(path: &Path) -> io::Result<bool> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::TokenSource;
    use crate::collect::Roots;
    use crate::config::AgentConfig;
    use crate::paths::Paths;
    use crate::spool::{Spool, SpoolLimits};

    fn setup(folder: &Path) -> Setup {
        let paths = Paths::new(folder);
        Setup {
            token: TokenSource {
                dropped: Some(paths.dropped_token()),
                ..TokenSource::default()
            },
            paths,
            config: AgentConfig::default(),
            roots: Roots::under(folder),
        }
    }

    #[test]
    fn all_that_is_this_laptops_goes_and_the_token_stays() {
        let folder = tempfile::tempdir().unwrap();
        let setup = setup(folder.path());
        let (spool, _) = Spool::open(&setup.paths.spool(), SpoolLimits::default()).unwrap();
        let running = prepare_image(&setup).unwrap_err().to_string();
        assert!(running.contains("the agent runs"), "{running}");
        drop(spool);
        fs::create_dir(setup.paths.identity()).unwrap();
        fs::write(setup.paths.identity().join("key.pem"), "key").unwrap();
        fs::write(setup.paths.status(), "{}").unwrap();
        prepare_image(&setup).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        prepare_image(&setup).unwrap();

        fs::write(setup.paths.dropped_token(), "rc1.damaged").unwrap();
        let damaged = prepare_image(&setup).unwrap_err().to_string();
        assert!(damaged.contains("token"), "{damaged}");
        assert!(setup.paths.dropped_token().exists());
    }
}
