//! What somebody may do and see, from what the provider says of them.

use rollcall_shared::id::Label;
use serde_json::{Map, Value};

use super::config::GrantConfig;
use crate::store::Role;
use crate::user::user_name;

/// What a genuine token says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims {
    /// Whom it means.
    pub subject: String,
    /// Everything that it says.
    pub all: Map<String, Value>,
}

/// What somebody may do and see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The role.
    pub role: Role,
    /// The sites; empty for all.
    pub sites: Vec<Label>,
}

impl Claims {
    /// What people call them. It decides nothing.
    #[must_use]
    pub fn name(&self) -> String {
        let named = ["email", "preferred_username", "upn"]
            .iter()
            .filter_map(|claim| self.all.get(*claim)?.as_str())
            .find_map(|text| user_name(text).ok());
        let subject: String = self
            .subject
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(60)
            .collect();
        named.unwrap_or_else(|| format!("sub-{}", subject.to_lowercase()))
    }

    /// The address of e-mail, where the provider has made sure that it is theirs. Without that, whoever may
    /// set their own address could be anybody.
    fn verified_email(&self) -> Option<String> {
        let email = self.all.get("email")?.as_str()?;
        let is_verified = match self.all.get("email_verified")? {
            Value::Bool(verified) => *verified,
            // Some providers write it as text.
            Value::String(text) => text == "true",
            _ => false,
        };
        is_verified.then(|| email.trim().to_lowercase())
    }

    fn has(&self, claim: &str, values: &[String]) -> bool {
        let is_wanted = |value: &Value| match value {
            Value::String(text) => values.contains(text),
            Value::Bool(_) | Value::Number(_) => values.contains(&value.to_string()),
            _ => false,
        };
        match self.all.get(claim) {
            Some(Value::Array(all)) => all.iter().any(is_wanted),
            Some(value) => is_wanted(value),
            None => false,
        }
    }
}

/// What the first grant that fits gives.
///
/// # Errors
/// Words for somebody to whom nothing is granted, with what the provider left unsaid.
pub(super) fn decide(grants: &[GrantConfig], claims: &Claims) -> Result<Granted, String> {
    if let Some(grant) = grants.iter().find(|grant| fits(grant, claims)) {
        return Ok(Granted {
            role: grant.role,
            sites: grant.sites.clone(),
        });
    }
    let by_email = |grant: &GrantConfig| grant.email_domain.is_some() || !grant.emails.is_empty();
    let mut why = Vec::new();
    if grants.iter().any(by_email) && claims.verified_email().is_none() {
        why.push("it does not say that your address of e-mail is verified".to_owned());
    }
    let left_out = claims.all.get("_claim_names").and_then(Value::as_object);
    for claim in grants.iter().filter_map(|grant| grant.claim.as_deref()) {
        if left_out.is_some_and(|names| names.contains_key(claim)) {
            why.push(format!("it left `{claim}` out, since you are in too many"));
        } else if !claims.all.contains_key(claim) {
            why.push(format!("it does not say `{claim}` of you"));
        }
    }
    why.dedup();
    let why = match why.as_slice() {
        [] => String::new(),
        why => format!(": {}", why.join("; ")),
    };
    Err(format!(
        "you are known to the provider of identities, and nothing here is granted to you{why}; \
         whoever runs the collector can change that"
    ))
}

fn fits(grant: &GrantConfig, claims: &Claims) -> bool {
    let email = claims.verified_email();
    let in_domain = |domain: &String| {
        let own = email.as_deref().and_then(|email| email.rsplit_once('@'));
        own.is_some_and(|(_, own)| own == domain.to_lowercase())
    };
    let is_listed = |email: &String| {
        grant
            .emails
            .iter()
            .any(|known| known.to_lowercase() == *email)
    };
    let has_claim = |claim: &String| claims.has(claim, &grant.values);
    grant.email_domain.as_ref().is_none_or(in_domain)
        && (grant.emails.is_empty() || email.as_ref().is_some_and(is_listed))
        && grant.claim.as_ref().is_none_or(has_claim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(all: Value) -> Claims {
        Claims {
            subject: "00u1AB-c".to_owned(),
            all: all.as_object().unwrap().clone(),
        }
    }

    fn grants(text: &str) -> Vec<GrantConfig> {
        #[derive(serde::Deserialize)]
        struct All {
            grant: Vec<GrantConfig>,
        }
        toml::from_str::<All>(text).unwrap().grant
    }

    #[test]
    fn the_first_grant_that_fits_counts() {
        let grants = grants(
            "[[grant]]\nrole = 'admin'\nclaim = 'groups'\nvalues = ['it', 'board']\n\
             [[grant]]\nrole = 'technician'\nsites = ['Lincoln']\nemails = ['Anna@District.example']\n\
             [[grant]]\nrole = 'viewer'\nemail_domain = 'district.example'\nclaim = 'hd'\nvalues = ['district.example']\n",
        );
        let role = |all: Value| decide(&grants, &claims(all)).map(|granted| granted.role);
        let anna = json!({"email": "anna@district.example", "email_verified": true});
        assert_eq!(role(anna), Ok(Role::Technician));
        assert_eq!(role(json!({"groups": ["x", "it"]})), Ok(Role::Admin));
        assert_eq!(role(json!({"groups": "board"})), Ok(Role::Admin));
        let ben = json!({"email": "ben@district.example", "email_verified": true, "hd": "district.example"});
        assert_eq!(role(ben), Ok(Role::Viewer));
        let private = json!({"email": "ben@district.example", "email_verified": true});
        assert!(role(private).is_err(), "no account of the district's own");
        for wrong in [
            json!({"email": "anna@district.example"}),
            json!({"email": "anna@district.example", "email_verified": false}),
            json!({"email": "anna@evil.example", "email_verified": true}),
            json!({"email": "x@evil.district.example", "email_verified": true, "hd": "district.example"}),
            json!({"groups": ["IT"]}),
            json!({"groups": [["it"]]}),
        ] {
            assert!(role(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whoever_gets_nothing_is_told_what_is_missing() {
        let by_group = grants("[[grant]]\nrole = 'admin'\nclaim = 'groups'\nvalues = ['it']\n");
        let words = |all: Value| decide(&by_group, &claims(all)).unwrap_err();
        assert!(words(json!({})).contains("does not say `groups`"));
        let too_many = json!({"_claim_names": {"groups": "src1"}});
        assert!(words(too_many).contains("left `groups` out"));
        let by_mail = grants("[[grant]]\nrole = 'admin'\nemail_domain = 'd.example'\n");
        let unverified = decide(&by_mail, &claims(json!({"email": "a@d.example"})));
        assert!(unverified.unwrap_err().contains("verified"));
    }

    #[test]
    fn people_have_a_name() {
        assert_eq!(
            claims(json!({"email": "Anna@D.example"})).name(),
            "anna@d.example"
        );
        assert_eq!(claims(json!({"preferred_username": "anna"})).name(), "anna");
        assert_eq!(claims(json!({"email": "<script>"})).name(), "sub-00u1abc");
    }
}
