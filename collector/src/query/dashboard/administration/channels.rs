//! Channels: what there is, what waits for each, and a test.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::{Told, outbox, tabs, told};
use crate::query::dashboard::devices::cell;
use crate::query::dashboard::forms::{Sent, own, table};
use crate::query::dashboard::html::Html;
use crate::query::dashboard::{Asked, Refused};
use crate::query::http::Problem;
use crate::query::{ChannelLine, OutboxAnswer, QueryError};

const ADDRESS: &str = "/administration/channels";

/// How long a test may take: less than a request may.
const PATIENCE: Duration = Duration::from_secs(25);

/// What there is to see.
type Found = (OutboxAnswer, Option<Vec<ChannelLine>>);

/// The page.
pub(in crate::query::dashboard) async fn page(asked: Asked) -> Result<Html, Refused> {
    let found = find(&asked).await?;
    Ok(shown(&asked, &found, &Told::default()))
}

async fn find(asked: &Asked) -> Result<Found, Refused> {
    let found = asked.answer(&[], |query, viewer, _| {
        // The first question refuses those who may see nothing of this.
        let outbox = query.outbox(viewer)?;
        Ok((outbox, super::permitted(query.channels(viewer))?))
    });
    found.await
}

fn shown(asked: &Asked, (waiting, channels): &Found, said: &Told) -> Html {
    let main = Html::new()
        .raw("<h1>Channels</h1>")
        .put(tabs(&asked.viewer, ADDRESS))
        .put(told(said))
        .maybe(channels.as_deref(), |lines| {
            list(lines, waiting, asked.form_token())
        })
        .put(outbox(waiting, asked.now()));
    asked.page("Channels", main)
}

fn list(lines: &[ChannelLine], waiting: &OutboxAnswer, form: &str) -> Html {
    let heads = ["Name", "How", "For whom", "Waiting", "Last error", ""];
    let page = Html::new()
        .raw("<section aria-labelledby=\"channels\"><h2 id=\"channels\">Who is told</h2>")
        .raw("<p>Channels are set in <code>collector.toml</code>. A test says that it is one; a ticket ")
        .raw("system gets a ticket that is closed again.</p>");
    if lines.is_empty() {
        return page
            .raw("<p class=\"empty\">There is no channel; alerts are only shown.</p></section>");
    }
    page.put(table("Channels", &heads))
        .each(lines, |line| {
            let own = waiting
                .channels
                .iter()
                .find(|known| known.name == line.name);
            let count = own.map_or(0, |own| own.waiting);
            let error = own.map_or("", |own| own.last_error.as_str());
            Html::new()
                .raw("<tr role=\"row\">")
                .put(cell("Name", Html::new().text(&line.name)))
                .put(cell("How", Html::new().raw(line.kind)))
                .put(cell("For whom", Html::new().text(&line.receives)))
                .put(cell("Waiting", Html::new().number(count)))
                .put(cell("Last error", Html::new().text(error)))
                .put(cell("Test", button(&line.name, form)))
                .raw("</tr>")
        })
        .raw("</tbody></table></section>")
}

fn button(name: &str, form: &str) -> Html {
    Html::new()
        .raw("<form method=\"post\" action=\"/administration/channels/test\">")
        .raw("<input type=\"hidden\" name=\"name\" value=\"")
        .text(name)
        .raw("\">")
        .put(own(form))
        .raw("<button type=\"submit\" class=\"quiet\" aria-label=\"Test ")
        .text(name)
        .raw("\">Test</button></form>")
}

/// Tries a channel out, and says what came of it.
pub(in crate::query::dashboard) async fn test(sent: Sent) -> Response {
    let asked = &sent.asked;
    let name = sent.fields(&["name"]).map(|mut given| given.text("name"));
    let done = match name {
        Ok(name) => {
            let name = name.unwrap_or_default();
            let tested = asked.face.query.test_channel(&asked.viewer, &name);
            tokio::time::timeout(PATIENCE, tested)
                .await
                .unwrap_or_else(|_| {
                    let problem = format!("did not answer within {} s", PATIENCE.as_secs());
                    Err(QueryError::field("name", problem))
                })
        }
        Err(error) => Err(error),
    };
    let (status, said) = match done {
        Ok(words) => (
            StatusCode::OK,
            Told {
                done: Some(words),
                ..Told::default()
            },
        ),
        Err(error) => {
            let problem: Problem = error.into();
            let said = Told {
                problem: Some(problem.detail().to_owned()),
                ..Told::default()
            };
            (problem.status(), said)
        }
    };
    match find(asked).await {
        Ok(found) => (status, shown(asked, &found, &said)).into_response(),
        Err(refused) => refused.into_response(),
    }
}
