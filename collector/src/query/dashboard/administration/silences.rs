//! Silences and maintenance windows, on the page of administration.

use axum::response::{IntoResponse, Redirect, Response};
use rollcall_shared::time::UnixMs;
use serde_json::Value;

use super::{Told, tabs, told};
use crate::act::Action;
use crate::query::dashboard::devices::cell;
use crate::query::dashboard::forms::{Sent, choice, field, own, table};
use crate::query::dashboard::frame::minute;
use crate::query::dashboard::html::Html;
use crate::query::dashboard::{Asked, Refused};
use crate::query::http::{Parameters, Problem};
use crate::query::{QueryError, SilenceAnswer};
use crate::silence::{Kind, Matchers, When};
use crate::store::Role;

const ADDRESS: &str = "/administration/silences";

const DAY_MS: i64 = 86_400_000;

/// Days for which something is silenced by the form; more by a maintenance window.
const LONGEST_DAYS: u64 = 400;

/// Fields of the form.
const FIELDS: [&str; 10] = [
    "kind", "repeats", "sites", "groups", "rules", "models", "days", "from", "until", "reason",
];

/// The page.
pub(in crate::query::dashboard) async fn page(asked: Asked) -> Result<Html, Refused> {
    let found = find(&asked).await?;
    Ok(shown(&asked, &found, &Told::default()))
}

async fn find(asked: &Asked) -> Result<Vec<SilenceAnswer>, Refused> {
    let found = asked.answer(&[], |query, viewer, _| {
        viewer.require(Role::Technician)?;
        let mut all = query.silences(viewer, Kind::Maintenance, false);
        all.extend(query.silences(viewer, Kind::Silence, false));
        Ok(all)
    });
    found.await
}

fn shown(asked: &Asked, found: &[SilenceAnswer], said: &Told) -> Html {
    let form = asked.form_token();
    let heads = ["What", "Which findings", "When", "Why", "Who", ""];
    let main = Html::new()
        .raw("<h1>Silences and maintenance</h1>")
        .put(tabs(&asked.viewer, ADDRESS))
        .put(told(said))
        .raw("<p>What is silenced is still seen and stored; nobody is told of it.</p>")
        .put(match found {
            [] => Html::new().raw("<p class=\"empty\">Nothing is silenced.</p>"),
            _ => table("Silences and maintenance windows", &heads)
                .each(found, |silence| row(silence, form))
                .raw("</tbody></table>"),
        })
        .put(make(form, asked.now()));
    asked.page("Silences and maintenance", main)
}

fn row(silence: &SilenceAnswer, form: &str) -> Html {
    let mut matchers = Vec::new();
    for (name, values) in [
        ("site", &silence.sites),
        ("group", &silence.groups),
        ("rule", &silence.rules),
        ("model", &silence.models),
        ("device", &silence.devices),
    ] {
        if !values.is_empty() {
            matchers.push(format!("{name} {}", values.join(", ")));
        }
    }
    let matchers = match matchers.as_slice() {
        [] => "everything".to_owned(),
        some => some.join("; "),
    };
    let when = when_text(silence);
    let holds = silence.holds_until.is_some();
    let end = Html::new()
        .raw("<form method=\"post\" action=\"/administration/silences/end\">")
        .raw("<input type=\"hidden\" name=\"id\" value=\"")
        .text(&silence.id)
        .raw("\">")
        .put(own(form))
        .raw("<button type=\"submit\" class=\"quiet\" aria-label=\"End: ")
        .text(&silence.reason)
        .raw("\">End</button></form>");
    Html::new()
        .raw("<tr role=\"row\">")
        .put(cell("What", Html::new().raw(silence.kind)))
        .put(cell("Which findings", Html::new().text(&matchers)))
        .put(cell(
            "When",
            Html::new()
                .text(&when)
                .raw_if(holds, " <strong>holds now</strong>"),
        ))
        .put(cell("Why", Html::new().text(&silence.reason)))
        .put(cell("Who", Html::new().text(&silence.author)))
        .put(cell("End", end))
        .raw("</tr>")
}

/// When it holds, in the words of its own form: days of the year, times of the day, or moments in UTC.
fn when_text(silence: &SilenceAnswer) -> String {
    let SilenceAnswer { from, until, .. } = silence;
    match silence.repeats {
        "weekly" => format!("weekly, {} {from} to {until}", silence.weekdays.join(", ")),
        "yearly" => format!("yearly, {from} to {until}"),
        _ => {
            let moment = |text: &str| text.replace('T', " ").chars().take(16).collect::<String>();
            format!("{} to {} UTC", moment(from), moment(until))
        }
    }
}

fn make(form: &str, now: UnixMs) -> Html {
    let kinds = [
        ("silence", "Silence: known, need not be told"),
        ("maintenance", "Maintenance: planned, or no school"),
    ];
    let repeats = [
        ("once", "Once, from now or from a time on"),
        ("monday", "Every Monday"),
        ("tuesday", "Every Tuesday"),
        ("wednesday", "Every Wednesday"),
        ("thursday", "Every Thursday"),
        ("friday", "Every Friday"),
        ("saturday", "Every Saturday"),
        ("sunday", "Every Sunday"),
        ("yearly", "Every year, such as the summer"),
    ];
    Html::new()
        .raw("<section aria-labelledby=\"make\"><h2 id=\"make\">Another one</h2>")
        .raw("<p>Empty fields admit everything. Once: days from now on, or the times themselves in UTC, ")
        .raw("such as ")
        .text(&minute(now).replace(' ', "T"))
        .raw(":00Z. Every week: times of the day, such as 22:00. Every year: days, such as 06-20.</p>")
        .raw("<form class=\"filter\" method=\"post\" action=\"/administration/silences\">")
        .put(choice("kind", "What", &kinds))
        .put(choice("repeats", "How often", &repeats))
        .put(field("sites", "Sites with commas", "Lincoln Middle School"))
        .put(field("groups", "Groups with commas", "Grade 6"))
        .put(field("rules", "Rules with commas", "disk-full"))
        .put(field("models", "Models with commas", "Latitude 31*"))
        .put(field("days", "Days, 1 if empty", "7"))
        .put(field("from", "From, instead of now", "22:00"))
        .put(field("until", "Until, instead of days", "04:00"))
        .put(field("reason", "Why", "new images"))
        .put(own(form))
        .raw("<p><button type=\"submit\">Make it</button></p></form></section>")
}

/// Makes one.
pub(in crate::query::dashboard) async fn create(sent: Sent) -> Response {
    let asked = &sent.asked;
    let wanted = sent
        .fields(&FIELDS)
        .and_then(|given| wanted(given, asked.now()));
    let done = match wanted {
        Ok(action) => asked.face.query.silence(&asked.viewer, action).await,
        Err(error) => Err(error),
    };
    finish(asked, done.map(drop)).await
}

/// Ends one for good.
pub(in crate::query::dashboard) async fn end(sent: Sent) -> Response {
    let asked = &sent.asked;
    let id = sent.fields(&["id"]).map(|mut given| given.text("id"));
    let done = match id.map(|id| id.unwrap_or_default().parse()) {
        Ok(Ok(id)) => {
            let action = Action::EndSilence { id };
            asked.face.query.silence(&asked.viewer, action).await
        }
        Ok(Err(_)) => Err(QueryError::NotFound("such silence".to_owned())),
        Err(error) => Err(error),
    };
    finish(asked, done.map(drop)).await
}

async fn finish(asked: &Asked, done: Result<(), QueryError>) -> Response {
    let Err(error) = done else {
        return Redirect::to(ADDRESS).into_response();
    };
    let problem: Problem = error.into();
    let said = Told {
        problem: Some(problem.detail().to_owned()),
        ..Told::default()
    };
    match find(asked).await {
        Ok(found) => (problem.status(), shown(asked, &found, &said)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

fn wanted(mut given: Parameters, now: UnixMs) -> Result<Action, QueryError> {
    let kind = match given.text("kind").as_deref() {
        Some("maintenance") => Kind::Maintenance,
        _ => Kind::Silence,
    };
    let when = when(&mut given, now)?;
    Ok(Action::Silence {
        kind,
        matchers: Matchers {
            sites: list(&mut given, "sites")?,
            groups: list(&mut given, "groups")?,
            rules: list(&mut given, "rules")?,
            models: list(&mut given, "models")?,
            ..Matchers::default()
        },
        when,
        reason: given.text("reason").unwrap_or_default(),
    })
}

fn when(given: &mut Parameters, now: UnixMs) -> Result<When, QueryError> {
    match given.text("repeats").as_deref() {
        None | Some("once") => {
            let from = given.time("from")?.unwrap_or(now);
            let days = given.number("days")?.unwrap_or(1);
            if !(1..=LONGEST_DAYS).contains(&days) {
                let problem = format!("must be from 1 to {LONGEST_DAYS}");
                return Err(QueryError::field("days", problem));
            }
            let until = given.time("until")?;
            Ok(When::Once {
                from,
                until: until.unwrap_or_else(|| from.plus_ms(days as i64 * DAY_MS)),
            })
        }
        Some("yearly") => Ok(When::Yearly {
            from: parsed(given, "from")?,
            through: parsed(given, "until")?,
        }),
        Some(day) => Ok(When::Weekly {
            weekdays: vec![read("repeats", day)?],
            from: parsed(given, "from")?,
            until: parsed(given, "until")?,
        }),
    }
}

/// Names with commas between them.
fn list<T: serde::de::DeserializeOwned>(
    given: &mut Parameters,
    name: &str,
) -> Result<Vec<T>, QueryError> {
    let text = given.text(name).unwrap_or_default();
    let items = text.split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(|item| read(name, item))
        .collect()
}

fn parsed<T: serde::de::DeserializeOwned>(
    given: &mut Parameters,
    name: &str,
) -> Result<T, QueryError> {
    read(name, &given.text(name).unwrap_or_default())
}

fn read<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, QueryError> {
    let value = Value::String(text.to_owned());
    serde_json::from_value(value)
        .map_err(|error| QueryError::field(name, format!("is wrong: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::At;

    const NOW: UnixMs = UnixMs(1_787_557_500_000);

    fn ask(text: &str) -> Result<Action, QueryError> {
        wanted(Parameters::parse(text, &FIELDS).unwrap(), NOW)
    }

    #[test]
    fn forms_become_silences_and_windows() {
        let Action::Silence {
            kind,
            matchers,
            when,
            reason,
        } = ask("sites=Hay,+Lincoln&rules=disk-full&days=7&reason=new").unwrap()
        else {
            panic!()
        };
        assert_eq!(
            (kind, matchers.sites.len(), reason.as_str()),
            (Kind::Silence, 2, "new")
        );
        let until = NOW.plus_ms(7 * DAY_MS);
        assert_eq!(when, When::Once { from: NOW, until });
        let weekly = ask("kind=maintenance&repeats=friday&from=22:00&until=04:00&reason=x");
        assert!(matches!(
            weekly,
            Ok(Action::Silence {
                when: When::Weekly { .. },
                ..
            })
        ));
        let yearly = ask("kind=maintenance&repeats=yearly&from=06-20&until=08-25&reason=x");
        assert!(matches!(
            yearly,
            Ok(Action::Silence {
                when: When::Yearly { .. },
                ..
            })
        ));
    }

    #[test]
    fn times_are_told_in_the_words_of_their_form() {
        let answer = |repeats, weekdays: &[&'static str], from: &str, until: &str| SilenceAnswer {
            id: String::new(),
            kind: "silence",
            devices: Vec::new(),
            sites: Vec::new(),
            groups: Vec::new(),
            rules: Vec::new(),
            models: Vec::new(),
            repeats,
            weekdays: weekdays.to_vec(),
            from: from.to_owned(),
            until: until.to_owned(),
            holds_until: None,
            over: false,
            reason: String::new(),
            author: String::new(),
            created_at: At(NOW),
            ended_by: None,
        };
        let (from, until) = (NOW.to_string(), NOW.plus_ms(DAY_MS).to_string());
        let once = answer("once", &[], &from, &until);
        let expected = format!("{} to {} UTC", minute(NOW), minute(NOW.plus_ms(DAY_MS)));
        assert_eq!(when_text(&once), expected);
        let weekly = answer("weekly", &["friday"], "22:00", "04:00");
        assert_eq!(when_text(&weekly), "weekly, friday 22:00 to 04:00");
        let yearly = answer("yearly", &[], "06-20", "08-15");
        assert_eq!(when_text(&yearly), "yearly, 06-20 to 08-15");
    }

    #[test]
    fn a_mistake_is_named_by_its_field() {
        for (text, field) in [
            ("days=0", "`days`"),
            ("days=x", "`days`"),
            ("repeats=moonday", "`repeats`"),
            ("repeats=friday&from=25:00&until=04:00", "`from`"),
            ("repeats=yearly&from=06-20&until=13-40", "`until`"),
            ("from=soon", "`from`"),
        ] {
            let error = ask(text).unwrap_err().to_string();
            assert!(error.starts_with(field), "{text}: {error}");
        }
    }
}
