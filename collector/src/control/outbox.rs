//! Trying again what waits for a channel, and taking it out.

use rollcall_shared::time::UnixMs;

use super::execute::{ADMIN, done, told};
use super::{Answer, Waiting};
use crate::notification::Notification;
use crate::store::{Store, Write};

/// Changes in one transaction.
const AT_ONCE: usize = 256;

/// Tries again at once.
pub(super) async fn retry(store: &Store, which: &Waiting, now: UnixMs) -> Result<Answer, String> {
    let again = |notification: Notification| {
        Write::PutNotification(Notification {
            due: now,
            set_aside: false,
            is_by_hand: true,
            ..notification
        })
    };
    change(store, which, "notification.retry", again, now).await
}

/// Takes out untold.
pub(super) async fn discard(store: &Store, which: &Waiting, now: UnixMs) -> Result<Answer, String> {
    let out = |notification: Notification| Write::RemoveNotification(notification.key);
    change(store, which, "notification.discard", out, now).await
}

async fn change(
    store: &Store,
    which: &Waiting,
    action: &str,
    write: impl Fn(Notification) -> Write,
    now: UnixMs,
) -> Result<Answer, String> {
    let mut all = store.notifications();
    all.retain(|notification| match which {
        Waiting::Key(key) => notification.key.to_string() == *key,
        Waiting::Channel(channel) => notification.key.channel == *channel,
    });
    if all.is_empty() {
        return Err(match which {
            Waiting::Key(key) => format!(
                "nothing with the key `{key}` waits; `rollcall-collector outbox list` shows the keys"
            ),
            Waiting::Channel(channel) => format!("nothing waits for channel `{channel}`"),
        });
    }
    let count = all.len();
    for some in all.chunks(AT_ONCE) {
        let mut writes = Vec::with_capacity(some.len() * 2);
        for notification in some {
            let key = notification.key.to_string();
            writes.push(write(notification.clone()));
            writes.push(done(
                ADMIN,
                action,
                &key,
                notification.last_error.clone(),
                now,
            ));
        }
        store.commit(writes).await.map_err(told)?;
    }
    Ok(Answer::Count(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::example::{Example, NOW};

    #[tokio::test]
    async fn what_was_set_aside_is_tried_again_or_taken_out() {
        let example = Example::new().await;
        let store = &example.store;
        let mut stuck = store.notifications().remove(0);
        (stuck.set_aside, stuck.attempts) = (true, 3);
        stuck.due = NOW.plus_ms(3_600_000);
        let key = stuck.key.to_string();
        let put = vec![Write::PutNotification(stuck)];
        store.commit(put).await.unwrap();
        let which = Waiting::Key(key.clone());
        let answer = retry(store, &which, NOW).await.unwrap();
        assert_eq!(answer, Answer::Count(1));
        let again = store.notifications();
        let again = again.iter().find(|n| n.key.to_string() == key).unwrap();
        assert!(!again.set_aside && again.is_by_hand && again.due == NOW);
        let channel = Waiting::Channel(again.key.channel.clone());
        discard(store, &channel, NOW).await.unwrap();
        let left = store.notifications();
        assert!(left.iter().all(|n| n.key.channel != again.key.channel));
        let error = discard(store, &which, NOW).await.unwrap_err();
        assert!(error.contains("outbox list"), "{error}");
        let audit = store.audit(10).unwrap();
        assert!(audit.iter().any(|line| line.action == "notification.retry"));
        assert!(
            audit
                .iter()
                .any(|line| line.action == "notification.discard")
        );
    }
}
