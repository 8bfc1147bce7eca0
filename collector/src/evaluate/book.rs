//! The rules in force. An invalid file never replaces valid rules.

mod change;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rollcall_shared::time::Clock;
use tokio_util::sync::CancellationToken;

use super::rules::{FILE_BYTES, RuleSet};
use crate::edition::{Edition, Holds, Origin, holds};
use crate::store::Store;
pub use change::{ChangeError, RuleChange};

/// How often the rules' file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The rules of a collector without any of its own, as a file that can be edited.
pub const DEFAULT_TEXT: &str = "extend-default = true\n";

/// What errors call rules that are in no file.
pub const UNFILED: &str = "rules";

/// A cheap handle to the rules in force; clones share them.
#[derive(Debug, Clone)]
pub struct RuleBook {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: Option<PathBuf>,
    in_force: ArcSwap<InForce>,
    changed: tokio::sync::Notify,
}

/// The rules in force, and where they come from.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// The file that they were read from; [`DEFAULT_TEXT`] where there is none.
    pub text: Arc<str>,
    /// Their edition; 0 while they are the default ones or were not stored yet.
    pub number: u32,
    /// Where they come from; `None` for the default ones.
    pub origin: Option<Origin>,
}

impl RuleBook {
    /// The rules of `file`, or the default rules.
    ///
    /// # Errors
    /// When the file cannot be read or is not right; the error names line, rule and field.
    pub fn open(file: Option<PathBuf>) -> anyhow::Result<Self> {
        let in_force = match &file {
            Some(file) => InForce::of_file(file)?,
            None => InForce::built_in(),
        };
        Ok(Self::new(file, in_force))
    }

    /// The rules that hold in a store: what was changed last, the file or what somebody wrote through the
    /// collector. A file that is not right does not replace rules that were right; the log says so.
    ///
    /// # Errors
    /// When the file is not right and there is nothing that it would replace.
    pub async fn adopt(
        file: Option<PathBuf>,
        store: &Store,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let editions = store.editions();
        let (opened, text) = match &file {
            None => (Ok(InForce::built_in()), None),
            Some(file) => {
                let opened = InForce::of_file(file);
                let text = opened.as_ref().ok().map(|o| Arc::clone(&o.text));
                (opened, text)
            }
        };
        let last = editions.values().next_back();
        let opened = match (opened, last) {
            (Ok(opened), _) => opened,
            (Err(error), None) => return Err(error),
            (Err(error), Some(last)) => {
                tracing::error!("version {} of the rules stays: {error:#}", last.number);
                return Ok(Self::new(file, InForce::of_edition(last)?));
            }
        };
        match holds(text.as_deref(), &editions) {
            Holds::Default => Ok(Self::new(file, InForce::built_in())),
            Holds::Edition(number) => {
                let in_force = editions.get(&number).map(|e| InForce::of_edition(e));
                Ok(Self::new(file, in_force.unwrap_or(Ok(opened))?))
            }
            Holds::File => {
                let book = Self::new(file, opened);
                book.store_file(store, clock).await?;
                Ok(book)
            }
        }
    }

    /// These rules, without a file.
    #[must_use]
    pub fn of(rules: RuleSet) -> Self {
        let in_force = InForce {
            rules: Arc::new(rules),
            ..InForce::built_in()
        };
        Self::new(None, in_force)
    }

    fn new(file: Option<PathBuf>, in_force: InForce) -> Self {
        Self {
            inner: Arc::new(Inner {
                file,
                in_force: ArcSwap::from_pointee(in_force),
                changed: tokio::sync::Notify::new(),
            }),
        }
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.inner.in_force.load().rules)
    }

    /// The rules in force and where they come from.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        self.inner.in_force.load_full()
    }

    /// The file that the configuration names.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.inner.file.as_deref()
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
        self.put_in_force(InForce::of_file(file)?);
        Ok(())
    }

    fn put_in_force(&self, in_force: InForce) {
        self.inner.in_force.store(Arc::new(in_force));
        self.inner.changed.notify_one();
    }

    /// Follows the file until shutdown; a version that is not right is logged and left out.
    pub async fn watch(&self, store: &Store, clock: &dyn Clock, shutdown: CancellationToken) {
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
                    self.reload_and_log(file, store, clock).await;
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = looking => {}
        }
    }

    async fn reload_and_log(&self, file: &Path, store: &Store, clock: &dyn Clock) {
        let replaced = match self.reload() {
            Ok(()) => self.store_file(store, clock).await,
            Err(error) => Err(error),
        };
        match replaced {
            Ok(()) => {
                tracing::info!(file = %file.display(), rules = self.rules().rules.len(), "rules replaced");
            }
            Err(error) => tracing::warn!("rules not replaced: {error:#}"),
        }
    }
}

impl InForce {
    /// The rules that a collector brings.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            rules: Arc::new(RuleSet::built_in()),
            text: DEFAULT_TEXT.into(),
            number: 0,
            origin: None,
        }
    }

    fn of_file(file: &Path) -> anyhow::Result<Self> {
        let (text, rules) = read(file)?;
        Ok(Self {
            rules: Arc::new(rules),
            text: text.into(),
            number: 0,
            origin: Some(Origin::File),
        })
    }

    fn of_edition(edition: &Edition) -> anyhow::Result<Self> {
        let rules = RuleSet::parse(UNFILED, &edition.text)
            .with_context(|| format!("version {} of the rules", edition.number))?;
        Ok(Self {
            rules: Arc::new(rules),
            text: edition.text.as_str().into(),
            number: edition.number,
            origin: Some(edition.origin),
        })
    }
}

/// What tells one version of a file from another; `None` while it cannot be looked at.
fn version(file: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

fn read(file: &Path) -> anyhow::Result<(String, RuleSet)> {
    let name = file.display().to_string();
    let meta = std::fs::metadata(file).with_context(|| format!("rules file {name}"))?;
    anyhow::ensure!(
        meta.len() <= FILE_BYTES as u64,
        "rules file {name}: {} bytes are more than {FILE_BYTES}",
        meta.len()
    );
    let text = std::fs::read_to_string(file).with_context(|| format!("rules file {name}"))?;
    let rules = RuleSet::parse(&name, &text)?;
    Ok((text, rules))
}

#[cfg(test)]
mod tests {
    use rollcall_shared::time::{SystemClock, UnixMs};

    use super::*;
    use crate::store::StoreOptions;

    const NOW: UnixMs = UnixMs(1_787_557_500_000);

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
        let store = Store::create(&dir.path().join("data"), StoreOptions::default(), NOW).unwrap();
        let watching = tokio::spawn({
            let (book, shutdown, store) = (book.clone(), shutdown.clone(), store.clone());
            async move { book.watch(&store, &SystemClock, shutdown).await }
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
        let stored = async {
            while store.editions().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), stored)
            .await
            .unwrap();
        shutdown.cancel();
        watching.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_changed_last_holds_after_a_start_and_a_wrong_file_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.toml");
        let store = Store::create(&dir.path().join("data"), StoreOptions::default(), NOW).unwrap();
        let adopt = || RuleBook::adopt(Some(file.clone()), &store, &SystemClock);
        std::fs::write(&file, "nonsense").unwrap();
        assert!(
            adopt().await.is_err(),
            "there is nothing that it would replace"
        );
        std::fs::write(&file, RULES).unwrap();
        let book = adopt().await.unwrap();
        assert_eq!((book.in_force().number, store.editions().len()), (1, 1));
        assert_eq!(
            adopt().await.unwrap().in_force().number,
            1,
            "it is the same"
        );
        let text = RULES.replace("\"hot\"", "\"mine\"");
        // The file is taken in at the clock's time, and the audit log is in the order of time.
        let now = || SystemClock.now().wall;
        let change = RuleChange {
            by: "desk".to_owned(),
            ..RuleChange::default()
        };
        let number = book.replace(&store, &text, change, now()).await.unwrap();
        assert_eq!(number, 2);
        assert!(book.rules().get("mine").is_some());
        let again = adopt().await.unwrap();
        assert_eq!(again.in_force().origin, Some(Origin::Api));
        assert!(again.rules().get("mine").is_some(), "the file is as it was");
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(adopt().await.unwrap().in_force().number, 2);
        std::fs::write(&file, RULES.replace("\"hot\"", "\"warm\"")).unwrap();
        let book = adopt().await.unwrap();
        assert_eq!(
            (book.in_force().number, book.in_force().origin),
            (3, Some(Origin::File))
        );
        let stale = RuleChange {
            based_on: Some(2),
            ..RuleChange::default()
        };
        let refused = book.replace(&store, RULES, stale, now()).await.unwrap_err();
        assert_eq!(
            refused,
            ChangeError::Stale {
                found: 3,
                based_on: 2
            }
        );
        let wrong = RULES.replace("above", "abov");
        let refused = book
            .replace(&store, &wrong, RuleChange::default(), NOW)
            .await;
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("did you mean `above`?")
        );
        assert!(book.rules().get("warm").is_some());
        let same = book.in_force().text.to_string();
        let same = book
            .replace(&store, &same, RuleChange::default(), NOW)
            .await;
        assert_eq!(same, Ok(3), "what is the same already makes no version");
        let lines = store.audit(10).unwrap();
        let actions: Vec<_> = lines
            .iter()
            .map(|l| (l.action.as_str(), l.actor.as_str()))
            .collect();
        assert_eq!(
            actions,
            [
                ("rules.file", "admin"),
                ("rules.change", "desk"),
                ("rules.file", "admin")
            ]
        );
    }
}
