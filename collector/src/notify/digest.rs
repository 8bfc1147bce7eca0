//! Digests: what was found is told together, at the hours that its readers chose. Pure.
//!
//! A notification belongs to the first due time after it was written, so that the outbox alone says what a
//! digest holds: after a restart, or a day on which the server was down, it is the same digest with the
//! same key. What was over before the digest is not in it.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use super::letter::Letter;
use super::markup::escape;
use super::post::Post;
use crate::incident::IncidentId;
use crate::notification::{Event, Notification, NotificationKey};

/// Incidents that a digest names; more are counted.
const NAMED: usize = 200;

/// How long after its hour a digest is made: what was decided just before may still be on its way into the
/// outbox.
const SETTLE_MS: i64 = 10_000;

/// What belongs together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// When it is due.
    pub slot: UnixMs,
    /// Of which site; `None` for all together, or for what concerns several.
    pub site: Option<Label>,
    /// All that is in it, in the order in which it was written.
    pub notifications: Vec<Notification>,
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq)]
pub struct DigestPlan {
    /// Sent now.
    pub send: Vec<Batch>,
    /// Taken out untold.
    pub withdraw: Vec<NotificationKey>,
    /// When there is something to be done again.
    pub next: Option<UnixMs>,
}

/// The plan for one channel's notifications, where `slot_of` tells the due time for a time of writing.
#[must_use]
pub fn plan(
    of_channel: &[Notification],
    slot_of: impl Fn(UnixMs) -> UnixMs,
    by_site: bool,
    allowed: usize,
    now: UnixMs,
) -> DigestPlan {
    let mut batches: BTreeMap<(UnixMs, Option<Label>), Vec<&Notification>> = BTreeMap::new();
    for notification in of_channel.iter().filter(|n| !n.set_aside) {
        let site = by_site.then(|| site_of(notification)).flatten();
        let slot = slot_of(notification.created);
        batches.entry((slot, site)).or_default().push(notification);
    }
    let mut plan = DigestPlan::default();
    for ((slot, site), notifications) in batches {
        let again = notifications.iter().map(|n| n.due).max().unwrap_or(slot);
        let due = slot.plus_ms(SETTLE_MS).max(again);
        if due > now || plan.send.len() >= allowed {
            plan.next = Some(plan.next.map_or(due, |next| next.min(due)));
            continue;
        }
        let (told, over) = part(&notifications);
        plan.withdraw.extend(over.iter().map(|n| n.key.clone()));
        if !told.is_empty() {
            plan.send.push(Batch {
                slot,
                site,
                notifications: told.into_iter().cloned().collect(),
            });
        }
    }
    plan
}

fn site_of(notification: &Notification) -> Option<Label> {
    let incident = &notification.incident;
    match (&incident.site, &incident.sites[..]) {
        (Some(site), _) | (None, [site]) => Some(site.clone()),
        _ => None,
    }
}

/// What is told, and what was over before anybody heard of it.
fn part<'a>(notifications: &[&'a Notification]) -> (Vec<&'a Notification>, Vec<&'a Notification>) {
    let mut by_incident: BTreeMap<IncidentId, Vec<&Notification>> = BTreeMap::new();
    for notification in notifications {
        let incident = notification.key.incident;
        by_incident.entry(incident).or_default().push(notification);
    }
    let (mut told, mut over) = (Vec::new(), Vec::new());
    for mut words in by_incident.into_values() {
        words.sort_by_key(|word| word.key.number);
        let begins = words.first().is_some_and(|word| {
            word.attempts == 0 && matches!(word.event, Event::Fired | Event::Reopened)
        });
        let ends = words
            .last()
            .is_some_and(|word| word.event == Event::Resolved);
        match begins && ends {
            true => over.extend(words),
            false => told.extend(words),
        }
    }
    told.sort_by_key(|word| (word.created, word.key.clone()));
    (told, over)
}

impl Batch {
    /// The idempotency key: of the channel, the due time and the site.
    #[must_use]
    pub fn key(&self, channel: &str) -> String {
        let site = self.site.as_ref().map_or("", Label::as_str);
        let hash = digest(&SHA256, site.as_bytes());
        let hash: String = hash.as_ref()[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("digest.{}.{hash}.{channel}", self.slot.seconds())
    }

    /// The digest as a message; `letter_of` makes a notification's letter, `shown` is the due time as the
    /// school's clocks show it.
    #[must_use]
    pub fn post(
        &self,
        channel: &str,
        shown: &str,
        letter_of: impl Fn(Notification) -> Letter,
    ) -> Post {
        let letters: Vec<Letter> = self.latest().into_iter().map(letter_of).collect();
        let is_over = |letter: &&Letter| letter.notification.event == Event::Resolved;
        let (over, open): (Vec<&Letter>, Vec<&Letter>) = letters.iter().partition(is_over);
        let place = self.site.as_ref().map_or("all sites", Label::as_str);
        let subject = format!(
            "[Rollcall] {place}: {} to look at, {} over",
            open.len(),
            over.len()
        );
        let mut text = format!("{subject}\n{shown}\n");
        let mut html = format!("<h2>{}</h2>\n<p>{}</p>\n", escape(&subject), escape(shown));
        for (heading, letters) in [("To look at", &open), ("Over", &over)] {
            if !letters.is_empty() {
                put_section(&mut text, &mut html, heading, letters);
            }
        }
        let brief = text.clone();
        put_advice(&mut text, &mut html, &open);
        Post {
            key: self.key(channel),
            answers: None,
            subject,
            text,
            html,
            brief,
            site: self.site.clone(),
        }
    }

    /// The last word about each incident.
    fn latest(&self) -> Vec<Notification> {
        let mut latest: BTreeMap<IncidentId, &Notification> = BTreeMap::new();
        for notification in &self.notifications {
            latest.insert(notification.key.incident, notification);
        }
        let mut latest: Vec<Notification> = latest.into_values().cloned().collect();
        latest.sort_by_key(|n| (std::cmp::Reverse(n.incident.severity), n.incident.since));
        latest
    }
}

fn put_section(text: &mut String, html: &mut String, heading: &str, letters: &[&Letter]) {
    text.push_str(&format!("\n{heading}\n{}\n", "-".repeat(heading.len())));
    html.push_str(&format!("<h3>{heading}</h3>\n<ul>\n"));
    for letter in letters.iter().take(NAMED) {
        let line = format!("{}: {}, {}", letter.title(), letter.what(), letter.place());
        let evidence = letter.notification.incident.leading();
        let evidence = evidence.map_or("", |finding| finding.evidence.as_str());
        let device = letter.notification.devices.first();
        let device = device.map_or_else(String::new, |device| device.id.to_string());
        text.push_str(&format!("- {line}\n  {evidence}\n  {device}\n"));
        html.push_str(&format!(
            "<li><b>{}</b><br>{}<br><small>{}</small></li>\n",
            escape(&line),
            escape(evidence),
            escape(&device)
        ));
    }
    html.push_str("</ul>\n");
    if letters.len() > NAMED {
        let rest = format!("and {} more", letters.len() - NAMED);
        text.push_str(&format!("{rest}\n"));
        html.push_str(&format!("<p>{rest}</p>\n"));
    }
}

/// What to do, once for each rule.
fn put_advice(text: &mut String, html: &mut String, letters: &[&Letter]) {
    let mut by_title: BTreeMap<String, &Letter> = BTreeMap::new();
    for letter in letters.iter().filter(|letter| !letter.runbook.is_empty()) {
        let leading = letter.notification.incident.leading();
        let title = leading.map_or_else(String::new, |finding| finding.title.clone());
        by_title.entry(title).or_insert(letter);
    }
    for (title, letter) in by_title {
        text.push_str(&format!(
            "\n{title}\n{}\n{}\n",
            "=".repeat(title.chars().count()),
            letter.runbook.trim()
        ));
        text.push_str(&letter.family_text());
        html.push_str(&format!(
            "<h3>{}</h3>\n{}",
            escape(&title),
            super::markup::markdown(&letter.runbook)
        ));
        for (language, family) in &letter.family {
            let (language, family) = (escape(language), escape(family.trim()));
            html.push_str(&format!(
                "<blockquote lang=\"{language}\">{family}</blockquote>\n"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;
    use crate::evaluate::rules::RuleSet;
    use crate::notification::NotificationKey;

    const MORNING: UnixMs = UnixMs(1_788_361_200_000);

    /// Each whole hour is due.
    fn hourly(at: UnixMs) -> UnixMs {
        UnixMs(at.0.div_euclid(3_600_000) * 3_600_000 + 3_600_000)
    }

    fn told(event: Event, site: &str, minute: i64) -> Notification {
        let mut told = letter(event).notification;
        told.incident.site = Some(site.parse().unwrap());
        told.created = MORNING.plus_ms(minute * 60_000);
        told.due = told.created;
        told
    }

    fn after(word: &Notification, event: Event, number: u32, minute: i64) -> Notification {
        let mut next = told(event, "Lincoln", minute);
        next.incident.id = word.incident.id;
        next.key = NotificationKey {
            number,
            ..word.key.clone()
        };
        next
    }

    #[test]
    fn a_digest_holds_what_was_written_since_the_last_one_and_has_the_same_key_ever_after() {
        let words = [
            told(Event::Fired, "Lincoln", 1),
            told(Event::Fired, "Lincoln", 59),
            told(Event::Fired, "Hay", 30),
            told(Event::Fired, "Lincoln", 61),
        ];
        let at = |minute: i64| plan(&words, hourly, true, 9, MORNING.plus_ms(minute * 60_000));
        let first = hourly(MORNING).plus_ms(SETTLE_MS);
        let early = at(60);
        assert_eq!((early.send.len(), early.next), (0, Some(first)));
        let due = at(61);
        let sizes = |plan: &DigestPlan| -> Vec<(String, usize)> {
            let sizes = plan.send.iter();
            sizes
                .map(|b| (b.site.as_ref().unwrap().to_string(), b.notifications.len()))
                .collect()
        };
        assert_eq!(
            sizes(&due),
            [("Hay".to_owned(), 1), ("Lincoln".to_owned(), 2)]
        );
        // The server was down for a day: each digest still is what it was.
        let late = at(1500);
        assert_eq!(late.send.len(), 3);
        let keys = |plan: &DigestPlan| -> Vec<String> {
            plan.send.iter().map(|batch| batch.key("coach")).collect()
        };
        assert_eq!(keys(&late)[..2], keys(&due)[..]);
        assert_ne!(keys(&late)[2], keys(&late)[1]);
        let together = plan(&words, hourly, false, 9, MORNING.plus_ms(3_660_000));
        assert_eq!(together.send.len(), 1);
        let one_at_a_time = plan(&words, hourly, true, 1, MORNING.plus_ms(3_660_000));
        assert_eq!(one_at_a_time.send.len(), 1);
        assert_eq!(one_at_a_time.next, Some(first));
    }

    #[test]
    fn what_came_and_went_is_not_in_it_and_the_last_word_counts() {
        let gone = told(Event::Fired, "Lincoln", 1);
        let goes_on = told(Event::Fired, "Lincoln", 2);
        let words = [
            gone.clone(),
            after(&gone, Event::Resolved, 2, 10),
            goes_on.clone(),
            after(&goes_on, Event::Updated, 2, 20),
            told(Event::Resolved, "Lincoln", 30),
        ];
        let plan = plan(&words, hourly, true, 9, MORNING.plus_ms(3_660_000));
        assert_eq!(plan.withdraw.len(), 2);
        let rules = RuleSet::built_in();
        let post = plan.send[0].post("coach", "now", |word| Letter::new(word, &rules));
        assert_eq!(post.subject, "[Rollcall] Lincoln: 1 to look at, 1 over");
        assert_eq!(
            post.text.matches("## How to fix").count(),
            1,
            "{}",
            post.text
        );
        assert!(post.html.contains("<h3>Over</h3>"), "{}", post.html);
    }

    #[test]
    fn a_digest_that_was_refused_is_not_sent_again_and_one_that_failed_waits() {
        let mut words = [
            told(Event::Fired, "Lincoln", 1),
            told(Event::Fired, "Lincoln", 2),
        ];
        for word in &mut words {
            (word.attempts, word.due) = (1, MORNING.plus_ms(70 * 60_000));
        }
        let at = |words: &[Notification], minute: i64| {
            plan(words, hourly, true, 9, MORNING.plus_ms(minute * 60_000))
        };
        assert!(at(&words, 69).send.is_empty());
        assert_eq!(at(&words, 70).send[0].notifications.len(), 2);
        words[0].set_aside = true;
        words[1].set_aside = true;
        assert_eq!(at(&words, 70), DigestPlan::default());
    }
}
