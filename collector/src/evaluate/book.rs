//! The rules in force. An invalid file never replaces valid rules.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::rules::{FILE_BYTES, RuleSet};

/// How often the rules' file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A cheap handle to the rules in force; clones share them.
#[derive(Debug, Clone)]
pub struct RuleBook {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: Option<PathBuf>,
    rules: ArcSwap<RuleSet>,
    changed: tokio::sync::Notify,
}

impl RuleBook {
    /// The rules of `file`, or the default rules.
    ///
    /// # Errors
    /// When the file cannot be read or is not right; the error names line, rule and field.
    pub fn open(file: Option<PathBuf>) -> anyhow::Result<Self> {
        let rules = match &file {
            Some(file) => read(file)?,
            None => RuleSet::built_in(),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                file,
                rules: ArcSwap::from_pointee(rules),
                changed: tokio::sync::Notify::new(),
            }),
        })
    }

    /// These rules, without a file.
    #[must_use]
    pub fn of(rules: RuleSet) -> Self {
        Self {
            inner: Arc::new(Inner {
                file: None,
                rules: ArcSwap::from_pointee(rules),
                changed: tokio::sync::Notify::new(),
            }),
        }
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleSet> {
        self.inner.rules.load_full()
    }

    /// Returns when the rules have been replaced since it was last called.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    /// Reads the file again and puts its rules in force.
    ///
    /// # Errors
    /// When the file cannot be read or is not right; the rules in force stay.
    pub fn reload(&self) -> anyhow::Result<()> {
        let Some(file) = &self.inner.file else {
            return Ok(());
        };
        self.inner.rules.store(Arc::new(read(file)?));
        self.inner.changed.notify_one();
        Ok(())
    }

    /// Follows the file until shutdown; a version that is not right is logged and left out.
    pub async fn watch(&self, shutdown: CancellationToken) {
        let Some(file) = &self.inner.file else {
            return;
        };
        let mut seen = version(file);
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let found = version(file);
                if found != seen {
                    seen = found;
                    self.reload_and_log(file);
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = looking => {}
        }
    }

    fn reload_and_log(&self, file: &Path) {
        match self.reload() {
            Ok(()) => {
                tracing::info!(file = %file.display(), rules = self.rules().rules.len(), "rules replaced")
            }
            Err(error) => tracing::warn!("rules not replaced: {error:#}"),
        }
    }
}

/// What tells one version of a file from another; `None` while it cannot be looked at.
fn version(file: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

fn read(file: &Path) -> anyhow::Result<RuleSet> {
    let name = file.display().to_string();
    let meta = std::fs::metadata(file).with_context(|| format!("rules file {name}"))?;
    anyhow::ensure!(
        meta.len() <= FILE_BYTES as u64,
        "rules file {name}: {} bytes are more than {FILE_BYTES}",
        meta.len()
    );
    let text = std::fs::read_to_string(file).with_context(|| format!("rules file {name}"))?;
    Ok(RuleSet::parse(&name, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "[[rule]]\nname = \"hot\"\ntitle = \"Hot\"\nseverity = \"warning\"\naudience = \"help-desk\"\nall = [{ metric = \"hw.temperature\", op = \"above\", value = 90 }]\nrunbook-text = \"Cool it.\"\nfamily.en = \"It is hot.\"\n";

    #[test]
    fn an_invalid_file_never_replaces_valid_rules() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.toml");
        std::fs::write(&file, RULES).unwrap();
        let book = RuleBook::open(Some(file.clone())).unwrap();
        std::fs::write(&file, RULES.replace("\"above\"", "\"abov\"")).unwrap();
        let error = format!("{:#}", book.reload().unwrap_err());
        assert!(
            error.contains(
                "rules.toml:6: rule `hot`: op: `abov` is no operator; did you mean `above`?"
            ),
            "{error}"
        );
        assert!(book.rules().get("hot").is_some());
        std::fs::write(&file, RULES.replace("\"hot\"", "\"warm\"")).unwrap();
        book.reload().unwrap();
        assert!(book.rules().get("hot").is_none() && book.rules().get("warm").is_some());
        std::fs::remove_file(&file).unwrap();
        assert!(book.reload().is_err() && book.rules().get("warm").is_some());
    }

    #[tokio::test]
    async fn the_file_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.toml");
        std::fs::write(&file, RULES).unwrap();
        let book = RuleBook::open(Some(file.clone())).unwrap();
        let shutdown = CancellationToken::new();
        let watching = tokio::spawn({
            let (book, shutdown) = (book.clone(), shutdown.clone());
            async move { book.watch(shutdown).await }
        });
        let replaced = async {
            loop {
                let longer = RULES.replace("\"hot\"", "\"warmer\"");
                std::fs::write(&file, longer).unwrap();
                if tokio::time::timeout(Duration::from_secs(3), book.changed())
                    .await
                    .is_ok()
                {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), replaced)
            .await
            .unwrap();
        assert!(book.rules().get("warmer").is_some());
        shutdown.cancel();
        watching.await.unwrap();
    }
}
