//! Following the configuration file: what agents are told changes without a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::time::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::audit::AuditLine;
use crate::config::Config;
use crate::store::{Store, Write};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Keeps what agents are told as the file says.
pub(super) struct Follower {
    file: Option<PathBuf>,
    store: Store,
    clock: Arc<dyn Clock>,
    told: watch::Sender<Arc<Configuration>>,
}

impl Follower {
    pub fn new(
        file: Option<PathBuf>,
        store: Store,
        clock: Arc<dyn Clock>,
        told: watch::Sender<Arc<Configuration>>,
    ) -> Self {
        Self {
            file,
            store,
            clock,
            told,
        }
    }

    /// Tells agents what is wanted, as a new revision when it differs from what they are told now.
    pub async fn adopt(&self, wanted: &Configuration) -> anyhow::Result<()> {
        let current = self.store.configuration();
        let Some(next) = next_revision(&current, wanted) else {
            return Ok(());
        };
        let line = AuditLine {
            at: self.clock.now().wall,
            actor: "admin".to_owned(),
            action: "agents.configure".to_owned(),
            subject: format!("revision {}", next.revision),
            outcome: "ok".to_owned(),
            detail: String::new(),
        };
        let writes = vec![Write::PutConfiguration(next.clone()), Write::Audit(line)];
        self.store.commit(writes).await?;
        tracing::info!(
            revision = next.revision,
            "agents are told a new configuration"
        );
        self.told.send_replace(Arc::new(next));
        Ok(())
    }

    /// Follows the file until shutdown, by its times and on SIGHUP.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut hangup = signal(SignalKind::hangup()).context("cannot hear signals")?;
        let Some(file) = &self.file else {
            shutdown.cancelled().await;
            return Ok(());
        };
        let mut seen = version(file);
        loop {
            let asked = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = hangup.recv() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let found = version(file);
            if asked || found != seen {
                seen = found;
                self.reload(file).await;
            }
        }
    }

    async fn reload(&self, file: &Path) {
        let adopted = match Config::read(Some(file)) {
            Ok(config) => self.adopt(&config.agents).await,
            Err(error) => Err(error),
        };
        if let Err(error) = adopted {
            tracing::warn!("the configuration stays as it was: {error:#}");
        }
    }
}

/// What agents are to be told next; `None` when they are told it already.
fn next_revision(current: &Configuration, wanted: &Configuration) -> Option<Configuration> {
    let same = Configuration {
        revision: current.revision,
        ..wanted.clone()
    };
    (same != *current).then(|| Configuration {
        revision: current.revision + 1,
        ..same
    })
}

/// What tells one version of a file from another; `None` while it cannot be looked at.
fn version(file: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_makes_a_revision() {
        let defaults = Configuration::default();
        assert_eq!(next_revision(&defaults, &defaults), None);
        let mut wanted = Configuration::default();
        wanted.schedule.fast_s = 30;
        let first = next_revision(&defaults, &wanted).unwrap();
        assert_eq!((first.revision, first.schedule.fast_s), (1, 30));
        assert_eq!(next_revision(&first, &wanted), None);
        assert_eq!(next_revision(&first, &defaults).unwrap().revision, 2);
    }
}
