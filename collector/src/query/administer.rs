//! What administrators do on the web page: enrolment tokens and API tokens, within their sites. Each act
//! leaves its line in the audit log, in the name of who did it.

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;
use rollcall_shared::token::AuthorityFingerprint;

use super::{Query, QueryError, Viewer};
use crate::control::{Answer, Request, execute_for};
use crate::store::{ApiTokenRecord, EnrolmentTokenRecord, Role};

/// What enrolment tokens are made of besides the store.
#[derive(Debug, Clone, Copy)]
pub struct Enrolling {
    /// By which laptops know their collector.
    pub authority: AuthorityFingerprint,
    /// The port on which it listens for them.
    pub port: u16,
}

/// An API token that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiToken {
    /// Its name.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// What its holder may see; empty for all sites.
    pub sites: Vec<Label>,
}

/// An enrolment token that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The site of the devices that enrol with it.
    pub site: Label,
    /// Their group.
    pub group: Option<Label>,
    /// How often it may be used; `None` for without limit.
    pub uses: Option<u32>,
    /// For how long, in milliseconds; `None` for ever.
    pub life_ms: Option<i64>,
}

impl Query {
    /// The same answers, which can make enrolment tokens too.
    #[must_use]
    pub fn enrolling(mut self, enrolling: Enrolling) -> Self {
        self.enrolling = Some(enrolling);
        self
    }

    /// The enrolment tokens of the viewer's sites, the newest first.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but admins.
    pub fn enrolment_tokens(
        &self,
        viewer: &Viewer,
    ) -> Result<Vec<EnrolmentTokenRecord>, QueryError> {
        viewer.require(Role::Admin)?;
        let mut tokens = self.store.tokens();
        tokens.retain(|token| viewer.sees_site(&token.site));
        tokens.sort_by_key(|token| std::cmp::Reverse(token.created));
        Ok(tokens)
    }

    /// The API tokens whose holders see nothing that the viewer does not, the newest first.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but admins.
    pub fn api_tokens(&self, viewer: &Viewer) -> Result<Vec<ApiTokenRecord>, QueryError> {
        viewer.require(Role::Admin)?;
        let mut tokens = self.store.api_tokens();
        tokens.retain(|token| viewer.sees_all(&token.sites));
        tokens.sort_by_key(|token| std::cmp::Reverse(token.created));
        Ok(tokens)
    }

    /// Makes an enrolment token, and answers its text, which nobody can be shown again.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but admins of the site, [`QueryError::Field`] names what is wrong.
    pub(super) async fn create_token(
        &self,
        viewer: &Viewer,
        token: NewToken,
    ) -> Result<String, QueryError> {
        viewer.require(Role::Admin)?;
        if !viewer.sees_site(&token.site) {
            let problem = "must be one of the sites that your token reaches";
            return Err(QueryError::field("site", problem));
        }
        let request = Request::TokenCreate {
            site: token.site,
            group: token.group,
            uses: token.uses,
            life_ms: token.life_ms,
        };
        self.secret(viewer, request, "site").await
    }

    /// Makes an API token, and answers its text, which nobody can be shown again.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but admins, [`QueryError::Field`] names what is wrong.
    pub(super) async fn create_api_token(
        &self,
        viewer: &Viewer,
        token: NewApiToken,
    ) -> Result<String, QueryError> {
        viewer.require(Role::Admin)?;
        if !viewer.sees_all(&token.sites) {
            let problem = "must name some of the sites that your own token reaches, and no others";
            return Err(QueryError::field("sites", problem));
        }
        let request = Request::ApiTokenCreate {
            name: token.name,
            role: token.role,
            sites: token.sites,
        };
        self.secret(viewer, request, "name").await
    }

    /// Accepts an enrolment token no longer.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for one that is not there or of another's site.
    pub(super) async fn revoke_token(&self, viewer: &Viewer, id: &str) -> Result<(), QueryError> {
        let tokens = self.enrolment_tokens(viewer)?;
        if tokens.iter().all(|token| token.id != id) {
            return Err(QueryError::NotFound("such enrolment token".to_owned()));
        }
        self.administer(viewer, Request::TokenRevoke { id: id.to_owned() }, "id")
            .await?;
        Ok(())
    }

    /// Accepts an API token no longer, and ends its sessions.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for one that is not there or reaches further than the viewer.
    pub(super) async fn revoke_api_token(
        &self,
        viewer: &Viewer,
        name: &str,
    ) -> Result<(), QueryError> {
        let tokens = self.api_tokens(viewer)?;
        if tokens.iter().all(|token| token.name != name) {
            return Err(QueryError::NotFound("such API token".to_owned()));
        }
        let name = name.to_owned();
        self.administer(viewer, Request::ApiTokenRevoke { name }, "name")
            .await?;
        Ok(())
    }

    async fn secret(
        &self,
        viewer: &Viewer,
        request: Request,
        field: &str,
    ) -> Result<String, QueryError> {
        match self.administer(viewer, request, field).await? {
            Answer::Secret(text) => Ok(text),
            _ => Err(QueryError::Failed),
        }
    }

    async fn administer(
        &self,
        viewer: &Viewer,
        request: Request,
        field: &str,
    ) -> Result<Answer, QueryError> {
        let enrolling = self.enrolling.ok_or(QueryError::Forbidden(
            "this collector makes tokens on its command line only",
        ))?;
        let actor = format!("api {}", viewer.name);
        let now: UnixMs = self.now();
        execute_for(&self.store, enrolling.authority, request, &actor, now)
            .await
            .map_err(|problem| QueryError::field(field, problem))
    }
}
