//! Why an attempt failed: one word that rules can ask for, and a sentence for a technician. No
//! sentence has an address in it.

use super::attempt::Stage;

/// A reason, as the word of `network.reachability.fault`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No network link is up.
    NoLink,
    /// No address was given to the link.
    NoAddress,
    /// There is no gateway, or it does not answer on the link.
    GatewaySilent,
    /// No name server is configured.
    NoNameServer,
    /// The name server says that there is no such name.
    NameNotFound,
    /// The name server refuses the question.
    NameRefused,
    /// No name server answered in time.
    NameTimedOut,
    /// The name server gives the same address for names that nobody has registered.
    NameHijacked,
    /// The name server answered with another error.
    NameFailed,
    /// The proxy does not pass it on.
    ProxyRefused,
    /// The proxy asks for a name and password.
    ProxyLogin,
    /// Nobody listens, or somebody says so.
    ConnectionRefused,
    /// The connection was cut.
    ConnectionReset,
    /// No answer in time.
    ConnectionTimedOut,
    /// The network knows no way there.
    NoRoute,
    /// A login page stands before the network.
    CaptivePortal,
    /// The certificate is signed by somebody whom this system does not trust.
    TlsIntercepted,
    /// The certificate has expired.
    CertificateExpired,
    /// The certificate is not valid yet.
    CertificateNotValidYet,
    /// The certificate is for another name, revoked, or damaged.
    CertificateInvalid,
    /// The handshake failed otherwise.
    TlsFailed,
    /// A content filter blocks it.
    Blocked,
    /// The server answered with an error of its own.
    ServerError,
    /// The answer is none of HTTP.
    HttpFailed,
    /// The configured address is none.
    BadAddress,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// In one word.
    pub fault: Fault,
    /// In words, without any address.
    pub why: String,
}

/// The stage that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The first stage that failed.
    pub stage: Stage,
    /// Why.
    pub cause: Cause,
}

impl Fault {
    /// Its word in `network.reachability.fault`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoLink => "no_link",
            Self::NoAddress => "no_address",
            Self::GatewaySilent => "gateway_silent",
            Self::NoNameServer => "no_name_server",
            Self::NameNotFound => "name_not_found",
            Self::NameRefused => "name_refused",
            Self::NameTimedOut => "name_timed_out",
            Self::NameHijacked => "name_hijacked",
            Self::NameFailed => "name_failed",
            Self::ProxyRefused => "proxy_refused",
            Self::ProxyLogin => "proxy_login",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionReset => "connection_reset",
            Self::ConnectionTimedOut => "connection_timed_out",
            Self::NoRoute => "no_route",
            Self::CaptivePortal => "captive_portal",
            Self::TlsIntercepted => "tls_intercepted",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateNotValidYet => "certificate_not_valid_yet",
            Self::CertificateInvalid => "certificate_invalid",
            Self::TlsFailed => "tls_failed",
            Self::Blocked => "blocked",
            Self::ServerError => "server_error",
            Self::HttpFailed => "http_failed",
            Self::BadAddress => "bad_address",
        }
    }

    /// The word of `dns.lookup.state` for a lookup that ended so.
    #[must_use]
    pub const fn lookup_word(self) -> &'static str {
        match self {
            Self::NoNameServer => "no_server",
            Self::NameNotFound => "not_found",
            Self::NameRefused => "refused",
            Self::NameTimedOut => "timed_out",
            Self::NameHijacked => "hijacked",
            _ => "failed",
        }
    }

    /// What happened, in words.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Cause {
        Cause {
            fault: self,
            why: why.into(),
        }
    }
}

impl Cause {
    /// What failed by it.
    #[must_use]
    pub const fn at(self, stage: Stage) -> Failure {
        Failure { stage, cause: self }
    }
}

#[cfg(test)]
mod tests {
    use rollcall_shared::metric::{self, Kind};

    use super::*;

    const ALL: [Fault; 25] = [
        Fault::NoLink,
        Fault::NoAddress,
        Fault::GatewaySilent,
        Fault::NoNameServer,
        Fault::NameNotFound,
        Fault::NameRefused,
        Fault::NameTimedOut,
        Fault::NameHijacked,
        Fault::NameFailed,
        Fault::ProxyRefused,
        Fault::ProxyLogin,
        Fault::ConnectionRefused,
        Fault::ConnectionReset,
        Fault::ConnectionTimedOut,
        Fault::NoRoute,
        Fault::CaptivePortal,
        Fault::TlsIntercepted,
        Fault::CertificateExpired,
        Fault::CertificateNotValidYet,
        Fault::CertificateInvalid,
        Fault::TlsFailed,
        Fault::Blocked,
        Fault::ServerError,
        Fault::HttpFailed,
        Fault::BadAddress,
    ];

    #[test]
    fn the_catalogue_has_each_word_and_no_other() {
        let Kind::State(words) = metric::REACH_FAULT.kind else {
            panic!("the fault is a word of a list");
        };
        let ours: Vec<&str> = ["none"].into_iter().chain(ALL.map(Fault::word)).collect();
        assert_eq!(words, ours);
        let Kind::State(lookups) = metric::DNS_STATE.kind else {
            panic!("the state is a word of a list");
        };
        assert!(
            ALL.iter()
                .all(|fault| lookups.contains(&fault.lookup_word()))
        );
    }
}
