//! Letting in whom the provider of identities vouches for. An account is theirs by (issuer, subject) alone:
//! a name or an address of e-mail is given to somebody else one day, a subject never is.

use rollcall_shared::time::UnixMs;

use super::audit;
use crate::audit::AuditLine;
use crate::provider::{Provider, Refusal, Returned, Vouched};
use crate::query::Query;
use crate::query::access::random_bytes;
use crate::store::Write;
use crate::user::{Entry, USERS, User};

impl Query {
    /// The same answers, for people of a provider too.
    #[must_use]
    pub fn with_provider(mut self, provider: Provider) -> Self {
        self.provider = Some(std::sync::Arc::new(provider));
        self
    }

    /// The user who comes back from the provider.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(in crate::query) async fn arrive(
        &self,
        provider: &Provider,
        cookie: Option<&str>,
        returned: Returned,
    ) -> Result<User, Refusal> {
        let now = self.now();
        let arrived = provider.arrive(cookie, returned, now).await;
        let done = match arrived {
            Ok(vouched) => self.enter(vouched, now).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = &done {
            tracing::warn!(%refusal, "somebody was not let in through the provider of identities");
            if matches!(refusal, Refusal::NoGrant(_) | Refusal::NameTaken(_)) {
                self.write(Write::Audit(AuditLine {
                    at: now,
                    actor: provider.issuer().to_owned(),
                    action: "sign-in".to_owned(),
                    subject: String::new(),
                    outcome: "refused".to_owned(),
                    detail: refusal.to_string(),
                }))
                .await;
            }
        }
        done
    }

    /// Makes or renews the account of somebody whom the provider vouches for.
    async fn enter(&self, vouched: Vouched, now: UnixMs) -> Result<User, Refusal> {
        // Decisions on one record follow each other.
        let _decision = self.store.exclusive().await;
        let users = self.store.users();
        let is_theirs = |user: &&User| match &user.entry {
            Entry::Provider {
                issuer, subject, ..
            } => (issuer, subject) == (&vouched.issuer, &vouched.subject),
            Entry::Password { .. } => false,
        };
        let known = users.iter().find(is_theirs);
        let named = users.iter().find(|user| user.name == vouched.name);
        if named.is_some_and(|named| known.is_none_or(|known| known.name != named.name)) {
            return Err(Refusal::NameTaken(format!(
                "there is another account `{}` here already; an administrator has to remove it first",
                vouched.name
            )));
        }
        if known.is_none() && users.len() >= USERS {
            return Err(Refusal::Store(format!("there are {USERS} users already")));
        }
        let user = renewed(known, &vouched, now);
        let detail = format!("through {}, role {}", vouched.issuer, user.role.word());
        let mut writes = vec![
            Write::PutUser(user.clone()),
            audit(&user.name, "sign-in", detail, now),
        ];
        // Somebody who is called otherwise now keeps nothing under the old name.
        let old = known.filter(|known| known.name != user.name);
        writes.extend(old.map(|old| Write::RemoveUser(old.name.clone())));
        let stored = self.store.commit(writes).await;
        stored.map_err(|error| Refusal::Store(error.to_string()))?;
        Ok(user)
    }
}

fn renewed(known: Option<&User>, vouched: &Vouched, now: UnixMs) -> User {
    User {
        name: vouched.name.clone(),
        role: vouched.granted.role,
        sites: vouched.granted.sites.clone(),
        created: known.map_or(now, |known| known.created),
        entry: Entry::Provider {
            issuer: vouched.issuer.clone(),
            subject: vouched.subject.clone(),
            seen: now,
        },
        secret: known.map_or_else(random_bytes, |known| known.secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Granted;
    use crate::query::example::{Example, NOW};
    use crate::store::Role;

    fn vouched(subject: &str, name: &str, role: Role) -> Vouched {
        Vouched {
            issuer: "https://id.example".to_owned(),
            subject: subject.to_owned(),
            name: name.to_owned(),
            granted: Granted {
                role,
                sites: Vec::new(),
            },
        }
    }

    #[tokio::test]
    async fn an_account_belongs_to_issuer_and_subject() {
        let example = Example::new().await;
        let query = &example.query;
        let enter = |subject, name, role| query.enter(vouched(subject, name, role), NOW);
        let first = enter("1", "anna@d.example", Role::Viewer).await.unwrap();
        let again = enter("1", "anna@d.example", Role::Admin).await.unwrap();
        assert_eq!((again.role, again.stamp()), (Role::Admin, first.stamp()));
        // The address was given to another person, who is not let into the account.
        let taken = enter("2", "anna@d.example", Role::Viewer)
            .await
            .unwrap_err();
        assert!(
            taken
                .to_string()
                .contains("another account `anna@d.example`")
        );
        // The person has another name now.
        let married = enter("1", "anna.o@d.example", Role::Viewer).await.unwrap();
        assert_eq!((married.created, married.stamp()), (NOW, first.stamp()));
        let names: Vec<String> = example.store.users().into_iter().map(|u| u.name).collect();
        assert_eq!(names, ["anna.o@d.example"]);
        assert!(enter("2", "anna@d.example", Role::Viewer).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_takes_over_a_user_with_a_password() {
        let example = Example::new().await;
        let request = crate::control::Request::UserAdd {
            name: "root@d.example".to_owned(),
            role: Role::Admin,
            sites: Vec::new(),
            password: crate::user::fresh_password(),
        };
        let added = crate::control::change_users(
            &example.store,
            request,
            "admin",
            crate::control::KeepUsers::Nobody,
            NOW,
        );
        added.await.unwrap();
        let taken = example
            .query
            .enter(vouched("1", "root@d.example", Role::Viewer), NOW);
        assert!(matches!(taken.await, Err(Refusal::NameTaken(_))));
    }
}
