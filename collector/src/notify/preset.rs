//! Presets: how a ticket system is talked to over HTTP. They are data, read from TOML.
//!
//! A preset says how a ticket is created, found again by our key, commented, resolved and opened again:
//! method, path, headers and JSON body of each call, and where number and status stand in the answers.
//! `deploy/helpdesk/` holds those that are built in, and their documentation.

mod check;
pub mod template;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// Bytes of a preset: ten times the largest of those that are built in.
const FILE_BYTES: u64 = 64 * 1024;

/// The presets that are built in, by name.
const BUILT_IN: [(&str, &str); 8] = [
    (
        "freshservice",
        include_str!("../../../deploy/helpdesk/freshservice.toml"),
    ),
    ("glpi", include_str!("../../../deploy/helpdesk/glpi.toml")),
    (
        "incident-iq",
        include_str!("../../../deploy/helpdesk/incident-iq.toml"),
    ),
    (
        "jira-service-management",
        include_str!("../../../deploy/helpdesk/jira-service-management.toml"),
    ),
    (
        "osticket",
        include_str!("../../../deploy/helpdesk/osticket.toml"),
    ),
    (
        "request-tracker",
        include_str!("../../../deploy/helpdesk/request-tracker.toml"),
    ),
    (
        "servicenow",
        include_str!("../../../deploy/helpdesk/servicenow.toml"),
    ),
    (
        "zendesk",
        include_str!("../../../deploy/helpdesk/zendesk.toml"),
    ),
];

/// How a ticket system is talked to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The system's name and the version of its interface.
    pub title: String,
    /// Where its interface is documented.
    pub documentation: String,
    /// What it was tried against; `None` where that was a stand-in only.
    #[serde(default)]
    pub tried: Option<String>,
    /// What differs from school to school.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// The secrets that it needs, and what each is.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Words of ours and what stands for them there, such as a priority for a severity.
    #[serde(default)]
    pub maps: BTreeMap<String, Map>,
    /// Headers of every call.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Who calls.
    #[serde(default)]
    pub auth: Auth,
    /// A call that must come first, and whose answer holds a token.
    #[serde(default)]
    pub login: Option<Login>,
    /// How a ticket is made.
    pub create: Create,
    /// How a ticket is found by our key; where the system cannot, a create without an answer is left to
    /// a person.
    #[serde(default)]
    pub find: Option<Find>,
    /// The calls that add a comment; none where the system cannot.
    #[serde(default)]
    pub comment: Vec<Request>,
    /// The calls that close a ticket.
    #[serde(default)]
    pub resolve: Vec<Request>,
    /// The calls that open it again; without them there is a new ticket.
    #[serde(default)]
    pub reopen: Vec<Request>,
    /// For how many days after its end a ticket is opened again.
    #[serde(default = "reopen_days")]
    pub reopen_days: u32,
    /// Seconds after a create without an answer until it counts as not done when it is not found: as
    /// long as the system may take to make a ticket and to find it.
    #[serde(default = "settle_s")]
    pub settle_s: u32,
}

/// Something that differs from school to school.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What it is.
    pub about: String,
    /// Its value where none is given.
    #[serde(default)]
    pub default: Option<toml::Value>,
    /// Whether it may be left out; what would hold it is then left out too.
    #[serde(default)]
    pub optional: bool,
}

/// What stands for a word of ours.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// Which of our values.
    pub from: String,
    /// What stands for each of its words.
    pub to: BTreeMap<String, toml::Value>,
}

/// Who calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Auth {
    /// Nobody, or the headers say it.
    #[default]
    None,
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// The token.
        token: String,
    },
    /// `Authorization: Basic`, of a name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A header of the system's own.
    Header {
        /// Its name.
        name: String,
        /// Its content.
        value: String,
    },
}

/// A call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The path; values in it are encoded.
    pub path: String,
    /// The query; values in it are encoded.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers of this call.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, sent as JSON.
    #[serde(default)]
    pub body: Option<toml::Value>,
}

/// A call that must come first.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The call.
    pub request: Request,
    /// Where in the answer the token is, as a JSON pointer. Headers know it as `login.token`.
    pub token: String,
}

/// How a ticket is made.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// The call.
    pub request: Request,
    /// Where in the answer the ticket's identity for programs is, as a JSON pointer; `text` for the
    /// whole answer.
    pub id: String,
    /// Where its number for people is.
    pub number: String,
}

/// How a ticket is found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// The call.
    pub request: Request,
    /// Where in the answer the list of tickets is, as a JSON pointer.
    pub items: String,
    /// Where in the answer their number is, for systems that leave out a list that is empty.
    #[serde(default)]
    pub total: Option<String>,
    /// Where in a ticket its identity for programs is.
    pub id: String,
    /// Where in a ticket its number for people is.
    pub number: String,
    /// Where in a ticket our key is, for systems whose search finds what is merely similar; a ticket
    /// counts when that holds the key.
    #[serde(default)]
    pub key: Option<String>,
    /// Where in a ticket its status is.
    pub status: String,
    /// The states in which it is closed.
    pub closed: Vec<String>,
}

impl Preset {
    /// Reads and checks a preset of one's own.
    ///
    /// # Errors
    /// When it cannot be read or is not right; the error names the file and the field.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display().to_string();
        let meta = std::fs::metadata(file).with_context(|| format!("preset_file {name}"))?;
        anyhow::ensure!(
            meta.len() <= FILE_BYTES,
            "preset_file {name}: {} bytes are more than {FILE_BYTES}",
            meta.len()
        );
        let text = std::fs::read_to_string(file).with_context(|| format!("preset_file {name}"))?;
        Self::parse(&name, &text)
    }

    /// Reads and checks the text of a preset called `name`.
    ///
    /// # Errors
    /// What is not right, with the field.
    pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let preset: Self =
            toml::from_str(text).with_context(|| format!("preset {name} is not right"))?;
        preset
            .check()
            .map_err(|problem| anyhow::anyhow!("preset {name}: {problem}"))?;
        Ok(preset)
    }
}

impl Setting {
    /// Whether a channel must give it.
    #[must_use]
    pub const fn is_needed(&self) -> bool {
        self.default.is_none() && !self.optional
    }
}

/// A preset that is built in.
///
/// # Errors
/// When there is none of that name, with the names there are.
pub fn built_in(name: &str) -> anyhow::Result<Preset> {
    let found = BUILT_IN.iter().find(|(known, _)| *known == name);
    let Some((name, text)) = found else {
        let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("`{name}` is no preset; there are {}", names.join(", "));
    };
    Preset::parse(name, text)
}

/// The names of the presets that are built in.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// A school week's weekend and a day on either side: as long as an incident itself is opened again.
const fn reopen_days() -> u32 {
    4
}

/// Two minutes: a create that a gateway has given up is done by then, or will not be.
const fn settle_s() -> u32 {
    120
}
