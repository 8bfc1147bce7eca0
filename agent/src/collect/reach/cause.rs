//! Why something failed, for a technician. No text of the system is passed on as it is: some carry
//! addresses.

use std::io;

use super::fault::{Cause, Fault};
use super::resolver::Told;

/// Why a lookup failed, by the texts of getaddrinfo(3) in glibc, musl, and macOS.
#[must_use]
pub fn classify_lookup(error: &str) -> Cause {
    const UNKNOWN: [&str; 5] = [
        "Name or service not known",
        "No address associated",
        "Name does not resolve",
        "nodename nor servname",
        "Name has no usable address",
    ];
    if UNKNOWN.iter().any(|text| error.contains(text)) {
        return not_found();
    }
    if error.contains("Temporary failure") || error.contains("Try again") {
        return Fault::NameFailed.because("the name server did not answer the question");
    }
    Fault::NameFailed.because("the lookup failed")
}

/// The same by what the name server itself says to a question of our own; `None` where that says
/// nothing more.
#[must_use]
pub fn by_name_server(told: &Told) -> Option<Cause> {
    match told {
        Told::Addresses(_) => None,
        Told::NotFound => Some(not_found()),
        Told::Refused => {
            Some(Fault::NameRefused.because("the name server refuses this laptop's questions"))
        }
        Told::Failed(code) => {
            let why = format!("the name server failed (code {code})");
            Some(Fault::NameFailed.because(why))
        }
        Told::Silent => Some(no_name_server_answered()),
    }
}

/// Silence.
#[must_use]
pub fn no_name_server_answered() -> Cause {
    Fault::NameTimedOut.because("no name server answered in time")
}

fn not_found() -> Cause {
    Fault::NameNotFound.because("the name is not known to the name server")
}

/// What went wrong with a connection.
#[must_use]
pub fn in_words(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            Fault::ConnectionRefused.because("the connection was refused")
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Fault::ConnectionReset.because("the connection was reset")
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            Fault::ConnectionReset.because("the connection was closed")
        }
        io::ErrorKind::HostUnreachable => Fault::NoRoute.because("the host is unreachable"),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
            Fault::NoRoute.because("the network is unreachable")
        }
        io::ErrorKind::TimedOut => Fault::ConnectionTimedOut.because("no answer"),
        kind => Fault::NoRoute.because(kind.to_string()),
    }
}

/// What went wrong with a handshake.
#[must_use]
pub fn tls_in_words(error: &io::Error) -> Cause {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Fault::TlsFailed.because(format!("TLS: {error}"));
    }
    let cause = in_words(error);
    if cause.fault == Fault::ConnectionReset {
        let why = format!("{} once it had the target's name, as filters do", cause.why);
        return cause.fault.because(why);
    }
    cause
}

/// What went wrong with question and answer.
#[must_use]
pub fn http_in_words(error: &hyper::Error) -> Cause {
    if error.is_parse() {
        return Fault::HttpFailed.because("the answer is not HTTP");
    }
    if error.is_incomplete_message() {
        return Fault::ConnectionReset.because("the connection was closed before an answer");
    }
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.map_or_else(
        || Fault::HttpFailed.because("the question could not be asked"),
        in_words,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_fails_in_words_without_the_name() {
        let unknown =
            classify_lookup("failed to lookup address information: Name or service not known");
        assert_eq!(unknown.fault.lookup_word(), "not_found");
        let silent = classify_lookup(
            "failed to lookup address information: Temporary failure in name resolution",
        );
        assert_eq!(
            (silent.fault.lookup_word(), silent.why.as_str()),
            ("failed", "the name server did not answer the question")
        );
        let word = |told| by_name_server(&told).map(|cause| cause.fault.lookup_word());
        assert_eq!(word(Told::Refused), Some("refused"));
        assert_eq!(word(Told::Silent), Some("timed_out"));
        assert_eq!(word(Told::Addresses(Vec::new())), None);
    }
}
