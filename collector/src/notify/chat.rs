//! Chats by their incoming webhooks: Slack, Microsoft Teams (workflows), Google Chat.

use anyhow::Context as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::config::{ChatConfig, ChatStyle};
use super::post::Post;
use super::secret::Secret;
use super::{Outcome, http};

/// Characters of a headline in Slack.
const HEADLINE: usize = 150;

/// Characters of a message: Slack takes 3,000 in a section, Google Chat 4,096, Teams 28 KB.
const MESSAGE: usize = 2_900;

/// A chat's room.
pub struct Chat {
    client: Client,
    url: Url,
    style: ChatStyle,
}

impl Chat {
    /// Reads the address and the certificates.
    pub fn build(config: &ChatConfig, timeout_s: u32) -> anyhow::Result<Self> {
        let address = Secret::read(config.url_file.as_deref(), config.url_env.as_deref());
        let address = address
            .context("url_file")?
            .context("url_file: is missing")?;
        // Whoever knows the address may write there, so that it is not shown.
        let mut url = Url::parse(address.expose().trim())
            .map_err(|_| anyhow::anyhow!("url_file: holds no address"))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_right =
            url.scheme() == "https" || (url.scheme() == "http" && super::config::is_loopback(host));
        anyhow::ensure!(
            is_right,
            "url_file: holds no `https://` address; `http://` is for this very machine only"
        );
        if config.style == ChatStyle::GoogleChat {
            let reply = "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD";
            url.query_pairs_mut()
                .append_pair("messageReplyOption", reply);
        }
        Ok(Self {
            client: http::client(timeout_s, config.ca_file.as_deref())?,
            url,
            style: config.style,
        })
    }

    /// Writes into the room.
    pub async fn send(&self, post: &Post) -> Outcome {
        let body = message(self.style, post).to_string();
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json; charset=UTF-8")
            .body(body);
        http::outcome(request).await
    }
}

/// The message in the form of a chat.
fn message(style: ChatStyle, post: &Post) -> Value {
    let (subject, brief) = (cut(&post.subject, HEADLINE), cut(&post.brief, MESSAGE));
    match style {
        ChatStyle::Slack => json!({
            "text": escape(&post.subject),
            "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": subject } },
                { "type": "section", "text": { "type": "mrkdwn", "text": cut(&escape(&brief), 3_000) } },
            ],
        }),
        ChatStyle::Teams => json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [
                        { "type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true, "text": subject },
                        { "type": "TextBlock", "wrap": true, "text": brief.replace('\n', "\n\n") },
                    ],
                },
            }],
        }),
        ChatStyle::GoogleChat => json!({
            "text": format!("*{}*\n{brief}", subject.replace('*', "")),
            "thread": { "threadKey": post.answers.as_ref().unwrap_or(&post.key) },
        }),
    }
}

/// What Slack takes for markup: `&`, `<` and `>`.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((end, _)) if text[end..].chars().count() > 1 => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;
    use crate::notification::Event;

    #[test]
    fn each_chat_has_its_own_form() {
        let mut post = Post::of(&letter(Event::Resolved));
        post.brief = "<a> & b".to_owned();
        let slack = message(ChatStyle::Slack, &post);
        assert_eq!(slack["blocks"][1]["text"]["text"], "&lt;a&gt; &amp; b");
        assert_eq!(slack["blocks"][0]["text"]["text"], post.subject);
        let teams = message(ChatStyle::Teams, &post);
        let card = &teams["attachments"][0];
        assert_eq!(
            card["contentType"],
            "application/vnd.microsoft.card.adaptive"
        );
        assert_eq!(card["content"]["body"][1]["text"], "<a> & b");
        let google = message(ChatStyle::GoogleChat, &post);
        assert_eq!(google["thread"]["threadKey"], post.answers.unwrap());
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("", 3), "");
    }
}
