//! What is right in each tree: a key's layout and a value's form, by the decoders that read them.

use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::DeviceId;
use rollcall_shared::metric;
use rollcall_shared::time::UnixMs;
use serde::de::DeserializeOwned;

use super::super::codec::{Decoder, Problem, first_piece, unpack};
use super::super::keys::{self, Day, Part, Place, RolledFrom, SCHEMA, TreeName, Week, meta};
use super::super::log::LogEntry;
use super::super::memory::Entry;
use super::super::rollup::form;
use super::super::{ApiTokenRecord, EnrolmentTokenRecord, block, seal, snapshot};
use super::agreement::Agreement;
use super::{CheckReport, Finding, RESTORE};
use crate::alert::Alert;
use crate::asset::{Asset, Pupil};
use crate::audit::AuditLine;
use crate::device::Device;
use crate::edition::Edition;
use crate::incident::Incident;
use crate::mark::Marks;
use crate::memo::Memo;
use crate::notification::Notification;
use crate::reach_note::ReachNote;
use crate::silence::Silence;
use crate::user::User;

/// A tree of the hot database while it is read in the order of its keys.
pub(super) struct HotTree {
    tree: TreeName,
    /// A value in pieces that is not whole yet.
    pieces: Option<Pieces>,
}

struct Pieces {
    prefix: Vec<u8>,
    count: u16,
    seen: u16,
    joined: Vec<u8>,
}

impl HotTree {
    pub const fn new(tree: TreeName) -> Self {
        Self { tree, pieces: None }
    }

    /// Looks at a key and its value.
    pub fn take(
        &mut self,
        key: &[u8],
        value: &[u8],
        report: &mut CheckReport,
        agreement: Option<&mut Agreement>,
    ) {
        if self.is_in_pieces(key) {
            return self.take_piece(key, value, report, agreement);
        }
        let checked = verify(self.tree, key, value);
        self.tell(key, checked, report);
        if let Some(agreement) = agreement {
            agreement.note(self.tree, key, value);
        }
    }

    /// Looks at what was left over.
    pub fn end(mut self, report: &mut CheckReport, agreement: Option<&mut Agreement>) {
        self.close(report, agreement);
    }

    fn is_in_pieces(&self, key: &[u8]) -> bool {
        match self.tree {
            TreeName::Log | TreeName::State | TreeName::Rules | TreeName::Reach => true,
            // Numbers of pieces are less than 256 here, and `seal` begins `sealed` too.
            TreeName::Meta => {
                key.starts_with(meta::CONFIGURATION)
                    || key.len() == meta::SEAL.len() + 2
                        && key.starts_with(&[meta::SEAL, &[0]].concat())
            }
            _ => false,
        }
    }

    fn take_piece(
        &mut self,
        key: &[u8],
        value: &[u8],
        report: &mut CheckReport,
        agreement: Option<&mut Agreement>,
    ) {
        let Some((prefix, number)) = key.split_last_chunk::<2>() else {
            return self.tell(
                key,
                Err("its key has no number of a piece".to_owned()),
                report,
            );
        };
        let number = u16::from_be_bytes(*number);
        if number == 0 {
            self.close(report, agreement);
            match first_piece(value) {
                Ok((count, bytes)) => {
                    self.pieces = Some(Pieces {
                        prefix: prefix.to_vec(),
                        count,
                        seen: 1,
                        joined: bytes.to_vec(),
                    });
                }
                Err(problem) => self.tell(key, Err(problem), report),
            }
            return;
        }
        match &mut self.pieces {
            // Pieces of a longer value before it stay and do not count.
            Some(pieces) if pieces.prefix == prefix && number >= pieces.count => {}
            Some(pieces) if pieces.prefix == prefix && number == pieces.seen => {
                pieces.seen += 1;
                pieces.joined.extend(value);
            }
            _ => self.tell(key, Err("a piece before it is missing".to_owned()), report),
        }
    }

    fn close(&mut self, report: &mut CheckReport, agreement: Option<&mut Agreement>) {
        let Some(pieces) = self.pieces.take() else {
            return;
        };
        if pieces.seen < pieces.count {
            let problem = format!(
                "{} of its {} pieces are missing",
                pieces.count - pieces.seen,
                pieces.count
            );
            return self.tell(&pieces.prefix, Err(problem), report);
        }
        let checked = verify_joined(self.tree, &pieces.prefix, &pieces.joined);
        self.tell(&pieces.prefix, checked, report);
        if let Some(agreement) = agreement {
            agreement.note(self.tree, &pieces.prefix, &pieces.joined);
        }
    }

    fn tell(&self, key: &[u8], checked: Result<(), Problem>, report: &mut CheckReport) {
        if let Err(problem) = checked {
            report.add(Finding {
                file: super::HOT.to_owned(),
                place: format!("{} {}", self.tree.word(), words(self.tree, key)),
                problem,
                lost: lost(self.tree).to_owned(),
                remedy: RESTORE.to_owned(),
            });
        }
    }
}

/// A tree of a part of the history.
pub(super) struct PartTree {
    part: Part,
    name: &'static str,
}

impl PartTree {
    pub const fn new(part: Part, name: &'static str) -> Self {
        Self { part, name }
    }

    pub fn take(&self, key: &[u8], value: &[u8], report: &mut CheckReport) {
        if let Err(problem) = self.verify(key, value) {
            let name = format!("history/{}", self.part.folder());
            let of = self.words(key);
            report.add(Finding {
                place: format!("{} {of}", self.name),
                problem,
                lost: format!("up to a day of readings {of} in {}", self.part.folder()),
                remedy: super::whole(&name).1,
                file: name,
            });
        }
    }

    fn verify(&self, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        match (self.part, self.name) {
            (Part::Sealed(day, _), _) => {
                keys::parse_hours(key).ok_or("its key is too short")?;
                verify_days(value, |at| Day::of(at) == day)
            }
            (Part::Raw(week), "blocks") => {
                keys::parse_block_seal(key).ok_or("its key is too short")?;
                let points = block::decode_v1(value)?;
                within(points.iter().map(|(at, _)| *at), |at| Week::of(at) == week)
            }
            (Part::Merged(..), "1h") => {
                let of = keys::parse_merged(key).ok_or("its key is too short")?;
                verify_days(value, |at| form::day_of(at) == of)
            }
            (Part::Raw(_) | Part::Merged(..), _) => {
                let (day, _) = keys::parse_merged(key).ok_or("its key is too short")?;
                verify_days(value, |at| Day::of(at) == day)
            }
            (Part::Rollups(level, _), _) => {
                match keys::parse_rolled(key).ok_or("its key has neither 22 bytes nor 24")? {
                    RolledFrom::Day(day, _) => verify_days(value, |at| form::day_of(at).0 == day),
                    RolledFrom::Week(week) => verify_days(value, |at| {
                        let of = Week::of(form::day_of(at).0.start());
                        of >= week && Part::rollups(level, of) == self.part
                    }),
                }
            }
        }
    }

    /// A key, for people.
    fn words(&self, key: &[u8]) -> String {
        if self.name == "blocks" {
            return block_words(key);
        }
        let device = key
            .get(..16)
            .and_then(|bytes| DeviceId::try_from(bytes).ok());
        device.map_or_else(
            || key.escape_ascii().to_string(),
            |device| format!("of device {device}"),
        )
    }
}

fn verify_days(value: &[u8], is_inside: impl Fn(UnixMs) -> bool) -> Result<(), Problem> {
    let columns = block::decode(value, None)?;
    let points = columns.iter().flat_map(|column| &column.points);
    within(points.map(|(at, _)| *at), is_inside)
}

fn within(
    mut times: impl Iterator<Item = UnixMs>,
    is_inside: impl Fn(UnixMs) -> bool,
) -> Result<(), Problem> {
    let outside = times.find(|at| !is_inside(*at));
    outside.map_or(Ok(()), |at| {
        Err(format!("a reading of {at} belongs elsewhere"))
    })
}

/// Whether a whole value of a tree is right.
fn verify(tree: TreeName, key: &[u8], value: &[u8]) -> Result<(), Problem> {
    match tree {
        TreeName::Meta => verify_meta(key, value),
        TreeName::Devices => {
            let device: Device = json(value)?;
            same(key, device.id.as_bytes())
        }
        TreeName::Cursors => {
            keys::parse_cursor(key).ok_or("its key has not 32 bytes")?;
            (value.len() == 16)
                .then_some(())
                .ok_or_else(|| "its value has not 16 bytes".to_owned())
        }
        TreeName::Days => {
            keys::parse_day(key).ok_or("its key has not 6 bytes")?;
            Place::parse(value)
                .map(|_| ())
                .ok_or_else(|| "it names no place".to_owned())
        }
        TreeName::Alerts => {
            let alert: Alert = json(value)?;
            same(key, &keys::alert(&alert.key))
        }
        TreeName::AlertHistory => {
            let alert: Alert = json(value)?;
            same(key, &keys::resolved(&alert))
        }
        TreeName::Incidents => {
            let incident: Incident = json(value)?;
            same(key, incident.id.as_bytes())
        }
        TreeName::IncidentHistory => {
            let incident: Incident = json(value)?;
            same(key, &keys::closed(&incident))
        }
        TreeName::Outbox => {
            let entry: Notification = json(value)?;
            same(key, &keys::notification(&entry.key))
        }
        TreeName::Silences => {
            let silence: Silence = json(value)?;
            same(key, silence.id.as_bytes())
        }
        TreeName::Marks => {
            let marks: Marks = json(value)?;
            same(key, marks.subject.as_bytes())
        }
        TreeName::Memos => {
            let memo: Memo = json(value)?;
            same(key, &keys::memo(&memo.key))
        }
        TreeName::Tokens => {
            let token: EnrolmentTokenRecord = json(value)?;
            same(key, token.id.as_bytes())
        }
        TreeName::ApiTokens => {
            let token: ApiTokenRecord = json(value)?;
            same(key, token.name.as_bytes())
        }
        TreeName::Users => {
            let user: User = json(value)?;
            same(key, user.name.as_bytes())
        }
        TreeName::Audit => {
            let line: AuditLine = json(value)?;
            let number = key.get(8..16).and_then(|bytes| bytes.try_into().ok());
            let number = number
                .map(u64::from_be_bytes)
                .ok_or("its key has not 16 bytes")?;
            same(key, &keys::audit(line.at, number))
        }
        TreeName::Assets => {
            let asset: Asset = json(value)?;
            same(key, asset.tag.as_str().as_bytes())
        }
        TreeName::Pupils => {
            let pupil: Pupil = json(value)?;
            same(key, pupil.reference.as_str().as_bytes())
        }
        TreeName::Log | TreeName::State | TreeName::Rules | TreeName::Reach => {
            Err("it is no piece of a value".to_owned())
        }
    }
}

/// Whether a value that was joined from its pieces is right.
fn verify_joined(tree: TreeName, prefix: &[u8], joined: &[u8]) -> Result<(), Problem> {
    match tree {
        TreeName::Log => {
            keys::parse_log(prefix).ok_or("its key has not 10 bytes")?;
            let entry = LogEntry::unpack(joined)?;
            entry.frames().try_for_each(|frame| frame.map(|_| ()))
        }
        TreeName::State => {
            let id = DeviceId::try_from(prefix).map_err(|_| "its key has not 18 bytes")?;
            let mut entry = Entry::new(nobody(id));
            snapshot::restore(&mut entry, joined).map(|_| ())
        }
        TreeName::Rules => {
            let edition: Edition = json(joined)?;
            same(prefix, &keys::edition(edition.number))
        }
        TreeName::Reach => {
            let note: ReachNote = json(&unpack(joined)?)?;
            same(prefix, &[note.slot()])
        }
        TreeName::Meta if prefix == meta::SEAL => seal::parse_marks(joined).map(|_| ()),
        TreeName::Meta => json::<Configuration>(joined).map(|_| ()),
        _ => Err("it is no value in pieces".to_owned()),
    }
}

fn verify_meta(key: &[u8], value: &[u8]) -> Result<(), Problem> {
    match key {
        meta::MAGIC => same(value, meta::MAGIC_VALUE),
        meta::SCHEMA => {
            let found = value.try_into().map(u32::from_be_bytes);
            let found = found.map_err(|_| "it has not 4 bytes")?;
            (found <= SCHEMA)
                .then_some(())
                .ok_or_else(|| format!("schema {found} is newer than {SCHEMA}"))
        }
        meta::SEALED | meta::RETAINED | meta::SEALING => {
            let number: Result<[u8; 8], _> = value.try_into();
            number
                .map(|_| ())
                .map_err(|_| "it has not 8 bytes".to_owned())
        }
        _ => Err("its name is unknown".to_owned()),
    }
}

/// The snapshot of a device can be read without its record.
fn nobody(id: DeviceId) -> Device {
    Device {
        id,
        site: "unknown".parse().expect("a word is a label"),
        group: None,
        enrolled: UnixMs(0),
        fingerprint: rollcall_shared::fingerprint::HardwareFingerprint::default(),
        vendor: String::new(),
        model: String::new(),
        agent_version: String::new(),
        standing: crate::device::Standing::Active,
        cloned_from: None,
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn same(found: &[u8], expected: &[u8]) -> Result<(), Problem> {
    if found == expected {
        return Ok(());
    }
    Err("its key and what it holds are of different things".to_owned())
}

/// A key of the hot database, for people.
fn words(tree: TreeName, key: &[u8]) -> String {
    let device = |bytes: Option<&[u8]>| {
        let id = bytes.and_then(|bytes| DeviceId::try_from(bytes).ok());
        id.map_or_else(
            || key.escape_ascii().to_string(),
            |id| format!("of device {id}"),
        )
    };
    let text = || String::from_utf8_lossy(key).into_owned();
    match tree {
        TreeName::Meta
        | TreeName::Tokens
        | TreeName::ApiTokens
        | TreeName::Assets
        | TreeName::Users
        | TreeName::Pupils => text(),
        TreeName::Rules => {
            let number = key.get(..4).and_then(|bytes| bytes.try_into().ok());
            number.map_or_else(text, |number| {
                format!("version {}", u32::from_be_bytes(number))
            })
        }
        TreeName::Devices | TreeName::State => device(key.get(..16)),
        TreeName::Cursors => match keys::parse_cursor(key) {
            Some((device, spool)) => format!("of device {device}, spool {spool}"),
            None => device(key.get(..16)),
        },
        TreeName::Log => keys::parse_log(key).map_or_else(text, |number| format!("entry {number}")),
        TreeName::Alerts => {
            let rest = key.get(16..).unwrap_or_default();
            format!("{}, {}", device(key.get(..16)), texts(rest).join(" "))
        }
        TreeName::Incidents | TreeName::Silences | TreeName::Marks | TreeName::Reach => {
            key.escape_ascii().to_string()
        }
        TreeName::AlertHistory | TreeName::IncidentHistory | TreeName::Audit => {
            keys::parse_time(key)
                .map_or_else(|| key.escape_ascii().to_string(), |at| format!("of {at}"))
        }
        TreeName::Days => keys::parse_day(key).map_or_else(text, |(day, generation)| {
            Part::Sealed(day, generation).folder()
        }),
        TreeName::Memos => texts(key).join(" "),
        TreeName::Outbox => {
            let channel = key.get(20..).unwrap_or_default();
            format!("for channel {}", String::from_utf8_lossy(channel))
        }
    }
}

/// A key of a block, for people.
fn block_words(key: &[u8]) -> String {
    let parsed = || {
        let device = DeviceId::try_from(key.get(..16)?).ok()?;
        let code = u16::from_be_bytes(key.get(16..18)?.try_into().ok()?);
        let name = metric::by_code(code).map_or("an unknown metric", |metric| metric.name);
        let instance = texts(key.get(18..)?).into_iter().next()?;
        Some(format!("{name} {instance} of device {device}"))
    };
    parsed().unwrap_or_else(|| key.escape_ascii().to_string())
}

/// The texts at the beginning of bytes, each after its length.
fn texts(bytes: &[u8]) -> Vec<String> {
    let mut form = Decoder(bytes);
    let mut texts = Vec::new();
    while let Ok(length) = form.array().map(u16::from_be_bytes)
        && let Ok(text) = form.raw(usize::from(length))
    {
        texts.push(String::from_utf8_lossy(text).into_owned());
    }
    texts
}

/// What is lost with a value of a tree.
const fn lost(tree: TreeName) -> &'static str {
    match tree {
        TreeName::Meta => "the store's marks, without which it does not open",
        TreeName::Devices => "a laptop's record: it would be refused until it enrols anew",
        TreeName::Cursors => "how far a laptop's reports have come",
        TreeName::Log => "some of the last reports",
        TreeName::State => "the latest readings of a laptop",
        TreeName::Alerts => "an open alert",
        TreeName::AlertHistory => "an alert that was resolved",
        TreeName::Incidents => "an incident that is open or was lately",
        TreeName::IncidentHistory => "an incident that was closed",
        TreeName::Outbox => "a message that a channel is still to be sent",
        TreeName::Silences => "a silence or maintenance window",
        TreeName::Marks => "what people said about an alert or incident",
        TreeName::Memos => "the number of a ticket, which is found again by its key",
        TreeName::Rules => "a version of the rules",
        TreeName::Assets => "a laptop of the inventory, which an import brings back",
        TreeName::Pupils => "a pupil's school, which an import brings back",
        TreeName::Reach => "ten minutes of what laptops reached over the day",
        TreeName::Tokens => "an enrolment token",
        TreeName::ApiTokens => "an API token",
        TreeName::Users => "a person who signs in, who is to be made anew",
        TreeName::Days => "whether a day is merged",
        TreeName::Audit => "a line of the audit log",
    }
}
