//! The JSON API for people who write programs: the same table as the OpenAPI description.

use super::frame::head;
use super::html::Html;
use crate::query::http::{ENDPOINTS, Endpoint};

/// The page; it tells nothing of the fleet and needs no sign-in.
pub(super) async fn show() -> Html {
    let main = Html::new()
        .raw("<h1>JSON API</h1><p>For programs: ")
        .raw("<a href=\"/api/openapi.json\">OpenAPI 3.1</a>. ")
        .raw("Send an API token with every request:</p>")
        .raw("<pre><code>curl -H \"Authorization: Bearer $(cat token-file)\" ")
        .raw("https://COLLECTOR/api/v1/devices</code></pre>")
        .raw("<p>Errors are <code>application/problem+json</code>; <code>field</code> names the ")
        .raw("parameter that is wrong. With <code>If-None-Match</code> what has not changed is ")
        .raw("answered with 304. Times are RFC 3339, or milliseconds since 1970.</p>")
        .raw("<p>The same over gRPC: <code>rollcall.v1.FleetService</code>, with reflection, on the ")
        .raw("port of the agents. Numbers for Prometheus: <code>/metrics</code>.</p>")
        .each(ENDPOINTS, endpoint);
    head("JSON API")
        .raw("<header class=\"top\"><a class=\"brand\" href=\"/\">Rollcall</a></header>")
        .raw("<main id=\"main\">")
        .put(main)
        .raw("</main></body></html>\n")
}

fn endpoint(endpoint: &Endpoint) -> Html {
    Html::new()
        .raw("<section><h2><code>GET ")
        .text(endpoint.path)
        .raw("</code></h2><p>")
        .text(endpoint.summary)
        .raw("</p><p class=\"muted\">Role: ")
        .text(endpoint.role.word())
        .text(if endpoint.all_sites {
            ", of every site"
        } else {
            ""
        })
        .raw("</p>")
        .maybe(
            (!endpoint.parameters.is_empty()).then_some(endpoint),
            parameters,
        )
        .raw("</section>")
}

fn parameters(endpoint: &Endpoint) -> Html {
    Html::new()
        .raw("<table><thead><tr><th scope=\"col\">Parameter</th><th scope=\"col\">Takes</th>")
        .raw("<th scope=\"col\">Meaning</th></tr></thead><tbody>")
        .each(endpoint.parameters, |parameter| {
            Html::new()
                .raw("<tr><th scope=\"row\"><code>")
                .text(parameter.name)
                .raw("</code></th><td>")
                .text(&parameter.in_words())
                .raw("</td><td>")
                .text(parameter.meaning)
                .raw("</td></tr>")
        })
        .raw("</tbody></table>")
}
