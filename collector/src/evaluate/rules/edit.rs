//! Editing one rule in a file of rules: all else, comments included, stays as it was written.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use super::error::Mistake;
use super::{DEFAULT_RULES, RuleError};

/// Where a rule is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// In the school's own file.
    Own,
    /// Among the default rules, which the file extends.
    Default,
}

/// The text of a rule as it is written, with its header, and where; `None` where there is no such rule.
#[must_use]
pub fn rule_text(text: &str, name: &str) -> Option<(String, Written)> {
    let own = find(text, name).map(|rule| (rule, Written::Own));
    own.or_else(|| Some((find(DEFAULT_RULES, name)?, Written::Default)))
}

/// The file with a rule put in place of the one with its name, or added. `rule` is one `[[rule]]` with or
/// without that header.
///
/// # Errors
/// [`RuleError`] when one of the two is no TOML, or `rule` is not one rule of that name.
pub fn with_rule(file: &str, text: &str, name: &str, rule: &str) -> Result<String, RuleError> {
    let mut document = parse(file, text)?;
    let mut table = one_rule(name, rule)?;
    document
        .get_mut("disable")
        .and_then(Item::as_array_mut)
        .into_iter()
        .for_each(|disabled| disabled.retain(|word| word.as_str() != Some(name)));
    let rules = rules_of(file, &mut document)?;
    let place = place_of(rules, name);
    match place {
        Some(at) => {
            if let Some(known) = rules.get_mut(at) {
                table.set_position(known.position());
                *known = table;
            }
        }
        None => {
            table.set_position(None);
            rules.push(table);
        }
    }
    Ok(document.to_string())
}

/// The file without a rule: one of its own goes, so that a default rule of that name holds again; a
/// default rule is disabled.
///
/// # Errors
/// [`RuleError`] when the file is no TOML or there is no such rule.
pub fn without_rule(file: &str, text: &str, name: &str) -> Result<String, RuleError> {
    let mut document = parse(file, text)?;
    let rules = rules_of(file, &mut document)?;
    let place = place_of(rules, name);
    if let Some(at) = place {
        rules.remove(at);
        if rules.is_empty() {
            document.remove("rule");
        }
        return Ok(document.to_string());
    }
    let extends = document.get("extend-default").and_then(Item::as_bool);
    if extends != Some(true) || find(DEFAULT_RULES, name).is_none() {
        let problem = format!("there is no rule `{name}`");
        return Err(Mistake::new(0..0, "rule", problem).in_file(file, text));
    }
    let disabled = document
        .entry("disable")
        .or_insert_with(|| value(toml_edit::Array::new()));
    if let Some(disabled) = disabled.as_array_mut()
        && !disabled.iter().any(|word| word.as_str() == Some(name))
    {
        disabled.push(name);
    }
    Ok(document.to_string())
}

/// The name of the one rule in a text, with or without its header.
#[must_use]
pub fn name_of(rule: &str) -> Option<String> {
    let document: DocumentMut = rule.parse().ok()?;
    let name = match document.get("rule") {
        Some(rules) => rules.as_array_of_tables()?.iter().next()?.get("name")?,
        None => document.get("name")?,
    };
    name.as_str().map(str::to_owned)
}

/// The line of a rule's header in a file, from 1.
#[must_use]
pub fn line_of(text: &str, name: &str) -> Option<usize> {
    let document = toml_edit::Document::parse(text).ok()?;
    let rules = document.get("rule")?.as_array_of_tables()?;
    let rule = rules.iter().find(|rule| is_named(rule, name))?;
    let start = rule.span()?.start.min(text.len());
    let before = text.get(..start)?;
    Some(before.matches('\n').count() + 1)
}

/// The line of the header in the text of one rule, from 1; `None` where it has none.
#[must_use]
pub fn header_line(rule: &str) -> Option<usize> {
    let place = rule.lines().position(|line| line.trim() == "[[rule]]")?;
    Some(place + 1)
}

fn parse(file: &str, text: &str) -> Result<DocumentMut, RuleError> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        let span = error.span().unwrap_or(0..0);
        Mistake::new(span, "", error.message()).in_file(file, text)
    })
}

fn rules_of<'a>(
    file: &str,
    document: &'a mut DocumentMut,
) -> Result<&'a mut ArrayOfTables, RuleError> {
    let rules = document
        .entry("rule")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    rules.as_array_of_tables_mut().ok_or_else(|| {
        let problem = "must be written as tables, each after its own line `[[rule]]`";
        Mistake::new(0..0, "rule", problem).in_file(file, "")
    })
}

fn place_of(rules: &ArrayOfTables, name: &str) -> Option<usize> {
    rules.iter().position(|known| is_named(known, name))
}

fn one_rule(name: &str, rule: &str) -> Result<Table, RuleError> {
    let wrong = |problem: String| Mistake::new(0..0, "rule", problem).in_file("rule", rule);
    let document = match header_line(rule) {
        Some(_) => parse("rule", rule)?,
        None => parse("rule", &format!("[[rule]]\n{rule}")).map_err(|mistake| RuleError {
            line: mistake.line.saturating_sub(1),
            ..mistake
        })?,
    };
    let stranger = document.iter().find(|(key, _)| *key != "rule");
    if let Some((key, _)) = stranger {
        return Err(wrong(format!("`{key}` stands outside the rule")));
    }
    let rules = document.get("rule").and_then(Item::as_array_of_tables);
    let mut rules = rules.into_iter().flat_map(ArrayOfTables::iter);
    let (Some(table), None) = (rules.next(), rules.next()) else {
        return Err(wrong("must be one rule".to_owned()));
    };
    if !is_named(table, name) {
        return Err(wrong(format!("must have the line `name = \"{name}\"`")));
    }
    Ok(table.clone())
}

fn find(text: &str, name: &str) -> Option<String> {
    let document: DocumentMut = text.parse().ok()?;
    let rules = document.get("rule")?.as_array_of_tables()?;
    let mut rule = rules.iter().find(|rule| is_named(rule, name))?.clone();
    rule.set_position(None);
    let mut alone = DocumentMut::new();
    let mut rules = ArrayOfTables::new();
    rules.push(rule);
    alone.insert("rule", Item::ArrayOfTables(rules));
    Some(alone.to_string().trim_start().to_owned())
}

fn is_named(rule: &Table, name: &str) -> bool {
    rule.get("name").and_then(Item::as_str) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::super::RuleSet;
    use super::*;

    const FILE: &str = "# ours\nextend-default = true\n\n# too hot for us\n[[rule]]\nname = \"hot\"\ntitle = \"Hot\"\nseverity = \"warning\"\naudience = \"help-desk\"\nall = [{ metric = \"hw.temperature\", op = \"above\", value = 90 }]\nrunbook-text = \"Cool it.\"\n[rule.family]\nen = \"It is hot.\"\n\n# the end\n[[rule]]\nname = \"cold\"\ntitle = \"Cold\"\nseverity = \"info\"\naudience = \"help-desk\"\nall = [{ metric = \"hw.temperature\", op = \"below\", value = 1 }]\nrunbook-text = \"Warm it.\"\nfamily.en = \"It is cold.\"\n";

    #[test]
    fn one_rule_is_replaced_and_the_rest_stays() {
        let (hot, written) = rule_text(FILE, "hot").unwrap();
        assert_eq!(written, Written::Own);
        assert!(hot.contains("It is hot.") && !hot.contains("cold"), "{hot}");
        let hotter = hot.replace("90", "95");
        let changed = with_rule("f", FILE, "hot", &hotter).unwrap();
        assert!(
            changed.starts_with("# ours\n") && changed.contains("# the end"),
            "{changed}"
        );
        assert!(
            changed.contains("value = 95") && !changed.contains("value = 90"),
            "{changed}"
        );
        assert!(
            changed.find("\"hot\"") < changed.find("\"cold\""),
            "{changed}"
        );
        RuleSet::parse("f", &changed).unwrap();
        let line = line_of(&changed, "cold").unwrap();
        assert_eq!(changed.lines().nth(line - 1), Some("[[rule]]"), "{changed}");
        let bare = hot
            .replace("[[rule]]\n", "")
            .replace("[rule.family]\nen", "family.en");
        let same = with_rule(
            "f",
            FILE,
            "hot",
            bare.trim_start_matches("# too hot for us\n"),
        );
        RuleSet::parse("f", &same.unwrap()).unwrap();
    }

    #[test]
    fn a_default_rule_is_changed_disabled_and_comes_back() {
        let (text, written) = rule_text("extend-default = true\n", "battery-worn").unwrap();
        assert_eq!(written, Written::Default);
        let own = text.replace("severity = \"warning\"", "severity = \"info\"");
        let file = with_rule("f", "extend-default = true\n", "battery-worn", &own).unwrap();
        RuleSet::parse("f", &file).unwrap();
        assert_eq!(rule_text(&file, "battery-worn").unwrap().1, Written::Own);
        let back = without_rule("f", &file, "battery-worn").unwrap();
        assert_eq!(
            rule_text(&back, "battery-worn").unwrap().1,
            Written::Default
        );
        let gone = without_rule("f", &back, "battery-worn").unwrap();
        let rules = RuleSet::parse("f", &gone).unwrap();
        assert!(rules.get("battery-worn").is_none() && rules.get("disk-full").is_some());
        let again = with_rule("f", &gone, "battery-worn", &own).unwrap();
        assert!(
            RuleSet::parse("f", &again)
                .unwrap()
                .get("battery-worn")
                .is_some()
        );
        assert!(without_rule("f", &gone, "nonsense").is_err());
    }

    #[test]
    fn what_is_not_one_rule_of_that_name_is_refused() {
        let refused = |rule: &str| with_rule("f", FILE, "hot", rule).unwrap_err().to_string();
        assert!(refused("name = \"warm\"").contains("name = \"hot\""));
        assert!(
            refused("name = ").starts_with("rule:1"),
            "{}",
            refused("name = ")
        );
        assert!(refused("[[rule]]\nname = \"hot\"\n[[rule]]\nname = \"b\"").contains("one rule"));
        assert!(refused("[calendar]\nhours = \"1\"").contains("`calendar` stands outside"));
    }
}
