//! What the district's management sets: values below `HKLM\SOFTWARE\Policies\Rollcall\Agent` on
//! Windows, managed preferences of `org.rollcall.agent` on macOS, nothing elsewhere.
//!
//! Both are read through the system's own tools, whose answers are parsed here on every system.

use std::collections::BTreeMap;

/// Values by name.
pub type Values = BTreeMap<String, String>;

/// Where Group Policy and Intune write.
pub const REGISTRY_KEY: &str = r"HKLM\SOFTWARE\Policies\Rollcall\Agent";

/// Where the installer keeps the properties that it was given.
pub const INSTALLED_KEY: &str = r"HKLM\SOFTWARE\Rollcall\Agent";

/// Where a configuration profile ends up.
pub const PREFERENCES: &str = "/Library/Managed Preferences/org.rollcall.agent.plist";

/// What management has set; nothing where it sets nothing or cannot be asked.
#[must_use]
pub fn read() -> Values {
    #[cfg(windows)]
    return over(query(REGISTRY_KEY), query(INSTALLED_KEY));
    #[cfg(target_os = "macos")]
    return parse_preferences(&answer(
        "/usr/bin/plutil",
        &["-convert", "json", "-o", "-", PREFERENCES],
    ));
    #[cfg(not(any(windows, target_os = "macos")))]
    Values::new()
}

#[cfg(windows)]
fn query(key: &str) -> Values {
    parse_registry(&answer("reg.exe", &["query", key, "/reg:64"]))
}

/// What a district's policy sets counts before what the installer was given once.
#[cfg(any(windows, test))]
fn over(policy: Values, installed: Values) -> Values {
    let set = |values: Values| {
        values
            .into_iter()
            .filter(|(_, value)| !value.trim().is_empty())
    };
    set(installed).chain(set(policy)).collect()
}

#[cfg(any(windows, target_os = "macos"))]
fn answer(program: &str, arguments: &[&str]) -> String {
    let asked = std::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output();
    match asked {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        // No policy is the common case, and the tools say so by their status.
        Ok(_) => String::new(),
        Err(error) => {
            tracing::warn!(%error, program, "policies could not be read");
            String::new()
        }
    }
}

/// The answer of `reg query`: name, type and value, four spaces apart.
#[cfg(any(windows, test))]
fn parse_registry(answer: &str) -> Values {
    let pair = |line: &str| {
        let line = line.strip_prefix("    ")?;
        let (name, rest) = line.split_once("    REG_")?;
        let (kind, value) = rest.split_once("    ").unwrap_or((rest, ""));
        let is_text = matches!(kind.trim_end(), "SZ" | "EXPAND_SZ");
        is_text.then(|| (name.to_owned(), value.trim_end().to_owned()))
    };
    answer.lines().filter_map(pair).collect()
}

/// The preferences as JSON; what is no text is no setting.
#[cfg(any(target_os = "macos", test))]
fn parse_preferences(answer: &str) -> Values {
    let values: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(answer).unwrap_or_default();
    let text = |(name, value): (String, serde_json::Value)| {
        value.as_str().map(|value| (name, value.to_owned()))
    };
    values.into_iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_read_as_reg_tells_it() {
        let answer = "\r\nHKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Rollcall\\Agent\r\n    \
            Collector    REG_SZ    rollcall.district.example:443\r\n    Token    REG_SZ    \r\n    \
            Proxy    REG_EXPAND_SZ    http://proxy:3128\r\n    Level    REG_DWORD    0x1\r\n\r\n";
        let values = parse_registry(answer);
        assert_eq!(values["Collector"], "rollcall.district.example:443");
        assert_eq!(values["Proxy"], "http://proxy:3128");
        assert_eq!(values.get("Token").map(String::as_str), Some(""));
        assert!(!values.contains_key("Level"));
        assert!(parse_registry("ERROR: The system was unable to find").is_empty());
    }

    #[test]
    fn a_policy_counts_before_what_the_installer_was_given() {
        let values = |pairs: &[(&str, &str)]| -> Values {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect()
        };
        let installed = values(&[
            ("Collector", "installed:1"),
            ("Token", "t"),
            ("Version", "1"),
        ]);
        let both = over(
            values(&[("Collector", "policy:1"), ("Token", "")]),
            installed.clone(),
        );
        assert_eq!(both["Collector"], "policy:1");
        assert_eq!(both["Token"], "t", "an empty policy sets nothing");
        assert_eq!(over(Values::new(), installed)["Collector"], "installed:1");
    }

    #[test]
    fn preferences_are_read_as_plutil_tells_them() {
        let values = parse_preferences(r#"{"Collector":"rollcall.example:443","Level":3}"#);
        assert_eq!(values["Collector"], "rollcall.example:443");
        assert_eq!(values.len(), 1);
        assert!(parse_preferences("no such file").is_empty());
    }
}
