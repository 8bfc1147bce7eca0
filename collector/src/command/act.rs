//! What people do about what was found, on the command line.

use std::time::Duration;

use clap::{Args, Subcommand};
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};

use super::parse_life;
use crate::act::Action;
use crate::alert::AlertId;
use crate::control::Request;
use crate::incident::IncidentId;
use crate::mark::Subject;
use crate::silence::{DayOfWeek, DayOfYear, Kind, Matchers, SilenceId, TimeOfDay, When};

/// Which findings are meant: those that fit all kinds given; every finding where none is.
#[derive(Debug, Args)]
pub(super) struct MatcherArgs {
    /// A site; may be given more than once
    #[arg(long)]
    site: Vec<Label>,
    /// A group; may be given more than once
    #[arg(long)]
    group: Vec<Label>,
    /// A rule's name; may be given more than once
    #[arg(long)]
    rule: Vec<String>,
    /// A model, or the beginning of one and `*`; may be given more than once
    #[arg(long)]
    model: Vec<String>,
    /// A device's id; may be given more than once
    #[arg(long)]
    device: Vec<DeviceId>,
}

/// From when until when.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct EndArgs {
    /// Until when, such as 2026-08-24T07:45:00-04:00
    #[arg(long, value_parser = parse_time)]
    until: Option<UnixMs>,
    /// How long from its beginning, such as 2h, 3d or 1w
    #[arg(long = "for", value_parser = parse_life)]
    life: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SilenceCommand {
    /// Tell nobody of certain findings for a while; they are evaluated and stored as ever
    Create {
        #[command(flatten)]
        matchers: MatcherArgs,
        /// From when; now without this
        #[arg(long, value_parser = parse_time)]
        from: Option<UnixMs>,
        #[command(flatten)]
        end: EndArgs,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// List those that hold or will
    List {
        /// Those that are over too
        #[arg(long)]
        all: bool,
    },
    /// End one now
    End {
        /// Its id
        id: SilenceId,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum MaintenanceCommand {
    /// Plan one that happens once
    Once {
        #[command(flatten)]
        matchers: MatcherArgs,
        /// From when; now without this
        #[arg(long, value_parser = parse_time)]
        from: Option<UnixMs>,
        #[command(flatten)]
        end: EndArgs,
        /// What for
        #[arg(long)]
        reason: String,
    },
    /// Plan one that happens on days of the week, by the school's clocks
    Weekly {
        #[command(flatten)]
        matchers: MatcherArgs,
        /// A day on which it begins, such as sunday; may be given more than once
        #[arg(long, required = true)]
        day: Vec<DayOfWeek>,
        /// When it begins, such as 22:00
        #[arg(long)]
        from: TimeOfDay,
        /// When it ends, such as 04:30; on the next day where that is earlier
        #[arg(long)]
        until: TimeOfDay,
        /// What for
        #[arg(long)]
        reason: String,
    },
    /// Plan one that happens every year, such as the summer
    Yearly {
        #[command(flatten)]
        matchers: MatcherArgs,
        /// Its first day, such as 06-20
        #[arg(long)]
        from: DayOfYear,
        /// Its last day, such as 08-25
        #[arg(long)]
        through: DayOfYear,
        /// What for
        #[arg(long)]
        reason: String,
    },
    /// List those that hold or will
    List {
        /// Those that are over too
        #[arg(long)]
        all: bool,
    },
    /// End one for good
    End {
        /// Its id
        id: SilenceId,
    },
}

/// What may be said of an alert or an incident.
#[derive(Debug, Subcommand)]
pub(super) enum WordCommand<Id: std::str::FromStr + Clone + Send + Sync + 'static>
where
    <Id as std::str::FromStr>::Err: std::error::Error + Send + Sync + 'static,
{
    /// List those that are open
    List,
    /// Deal with it: nobody is told of it again until then, unless it becomes worse
    Ack {
        /// Its id
        id: Id,
        #[command(flatten)]
        end: EndArgs,
        /// What there is to say
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Deal with it no longer
    Release {
        /// Its id
        id: Id,
    },
    /// Write a note to it
    Note {
        /// Its id
        id: Id,
        /// The note
        text: String,
    },
    /// Give it to somebody
    Assign {
        /// Its id
        id: Id,
        /// To whom; to nobody without this
        #[arg(long)]
        to: Option<String>,
    },
    /// Say that it was of no use: it counts against its rule
    NotUseful {
        /// Its id
        id: Id,
        /// Why
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Say that it was of use after all
    Useful {
        /// Its id
        id: Id,
    },
}

impl From<MatcherArgs> for Matchers {
    fn from(args: MatcherArgs) -> Self {
        Self {
            devices: args.device,
            sites: args.site,
            groups: args.group,
            rules: args.rule,
            models: args.model,
        }
    }
}

impl EndArgs {
    fn at(&self, from: UnixMs) -> UnixMs {
        let life = self.life.unwrap_or_default();
        let ms = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        self.until.unwrap_or_else(|| from.plus_ms(ms))
    }
}

impl From<SilenceCommand> for Request {
    fn from(command: SilenceCommand) -> Self {
        let kind = Kind::Silence;
        match command {
            SilenceCommand::Create {
                matchers,
                from,
                end,
                reason,
            } => silence(kind, matchers, once(from, &end), reason),
            SilenceCommand::List { all } => Self::Silences { kind, all },
            SilenceCommand::End { id } => act(Action::EndSilence { id }),
        }
    }
}

impl From<MaintenanceCommand> for Request {
    fn from(command: MaintenanceCommand) -> Self {
        let kind = Kind::Maintenance;
        match command {
            MaintenanceCommand::Once {
                matchers,
                from,
                end,
                reason,
            } => silence(kind, matchers, once(from, &end), reason),
            MaintenanceCommand::Weekly {
                matchers,
                day,
                from,
                until,
                reason,
            } => {
                let when = When::Weekly {
                    weekdays: day,
                    from,
                    until,
                };
                silence(kind, matchers, when, reason)
            }
            MaintenanceCommand::Yearly {
                matchers,
                from,
                through,
                reason,
            } => silence(kind, matchers, When::Yearly { from, through }, reason),
            MaintenanceCommand::List { all } => Self::Silences { kind, all },
            MaintenanceCommand::End { id } => act(Action::EndSilence { id }),
        }
    }
}

impl From<WordCommand<AlertId>> for Request {
    fn from(command: WordCommand<AlertId>) -> Self {
        word(command, Subject::Alert, Self::Alerts)
    }
}

impl From<WordCommand<IncidentId>> for Request {
    fn from(command: WordCommand<IncidentId>) -> Self {
        word(command, Subject::Incident, Self::Incidents)
    }
}

fn word<Id>(command: WordCommand<Id>, subject: impl Fn(Id) -> Subject, list: Request) -> Request
where
    Id: std::str::FromStr + Clone + Send + Sync + 'static,
    <Id as std::str::FromStr>::Err: std::error::Error + Send + Sync + 'static,
{
    let action = match command {
        WordCommand::List => return list,
        WordCommand::Ack { id, end, note } => Action::Acknowledge {
            subject: subject(id),
            until: end.at(now()),
            note,
        },
        WordCommand::Release { id } => Action::Release {
            subject: subject(id),
        },
        WordCommand::Note { id, text } => Action::Note {
            subject: subject(id),
            text,
        },
        WordCommand::Assign { id, to } => Action::Assign {
            subject: subject(id),
            to,
        },
        WordCommand::NotUseful { id, note } => Action::NotUseful {
            subject: subject(id),
            note,
        },
        WordCommand::Useful { id } => Action::Useful {
            subject: subject(id),
        },
    };
    act(action)
}

fn once(from: Option<UnixMs>, end: &EndArgs) -> When {
    let from = from.unwrap_or_else(now);
    When::Once {
        from,
        until: end.at(from),
    }
}

fn silence(kind: Kind, matchers: MatcherArgs, when: When, reason: String) -> Request {
    act(Action::Silence {
        kind,
        matchers: matchers.into(),
        when,
        reason,
    })
}

const fn act(action: Action) -> Request {
    Request::Act { action }
}

fn now() -> UnixMs {
    SystemClock.now().wall
}

fn parse_time(text: &str) -> Result<UnixMs, String> {
    let parsed = text.parse::<jiff::Timestamp>();
    parsed.map(|at| UnixMs(at.as_millisecond())).map_err(|_| {
        "a time has a date, a time and an offset, such as 2026-08-24T07:45:00Z".to_owned()
    })
}
