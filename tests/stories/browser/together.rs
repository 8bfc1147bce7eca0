//! Two people at once: what one does, the other sees without loading the page again.

use rollcall_tests::rig::browser::Window;
use serde_json::json;

use super::Desk;

#[test]
fn browser_what_one_acknowledges_another_sees() {
    let Some(desk) = Desk::open("one acknowledges, another sees it, in Chromium") else {
        return;
    };
    let (one, other) = (desk.admin(), desk.admin());
    let dealt_with = "[...document.querySelectorAll('main strong')]\
                      .filter((each) => each.textContent.includes('deals with it')).length";
    assert_eq!(other.run(&format!("return {dealt_with}")), 0);
    one.keys(["j", "a"]);
    one.wait("one's own page", &format!("{dealt_with} > 0"));
    other.wait("the other's page", &format!("{dealt_with} > 0"));
    desk.nothing_wrong(&one);
    desk.nothing_wrong(&other);
}

#[test]
fn browser_a_revoked_token_ends_its_holders_session() {
    let Some(desk) = Desk::open("a revoked token, in Chromium") else {
        return;
    };
    let admin = desk.admin();
    admin.go(&desk.at("/administration"));
    let form = "form[action='/administration/api-tokens']";
    admin.fill(&format!("{form} [name=name]"), "student worker");
    let _ = admin.run(&format!(
        "document.querySelector(\"{form} [name=role]\").value = 'viewer'"
    ));
    admin.click(&format!("{form} button"));
    admin.wait("the token", "document.querySelector('code.token')");
    let secret = admin.text("code.token").expect("it is shown");
    let worker = desk.signed_in(&secret);
    worker.go(&desk.at("/devices"));

    admin.go(&desk.at("/administration"));
    assert_eq!(admin.count("code.token"), 0, "it is not shown again");
    admin.click("button[aria-label='Revoke student worker']");
    admin.wait(
        "that it is revoked",
        "!document.querySelector(\"button[aria-label='Revoke student worker']\")",
    );
    worker.go(&desk.at("/"));
    worker.wait_at("/sign-in");
    desk.nothing_wrong(&admin);
}

#[test]
fn browser_a_rule_with_a_mistake_is_told_where_and_one_without_is_tried_and_saved() {
    let Some(desk) = Desk::open("a rule is changed, in Chromium") else {
        return;
    };
    let admin = desk.admin();
    let page = "/administration/rules/battery-worn";
    admin.go(&desk.at(page));
    write_rule(&admin, "severity = \"warning\"", "severity = \"warnin\"");
    admin.click("button[value=save]");
    admin.wait_text("#problem", "field severity");
    let problem = admin.text("#problem").unwrap_or_default();
    let line = "const lines = document.querySelector('#rule').value.split('\\n');
                return 1 + lines.findIndex((line) => line.startsWith('severity'))";
    let line = admin.run(line).as_u64().expect("the line is there");
    assert!(problem.contains(&format!("line {line},")), "{problem}");
    assert!(
        problem.contains("severity = \"warnin\""),
        "the line as it stands: {problem}"
    );
    assert!(problem.contains("warning"), "the nearest word: {problem}");
    assert_eq!(admin.count("textarea[aria-invalid=true]"), 1);

    // What was written is still there, is put right, tried on the past, and only then saved.
    write_rule(&admin, "severity = \"warnin\"", "severity = \"critical\"");
    admin.click("button[value=preview]");
    admin.wait_text("#preview", "laptops were looked at");
    admin.fill("#note", "ours are old");
    admin.click("button[value=save]");
    admin.wait(
        "the rule as it holds now",
        "!document.querySelector('#preview') \
         && document.querySelector('#rule')?.value.includes('severity = \"critical\"')",
    );
    assert_eq!(admin.path(), page);

    admin.go(&desk.at("/administration/rules"));
    admin.wait_text("main td", "ours are old");
    admin.click("button[aria-label='Restore version 0']");
    admin.wait_text("main td", "version 0 again");
    let refused = admin.complaints();
    assert!(
        refused.iter().all(|said| said.contains("400")),
        "{refused:?}"
    );
}

/// Puts a text in another's place in the field of a rule.
pub(super) fn write_rule(window: &Window, from: &str, to: &str) {
    let (from, to) = (json!(from), json!(to));
    window.wait(
        "the rule",
        &format!("document.querySelector('#rule')?.value.includes({from})"),
    );
    let _ = window.run(&format!(
        "const rule = document.querySelector('#rule'); rule.value = rule.value.replace({from}, {to});"
    ));
}

#[test]
fn browser_a_mistake_in_a_form_is_named_by_its_field() {
    let Some(desk) = Desk::open("a mistake in a form, in Chromium") else {
        return;
    };
    let admin = desk.admin();
    admin.go(&desk.at("/administration"));
    let form = "form[action='/administration/tokens']";
    admin.fill(&format!("{form} [name=site]"), "Lincoln");
    admin.fill(&format!("{form} [name=uses]"), "many");
    admin.click(&format!("{form} button"));
    admin.wait_text("#problem", "`uses` must be");
}
