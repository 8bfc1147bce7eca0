//! The audit log with its filter.

use rollcall_shared::time::UnixMs;

use super::tabs;
use crate::query::dashboard::devices::cell;
use crate::query::dashboard::forms::{filled, table};
use crate::query::dashboard::frame::time;
use crate::query::dashboard::html::Html;
use crate::query::dashboard::{Asked, Refused};
use crate::query::{AuditAnswer, QueryError};

/// Lines that are shown.
pub(super) const LINES: u64 = 200;

/// The page.
pub(in crate::query::dashboard) async fn page(asked: Asked) -> Result<Html, Refused> {
    let known = ["who", "what", "to", "lines"];
    let found = asked.answer(&known, |query, viewer, mut given| {
        let filter = [given.text("who"), given.text("what"), given.text("to")];
        let lines = given.number("lines")?.unwrap_or(LINES);
        let [who, what, to] = filter
            .each_ref()
            .map(|text| text.as_deref().unwrap_or_default());
        let found = query.audit_of(viewer, [who, what, to], lines)?;
        Ok::<_, QueryError>((filter, found))
    });
    let (filter, found) = found.await?;
    let main = Html::new()
        .raw("<h1>Audit log</h1>")
        .put(tabs(&asked.viewer, "/administration/audit"))
        .put(form(&filter))
        .put(lines(&found, asked.now()));
    Ok(asked.page("Audit log", main))
}

fn form([who, what, to]: &[Option<String>; 3]) -> Html {
    let field = |name, label, hint, value: &Option<String>| {
        filled(name, label, hint, value.as_deref().unwrap_or_default())
    };
    Html::new()
        .raw("<form class=\"filter\" role=\"search\" action=\"/administration/audit\">")
        .put(field("who", "Who", "user anna", who))
        .put(field("what", "What begins with", "token.", what))
        .put(field("to", "To what, or words", "Lincoln", to))
        .raw("<p><button type=\"submit\">Filter</button></p></form>")
}

/// Lines as a table.
pub(super) fn lines(lines: &[AuditAnswer], now: UnixMs) -> Html {
    if lines.is_empty() {
        return Html::new().raw("<p class=\"empty\">Nothing like that was done.</p>");
    }
    let heads = ["When", "Who", "What", "To what", "Outcome"];
    table("The last lines, the latest first", &heads)
        .each(lines, |line| row(line, now))
        .raw("</tbody></table>")
}

fn row(line: &AuditAnswer, now: UnixMs) -> Html {
    let detail = Some(&line.detail).filter(|text| !text.is_empty());
    let outcome = Html::new().text(&line.outcome).maybe(detail, |text| {
        Html::new()
            .raw("<span class=\"what\">")
            .text(text)
            .raw("</span>")
    });
    Html::new()
        .raw("<tr role=\"row\">")
        .put(cell("When", time(line.at, now)))
        .put(cell("Who", Html::new().text(&line.actor)))
        .put(cell("What", Html::new().text(&line.action)))
        .put(cell("To what", Html::new().text(&line.subject)))
        .put(cell("Outcome", outcome))
        .raw("</tr>")
}
