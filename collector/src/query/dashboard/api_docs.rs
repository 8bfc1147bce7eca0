//! The JSON API for people who write programs: the same table as the OpenAPI description.

use super::devices::cell;
use super::frame::head;
use super::html::Html;
use super::runbook;
use crate::query::http::{ENDPOINTS, Endpoint, WRITES, Write};

/// The page; it tells nothing of the fleet and needs no sign-in.
pub(super) async fn show() -> Html {
    let main = Html::new()
        .raw("<h1>JSON API</h1><p>For programs: ")
        .raw("<a href=\"/api/openapi.json\">OpenAPI 3.1</a>. ")
        .raw("Send an API token with every request:</p>")
        .raw("<pre tabindex=\"0\"><code>curl -H \"Authorization: Bearer $(cat token-file)\" ")
        .raw("https://COLLECTOR/api/v1/devices</code></pre>")
        .raw("<p>Errors are <code>application/problem+json</code>; <code>field</code> names the ")
        .raw("parameter that is wrong. With <code>If-None-Match</code> what has not changed is ")
        .raw("answered with 304. Times are RFC 3339, or milliseconds since 1970.</p>")
        .raw("<p>What changes something takes its fields as a JSON object, and refuses fields that it does not ")
        .raw("know. It is audited with the token's name.</p>")
        .raw("<p>The same over gRPC: <code>rollcall.v1.FleetService</code>, with reflection, on the ")
        .raw("port of the agents. Numbers for Prometheus: <code>/metrics</code>.</p>")
        .raw("<nav class=\"chips\" aria-label=\"Parts\"><a href=\"#reading\">Reading</a>")
        .raw("<a href=\"#changing\">Changing</a></nav>")
        .raw("<h2 id=\"reading\">Reading</h2>")
        .each(ENDPOINTS, endpoint)
        .raw("<h2 id=\"changing\">Changing</h2>")
        .each(WRITES, write);
    head("JSON API")
        .raw("<header class=\"top\"><a class=\"brand\" href=\"/\">Rollcall</a></header>")
        .raw("<main id=\"main\">")
        .put(main)
        .raw("</main></body></html>\n")
}

fn endpoint(endpoint: &Endpoint) -> Html {
    let everywhere = if endpoint.all_sites {
        ", of every site"
    } else {
        ""
    };
    let parameters = endpoint.parameters.iter().map(|parameter| {
        let (takes, meaning) = (parameter.in_words(), parameter.meaning);
        [parameter.name.to_owned(), takes, meaning.to_owned()]
    });
    section(
        "GET",
        endpoint.path,
        endpoint.summary,
        &format!("Role: {}{everywhere}", endpoint.role.word()),
    )
    .put(table("Parameter", parameters.collect()))
    .raw("</section>")
}

fn write(write: &Write) -> Html {
    let verbs = (!write.verbs.is_empty()).then(|| {
        let words = write.verbs.join(", ");
        [
            "{verb}".to_owned(),
            "a word".to_owned(),
            format!("One of {words}."),
        ]
    });
    let fields = write.fields.iter().map(|field| {
        let takes = field.in_words().to_owned();
        [field.name.to_owned(), takes, field.meaning.to_owned()]
    });
    section(
        &write.method.to_uppercase(),
        write.path,
        write.summary,
        &format!("Role: {}", write.role.word()),
    )
    .put(table("Field", verbs.into_iter().chain(fields).collect()))
    .raw("</section>")
}

/// The beginning of an address' own section.
fn section(method: &str, path: &str, summary: &str, role: &str) -> Html {
    Html::new()
        .raw("<section><h3><code>")
        .text(method)
        .raw(" ")
        .text(path)
        .raw("</code></h3><p>")
        .text(summary)
        .raw("</p><p class=\"muted\">")
        .text(role)
        .raw("</p>")
}

/// What an address takes: name, form and meaning of each; nothing where it takes nothing.
fn table(what: &'static str, rows: Vec<[String; 3]>) -> Html {
    if rows.is_empty() {
        return Html::new();
    }
    Html::new()
        .raw("<table role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">")
        .each([what, "Takes", "Meaning"], |head| {
            Html::new()
                .raw("<th role=\"columnheader\" scope=\"col\">")
                .raw(head)
                .raw("</th>")
        })
        .raw("</tr></thead><tbody role=\"rowgroup\">")
        .each(rows, |[name, takes, meaning]| {
            Html::new()
                .raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\"><code>")
                .text(&name)
                .raw("</code></th>")
                .put(cell("Takes", Html::new().text(&takes)))
                .put(cell("Meaning", runbook::line(&meaning)))
                .raw("</tr>")
        })
        .raw("</tbody></table>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_is_told_of_with_what_it_takes() {
        let page = show().await;
        let page = page.as_str();
        for endpoint in ENDPOINTS {
            assert!(
                page.contains(&format!("GET {}<", endpoint.path)),
                "{}",
                endpoint.path
            );
        }
        for write in WRITES {
            let title = format!("{} {}<", write.method.to_uppercase(), write.path);
            assert!(page.contains(&title), "{title}");
            for field in write.fields {
                assert!(
                    page.contains(&format!("<code>{}</code>", field.name)),
                    "{}",
                    field.name
                );
            }
        }
    }
}
