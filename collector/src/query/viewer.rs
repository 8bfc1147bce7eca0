//! The viewer: who asks, and how far they may see. The one place that decides on scope.

use rollcall_shared::id::Label;

use super::QueryError;
use crate::device::DeviceState;
use crate::store::{ApiTokenRecord, Role};
use crate::user::User;

/// The holder of a valid API token, or a user who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The token's or the user's name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    sites: Vec<Label>,
    kind: Kind,
}

/// By what somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The command line.
    CommandLine,
    /// An API token.
    Token,
    /// A user's session.
    User,
}

impl Viewer {
    /// A viewer of these sites; none means all.
    #[must_use]
    pub fn new(name: impl Into<String>, role: Role, sites: Vec<Label>) -> Self {
        Self {
            name: name.into(),
            role,
            sites,
            kind: Kind::CommandLine,
        }
    }

    /// Who does something, as the audit log names them.
    #[must_use]
    pub fn actor(&self) -> String {
        match self.kind {
            Kind::CommandLine => self.name.clone(),
            Kind::Token => format!("api {}", self.name),
            Kind::User => format!("user {}", self.name),
        }
    }

    /// Whether it is a user with a session of their own.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.kind == Kind::User
    }

    /// The sites that they may see; empty for all.
    #[must_use]
    pub fn sites(&self) -> &[Label] {
        &self.sites
    }

    /// Whether they may see what belongs to a site.
    #[must_use]
    pub fn sees_site(&self, site: &Label) -> bool {
        self.sees_everything() || self.sites.contains(site)
    }

    /// Whether none of these sites is hidden from them.
    #[must_use]
    pub fn sees_all(&self, sites: &[Label]) -> bool {
        self.sees_everything()
            || (!sites.is_empty() && sites.iter().all(|site| self.sites.contains(site)))
    }

    /// Whether they may see a device.
    #[must_use]
    pub fn sees(&self, state: &DeviceState) -> bool {
        self.sees_site(&state.device.site)
    }

    /// Whether no site is hidden from them, and neither is what belongs to the collector as a whole.
    #[must_use]
    pub const fn sees_everything(&self) -> bool {
        self.sites.is_empty()
    }

    /// Refuses those whose role does not reach `role`.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] says what is needed.
    pub fn require(&self, role: Role) -> Result<(), QueryError> {
        if self.role >= role {
            return Ok(());
        }
        Err(QueryError::Forbidden(match role {
            Role::Admin => "this needs a token with the role admin",
            Role::Technician => "this needs a token with the role technician or admin",
            Role::Viewer => "this needs a token",
        }))
    }

    /// Refuses those who see only some sites, where an answer cannot be divided by site.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] says what is needed.
    pub fn require_all_sites(&self) -> Result<(), QueryError> {
        if self.sees_everything() {
            return Ok(());
        }
        Err(QueryError::Forbidden(
            "this concerns every site and needs a token that is not limited to some",
        ))
    }
}

impl From<ApiTokenRecord> for Viewer {
    fn from(token: ApiTokenRecord) -> Self {
        Self {
            kind: Kind::Token,
            ..Self::new(token.name, token.role, token.sites)
        }
    }
}

impl From<User> for Viewer {
    fn from(user: User) -> Self {
        Self {
            kind: Kind::User,
            ..Self::new(user.name, user.role, user.sites)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_sees_its_sites_only() {
        let (here, there): (Label, Label) = ("Lincoln".parse().unwrap(), "Hay".parse().unwrap());
        let scoped = Viewer::new("desk", Role::Viewer, vec![here.clone()]);
        assert!(scoped.sees_site(&here) && !scoped.sees_site(&there));
        assert!(scoped.require_all_sites().is_err());
        let all = Viewer::new("board", Role::Viewer, Vec::new());
        assert!(all.sees_site(&there) && all.require_all_sites().is_ok());
    }

    #[test]
    fn a_later_role_may_do_all_that_an_earlier_one_may() {
        for (at, holds) in Role::ALL.iter().enumerate() {
            for (needs, role) in Role::ALL.iter().enumerate() {
                let viewer = Viewer::new("x", *holds, Vec::new());
                assert_eq!(viewer.require(*role).is_ok(), at >= needs);
            }
        }
    }
}
