//! JSON for programs and people that do something about what was found.

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;

use super::api::{Answer, Id, parameters, text_of};
use super::body::Body;
use super::{Face, Problem};
use crate::act::Action;
use crate::mark::Subject;
use crate::query::words::{MaintenanceList, MarksAnswer, SilenceAnswer, SilenceList};
use crate::query::{QueryError, Viewer};
use crate::silence::{Kind, Matchers, When};

pub(super) fn routes() -> Router<Face> {
    Router::new()
        .route("/api/v1/alerts/{id}/marks", get(alert_marks))
        .route("/api/v1/alerts/{id}/{verb}", post(say_of_alert))
        .route("/api/v1/incidents/{id}/marks", get(incident_marks))
        .route("/api/v1/incidents/{id}/{verb}", post(say_of_incident))
        .route("/api/v1/silences", get(silences).post(create_silence))
        .route("/api/v1/silences/{id}", delete(end_silence))
        .route(
            "/api/v1/maintenance",
            get(maintenance).post(create_maintenance),
        )
        .route("/api/v1/maintenance/{id}", delete(end_silence))
}

type Spoken = Result<Path<(String, String)>, axum::extract::rejection::PathRejection>;

async fn alert_marks(
    State(face): State<Face>,
    viewer: Viewer,
    id: Id,
    RawQuery(query): RawQuery,
) -> Answer<MarksAnswer> {
    parameters(query, &[])?;
    let subject = alert(&text_of(id))?;
    let answer = face
        .query
        .answer(move |query| query.marks(&viewer, subject));
    Ok(Json(answer.await?))
}

async fn incident_marks(
    State(face): State<Face>,
    viewer: Viewer,
    id: Id,
    RawQuery(query): RawQuery,
) -> Answer<MarksAnswer> {
    parameters(query, &[])?;
    let subject = incident(&text_of(id))?;
    let answer = face
        .query
        .answer(move |query| query.marks(&viewer, subject));
    Ok(Json(answer.await?))
}

async fn say_of_alert(
    State(face): State<Face>,
    viewer: Viewer,
    spoken: Spoken,
    body: Bytes,
) -> Answer<MarksAnswer> {
    let (id, verb) = parts(spoken)?;
    say(face, viewer, alert(&id)?, &verb, &body).await
}

async fn say_of_incident(
    State(face): State<Face>,
    viewer: Viewer,
    spoken: Spoken,
    body: Bytes,
) -> Answer<MarksAnswer> {
    let (id, verb) = parts(spoken)?;
    say(face, viewer, incident(&id)?, &verb, &body).await
}

async fn say(
    face: Face,
    viewer: Viewer,
    subject: Subject,
    verb: &str,
    body: &[u8],
) -> Answer<MarksAnswer> {
    let action = action(&face, subject, verb, body)?;
    Ok(Json(face.query.say(&viewer, action).await?))
}

/// What a verb with its body means.
fn action(face: &Face, subject: Subject, verb: &str, body: &[u8]) -> Result<Action, QueryError> {
    let read = |known: &[&str]| Body::parse(body, known);
    match verb {
        "acknowledge" => {
            let mut body = read(&["until", "for_s", "note"])?;
            Ok(Action::Acknowledge {
                subject,
                until: body.end(face.query.now())?,
                note: body.text("note")?.unwrap_or_default(),
            })
        }
        "release" => read(&[]).map(|_| Action::Release { subject }),
        "notes" => Ok(Action::Note {
            subject,
            text: read(&["text"])?.required("text")?,
        }),
        "assign" => Ok(Action::Assign {
            subject,
            to: read(&["to"])?.text("to")?,
        }),
        "not-useful" => Ok(Action::NotUseful {
            subject,
            note: read(&["note"])?.text("note")?.unwrap_or_default(),
        }),
        "useful" => read(&[]).map(|_| Action::Useful { subject }),
        other => {
            let known = [
                "acknowledge",
                "release",
                "notes",
                "assign",
                "not-useful",
                "useful",
            ];
            let problem = crate::evaluate::rules::unknown("act", other, known);
            Err(QueryError::NotFound(format!("such address: {problem}")))
        }
    }
}

async fn silences(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<SilenceList> {
    let silences = list(&face, viewer, query, Kind::Silence).await?;
    Ok(Json(SilenceList { silences }))
}

async fn maintenance(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<MaintenanceList> {
    let maintenance = list(&face, viewer, query, Kind::Maintenance).await?;
    Ok(Json(MaintenanceList { maintenance }))
}

async fn list(
    face: &Face,
    viewer: Viewer,
    query: Option<String>,
    kind: Kind,
) -> Result<Vec<SilenceAnswer>, Problem> {
    let all = parameters(query, &["all"])?.text("all");
    let all = match all.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(QueryError::field("all", "must be true or false").into()),
    };
    let answer = face
        .query
        .answer(move |query| Ok(query.silences(&viewer, kind, all)));
    Ok(answer.await?)
}

type Created = Result<(StatusCode, Json<SilenceAnswer>), Problem>;

async fn create_silence(State(face): State<Face>, viewer: Viewer, body: Bytes) -> Created {
    let known = ["from", "until", "for_s"];
    let mut body = Body::parse(&body, &[&MATCHERS[..], &known[..]].concat())?;
    let matchers = matchers(&mut body)?;
    let when = once(&face, &mut body)?;
    create(&face, &viewer, Kind::Silence, matchers, when, body).await
}

async fn create_maintenance(State(face): State<Face>, viewer: Viewer, body: Bytes) -> Created {
    let known = ["repeats", "weekdays", "from", "until", "for_s", "through"];
    let mut body = Body::parse(&body, &[&MATCHERS[..], &known[..]].concat())?;
    let matchers = matchers(&mut body)?;
    let repeats = body.text("repeats")?;
    let when = match repeats.as_deref().unwrap_or("once") {
        "once" => once(&face, &mut body)?,
        "weekly" => When::Weekly {
            weekdays: body.list("weekdays")?,
            from: body.parsed("from")?,
            until: body.parsed("until")?,
        },
        "yearly" => When::Yearly {
            from: body.parsed("from")?,
            through: body.parsed("through")?,
        },
        _ => return Err(QueryError::field("repeats", "must be once, weekly or yearly").into()),
    };
    create(&face, &viewer, Kind::Maintenance, matchers, when, body).await
}

async fn create(
    face: &Face,
    viewer: &Viewer,
    kind: Kind,
    matchers: Matchers,
    when: When,
    mut body: Body,
) -> Created {
    let action = Action::Silence {
        kind,
        matchers,
        when,
        reason: body.required("reason")?,
    };
    let silence = face.query.silence(viewer, action).await?;
    Ok((StatusCode::CREATED, Json(silence)))
}

async fn end_silence(State(face): State<Face>, viewer: Viewer, id: Id) -> Answer<SilenceAnswer> {
    let id = text_of(id);
    let id = id
        .parse()
        .map_err(|_| QueryError::NotFound(format!("silence {id}")))?;
    let silence = face.query.silence(&viewer, Action::EndSilence { id });
    Ok(Json(silence.await?))
}

/// The fields that say which findings are meant, and why.
const MATCHERS: [&str; 6] = ["devices", "sites", "groups", "rules", "models", "reason"];

fn matchers(body: &mut Body) -> Result<Matchers, QueryError> {
    Ok(Matchers {
        devices: body.list("devices")?,
        sites: body.list("sites")?,
        groups: body.list("groups")?,
        rules: body.list("rules")?,
        models: body.list("models")?,
    })
}

fn once(face: &Face, body: &mut Body) -> Result<When, QueryError> {
    let from = body.time("from")?.unwrap_or_else(|| face.query.now());
    Ok(When::Once {
        from,
        until: body.end(from)?,
    })
}

fn alert(id: &str) -> Result<Subject, QueryError> {
    id.parse()
        .map(Subject::Alert)
        .map_err(|_| QueryError::NotFound(format!("alert {id}")))
}

fn incident(id: &str) -> Result<Subject, QueryError> {
    id.parse()
        .map(Subject::Incident)
        .map_err(|_| QueryError::NotFound(format!("incident {id}")))
}

fn parts(spoken: Spoken) -> Result<(String, String), QueryError> {
    let missing = |_| QueryError::NotFound("such address in this API".to_owned());
    spoken.map(|Path(parts)| parts).map_err(missing)
}
