//! Which content filter stands in the way, by what it says of itself: the issuer of a certificate, the
//! head of a block page, the address to which it sends a browser.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes of a block page that are looked at: names stand in its head or its title.
const PAGE_BYTES: u64 = 16 * 1024;

/// Products that schools filter with, and the words by which each is known in certificates and block
/// pages, in lower case. Sources: the vendors' own pages on exempting a host.
const PRODUCTS: &[(&str, &[&str])] = &[
    ("Securly", &["securly"]),
    (
        "Lightspeed Filter",
        &["lightspeed systems", "lightspeedsystems", "lsfilter"],
    ),
    ("GoGuardian", &["goguardian"]),
    ("Linewize", &["linewize", "familyzone", "qoria"]),
    ("ContentKeeper", &["contentkeeper"]),
    ("Deledao", &["deledao"]),
    ("Blocksi", &["blocksi"]),
    ("Smoothwall", &["smoothwall"]),
    ("Netsweeper", &["netsweeper"]),
    ("iboss", &["iboss"]),
    (
        "FortiGate",
        &["fortinet", "fortigate", "fortiguard", "fgt_proxy"],
    ),
    ("Palo Alto Networks", &["palo alto", "paloalto"]),
    ("Sophos", &["sophos"]),
    ("SonicWall", &["sonicwall"]),
    ("WatchGuard", &["watchguard"]),
    ("Check Point", &["check point", "checkpoint"]),
    ("Cisco Umbrella", &["cisco umbrella", "opendns"]),
    ("Zscaler", &["zscaler"]),
    ("Netskope", &["netskope"]),
    ("Barracuda", &["barracuda"]),
    ("Untangle", &["untangle"]),
    ("Squid", &["squid"]),
];

/// The product that a text names.
#[must_use]
pub fn product(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    let named = |words: &[&str]| words.iter().any(|word| text.contains(word));
    PRODUCTS
        .iter()
        .find(|(_, words)| named(words))
        .map(|(name, _)| *name)
}

/// Asks in clear what stands at the other end, where it did not speak TLS: `None` where it does not
/// answer as a web server does.
///
/// # Errors
/// Those of the connection.
pub async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
) -> io::Result<Option<String>> {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = Vec::new();
    stream.take(PAGE_BYTES).read_to_end(&mut page).await?;
    Ok(name_of(&String::from_utf8_lossy(&page)))
}

/// Who answered, as a product that is known, or as the server or title names itself.
fn name_of(answer: &str) -> Option<String> {
    if !answer.starts_with("HTTP/1.") {
        return None;
    }
    if let Some(product) = product(answer) {
        return Some(product.to_owned());
    }
    let server = answer
        .lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| header(line, "server").or_else(|| header(line, "via")));
    let name = title(answer).or(server).unwrap_or("a web server");
    Some(name.chars().filter(|c| !c.is_control()).take(80).collect())
}

fn header<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = line.split_once(':')?;
    (found.eq_ignore_ascii_case(name) && !value.trim().is_empty()).then(|| value.trim())
}

fn title(page: &str) -> Option<&str> {
    // Lower case of ASCII keeps every position.
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower.get(start..)?.find("</title>")?;
    let title = page.get(start..end)?.trim();
    (!title.is_empty()).then_some(title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_filter_is_known_by_what_it_says() {
        assert_eq!(
            product("CN=securly_ca_2034, O=Securly Inc"),
            Some("Securly")
        );
        assert_eq!(product("FGT_PROXY_CA"), Some("FortiGate"));
        assert_eq!(product("Lincoln School District Root"), None);
        let redirected =
            "HTTP/1.1 302 Found\r\nLocation: https://www.securly.com/blocked?u=x\r\n\r\n";
        assert_eq!(name_of(redirected).as_deref(), Some("Securly"));
        let page =
            "HTTP/1.1 403 Forbidden\r\nServer: nginx\r\n\r\n<html><TITLE>Web page blocked!</TITLE>";
        assert_eq!(name_of(page).as_deref(), Some("Web page blocked!"));
        let bare = "HTTP/1.1 403 Forbidden\r\nServer: Example Gate 2\r\n\r\n";
        assert_eq!(name_of(bare).as_deref(), Some("Example Gate 2"));
        assert_eq!(name_of("SSH-2.0-OpenSSH"), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer in "HTTP/1\\.(.|\n){0,200}") {
            let _ = name_of(&answer);
        }
    }
}
