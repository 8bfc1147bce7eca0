//! What a desk does about what was found, in one or two keys: acknowledge, note, give to somebody, silence, mark as
//! not useful.

use axum::response::{IntoResponse, Redirect, Response};
use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::forms::{Sent, hidden};
use super::html::Html;
use crate::act::Action;
use crate::alert::AlertId;
use crate::incident::IncidentId;
use crate::mark::Subject;
use crate::query::http::Parameters;
use crate::query::{AlertAnswer, IncidentAnswer, QueryError, Viewer};
use crate::silence::{Kind, Matchers, When};
use crate::store::Role;

const DAY_MS: i64 = 86_400_000;

/// Fields of every act's form.
const FIELDS: [&str; 9] = [
    "act", "alert", "incident", "device", "rule", "days", "text", "back", "reason",
];

/// Days for which something may be put off here; more by the command line.
const LONGEST_DAYS: u64 = 90;

/// Who may act, and from which page.
#[derive(Debug, Clone)]
pub(super) struct Acts {
    may: bool,
    form: String,
    back: String,
}

impl Acts {
    pub fn new(viewer: &Viewer, form: &str, back: &str) -> Self {
        Self {
            may: viewer.role >= Role::Technician,
            form: form.to_owned(),
            back: back.to_owned(),
        }
    }

    /// What may be done about an alert.
    pub fn of_alert(&self, alert: &AlertAnswer) -> Html {
        if !self.may {
            return Html::new();
        }
        let of = |act| self.begin(act, "alert", &alert.id);
        let silence = of("silence")
            .put(hidden("device", &alert.device))
            .put(hidden("rule", &alert.rule))
            .put(text("reason", "Why"));
        let silence = silence.put(days()).put(send("Silence it"));
        let useful = match alert.not_useful_by {
            None => folded(
                "u",
                "Not useful",
                of("not-useful")
                    .put(optional("text", "Why, if you like", ""))
                    .put(send("It was of no use")),
            ),
            Some(_) => of("useful").raw(
                "<button type=\"submit\" class=\"quiet\" data-key=\"u\">Useful after all</button></form>",
            ),
        };
        let said = (
            alert.acknowledged_by.is_some(),
            alert.assigned_to.as_deref(),
        );
        self.row(said, of)
            .put(folded("s", "Silence", silence))
            .put(useful)
    }

    /// What may be done about an incident.
    pub fn of_incident(&self, incident: &IncidentAnswer) -> Html {
        if !self.may {
            return Html::new();
        }
        let of = |act| self.begin(act, "incident", &incident.id);
        let assigned = incident.assigned_to.as_deref();
        self.row((incident.acknowledged_by.is_some(), assigned), of)
    }

    /// Acknowledging, noting and giving away, before what else there is.
    fn row(
        &self,
        (is_acknowledged, assigned): (bool, Option<&str>),
        of: impl Fn(&'static str) -> Html,
    ) -> Html {
        let acknowledge = match is_acknowledged {
            false => of("acknowledge")
                .put(hidden("days", "1"))
                .raw("<button type=\"submit\" class=\"quiet\" data-key=\"a\">Acknowledge for a day</button>"),
            true => of("release")
                .raw("<button type=\"submit\" class=\"quiet\" data-key=\"a\">No longer deal with it</button>"),
        };
        let note = of("note").put(text("text", "Note")).put(send("Note it"));
        let give = of("assign")
            .put(optional(
                "text",
                "To whom, empty for nobody",
                assigned.unwrap_or_default(),
            ))
            .put(send("Give it"));
        Html::new()
            .put(acknowledge.raw("</form>"))
            .put(folded("n", "Note", note))
            .put(folded("t", "Give to", give))
    }

    fn begin(&self, act: &'static str, kind: &'static str, id: &str) -> Html {
        Html::new()
            .raw("<form method=\"post\" action=\"/acts\">")
            .put(hidden("act", act))
            .put(hidden(kind, id))
            .put(hidden("back", &self.back))
            .put(hidden("form", &self.form))
    }
}

fn folded(key: &'static str, title: &'static str, form: Html) -> Html {
    Html::new()
        .raw("<details data-key=\"")
        .raw(key)
        .raw("\"><summary>")
        .raw(title)
        .raw("</summary>")
        .put(form)
        .raw("</form></details>")
}

/// A field whose label wraps it, since the page has many of them.
fn text(name: &'static str, label: &'static str) -> Html {
    Html::new()
        .raw("<label>")
        .raw(label)
        .raw(" <input required maxlength=\"300\" name=\"")
        .raw(name)
        .raw("\"></label>")
}

/// A field that may be left empty, with what holds now.
fn optional(name: &'static str, label: &'static str, value: &str) -> Html {
    Html::new()
        .raw("<label>")
        .raw(label)
        .raw(" <input maxlength=\"100\" name=\"")
        .raw(name)
        .raw("\" value=\"")
        .text(value)
        .raw("\"></label>")
}

fn days() -> Html {
    Html::new()
        .raw("<label>For <select name=\"days\"><option value=\"1\">a day</option>")
        .raw("<option value=\"7\" selected>a week</option><option value=\"30\">30 days</option>")
        .raw("</select></label>")
}

fn send(title: &'static str) -> Html {
    Html::new()
        .raw("<button type=\"submit\">")
        .raw(title)
        .raw("</button>")
}

/// Does what a form says, and goes back to where it stood.
pub(super) async fn submit(sent: Sent) -> Response {
    let asked = &sent.asked;
    let given = match sent.fields(&FIELDS) {
        Ok(given) => given,
        Err(error) => return asked.refuse(error).into_response(),
    };
    let (action, back) = match action(given, asked.now()) {
        Ok(wanted) => wanted,
        Err(error) => return asked.refuse(error).into_response(),
    };
    let query = &asked.face.query;
    let done = match action {
        silence @ Action::Silence { .. } => query.silence(&asked.viewer, silence).await.map(drop),
        word => query.say(&asked.viewer, word).await.map(drop),
    };
    match done {
        Ok(()) => Redirect::to(&back).into_response(),
        Err(error) => asked.refuse(error).into_response(),
    }
}

fn action(mut given: Parameters, now: UnixMs) -> Result<(Action, String), QueryError> {
    let act = given.text("act").unwrap_or_default();
    let back = given.text("back").unwrap_or_default();
    let subject = subject(given.text("alert"), given.text("incident"))?;
    let until = now.plus_ms(days_of(given.number("days")?)? * DAY_MS);
    let text = given.text("text").unwrap_or_default();
    let action = match act.as_str() {
        "acknowledge" => Action::Acknowledge {
            subject,
            until,
            note: text,
        },
        "release" => Action::Release { subject },
        "note" => Action::Note { subject, text },
        "assign" => Action::Assign {
            subject,
            to: Some(text.trim().to_owned()).filter(|to| !to.is_empty()),
        },
        "not-useful" => Action::NotUseful {
            subject,
            note: text,
        },
        "useful" => Action::Useful { subject },
        "silence" => {
            let device: Option<DeviceId> = given.text("device").and_then(|id| id.parse().ok());
            let problem = || QueryError::field("device", "must be a device's id");
            Action::Silence {
                kind: Kind::Silence,
                matchers: Matchers {
                    devices: vec![device.ok_or_else(problem)?],
                    rules: given.text("rule").into_iter().collect(),
                    ..Matchers::default()
                },
                when: When::Once { from: now, until },
                reason: given.text("reason").unwrap_or_default(),
            }
        }
        _ => {
            let words =
                "must be one of acknowledge, release, note, assign, not-useful, useful, silence";
            return Err(QueryError::field("act", words));
        }
    };
    Ok((action, own_page(back)))
}

fn subject(alert: Option<String>, incident: Option<String>) -> Result<Subject, QueryError> {
    let alert = alert.map(|id| id.parse::<AlertId>().map(Subject::Alert));
    let incident = incident.map(|id| id.parse::<IncidentId>().map(Subject::Incident));
    match alert.or(incident) {
        Some(Ok(subject)) => Ok(subject),
        _ => Err(QueryError::field("alert", "must be the id of an alert")),
    }
}

fn days_of(days: Option<u64>) -> Result<i64, QueryError> {
    let days = days.unwrap_or(1);
    if (1..=LONGEST_DAYS).contains(&days) {
        return Ok(days as i64);
    }
    let problem = format!("must be from 1 to {LONGEST_DAYS}");
    Err(QueryError::field("days", problem))
}

/// A form leads back to a page of ours and to nowhere else.
fn own_page(back: String) -> String {
    let is_own = back.starts_with('/')
        && !back.starts_with("//")
        && !back.chars().any(|c| c == '\\' || c.is_control());
    if is_own { back } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_787_557_500_000);

    fn wanted(text: &str) -> Result<(Action, String), QueryError> {
        action(Parameters::parse(text, &FIELDS).unwrap(), NOW)
    }

    #[test]
    fn forms_become_acts_and_mistakes_are_named() {
        let id = AlertId::generate();
        let (action, back) =
            wanted(&format!("act=acknowledge&alert={id}&days=2&back=/?page=2")).unwrap();
        let Action::Acknowledge { subject, until, .. } = action else {
            panic!("{action:?}");
        };
        assert_eq!(
            (subject, until),
            (Subject::Alert(id), NOW.plus_ms(2 * DAY_MS))
        );
        assert_eq!(back, "/?page=2");
        let (action, _) = wanted(&format!("act=assign&alert={id}&text=+anna+")).unwrap();
        assert!(matches!(action, Action::Assign { to: Some(to), .. } if to == "anna"));
        let (action, _) = wanted(&format!("act=assign&alert={id}&text=")).unwrap();
        assert!(matches!(action, Action::Assign { to: None, .. }));
        let (action, _) = wanted(&format!("act=not-useful&alert={id}&text=x")).unwrap();
        assert!(matches!(action, Action::NotUseful { note, .. } if note == "x"));
        for (text, field) in [
            (format!("act=explode&alert={id}"), "`act`"),
            ("act=note&alert=x".to_owned(), "`alert`"),
            (format!("act=note&alert={id}&days=91"), "`days`"),
            (format!("act=silence&alert={id}&device=x"), "`device`"),
        ] {
            let error = wanted(&text).unwrap_err().to_string();
            assert!(error.starts_with(field), "{text}: {error}");
        }
    }

    #[test]
    fn nobody_is_led_elsewhere() {
        for bad in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "",
            "/a\nb",
        ] {
            assert_eq!(own_page(bad.to_owned()), "/", "{bad}");
        }
    }
}
