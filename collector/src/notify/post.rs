//! A Post: a message that people read, whether it tells of one incident, of a day or of a week. Pure.

use rollcall_shared::id::Label;

use super::letter::Letter;

/// A message that people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The idempotency key: the same for every attempt.
    pub key: String,
    /// The key of the message that it answers, where it does.
    pub answers: Option<String>,
    /// One line.
    pub subject: String,
    /// The whole, as plain text.
    pub text: String,
    /// The same as HTML, without the page around it.
    pub html: String,
    /// What fits a chat.
    pub brief: String,
    /// The one site that it concerns.
    pub site: Option<Label>,
}

impl Post {
    /// The message of a letter.
    #[must_use]
    pub fn of(letter: &Letter) -> Self {
        let (key, thread) = (letter.key(), letter.thread_key());
        let incident = &letter.notification.incident;
        let site = match (&incident.site, &incident.sites[..]) {
            (Some(site), _) | (None, [site]) => Some(site.clone()),
            _ => None,
        };
        Self {
            answers: (thread != key).then_some(thread),
            key,
            subject: letter.subject(),
            text: letter.text(),
            html: letter.html(),
            brief: letter.brief(),
            site,
        }
    }
}
