//! How the rules are shown.

use super::super::tabs;
use super::{ADDRESS, Draft, Found, Said, may_change};
use crate::query::dashboard::Asked;
use crate::query::dashboard::address::Address;
use crate::query::dashboard::devices::{cell, short};
use crate::query::dashboard::forms::{hidden, own, table};
use crate::query::dashboard::frame::{audience_name, guidance, time};
use crate::query::dashboard::html::Html;
use crate::query::rules::{
    ChangesAnswer, MistakeAnswer, PreviewAnswer, PreviewRule, RuleAnswer, RuleText, ValidAnswer,
    VersionAnswer,
};
use crate::store::Role;
use rollcall_shared::time::UnixMs;

/// Alerts of a preview that are shown; all are counted.
const EXAMPLES: usize = 20;

/// Lines of the field for a rule: all of a short one, and some of the longest.
const ROWS: std::ops::RangeInclusive<usize> = 8..=40;

/// The address of a rule's page.
pub(super) fn address_of(name: &str) -> String {
    let mut path = format!("{ADDRESS}/");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => path.push(byte.into()),
            other => path += &format!("%{other:02X}"),
        }
    }
    path
}

/// The rules in force and the versions.
pub(super) fn list(asked: &Asked, found: &Found, problem: Option<&str>) -> Html {
    let may = may_change(&asked.viewer).is_ok();
    let heads = ["Rule", "Severity", "For", "From", "Firing", "Not useful"];
    let main = Html::new()
        .raw("<h1>Rules</h1>")
        .put(navigation(asked))
        .maybe(problem, wrong)
        .put(origin(found, asked.now()))
        .raw_if(
            may,
            "<p class=\"links\"><a href=\"/administration/rules/another\">Write another rule</a></p>",
        )
        .put(table(
            "The rules in force, in the order in which they are judged; marks of the last 90 days",
            &heads,
        ))
        .each(&found.rules.rules, row)
        .raw("</tbody></table>")
        .raw("<section aria-labelledby=\"versions\"><h2 id=\"versions\">Versions</h2>")
        .put(table(
            "The latest first; one that held before can hold again",
            &["Version", "Since", "Who", "Why", "From", "Restore"],
        ))
        .each(&found.versions.versions, |each| {
            version_row(each, may.then_some(found.rules.version), asked)
        })
        .raw("</tbody></table></section>");
    asked.page("Rules", main)
}

fn navigation(asked: &Asked) -> Html {
    match asked.viewer.role >= Role::Technician {
        true => tabs(&asked.viewer, ADDRESS),
        false => Html::new(),
    }
}

/// Where the rules come from.
fn origin(found: &Found, now: UnixMs) -> Html {
    let rules = &found.rules;
    let source = match rules.source {
        "file" => "from the file",
        "api" => "written through the collector",
        _ => "the rules that the collector brings",
    };
    Html::new()
        .raw("<p>Version ")
        .number(u64::from(rules.version))
        .raw(", ")
        .raw(source)
        .maybe(rules.changed_at, |at| {
            Html::new().raw(", ").put(time(at, now))
        })
        .maybe(rules.changed_by.as_deref(), |by| {
            Html::new().raw(" by ").text(by)
        })
        .raw(".")
        .maybe(rules.file.as_deref(), |file| {
            Html::new()
                .raw(if rules.file_overruled {
                    " The file <code>"
                } else {
                    " A change of the file <code>"
                })
                .text(file)
                .raw(if rules.file_overruled {
                    "</code> does not count until it changes again."
                } else {
                    "</code> counts at once."
                })
        })
        .raw("</p>")
}

fn row(rule: &RuleAnswer) -> Html {
    Html::new()
        .raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\"><a href=\"")
        .text(&address_of(&rule.name))
        .raw("\">")
        .text(&rule.title)
        .raw("</a><span class=\"id\">")
        .text(&rule.name)
        .raw("</span></th>")
        .put(cell("Severity", severity(rule.severity)))
        .put(cell("For", Html::new().text(audience_name(rule.audience))))
        .put(cell(
            "From",
            Html::new().raw(if rule.own {
                "the school"
            } else {
                "the default"
            }),
        ))
        .put(cell("Firing", Html::new().number(rule.firing)))
        .put(cell("Not useful", Html::new().number(rule.not_useful)))
        .raw("</tr>")
}

fn severity(word: &'static str) -> Html {
    Html::new()
        .raw("<span class=\"badge ")
        .raw(word)
        .raw("\">")
        .raw(match word {
            "critical" => "Critical",
            "warning" => "Warning",
            _ => "Info",
        })
        .raw("</span>")
}

/// A version; who may change the rules is given the version that they look at.
fn version_row(version: &VersionAnswer, in_force: Option<u32>, asked: &Asked) -> Html {
    let number = version.version.to_string();
    let link = Html::new()
        .raw("<a href=\"/administration/rules/versions/")
        .text(&number)
        .raw("\">")
        .text(&number)
        .raw("</a>");
    let since = match version.at {
        Some(at) => time(at, asked.now()),
        None => Html::new().raw("always"),
    };
    let restore = match in_force {
        _ if version.in_force => Html::new().raw("<strong>holds now</strong>"),
        None => Html::new(),
        Some(based_on) => Html::new()
            .raw("<form method=\"post\" action=\"/administration/rules/restore\">")
            .put(hidden("version", &number))
            .put(hidden("based_on", &based_on.to_string()))
            .put(own(asked.form_token()))
            .raw("<button type=\"submit\" class=\"quiet\" aria-label=\"Restore version ")
            .text(&number)
            .raw("\">Restore</button></form>"),
    };
    Html::new()
        .raw("<tr role=\"row\">")
        .put(cell("Version", link))
        .put(cell("Since", since))
        .put(cell("Who", Html::new().text(&version.by)))
        .put(cell("Why", Html::new().text(&version.note)))
        .put(cell("From", Html::new().raw(version.source)))
        .put(cell("Restore", restore))
        .raw("</tr>")
}

/// The whole text of a version.
pub(super) fn version(asked: &Asked, version: &VersionAnswer) -> Html {
    let title = format!("Version {} of the rules", version.version);
    let main = crumbs()
        .raw("<h1>")
        .text(&title)
        .raw("</h1>")
        .maybe(version.at, |at| {
            Html::new()
                .raw("<p class=\"muted\">")
                .put(time(at, asked.now()))
                .raw(" by ")
                .text(&version.by)
                .raw(". ")
                .text(&version.note)
                .raw("</p>")
        })
        .put(code(version.text.as_deref().unwrap_or_default()));
    asked.page(&title, main)
}

fn crumbs() -> Html {
    Html::new().raw("<p class=\"crumbs\"><a href=\"/administration/rules\">Rules</a></p>")
}

fn code(text: &str) -> Html {
    Html::new()
        .raw("<pre tabindex=\"0\"><code>")
        .text(text)
        .raw("</code></pre>")
}

/// One rule as it holds, or another one, and what is said of a draft of it.
pub(super) fn rule(asked: &Asked, rule: Option<&RuleText>, draft: &Draft, said: &Said) -> Html {
    let title = match rule {
        Some(rule) => format!("Rule {}", rule.name),
        None => "Another rule".to_owned(),
    };
    let may = may_change(&asked.viewer).is_ok();
    let main = crumbs()
        .raw("<h1>")
        .text(&title)
        .raw("</h1>")
        .put(told(said, draft, rule))
        .put(match may {
            true => form(asked, rule, draft, said),
            false => code(&draft.rule),
        })
        .maybe(rule, texts);
    asked.page(&title, main)
}

/// What staff do and what families are told, as it holds.
fn texts(rule: &RuleText) -> Html {
    Html::new()
        .raw("<section aria-labelledby=\"texts\"><h2 id=\"texts\">What it says</h2>")
        .put(guidance("rule", &rule.runbook, &rule.family))
        .raw("</section>")
}

fn form(asked: &Asked, rule: Option<&RuleText>, draft: &Draft, said: &Said) -> Html {
    let is_wrong = matches!(said, Said::Mistake(_) | Said::Wrong(_) | Said::Overtaken(_));
    let rows = draft.rule.lines().count() + 1;
    let rows = rows.clamp(*ROWS.start(), *ROWS.end()).to_string();
    let version = draft.version.map(|version| version.to_string());
    Html::new()
        .raw("<form class=\"rule\" method=\"post\" action=\"/administration/rules/change\">")
        .raw("<p><label for=\"rule\">The rule, as TOML</label>")
        .raw("<textarea id=\"rule\" name=\"rule\" required spellcheck=\"false\" autocapitalize=\"none\" rows=\"")
        .text(&rows)
        .raw("\"")
        .raw_if(is_wrong, " aria-invalid=\"true\" aria-describedby=\"problem\"")
        // A line end right after the beginning would be lost.
        .raw(">\n")
        .text(&draft.rule)
        .raw("</textarea></p><p><label for=\"note\">Why, for those who come later</label>")
        .raw("<input id=\"note\" name=\"note\" maxlength=\"200\" value=\"")
        .text(&draft.note)
        .raw("\"></p>")
        .maybe(draft.name.as_deref(), |name| hidden("name", name))
        .maybe(version.as_deref(), |version| hidden("version", version))
        .put(own(asked.form_token()))
        .raw("<p class=\"buttons\">")
        .raw("<button type=\"submit\" class=\"quiet\" name=\"do\" value=\"check\">Check it</button> ")
        .raw("<button type=\"submit\" class=\"quiet\" name=\"do\" value=\"preview\">")
        .raw("Try it on the last 30 days</button> ")
        .raw("<button type=\"submit\" name=\"do\" value=\"save\">Save</button>")
        .raw_if(
            rule.is_some(),
            " <button type=\"submit\" class=\"quiet\" name=\"do\" value=\"remove\" formnovalidate>Take it out</button>",
        )
        .raw("</p></form>")
}

fn told(said: &Said, draft: &Draft, rule: Option<&RuleText>) -> Html {
    match said {
        Said::Nothing => Html::new(),
        Said::Wrong(problem) => wrong(problem),
        Said::Mistake(mistake) => mistaken(mistake, &draft.rule),
        Said::Overtaken(problem) => overtaken(problem, draft, rule),
        Said::Valid(valid) => right(valid),
        Said::Preview(preview) => tried(preview),
    }
}

fn wrong(problem: &str) -> Html {
    Html::new()
        .raw("<p id=\"problem\" class=\"problem\" role=\"alert\">Nothing was changed: ")
        .text(problem)
        .raw("</p>")
}

/// What somebody else wrote meanwhile, beside the draft, which stays in its field.
fn overtaken(problem: &str, draft: &Draft, rule: Option<&RuleText>) -> Html {
    let differs = rule.filter(|rule| rule.rule != draft.rule);
    wrong(problem)
        .raw("<p>Your text is still in the field. Save it again to put it in place of what holds now.</p>")
        .maybe(differs, |rule| {
            Html::new()
                .raw("<section aria-labelledby=\"theirs\"><h2 id=\"theirs\">The rule as it holds now</h2>")
                .put(code(&rule.rule))
                .raw("</section>")
        })
}

/// Where the mistake is, and the line as it stands.
fn mistaken(mistake: &MistakeAnswer, draft: &str) -> Html {
    let line = usize::try_from(mistake.line).unwrap_or_default();
    let stands = draft.lines().nth(line.saturating_sub(1));
    Html::new()
        .raw("<div id=\"problem\" class=\"problem\" role=\"alert\"><p>Nothing was changed: line ")
        .number(mistake.line)
        .maybe(
            Some(&mistake.field).filter(|field| !field.is_empty()),
            |field| Html::new().raw(", field <code>").text(field).raw("</code>"),
        )
        .raw(": ")
        .text(&mistake.problem)
        .raw("</p>")
        .maybe(stands, |stands| {
            Html::new().raw("<p><code>").text(stands).raw("</code></p>")
        })
        .raw("</div>")
}

fn right(valid: &ValidAnswer) -> Html {
    Html::new()
        .raw("<p class=\"done\" role=\"status\">It is right. ")
        .maybe(valid.changes.as_ref(), changes)
        .raw("</p>")
}

/// What a change changes, in a sentence.
fn changes(changes: &ChangesAnswer) -> Html {
    let parts = [
        ("Comes: ", &changes.added),
        ("Becomes another: ", &changes.changed),
        ("Goes: ", &changes.removed),
    ];
    let is_nothing = parts.iter().all(|(_, names)| names.is_empty()) && !changes.calendar;
    Html::new()
        .each(parts, |(what, names)| {
            if names.is_empty() {
                return Html::new();
            }
            Html::new().raw(what).text(&names.join(", ")).raw(". ")
        })
        .raw_if(changes.calendar, "The calendar changes. ")
        .raw_if(is_nothing, "It changes nothing of what holds now.")
}

/// What a change would have fired.
fn tried(preview: &PreviewAnswer) -> Html {
    let heads = [
        "Rule",
        "Alerts now",
        "Laptops now",
        "Alerts then",
        "Laptops then",
    ];
    let shown = preview.examples.iter().take(EXAMPLES);
    let fired = Html::new()
        .put(table(
            "Alerts that only the change would have fired, the first of them",
            &["Laptop", "Site", "Rule", "From", "What was seen"],
        ))
        .each(shown, |alert| {
            let device = Address::new(format!("/devices/{}", alert.device));
            Html::new()
                .raw("<tr role=\"row\">")
                .put(cell("Laptop", device.link(short(&alert.device))))
                .put(cell("Site", Html::new().text(&alert.site)))
                .put(cell("Rule", Html::new().text(&alert.rule)))
                .put(cell("From", Html::new().text(&alert.fired_at)))
                .put(cell("What was seen", Html::new().text(&alert.evidence)))
                .raw("</tr>")
        })
        .raw("</tbody></table>");
    Html::new()
        .raw("<section id=\"preview\" class=\"secret\" role=\"status\" aria-labelledby=\"tried\">")
        .raw("<h2 id=\"tried\">Over the last ")
        .number(preview.days)
        .raw(" days</h2><p>")
        .put(extent(preview))
        .raw("</p>")
        .put(match preview.rules.as_slice() {
            [] => Html::new(),
            rules => table("How often each rule would have fired", &heads)
                .each(rules, compared)
                .raw("</tbody></table>"),
        })
        .maybe(
            (!preview.not_judged.is_empty()).then_some(preview),
            |preview| {
                Html::new()
                    .raw("<p>A history says nothing of silence, and so nothing of: ")
                    .text(&preview.not_judged.join(", "))
                    .raw(".</p>")
            },
        )
        .put(if preview.examples.is_empty() {
            Html::new()
        } else {
            fired
        })
        .raw("</section>")
}

/// Of how many laptops a preview tells, and of what change.
fn extent(preview: &PreviewAnswer) -> Html {
    if preview.rules.is_empty() {
        return Html::new()
            .put(changes(&preview.changes))
            .raw(" So no laptop was looked at.");
    }
    Html::new()
        .number(preview.looked_at)
        .raw(" of ")
        .number(preview.devices)
        .raw(" laptops were looked at. Nothing was changed yet. ")
        .put(changes(&preview.changes))
}

fn compared(rule: &PreviewRule) -> Html {
    Html::new()
        .raw("<tr role=\"row\">")
        .put(cell("Rule", Html::new().text(&rule.rule)))
        .put(cell("Alerts now", Html::new().number(rule.before)))
        .put(cell("Laptops now", Html::new().number(rule.devices_before)))
        .put(cell("Alerts then", Html::new().number(rule.after)))
        .put(cell("Laptops then", Html::new().number(rule.devices_after)))
        .raw("</tr>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named_by_line_and_field_with_the_line_as_it_stands() {
        let mistake = MistakeAnswer {
            line: 2,
            rule: "a".to_owned(),
            field: "severity".to_owned(),
            problem: "`warnin` is none; did you mean `warning`?".to_owned(),
        };
        let told = mistaken(&mistake, "[[rule]]\nseverity = \"warnin\"\n");
        let told = told.as_str();
        assert!(
            told.contains("line 2, field <code>severity</code>: "),
            "{told}"
        );
        assert!(told.contains("severity = &quot;warnin&quot;"), "{told}");
    }

    #[test]
    fn a_change_that_no_rule_could_tell_of_says_why_nothing_was_looked_at() {
        let mut preview = PreviewAnswer {
            days: 30,
            looked_at: 0,
            devices: 70,
            changes: ChangesAnswer {
                added: Vec::new(),
                changed: Vec::new(),
                removed: Vec::new(),
                calendar: false,
            },
            rules: Vec::new(),
            not_judged: Vec::new(),
            examples: Vec::new(),
        };
        let said = "It changes nothing of what holds now. So no laptop was looked at.";
        assert_eq!(extent(&preview).as_str(), said);
        (preview.looked_at, preview.rules) = (70, vec![PreviewRule::default()]);
        let said = extent(&preview);
        let said = said.as_str();
        assert!(
            said.starts_with("70 of 70 laptops were looked at."),
            "{said}"
        );
    }

    #[test]
    fn names_in_addresses_are_escaped() {
        assert_eq!(address_of("disk-full"), "/administration/rules/disk-full");
        assert_eq!(address_of("a/b ?"), "/administration/rules/a%2Fb%20%3F");
    }
}
