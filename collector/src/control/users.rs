//! Making, changing and removing users, each with its line in the audit log.

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use super::execute::{done, told};
use super::{Answer, Request, UserLine};
use crate::query::access::random_bytes;
use crate::store::{Role, Store, Write};
use crate::user::{Entry, Password, PasswordHash, SITES, USERS, User, check_password, user_name};

/// Whether somebody must be left who administers every site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Who sits at the machine can always make another administrator.
    Nobody,
    /// Who asks by the web page could shut everybody out.
    Administrator,
}

/// Does what a request about users asks.
///
/// # Errors
/// What is wrong, for who asked.
pub(crate) async fn execute(
    store: &Store,
    request: Request,
    actor: &str,
    keep: Keep,
    now: UnixMs,
) -> Result<Answer, String> {
    match request {
        Request::UserList => Ok(Answer::Users(store.users().iter().map(line_of).collect())),
        Request::UserAdd {
            name,
            role,
            sites,
            password,
        } => add(store, (&name, role, sites, password), actor, now).await,
        Request::UserRemove { name } => remove(store, &name, actor, keep, now).await,
        Request::UserPassword { name, password } => {
            set_password(store, &name, password, actor, now).await
        }
        Request::UserRole { name, role, sites } => {
            set_role(store, &name, (role, sites), (actor, keep), now).await
        }
        _ => Err("only users are changed here".to_owned()),
    }
}

async fn add(
    store: &Store,
    (name, role, sites, password): (&str, Role, Vec<Label>, Password),
    actor: &str,
    now: UnixMs,
) -> Result<Answer, String> {
    let name = user_name(name).map_err(|problem| format!("the name `{name}` {problem}"))?;
    check_sites(&sites)?;
    let hash = hash_of(&name, password).await?;
    // Decisions on one record follow each other.
    let _decision = store.exclusive().await;
    let users = store.users();
    if users.iter().any(|user| user.name == name) {
        return Err(format!(
            "there is a user `{name}` already; choose another name, or change that one"
        ));
    }
    if users.len() >= USERS {
        return Err(format!(
            "there are {USERS} users already; remove some first"
        ));
    }
    let line = done(actor, "user.create", &name, powers(role, &sites), now);
    let user = User {
        name,
        role,
        sites,
        created: now,
        entry: Entry::Password { hash, since: now },
        secret: random_bytes(),
    };
    commit(store, vec![Write::PutUser(user), line]).await
}

async fn remove(
    store: &Store,
    name: &str,
    actor: &str,
    keep: Keep,
    now: UnixMs,
) -> Result<Answer, String> {
    let _decision = store.exclusive().await;
    let user = find(store, name)?;
    check_administrators(store, keep, &user)?;
    let line = done(actor, "user.remove", &user.name, String::new(), now);
    commit(store, vec![Write::RemoveUser(user.name), line]).await
}

async fn set_password(
    store: &Store,
    name: &str,
    password: Password,
    actor: &str,
    now: UnixMs,
) -> Result<Answer, String> {
    let name = find(store, name)?.name;
    let hash = hash_of(&name, password).await?;
    let _decision = store.exclusive().await;
    let mut user = find(store, &name)?;
    if matches!(user.entry, Entry::Provider { .. }) {
        return Err(format!(
            "`{name}` signs in through a provider of identities and has no password here"
        ));
    }
    user.entry = Entry::Password { hash, since: now };
    user.secret = random_bytes();
    let line = done(actor, "user.password", &name, String::new(), now);
    commit(store, vec![Write::PutUser(user), line]).await
}

async fn set_role(
    store: &Store,
    name: &str,
    (role, sites): (Role, Vec<Label>),
    (actor, keep): (&str, Keep),
    now: UnixMs,
) -> Result<Answer, String> {
    check_sites(&sites)?;
    let _decision = store.exclusive().await;
    let mut user = find(store, name)?;
    if matches!(user.entry, Entry::Provider { .. }) {
        return Err(format!(
            "what `{name}` may do follows from `[[oidc.grant]]` at each sign-in; change it there"
        ));
    }
    if !administers_all(role, &sites) {
        check_administrators(store, keep, &user)?;
    }
    let line = done(actor, "user.role", &user.name, powers(role, &sites), now);
    (user.role, user.sites) = (role, sites);
    commit(store, vec![Write::PutUser(user), line]).await
}

const fn administers_all(role: Role, sites: &[Label]) -> bool {
    matches!(role, Role::Admin) && sites.is_empty()
}

/// Whether somebody is left who administers every site when a user no longer does: under the lock of
/// decisions, since two may take it from each other at once.
fn check_administrators(store: &Store, keep: Keep, without: &User) -> Result<(), String> {
    let users = store.users();
    let is_left =
        |user: &User| user.name != without.name && administers_all(user.role, &user.sites);
    let by_token = || {
        let tokens = store.api_tokens();
        let mut valid = tokens.iter().filter(|token| !token.revoked);
        valid.any(|token| administers_all(token.role, &token.sites))
    };
    let is_one = administers_all(without.role, &without.sites);
    if keep == Keep::Nobody || !is_one || users.iter().any(is_left) || by_token() {
        return Ok(());
    }
    Err(format!(
        "`{}` is the last who administers every site; make another administrator first",
        without.name
    ))
}

async fn commit(store: &Store, writes: Vec<Write>) -> Result<Answer, String> {
    store.commit(writes).await.map_err(told)?;
    Ok(Answer::Done)
}

fn find(store: &Store, name: &str) -> Result<User, String> {
    let known = user_name(name).ok().and_then(|name| store.user(&name));
    known.ok_or_else(|| {
        format!("there is no user `{name}`; `rollcall-collector user list` shows them")
    })
}

/// Hashes beside the tasks that move bytes.
async fn hash_of(name: &str, password: Password) -> Result<Box<PasswordHash>, String> {
    check_password(name, &password).map_err(|problem| format!("the password {problem}"))?;
    let made = tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await;
    made.map(Box::new)
        .map_err(|_| "the password could not be hashed".to_owned())
}

fn check_sites(sites: &[Label]) -> Result<(), String> {
    if sites.len() <= SITES {
        return Ok(());
    }
    Err(format!(
        "{} sites are more than {SITES}; a user of more sees all of them",
        sites.len()
    ))
}

fn powers(role: Role, sites: &[Label]) -> String {
    let sites: Vec<&str> = sites.iter().map(Label::as_str).collect();
    match sites.as_slice() {
        [] => format!("role {}, all sites", role.word()),
        sites => format!("role {}, {}", role.word(), sites.join(", ")),
    }
}

pub(crate) fn line_of(user: &User) -> UserLine {
    let (entry, since) = match &user.entry {
        Entry::Password { since, .. } => ("password".to_owned(), *since),
        Entry::Provider { issuer, seen, .. } => (issuer.clone(), *seen),
    };
    UserLine {
        name: user.name.clone(),
        role: user.role,
        sites: user.sites.clone(),
        created: user.created,
        entry,
        since,
    }
}
