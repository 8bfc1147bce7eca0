//! An Alert: one rule that found one thing wrong with one device.

use std::fmt;
use std::str::FromStr;

use rollcall_shared::id::{DeviceId, IdError};
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::incident::IncidentId;

/// One occurrence of a problem, from its first sign to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(Uuid);

/// What an alert is about. At most one alert that is not resolved exists for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertKey {
    /// Which device.
    pub device: DeviceId,
    /// The rule's name.
    pub rule: String,
    /// Which battery, drive, file system or target; empty where there is only one.
    pub instance: String,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// The condition holds, but not yet for long enough.
    Pending,
    /// Somebody should know.
    Firing,
    /// A good reading has shown that it is over.
    Resolved,
}

/// How much it matters.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// To be dealt with in the next days.
    Warning,
    /// A pupil cannot work, or data are about to be lost.
    Critical,
}

/// Whose work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Technical faults of a laptop.
    HelpDesk,
    /// What training solves.
    TechnologyCoach,
    /// Sites and services.
    NetworkTeam,
    /// Everybody, for what concerns everybody.
    Broadcast,
}

/// A problem of a device as a rule sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// This occurrence.
    pub id: AlertId,
    /// What it is about.
    pub key: AlertKey,
    /// Where it stands.
    pub state: AlertState,
    /// How much it matters.
    pub severity: Severity,
    /// Whose work it is.
    pub audience: Audience,
    /// The rule's title, in one line.
    pub title: String,
    /// What was seen, in words with numbers.
    pub evidence: String,
    /// When the condition began to hold.
    pub since: UnixMs,
    /// How long the condition has been observed to hold, in milliseconds; sleep does not count.
    pub held_ms: i64,
    /// The last report that counted towards `held_ms`.
    pub observed: UnixMs,
    /// When it began to fire.
    pub fired: Option<UnixMs>,
    /// When it was resolved.
    pub resolved: Option<UnixMs>,
    /// The incident that it belongs to, once channels may be told.
    #[serde(default)]
    pub incident: Option<IncidentId>,
}

impl AlertId {
    /// A new occurrence; later ones sort after earlier ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The sixteen bytes, in the order that keys use.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AlertId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| IdError::NotUuid(text.to_owned()))
    }
}

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),*) => {
        impl $type {
            /// Every value, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The value in one word, as rules, answers and serialised forms spell it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The value that a word stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words!(AlertState: Pending = "pending", Firing = "firing", Resolved = "resolved");
words!(Severity: Info = "info", Warning = "warning", Critical = "critical");
words!(Audience: HelpDesk = "help-desk", TechnologyCoach = "technology-coach",
    NetworkTeam = "network-team", Broadcast = "broadcast");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_is_serialised() {
        for audience in Audience::ALL {
            let json = serde_json::to_string(audience).unwrap();
            assert_eq!(json, format!("\"{audience}\""));
            assert_eq!(Audience::from_word(audience.word()), Some(*audience));
        }
        for state in AlertState::ALL {
            assert_eq!(
                serde_json::to_string(state).unwrap(),
                format!("\"{state}\"")
            );
        }
    }
}
