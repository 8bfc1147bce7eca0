//! The gate: who is let in to the web page by a name and a password. `guesses.rs` says how often that may
//! be tried, `hashing.rs` how much of it goes on at once.

mod guesses;
mod hashing;
mod vouched;

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rollcall_shared::time::UnixMs;

use super::access::{Denied, random_bytes};
use super::{Query, Viewer};
use crate::audit::AuditLine;
use crate::store::Write;
use crate::user::{Entry, Password, PasswordHash, User, user_name};
use guesses::{Guesses, Place, Wait};
use hashing::{Busy, Hashing};

/// Seconds after which one who found the gate busy should come again.
const BUSY_S: u32 = 5;

/// What is kept of attempts.
#[derive(Debug, Default)]
pub(super) struct Gate {
    guesses: Guesses,
    hashing: Hashing,
}

/// Somebody who was let in.
#[derive(Debug)]
pub(super) struct LetIn {
    /// Who.
    pub user: User,
    /// The value of the device cookie, by which their browser is known from now on; `None` for whom the
    /// provider vouches, who needs none.
    pub device: Option<String>,
}

impl LetIn {
    /// Somebody whom the provider vouches for.
    pub const fn vouched(user: User) -> Self {
        Self { user, device: None }
    }
}

/// A browser, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Browser<'a> {
    /// From where it asks.
    pub address: IpAddr,
    /// The value of its device cookie.
    pub device: Option<&'a str>,
}

impl Query {
    /// Lets in whoever knows the password. Unknown names, users without a password and wrong passwords
    /// take the same time and get the same answer.
    ///
    /// # Errors
    /// [`Denied`] says what to answer.
    pub(super) async fn sign_in(
        &self,
        name: &str,
        password: Password,
        browser: Browser<'_>,
    ) -> Result<LetIn, Denied> {
        let now = self.now();
        let (user, number) = self.proven(name, &password, browser, now).await?;
        let user = self.renewed(user, &password, now).await;
        self.write(audit(&user.name, "sign-in", String::new(), now))
            .await;
        Ok(LetIn {
            device: Some(device_cookie(&user, number)),
            user,
        })
    }

    /// The user who knows the password, and the number of their browser where it is known.
    async fn proven(
        &self,
        name: &str,
        password: &Password,
        browser: Browser<'_>,
        now: UnixMs,
    ) -> Result<(User, Option<Vec<u8>>), Denied> {
        let name = user_name(name).unwrap_or_default();
        let user = self.store.user(&name);
        let number = known_device(user.as_ref(), browser.device);
        let places = match &number {
            Some(number) => vec![Place::of_device(&name, number)],
            None => Place::of_stranger(&name, browser.address).to_vec(),
        };
        if let Err(wait) = self.gate.guesses.begin(&places, now) {
            return Err(self.locked(&name, browser.address, wait, now).await);
        }
        let right = self
            .is_password(user.as_ref(), number.is_some(), password)
            .await?;
        let Some(user) = user.filter(|_| right) else {
            return Err(Denied::WrongPassword);
        };
        self.gate.guesses.was_right(&places);
        Ok((user, number))
    }

    /// Gives a user a new password, who proves with the old one that it is they who ask.
    ///
    /// # Errors
    /// [`Denied`] of the old password; the inner error says what is wrong with the new one.
    pub(super) async fn change_own_password(
        &self,
        viewer: &Viewer,
        (old, new): (Password, Password),
        browser: Browser<'_>,
    ) -> Result<Result<LetIn, String>, Denied> {
        let name = viewer.name.clone();
        let now = self.now();
        self.proven(&name, &old, browser, now).await?;
        let request = crate::control::Request::UserPassword {
            name: name.clone(),
            password: new,
        };
        let done = crate::control::change_users(
            &self.store,
            request,
            &viewer.actor(),
            crate::control::KeepUsers::Administrator,
            now,
        )
        .await;
        if let Err(problem) = done {
            return Ok(Err(problem));
        }
        let user = self.store.user(&name).ok_or(Denied::WrongPassword)?;
        Ok(Ok(LetIn {
            device: Some(device_cookie(&user, None)),
            user,
        }))
    }

    /// Whether anybody signs in with a password.
    pub(super) fn has_passwords(&self) -> bool {
        let users = self.store.users();
        users
            .iter()
            .any(|user| matches!(user.entry, Entry::Password { .. }))
    }

    /// The viewer whom a user is, while nothing has ended their sessions.
    pub(super) fn viewer_of_user(&self, name: &str, stamp: &[u8; 32]) -> Option<Viewer> {
        let user = self.store.user(name)?;
        (user.stamp() == *stamp).then(|| Viewer::from(user))
    }

    async fn is_password(
        &self,
        user: Option<&User>,
        is_known: bool,
        password: &Password,
    ) -> Result<bool, Denied> {
        let hash = match user.map(|user| &user.entry) {
            Some(Entry::Password { hash, .. }) => PasswordHash::clone(hash),
            Some(Entry::Provider { .. }) | None => PasswordHash::decoy(),
        };
        let found = self.gate.hashing.matches(is_known, hash, password.clone());
        found.await.map_err(|Busy| Denied::Busy {
            retry_after_s: BUSY_S,
        })
    }

    /// The user with a hash under the parameters of now; nothing else of theirs changes.
    async fn renewed(&self, user: User, password: &Password, now: UnixMs) -> User {
        let Entry::Password { hash, since } = &user.entry else {
            return user;
        };
        if hash.is_current() {
            return user;
        }
        let (since, password) = (*since, password.clone());
        let made = tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await;
        let Ok(hash) = made.map(Box::new) else {
            return user;
        };
        let _decision = self.store.exclusive().await;
        // It may have been changed or removed meanwhile.
        if self.store.user(&user.name).as_ref() != Some(&user) {
            return user;
        }
        let entry = Entry::Password { hash, since };
        let renewed = User { entry, ..user };
        let line = audit(&renewed.name, "user.rehash", String::new(), now);
        if let Err(error) = self
            .store
            .commit(vec![Write::PutUser(renewed.clone()), line])
            .await
        {
            tracing::warn!(%error, "a password could not be hashed anew");
        }
        renewed
    }

    async fn locked(&self, name: &str, address: IpAddr, wait: Wait, now: UnixMs) -> Denied {
        if wait.is_first {
            let line = AuditLine {
                at: now,
                actor: address.to_string(),
                action: "sign-in".to_owned(),
                subject: name.to_owned(),
                outcome: "too-many-guesses".to_owned(),
                detail: format!("passwords are looked at again in {} s", wait.seconds),
            };
            self.write(Write::Audit(line)).await;
        }
        Denied::TooMany {
            retry_after_s: wait.seconds,
        }
    }

    /// Writes that somebody did something to their own account.
    pub(super) async fn note_own(&self, viewer: &Viewer, action: &str, now: UnixMs) {
        self.note_of(viewer, action, &viewer.name, now).await;
    }

    /// Writes that somebody did something to something.
    pub(super) async fn note_of(&self, viewer: &Viewer, action: &str, subject: &str, now: UnixMs) {
        let line = AuditLine {
            at: now,
            actor: viewer.actor(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: "ok".to_owned(),
            detail: String::new(),
        };
        self.write(Write::Audit(line)).await;
    }

    async fn write(&self, write: Write) {
        // Whoever may sign in is let in also when the disk is full.
        if let Err(error) = self.store.commit(vec![write]).await {
            tracing::warn!(%error, "a line of the audit log was not written");
        }
    }
}

fn audit(user: &str, action: &str, detail: String, now: UnixMs) -> Write {
    Write::Audit(AuditLine {
        at: now,
        actor: format!("user {user}"),
        action: action.to_owned(),
        subject: user.to_owned(),
        outcome: "ok".to_owned(),
        detail,
    })
}

/// The number of a browser that has signed in as this user before. The cookie is `number.proof`.
fn known_device(user: Option<&User>, cookie: Option<&str>) -> Option<Vec<u8>> {
    let (number, proof) = cookie?.split_once('.')?;
    let number = URL_SAFE_NO_PAD.decode(number).ok()?;
    let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
    user?.knows_device(&number, &proof).then_some(number)
}

fn device_cookie(user: &User, number: Option<Vec<u8>>) -> String {
    let number = number.unwrap_or_else(|| random_bytes()[..16].to_vec());
    let proof = user.device_proof(&number);
    let [number, proof] = [&number[..], proof.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{number}.{proof}")
}

#[cfg(test)]
mod tests;
