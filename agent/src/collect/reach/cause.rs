//! Why something failed, for a technician. No text of the system is passed on as it is: some carry
//! addresses.

use std::io;
use std::net::SocketAddr;

/// The word of `dns.lookup.state` for a lookup that failed, and why in words; by the texts of
/// getaddrinfo(3) in glibc, musl, and macOS.
pub fn classify_lookup(error: &str) -> (&'static str, Result<Vec<SocketAddr>, String>) {
    const UNKNOWN: [&str; 5] = [
        "Name or service not known",
        "No address associated",
        "Name does not resolve",
        "nodename nor servname",
        "Name has no usable address",
    ];
    if UNKNOWN.iter().any(|text| error.contains(text)) {
        return (
            "not_found",
            Err("the name is not known to the name server".to_owned()),
        );
    }
    let why = if error.contains("Temporary failure") || error.contains("Try again") {
        "the name server did not answer the question"
    } else {
        "the lookup failed"
    };
    ("failed", Err(why.to_owned()))
}

/// What went wrong with a connection.
#[must_use]
pub fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        io::ErrorKind::HostUnreachable => "the host is unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "the network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        kind => kind.to_string(),
    }
}

/// What went wrong with a handshake.
#[must_use]
pub fn tls_in_words(error: &io::Error) -> String {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(error) => format!("TLS: {error}"),
        None => in_words(error),
    }
}

/// What went wrong with question and answer.
#[must_use]
pub fn http_in_words(error: &hyper::Error) -> String {
    if error.is_parse() {
        return "the answer is not HTTP".to_owned();
    }
    if error.is_incomplete_message() {
        return "the connection was closed before an answer".to_owned();
    }
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.map_or_else(|| "the question could not be asked".to_owned(), in_words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_fails_in_words_without_the_name() {
        let (state, result) =
            classify_lookup("failed to lookup address information: Name or service not known");
        assert_eq!((state, result.is_err()), ("not_found", true));
        let (state, why) = classify_lookup(
            "failed to lookup address information: Temporary failure in name resolution",
        );
        assert_eq!(
            (state, why.unwrap_err().as_str()),
            ("failed", "the name server did not answer the question")
        );
    }
}
