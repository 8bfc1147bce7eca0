//! Rules on the page of administration: which hold, one as it is written, what a change would have fired,
//! making it, and the versions before.

mod show;

use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

use crate::query::dashboard::forms::Sent;
use crate::query::dashboard::html::Html;
use crate::query::dashboard::{Asked, Id, Refused, text_of};
use crate::query::http::{Parameters, Problem};
use crate::query::rules::{
    MistakeAnswer, PreviewAnswer, RuleText, RulesAnswer, ValidAnswer, VersionList, Wanted,
    version_number,
};
use crate::query::{Query, QueryError, Viewer};

const ADDRESS: &str = "/administration/rules";

/// Bytes of a form with one rule: as forms are written a character may take nine bytes, and the longest of
/// the default rules has 2 KB with its texts.
pub(in crate::query::dashboard) const FORM_BYTES: usize = 256 * 1024;

/// Fields of the form of one rule.
const FIELDS: [&str; 5] = ["do", "name", "rule", "note", "version"];

/// What a new rule begins with.
const TEMPLATE: &str = include_str!("rules/template.toml");

/// The rules in force and those before.
#[derive(Debug)]
struct Found {
    rules: RulesAnswer,
    versions: VersionList,
}

/// What is done with what somebody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Do {
    Check,
    Preview,
    Save,
    Remove,
}

/// A rule as somebody wrote it, and what is to be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Draft {
    does: Do,
    /// The rule that it takes the place of; `None` for another one.
    name: Option<String>,
    rule: String,
    note: String,
    /// The version that was looked at.
    version: Option<u32>,
}

/// What is told of a draft.
#[derive(Debug)]
enum Said {
    Nothing,
    Wrong(String),
    Mistake(MistakeAnswer),
    /// Somebody else was faster; the draft now stands beside what they wrote.
    Overtaken(String),
    Valid(ValidAnswer),
    Preview(PreviewAnswer),
}

/// The list.
pub(in crate::query::dashboard) async fn page(asked: Asked) -> Result<Html, Refused> {
    let found = asked.answer(&[], |query, viewer, _| Ok(find(query, viewer)));
    Ok(show::list(&asked, &found.await?, None))
}

fn find(query: &Query, viewer: &Viewer) -> Found {
    Found {
        rules: query.rules(viewer),
        versions: query.rule_versions(),
    }
}

/// One rule, with the form to change it for those who may.
pub(in crate::query::dashboard) async fn one(asked: Asked, name: Id) -> Result<Html, Refused> {
    let name = text_of(name);
    let rule = asked.answer(&[], move |query, _, _| query.rule(&name));
    let rule = rule.await?;
    let draft = Draft::begin(&rule);
    Ok(show::rule(&asked, Some(&rule), &draft, &Said::Nothing))
}

/// The form for another rule.
pub(in crate::query::dashboard) async fn another(asked: Asked) -> Result<Html, Refused> {
    let version = asked.answer(&[], |query, viewer, _| {
        may_change(viewer)?;
        Ok(query.rules(viewer).version)
    });
    let draft = Draft {
        does: Do::Check,
        name: None,
        rule: TEMPLATE.to_owned(),
        note: String::new(),
        version: Some(version.await?),
    };
    Ok(show::rule(&asked, None, &draft, &Said::Nothing))
}

/// The whole text of a version.
pub(in crate::query::dashboard) async fn version(
    asked: Asked,
    number: Id,
) -> Result<Html, Refused> {
    let number = text_of(number);
    let version = asked.answer(&[], move |query, _, _| {
        query.rule_version(version_number(&number)?)
    });
    Ok(show::version(&asked, &version.await?))
}

/// Checks, tries or makes a change of one rule.
pub(in crate::query::dashboard) async fn change(sent: Sent) -> Response {
    let asked = &sent.asked;
    let mut draft = match sent.fields(&FIELDS).and_then(Draft::of) {
        Ok(draft) => draft,
        Err(error) => return asked.refuse(error).into_response(),
    };
    // Who may not change them is not told what is wrong with a change.
    if let Err(error) = may_change(&asked.viewer) {
        return asked.refuse(error).into_response();
    }
    let (status, said) = match carry_out(asked, &draft).await {
        Ok(None) => return Redirect::to(&draft.leads_to()).into_response(),
        Ok(Some(said)) => (StatusCode::OK, said),
        Err(QueryError::Rules(mistake)) => (StatusCode::BAD_REQUEST, Said::Mistake(mistake.into())),
        Err(QueryError::Conflict(problem)) => {
            // Who saves again has seen what is there by now.
            let now = asked.answer(&[], |query, viewer, _| Ok(query.rules(viewer).version));
            draft.version = now.await.ok();
            (StatusCode::CONFLICT, Said::Overtaken(problem))
        }
        Err(error) => {
            let problem: Problem = error.into();
            (problem.status(), Said::Wrong(problem.detail().to_owned()))
        }
    };
    let name = draft.name.clone().unwrap_or_default();
    let rule = asked.answer(&[], move |query, _, _| Ok(query.rule(&name).ok()));
    match rule.await {
        Ok(rule) => (status, show::rule(asked, rule.as_ref(), &draft, &said)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Does what is to be done; `None` once the rules have changed.
async fn carry_out(asked: &Asked, draft: &Draft) -> Result<Option<Said>, QueryError> {
    let (query, viewer) = (&asked.face.query, asked.viewer.clone());
    let wanted = draft.wanted()?;
    match draft.does {
        Do::Check => {
            let checked = query.answer(move |query| query.validate_rules(&viewer, &wanted));
            let valid = checked.await?;
            Ok(Some(match valid.mistake {
                Some(mistake) => Said::Mistake(mistake),
                None => Said::Valid(valid),
            }))
        }
        Do::Preview => {
            let tried = query.answer(move |query| query.preview_rules(&viewer, &wanted, None));
            Ok(Some(Said::Preview(tried.await?)))
        }
        Do::Save | Do::Remove => {
            let note = draft.note.clone();
            let changed = query.change_rules(&viewer, wanted, note, draft.version);
            changed.await.map(|_| None)
        }
    }
}

/// Puts a version in force again.
pub(in crate::query::dashboard) async fn restore(sent: Sent) -> Response {
    let asked = &sent.asked;
    if let Err(error) = may_change(&asked.viewer) {
        return asked.refuse(error).into_response();
    }
    let given = sent.fields(&["version", "based_on"]);
    let wanted = given.and_then(|mut given| {
        let number = version_number(&given.text("version").unwrap_or_default())?;
        Ok((number, version_of(&mut given, "based_on")?))
    });
    let done = match wanted {
        Ok((number, based_on)) => {
            let note = format!("version {number} again");
            let query = &asked.face.query;
            query
                .change_rules(&asked.viewer, Wanted::Version(number), note, based_on)
                .await
        }
        Err(error) => Err(error),
    };
    let Err(error) = done else {
        return Redirect::to(ADDRESS).into_response();
    };
    let problem: Problem = error.into();
    let found = asked.answer(&[], |query, viewer, _| Ok(find(query, viewer)));
    match found.await {
        Ok(found) => {
            let page = show::list(asked, &found, Some(problem.detail()));
            (problem.status(), page).into_response()
        }
        Err(refused) => refused.into_response(),
    }
}

/// Whether somebody may change the rules, which are those of every site.
fn may_change(viewer: &Viewer) -> Result<(), QueryError> {
    viewer.require(crate::store::Role::Admin)?;
    viewer.require_all_sites()
}

fn version_of(given: &mut Parameters, name: &str) -> Result<Option<u32>, QueryError> {
    let number = given.number(name)?.map(u32::try_from).transpose();
    number.map_err(|_| QueryError::field(name, "must be the number of a version"))
}

impl Draft {
    fn begin(rule: &RuleText) -> Self {
        Self {
            does: Do::Check,
            name: Some(rule.name.clone()),
            rule: rule.rule.clone(),
            note: String::new(),
            version: Some(rule.version),
        }
    }

    fn of(mut given: Parameters) -> Result<Self, QueryError> {
        let does = match given.text("do").as_deref() {
            Some("check") | None => Do::Check,
            Some("preview") => Do::Preview,
            Some("save") => Do::Save,
            Some("remove") => Do::Remove,
            Some(_) => {
                let words = "must be one of check, preview, save, remove";
                return Err(QueryError::field("do", words));
            }
        };
        Ok(Self {
            does,
            name: given.text("name"),
            // Browsers end lines as networks do.
            rule: given.text("rule").unwrap_or_default().replace("\r\n", "\n"),
            note: given.text("note").unwrap_or_default(),
            version: version_of(&mut given, "version")?,
        })
    }

    fn wanted(&self) -> Result<Wanted, QueryError> {
        let rule = || self.rule.clone();
        match (self.does, &self.name) {
            (Do::Remove, Some(name)) => Ok(Wanted::Without(name.clone())),
            (Do::Remove, None) => Err(QueryError::field("name", "must be that of a rule")),
            (_, Some(name)) => Ok(Wanted::Rule {
                name: name.clone(),
                rule: rule(),
            }),
            (_, None) => Wanted::rule(rule()),
        }
    }

    /// The page after a change.
    fn leads_to(&self) -> String {
        match (self.does, &self.name) {
            (Do::Save, Some(name)) => show::address_of(name),
            _ => ADDRESS.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> Result<Draft, QueryError> {
        Draft::of(Parameters::parse(text, &FIELDS).unwrap())
    }

    #[test]
    fn forms_become_drafts_and_mistakes_are_named() {
        let one = draft("do=save&name=a&rule=x%0D%0Ay&version=3&note=n").unwrap();
        assert_eq!((one.does, one.rule.as_str()), (Do::Save, "x\ny"));
        assert_eq!(one.leads_to(), "/administration/rules/a");
        assert!(matches!(one.wanted(), Ok(Wanted::Rule { name, .. }) if name == "a"));
        let gone = draft("do=remove&name=a").unwrap();
        assert_eq!(gone.wanted(), Ok(Wanted::Without("a".to_owned())));
        let named = |text: &str| match draft(text).and_then(|draft| draft.wanted()) {
            Err(error) => error.to_string(),
            Ok(wanted) => panic!("{wanted:?}"),
        };
        assert!(named("do=explode").starts_with("`do`"));
        assert!(named("do=save&version=99999999999").starts_with("`version`"));
        assert!(named("do=remove").starts_with("`name`"));
        assert!(named("do=save&rule=nothing").starts_with("`rule`"));
    }

    #[test]
    fn what_a_new_rule_begins_with_is_right() {
        let text = format!("extend-default = true\n\n{TEMPLATE}");
        crate::evaluate::rules::RuleSet::parse("template.toml", &text).unwrap();
    }
}
