//! Tokens on the page of administration.

mod install;

use http::{HeaderMap, Uri, header};
use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use crate::query::dashboard::devices::cell;
use crate::query::dashboard::forms::{choice, field, own, table};
use crate::query::dashboard::frame::time;
use crate::query::dashboard::html::Html;
use crate::query::http::Parameters;
use crate::query::{At, NewApiToken, NewToken, QueryError};
use crate::store::{ApiTokenRecord, EnrolmentTokenRecord, Role};

/// Fields of the form for an enrolment token.
pub(super) const ENROLMENT_FIELDS: [&str; 4] = ["site", "group", "uses", "days"];

/// Fields of the form for an API token.
pub(super) const API_FIELDS: [&str; 3] = ["name", "role", "sites"];

/// Days for which an enrolment token may be made.
const LONGEST_DAYS: u64 = 400;

const DAY_MS: i64 = 86_400_000;

/// What the form for an enrolment token asks for.
pub(super) fn wanted_token(mut given: Parameters) -> Result<NewToken, QueryError> {
    let site = given.text("site").unwrap_or_default();
    let uses = given.number("uses")?.map(u32::try_from).transpose();
    let days = given.number("days")?.unwrap_or(30);
    if !(1..=LONGEST_DAYS).contains(&days) {
        let problem = format!("must be from 1 to {LONGEST_DAYS}");
        return Err(QueryError::field("days", problem));
    }
    Ok(NewToken {
        site: label("site", &site)?,
        group: given
            .text("group")
            .map(|group| label("group", &group))
            .transpose()?,
        uses: uses
            .ok()
            .filter(|uses| *uses != Some(0))
            .ok_or_else(|| QueryError::field("uses", "must be a number from 1 on, or empty"))?,
        life_ms: Some(days as i64 * DAY_MS),
    })
}

/// What the form for an API token asks for.
pub(super) fn wanted_api_token(mut given: Parameters) -> Result<NewApiToken, QueryError> {
    let role = given.text("role").unwrap_or_default();
    let sites = given.text("sites").unwrap_or_default();
    let named = sites
        .split(',')
        .map(str::trim)
        .filter(|site| !site.is_empty());
    Ok(NewApiToken {
        name: given.text("name").unwrap_or_default().trim().to_owned(),
        role: Role::from_word(&role)
            .ok_or_else(|| QueryError::field("role", "must be one of viewer, technician, admin"))?,
        sites: named
            .map(|site| label("sites", site))
            .collect::<Result<_, _>>()?,
    })
}

fn label(field: &str, text: &str) -> Result<Label, QueryError> {
    text.trim()
        .parse()
        .map_err(|error| QueryError::field(field, format!("is no name: {error}")))
}

/// By which name the browser calls this collector.
pub(super) fn host(uri: &Uri, headers: &HeaderMap) -> String {
    let named = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = named.or_else(|| uri.host()).unwrap_or("COLLECTOR");
    // An IPv6 address keeps its brackets.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    // It is pasted into shells, where a name that is none could be more than an argument.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte);
    match name.bytes().all(is_name) {
        true => name.to_owned(),
        false => "COLLECTOR".to_owned(),
    }
}

/// An enrolment token, this once, with what is to be pasted on each platform.
pub(super) fn enrolment_secret(token: &str, host: &str, port: u16) -> Html {
    secret("The new enrolment token", token)
        .put(install::roads(token, &format!("{host}:{port}")))
        .raw("</section>")
}

/// An API token, this once.
pub(super) fn api_secret(token: &str) -> Html {
    secret("The new API token", token)
        .raw("<p>People sign in with it here; programs send it as <code>Authorization: Bearer</code>.</p>")
        .raw("</section>")
}

fn secret(title: &'static str, token: &str) -> Html {
    Html::new()
        .raw("<section class=\"secret\" data-keep aria-labelledby=\"secret\"><h2 id=\"secret\">")
        .raw(title)
        .raw("</h2><p>It is shown this once; only its hash is kept.</p><p><code class=\"token\">")
        .text(token)
        .raw("</code></p>")
}

/// The enrolment tokens, and the form for another one.
pub(super) fn enrolment(tokens: &[EnrolmentTokenRecord], form: &str, now: UnixMs) -> Html {
    let heads = ["Id", "Site", "Group", "Uses", "Until", ""];
    Html::new()
        .raw("<section aria-labelledby=\"tokens\"><h2 id=\"tokens\">Enrolment tokens</h2>")
        .raw("<p>With one of these laptops join the fleet, into its site and group.</p>")
        .raw("<form class=\"filter\" method=\"post\" action=\"/administration/tokens\">")
        .put(field("site", "Site", "Lincoln Middle School"))
        .put(field("group", "Group, where there is one", "Grade 6"))
        .put(field("uses", "Uses, empty for any", "200"))
        .put(field("days", "Days, 30 if empty", "30"))
        .put(own(form))
        .raw("<p><button type=\"submit\">Make a token</button></p></form>")
        .put(match tokens {
            [] => Html::new().raw("<p class=\"empty\">There is none yet.</p>"),
            _ => table("Enrolment tokens, the newest first", &heads)
                .each(tokens, |token| enrolment_row(token, form, now))
                .raw("</tbody></table>"),
        })
        .raw("</section>")
}

fn enrolment_row(token: &EnrolmentTokenRecord, form: &str, now: UnixMs) -> Html {
    let group = token.group.as_ref().map_or("", |group| group.as_str());
    let left = token.uses_left.map(|left| format!(", {left} left"));
    let uses = format!("{}{}", token.uses, left.unwrap_or_default());
    let is_over = token.expires.is_some_and(|end| end <= now);
    let until = match token.expires {
        _ if token.revoked => Html::new().raw("revoked"),
        None => Html::new().raw("for ever"),
        Some(_) if is_over => Html::new().raw("expired"),
        Some(end) => Html::new().text(&end.to_string().chars().take(10).collect::<String>()),
    };
    let may_be_used = !token.revoked && !is_over;
    Html::new()
        .raw("<tr role=\"row\">")
        .put(cell("Id", code(&token.id)))
        .put(cell("Site", Html::new().text(token.site.as_str())))
        .put(cell("Group", Html::new().text(group)))
        .put(cell("Uses", Html::new().text(&uses)))
        .put(cell("Until", until))
        .put(cell(
            "Revoke",
            Html::new().maybe(may_be_used.then_some(&token.id), |id| {
                revoke("/administration/tokens/revoke", "id", id, form)
            }),
        ))
        .raw("</tr>")
}

/// The API tokens, and the form for another one.
pub(super) fn api(tokens: &[ApiTokenRecord], form: &str, now: UnixMs) -> Html {
    let heads = ["Name", "Role", "Sites", "Made", ""];
    let roles = [
        ("viewer", "Viewer: reads"),
        ("technician", "Technician: reads and acknowledges"),
        ("admin", "Admin: everything"),
    ];
    Html::new()
        .raw("<section aria-labelledby=\"api\"><h2 id=\"api\">API tokens</h2>")
        .raw("<p>With one of these people sign in here, and programs ask.</p>")
        .raw("<form class=\"filter\" method=\"post\" action=\"/administration/api-tokens\">")
        .put(field("name", "Name", "help desk"))
        .put(choice("role", "Role", &roles))
        .put(field(
            "sites",
            "Sites with commas, empty for all",
            "North School, South School",
        ))
        .put(own(form))
        .raw("<p><button type=\"submit\">Make a token</button></p></form>")
        .put(table("API tokens, the newest first", &heads))
        .each(tokens, |token| {
            let sites: Vec<&str> = token.sites.iter().map(Label::as_str).collect();
            let sites = match sites.as_slice() {
                [] => "all".to_owned(),
                sites => sites.join(", "),
            };
            let ended = match token.revoked {
                true => Html::new().raw("revoked"),
                false => revoke(
                    "/administration/api-tokens/revoke",
                    "name",
                    &token.name,
                    form,
                ),
            };
            Html::new()
                .raw("<tr role=\"row\">")
                .put(cell("Name", Html::new().text(&token.name)))
                .put(cell("Role", Html::new().raw(token.role.word())))
                .put(cell("Sites", Html::new().text(&sites)))
                .put(cell("Made", time(At(token.created), now)))
                .put(cell("Revoke", ended))
                .raw("</tr>")
        })
        .raw("</tbody></table></section>")
}

fn revoke(address: &'static str, name: &'static str, value: &str, form: &str) -> Html {
    Html::new()
        .raw("<form method=\"post\" action=\"")
        .raw(address)
        .raw("\"><input type=\"hidden\" name=\"")
        .raw(name)
        .raw("\" value=\"")
        .text(value)
        .raw("\">")
        .put(own(form))
        .raw("<button type=\"submit\" class=\"quiet\" aria-label=\"Revoke ")
        .text(value)
        .raw("\">Revoke</button></form>")
}

fn code(text: &str) -> Html {
    Html::new().raw("<code>").text(text).raw("</code>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Parameters {
        let known = ["site", "group", "uses", "days", "name", "role", "sites"];
        Parameters::parse(text, &known).unwrap()
    }

    #[test]
    fn a_mistake_is_named_by_its_field() {
        let token = |text: &str| wanted_token(given(text)).unwrap_err().to_string();
        assert!(token("site=").starts_with("`site` is no name"));
        assert!(token("site=Hay&uses=0").starts_with("`uses` must be a number from 1"));
        assert!(token("site=Hay&uses=x").starts_with("`uses` must be"));
        assert!(token("site=Hay&days=401").starts_with("`days` must be from 1 to 400"));
        let good = wanted_token(given("site=Hay&uses=3&days=2")).unwrap();
        assert_eq!((good.uses, good.life_ms), (Some(3), Some(2 * DAY_MS)));
        let api = |text: &str| wanted_api_token(given(text)).unwrap_err().to_string();
        assert!(api("name=x&role=king").starts_with("`role` must be one of viewer"));
        let good = wanted_api_token(given("name=x&role=viewer&sites=Hay,+Lincoln")).unwrap();
        assert_eq!(good.sites.len(), 2);
    }

    #[test]
    fn commands_hold_the_address_and_keep_the_token_off_the_command_line() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "[::1]:8480".parse().unwrap());
        let host = host(&Uri::from_static("/"), &headers);
        assert_eq!(host, "[::1]");
        let shown = enrolment_secret("rce_x", &host, 8443);
        let shown = shown.as_str();
        assert!(shown.contains("--collector [::1]:8443 --token-file rollcall-token"));
        let mut enrolling = shown.lines().filter(|line| line.contains("enroll "));
        assert!(enrolling.next().is_some() && enrolling.all(|line| !line.contains("rce_x")));
    }

    #[test]
    fn a_host_that_is_no_name_is_not_pasted() {
        let host = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, header::HeaderValue::from_static(text));
            host(&Uri::from_static("/"), &headers)
        };
        assert_eq!(
            host("rollcall.school.example:443"),
            "rollcall.school.example"
        );
        assert_eq!(host("x;reboot"), "COLLECTOR");
        assert_eq!(host("$(reboot)"), "COLLECTOR");
    }
}
