//! Texts for families in further languages, beside the rules: those that are built in can so be told in a
//! language that they do not have, without being written anew.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;

use super::Rule;
use super::check::{Checked, is_language_tag};
use super::error::{Mistake, unknown};
use super::file::Word;

/// The texts of one language, by the names of rules.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LanguageTable {
    /// What to tell a laptop's family.
    pub family: BTreeMap<String, Word>,
    /// What to tell everybody about a cause that many laptops share.
    pub broadcast: BTreeMap<String, Word>,
}

/// Adds the texts to their rules.
pub(super) fn add(
    languages: &BTreeMap<String, LanguageTable>,
    rules: &mut [(Range<usize>, Rule)],
) -> Checked<()> {
    for (tag, table) in languages {
        for (name, text) in &table.family {
            let field = format!("languages.{tag}.family");
            check(&field, tag, text)?;
            let rule = find(&field, name, text, rules)?;
            rule.family.insert(tag.clone(), text.get_ref().clone());
        }
        for (name, text) in &table.broadcast {
            let field = format!("languages.{tag}.broadcast");
            check(&field, tag, text)?;
            let Some(shared) = &mut find(&field, name, text, rules)?.shared else {
                let problem =
                    format!("rule `{name}` has no `shared`, so that nothing is told to all");
                return Err(Mistake::new(text.span(), &field, problem));
            };
            shared.broadcast.insert(tag.clone(), text.get_ref().clone());
        }
    }
    Ok(())
}

fn check(field: &str, tag: &str, text: &Word) -> Checked<()> {
    if is_language_tag(tag) && !text.get_ref().trim().is_empty() {
        return Ok(());
    }
    let problem = format!("`{tag}` must be a language tag such as `fr`, with texts");
    Err(Mistake::new(text.span(), field, problem))
}

fn find<'a>(
    field: &str,
    name: &str,
    text: &Word,
    rules: &'a mut [(Range<usize>, Rule)],
) -> Checked<&'a mut Rule> {
    let at = rules.iter().position(|(_, rule)| rule.name == name);
    let Some(at) = at else {
        let names = rules.iter().map(|(_, rule)| rule.name.as_str());
        let problem = unknown("rule", name, names);
        return Err(Mistake::new(text.span(), field, problem));
    };
    Ok(&mut rules[at].1)
}

#[cfg(test)]
mod tests {
    use super::super::RuleSet;

    #[test]
    fn the_default_rules_are_told_in_a_further_language() {
        let text = "extend-default = true\n[languages.fr.family]\nbattery-worn = \"La batterie est usée.\"\n\
                    [languages.fr.broadcast]\nno-platform-at-school = \"Ce n'est pas votre ordinateur.\"\n";
        let rules = RuleSet::parse("rules.toml", text).unwrap();
        let worn = rules.get("battery-worn").unwrap();
        assert_eq!(worn.family["fr"], "La batterie est usée.");
        assert!(worn.family.contains_key("en"));
        let shared = rules.get("no-platform-at-school").unwrap().shared.clone();
        assert!(shared.unwrap().broadcast.contains_key("fr"));
    }

    #[test]
    fn a_text_for_no_rule_is_told_with_the_nearest_name() {
        let error = |text: &str| {
            let text = format!("extend-default = true\n{text}");
            RuleSet::parse("rules.toml", &text).unwrap_err().to_string()
        };
        let unknown = error("[languages.fr.family]\nbattery-wron = \"x\"\n");
        assert!(
            unknown.starts_with("rules.toml:3: ") && unknown.contains("`battery-worn`"),
            "{unknown}"
        );
        let alone = error("[languages.fr.broadcast]\nbattery-worn = \"x\"\n");
        assert!(alone.contains("has no `shared`"), "{alone}");
        let tag = error("[languages.\"f!\".family]\nbattery-worn = \"x\"\n");
        assert!(tag.contains("language tag"), "{tag}");
    }
}
