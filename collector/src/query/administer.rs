//! What administrators do on the web page: enrolment tokens and API tokens, within their sites. Each act
//! leaves its line in the audit log, in the name of who did it.

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;
use rollcall_shared::token::AuthorityFingerprint;

use super::AuditAnswer;
use super::operation::MOST_AUDIT_LINES;
use super::{Query, QueryError, Viewer};
use crate::control::{Answer, KeepUsers, Request, UserLine, change_users, execute_for, user_line};
use crate::notify::config::{ChannelConfig, Kind};
use crate::notify::test_channel;
use crate::store::{ApiTokenRecord, EnrolmentTokenRecord, Role};
use crate::user::fresh_password;

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

/// What is wrong with sites that an administrator does not reach.
const BEYOND: &str = "must name some of the sites that you see yourself, and no others";

/// A channel as its page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelLine {
    /// Its name.
    pub name: String,
    /// How it tells, in words.
    pub kind: &'static str,
    /// What it is told of, in words.
    pub receives: String,
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

    /// The users who see nothing that the viewer does not, by name.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but admins.
    pub fn users(&self, viewer: &Viewer) -> Result<Vec<UserLine>, QueryError> {
        viewer.require(Role::Admin)?;
        let users = self.store.users();
        let reached = users.iter().filter(|user| viewer.sees_all(&user.sites));
        Ok(reached.map(user_line).collect())
    }

    /// Makes a user, and answers the first password, which nobody can be shown again.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but admins, [`QueryError::Field`] names what is wrong.
    pub(super) async fn create_user(
        &self,
        viewer: &Viewer,
        (name, role, sites): (String, Role, Vec<Label>),
    ) -> Result<String, QueryError> {
        viewer.require(Role::Admin)?;
        if !viewer.sees_all(&sites) {
            return Err(QueryError::field("sites", BEYOND));
        }
        let password = fresh_password();
        let request = Request::UserAdd {
            name,
            role,
            sites,
            password: password.clone(),
        };
        self.change_user(viewer, request).await?;
        Ok(password.expose().to_owned())
    }

    /// Gives a user a new password, and answers it; the user's sessions end.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for one who is not there or sees more than the viewer.
    pub(super) async fn renew_password(
        &self,
        viewer: &Viewer,
        name: &str,
    ) -> Result<String, QueryError> {
        let name = self.other_user(viewer, name)?;
        let password = fresh_password();
        let request = Request::UserPassword {
            name,
            password: password.clone(),
        };
        self.change_user(viewer, request).await?;
        Ok(password.expose().to_owned())
    }

    /// Changes what a user may do and see, from their next request on.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for one who is not there or sees more than the viewer, and
    /// [`QueryError::Field`] for sites beyond the viewer's, and for the last who administers all of them.
    pub(super) async fn change_role(
        &self,
        viewer: &Viewer,
        (name, role, sites): (String, Role, Vec<Label>),
    ) -> Result<(), QueryError> {
        let name = self.other_user(viewer, &name)?;
        if !viewer.sees_all(&sites) {
            return Err(QueryError::field("sites", BEYOND));
        }
        let request = Request::UserRole { name, role, sites };
        self.change_user(viewer, request).await
    }

    /// Lets a user in no longer; the user's sessions end.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for one who is not there or sees more than the viewer.
    pub(super) async fn remove_user(&self, viewer: &Viewer, name: &str) -> Result<(), QueryError> {
        let name = self.other_user(viewer, name)?;
        self.change_user(viewer, Request::UserRemove { name }).await
    }

    /// The name of a user whom the viewer may change; nobody shuts themselves out.
    fn other_user(&self, viewer: &Viewer, name: &str) -> Result<String, QueryError> {
        let users = self.users(viewer)?;
        let found = users.into_iter().find(|user| user.name == name);
        let user = found.ok_or_else(|| QueryError::NotFound("such user".to_owned()))?;
        if viewer.is_user() && viewer.name == user.name {
            let problem = "is your own; your account is changed under your name above";
            return Err(QueryError::field("name", problem));
        }
        Ok(user.name)
    }

    async fn change_user(&self, viewer: &Viewer, request: Request) -> Result<(), QueryError> {
        let keep = KeepUsers::Administrator;
        let done = change_users(&self.store, request, &viewer.actor(), keep, self.now()).await;
        done.map(drop)
            .map_err(|problem| QueryError::field("name", problem))
    }

    /// Lines of the audit log that fit: whose actor and whose subject, outcome or detail hold a text, and
    /// whose action begins with one, whatever the case; the latest first.
    ///
    /// # Errors
    /// As [`Query::audit`].
    pub fn audit_of(
        &self,
        viewer: &Viewer,
        [who, what, to]: [&str; 3],
        lines: u64,
    ) -> Result<Vec<AuditAnswer>, QueryError> {
        let is_filtered = !(who.is_empty() && what.is_empty() && to.is_empty());
        let read = if is_filtered {
            MOST_AUDIT_LINES as u64
        } else {
            lines
        };
        let mut found = self.audit(viewer, Some(read))?.lines;
        let [who, what, to] = [who, what, to].map(str::to_lowercase);
        let holds = |text: &str, part: &str| text.to_lowercase().contains(part);
        found.retain(|line| {
            let about = [&line.subject, &line.outcome, &line.detail];
            holds(&line.actor, &who)
                && line.action.to_lowercase().starts_with(&what)
                && about.iter().any(|text| holds(text, &to))
        });
        found.truncate(usize::try_from(lines).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// The same answers, about these channels too.
    #[must_use]
    pub fn with_channels(mut self, channels: &[ChannelConfig]) -> Self {
        self.channels = channels.into();
        self
    }

    /// The channels that are configured.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but admins of every site.
    pub fn channels(&self, viewer: &Viewer) -> Result<Vec<ChannelLine>, QueryError> {
        viewer.require(Role::Admin)?;
        viewer.require_all_sites()?;
        Ok(self.channels.iter().map(channel_line).collect())
    }

    /// Tries a channel out, and answers what it did. One at a time, since each takes a while and calls
    /// somebody.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but admins of every site, [`QueryError::NotFound`] for a channel
    /// that is not there, and [`QueryError::Field`] with what the channel says.
    pub(super) async fn test_channel(
        &self,
        viewer: &Viewer,
        name: &str,
    ) -> Result<String, QueryError> {
        viewer.require(Role::Admin)?;
        viewer.require_all_sites()?;
        let found = self.channels.iter().find(|known| known.name() == name);
        let channel = found.ok_or_else(|| QueryError::NotFound("such channel".to_owned()))?;
        let _turn = self.testing.try_acquire().map_err(|_| {
            QueryError::field("name", "has to wait: another channel is being tested")
        })?;
        let did = test_channel(channel, self.now()).await;
        self.note_of(viewer, "channel.test", name, self.now()).await;
        did.map(|did| format!("channel `{name}` {did}"))
            .map_err(|error| QueryError::field("name", format!("was tested: {error:#}")))
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
        let actor = viewer.actor();
        let now: UnixMs = self.now();
        execute_for(&self.store, enrolling.authority, request, &actor, now)
            .await
            .map_err(|problem| QueryError::field(field, problem))
    }
}

fn channel_line(channel: &ChannelConfig) -> ChannelLine {
    let common = &channel.common;
    let audiences: Vec<&str> = common.audiences.iter().map(|who| who.word()).collect();
    let sites: Vec<&str> = common.sites.iter().map(Label::as_str).collect();
    let or = |words: Vec<&str>, all: &str| match words.as_slice() {
        [] => all.to_owned(),
        words => words.join(", "),
    };
    ChannelLine {
        name: channel.name().to_owned(),
        kind: match channel.kind {
            Kind::Smtp(_) => "e-mail",
            Kind::Webhook(_) => "signed calls",
            Kind::Chat(_) => "chat",
            Kind::Alertmanager(_) => "Alertmanager",
            Kind::Ticket(_) => "tickets",
        },
        receives: format!(
            "{}; {}; from {} on",
            or(audiences, "every audience"),
            or(sites, "all sites"),
            common.min_severity
        ),
    }
}
