use super::super::letter::Letter;
use super::super::letter::tests::letter;
use super::*;
use crate::notification::Event;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

const NOW: UnixMs = UnixMs(1_788_361_200_000);

/// A server on loopback that answers the end of a message with `reply`, or hangs up without one.
async fn converse(reply: Option<&'static str>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut heard = Vec::new();
        let mut in_body = false;
        write.write_all(b"220 ready\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = match (in_body, line.as_str()) {
                (true, ".") => match reply {
                    Some(reply) => reply,
                    None => return heard,
                },
                (true, _) => "",
                (false, "DATA") => "354 go on",
                (false, "QUIT") => "221 bye",
                (false, _) => "250 ok",
            };
            in_body = (in_body || line == "DATA") && line != ".";
            if !answer.is_empty() {
                write
                    .write_all(format!("{answer}\r\n").as_bytes())
                    .await
                    .unwrap();
            }
            heard.push(line);
        }
        heard
    });
    (port, heard)
}

fn plain(port: u16, timeout_s: u32) -> Smtp {
    let text = format!(
        "host = \"127.0.0.1\"\nport = {port}\nsecurity = \"none-on-loopback-only\"\n\
         from = \"rollcall@d.example\"\nto = [\"desk@d.example\"]\n"
    );
    Smtp::build(&toml::from_str(&text).unwrap(), timeout_s).unwrap()
}

#[tokio::test]
async fn replies_decide_what_becomes_of_a_letter() {
    let letter = letter(Event::Fired);
    for (reply, expected) in [
        (Some("250 kept"), "delivered"),
        (Some("451 4.3.2 later"), "retry"),
        (Some("554 5.7.1 never"), "rejected"),
        (None, "retry"),
    ] {
        let (port, heard) = converse(reply).await;
        let outcome = plain(port, 10).send(&Post::of(&letter), NOW).await;
        let word = match &outcome {
            Outcome::Delivered => "delivered",
            Outcome::Retry { .. } => "retry",
            Outcome::Rejected(_) => "rejected",
            Outcome::Partly(_) => "partly",
        };
        assert_eq!(word, expected, "{reply:?}: {outcome:?}");
        let heard = heard.await.unwrap();
        assert!(
            heard.iter().any(|line| line == "RCPT TO:<desk@d.example>"),
            "{heard:?}"
        );
        let key = format!("X-Rollcall-Key: {}", letter.key());
        assert!(
            heard.join("\n").replace("\n ", " ").contains(&key),
            "{heard:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let post = Post::of(&letter(Event::Fired));
    let outcome = plain(port, 1).send(&post, NOW).await;
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
}

#[tokio::test]
async fn without_tls_nothing_is_sent_to_a_server_that_must_have_it() {
    let (port, heard) = converse(Some("250 kept")).await;
    let mut secure = plain(port, 10);
    let text = format!(
        "host = \"localhost\"\nport = {port}\nfrom = \"a@d.example\"\nto = [\"b@d.example\"]\n"
    );
    secure.transport = Smtp::build(&toml::from_str(&text).unwrap(), 10)
        .unwrap()
        .transport;
    let outcome = secure.send(&Post::of(&letter(Event::Fired)), NOW).await;
    assert!(!matches!(outcome, Outcome::Delivered), "{outcome:?}");
    let heard = heard.await.unwrap();
    assert!(
        !heard.iter().any(|line| line.starts_with("MAIL")),
        "{heard:?}"
    );
}

fn written(event: Event) -> (Letter, String) {
    let letter = letter(event);
    let from = "Rollcall <rollcall@d.example>".parse().unwrap();
    let to = ["desk@d.example".parse().unwrap()];
    let message = message(&Post::of(&letter), &from, &to, NOW).unwrap();
    (letter, String::from_utf8(message.formatted()).unwrap())
}

#[test]
fn a_message_carries_its_key_and_no_machine_answers_it() {
    let (letter, text) = written(Event::Fired);
    let key = letter.key();
    for line in [
        format!("Message-ID: <{key}@d.example>\r\n"),
        "Auto-Submitted: auto-generated\r\n".to_owned(),
        "Date: Wed, 02 Sep 2026 15:00:00 +0000\r\n".to_owned(),
        "To: desk@d.example\r\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert!(
        text.replace("\r\n ", " ")
            .contains(&format!("X-Rollcall-Key: {key}")),
        "{text}"
    );
    assert!(!text.contains("In-Reply-To"));
}

#[test]
fn a_resolution_answers_the_message_that_told_of_it() {
    let (letter, text) = written(Event::Resolved);
    let first = format!("<{}@d.example>", letter.thread_key());
    let unfolded = text.replace("\r\n ", " ");
    assert!(
        unfolded.contains(&format!("In-Reply-To: {first}")),
        "{text}"
    );
    assert!(unfolded.contains(&format!("References: {first}")), "{text}");
}

#[test]
fn a_message_is_there_as_text_and_as_html() {
    let (_, text) = written(Event::Fired);
    let unfolded = text.replace("\r\n ", " ").replace("=\r\n", "");
    for part in [
        "Content-Type: multipart/alternative;",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
        "<h2>Battery is worn out</h2>",
        "Rule:     battery-worn",
    ] {
        assert!(unfolded.contains(part), "{part} in {text}");
    }
    let plain = unfolded.find("text/plain").unwrap();
    assert!(
        plain < unfolded.find("text/html").unwrap(),
        "the richer part comes last"
    );
}

/// A server that knows one receiver of two.
async fn choosy() -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let mut accepted = Vec::new();
        for _ in 0..3 {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            let (mut in_body, mut to) = (false, String::new());
            write.write_all(b"220 ready\r\n").await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                let answer = match (in_body, line.as_str()) {
                    (true, ".") => {
                        accepted.push(to.clone());
                        "250 kept"
                    }
                    (true, _) => "",
                    (false, "DATA") => "354 go on",
                    (false, "QUIT") => "221 bye",
                    (false, "RCPT TO:<gone@d.example>") => "550 5.1.1 no such user",
                    (false, _) => "250 ok",
                };
                if line.starts_with("RCPT") {
                    to.clone_from(&line);
                }
                in_body = (in_body || line == "DATA") && line != ".";
                if !answer.is_empty() {
                    let answer = format!("{answer}\r\n");
                    if write.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            }
        }
        accepted
    });
    (port, heard)
}

#[tokio::test]
async fn one_address_that_is_gone_does_not_keep_it_from_the_others() {
    let (port, heard) = choosy().await;
    let mut smtp = plain(port, 10);
    smtp.to = ["gone@d.example", "desk@d.example"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    let outcome = smtp.send(&Post::of(&letter(Event::Fired)), NOW).await;
    let Outcome::Partly(refused) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(refused.starts_with("gone@d.example: "), "{refused}");
    assert_eq!(heard.await.unwrap(), ["RCPT TO:<desk@d.example>"]);
}

#[tokio::test]
async fn a_site_may_have_receivers_of_its_own() {
    let mut smtp = plain(9, 1);
    let coach: Vec<Mailbox> = vec!["coach@lincoln.example".parse().unwrap()];
    smtp.to_by_site
        .insert("test".parse().unwrap(), coach.clone());
    let mut post = Post::of(&letter(Event::Fired));
    assert_eq!(smtp.receivers(&post), coach);
    post.site = Some("elsewhere".parse().unwrap());
    assert_eq!(smtp.receivers(&post), smtp.to);
}
