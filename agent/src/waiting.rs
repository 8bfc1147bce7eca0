//! What an agent that is not connected waits for: one word for machines, one exit code for deployment
//! tools, one sentence for a technician.

use rollcall_shared::refusal::Refusal;
use serde::{Deserialize, Serialize};

use crate::identity::issue::CallError;
use crate::stream::connector::ConnectError;

/// What has to change before the agent connects. It goes on trying by itself in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waiting {
    /// Something that has no word of its own.
    #[default]
    Other,
    /// Any network.
    Network,
    /// A network whose DNS knows the collector's name, or the right name.
    Name,
    /// A content filter or firewall that lets the collector through.
    Filter,
    /// A filter that does not open TLS to the collector.
    Interception,
    /// A proxy that opens the way.
    Proxy,
    /// A collector that answers.
    Collector,
    /// A token that the collector accepts.
    Token,
    /// Any token.
    AnyToken,
    /// The collector's administrator, who has revoked or retired this device.
    Administrator,
    /// The address of a collector, or right settings.
    Settings,
}

impl Waiting {
    /// Every cause, for the documentation.
    pub const ALL: [Self; 11] = [
        Self::Other,
        Self::Network,
        Self::Name,
        Self::Filter,
        Self::Interception,
        Self::Proxy,
        Self::Collector,
        Self::Token,
        Self::AnyToken,
        Self::Administrator,
        Self::Settings,
    ];

    /// What the error of a call says of it.
    #[must_use]
    pub const fn after(error: &CallError) -> Self {
        match error {
            CallError::Connect(error) => Self::after_connect(error),
            CallError::Refused(refusal) => Self::after_refusal(*refusal),
            CallError::Failed(_) | CallError::Malformed(_) => Self::Collector,
        }
    }

    const fn after_connect(error: &ConnectError) -> Self {
        match error {
            ConnectError::NoNetwork { .. } => Self::Network,
            ConnectError::NameNotFound { .. } | ConnectError::WrongName { .. } => Self::Name,
            ConnectError::Filtered { .. } => Self::Filter,
            ConnectError::NotOurAuthority { .. } => Self::Interception,
            ConnectError::Proxy { .. } => Self::Proxy,
            ConnectError::Identity(_) => Self::Other,
            ConnectError::Refused { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::Tls { .. }
            | ConnectError::Http { .. } => Self::Collector,
        }
    }

    /// What a refusal says of it.
    #[must_use]
    pub const fn after_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TokenUnknown
            | Refusal::TokenUsedUp
            | Refusal::TokenExpired
            | Refusal::TokenRevoked => Self::Token,
            Refusal::GraceOver | Refusal::DeviceUnknown | Refusal::CertificateMissing => {
                Self::AnyToken
            }
            Refusal::DeviceRevoked | Refusal::DeviceRetired => Self::Administrator,
            Refusal::TooMany | Refusal::StoreUnavailable => Self::Collector,
            Refusal::RequestMalformed
            | Refusal::CertificateExpired
            | Refusal::HardwareDiffers
            | Refusal::MessageMalformed => Self::Other,
        }
    }

    /// The exit code of `rollcall-agent status`; `None` where that of the standing says as much.
    #[must_use]
    pub const fn exit_code(self) -> Option<u8> {
        match self {
            Self::Other | Self::AnyToken => None,
            Self::Network => Some(10),
            Self::Name => Some(11),
            Self::Filter => Some(12),
            Self::Interception => Some(13),
            Self::Proxy => Some(14),
            Self::Collector => Some(15),
            Self::Token => Some(16),
            Self::Administrator => Some(17),
            Self::Settings => Some(18),
        }
    }

    /// What it waits for, after the words `waiting for`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Other => "what the last error says",
            Self::Network => "a network",
            Self::Name => "a network that finds the collector's name",
            Self::Filter => "a content filter or firewall that lets the collector through",
            Self::Interception => "a filter that does not open TLS to the collector",
            Self::Proxy => "a proxy that opens the way to the collector",
            Self::Collector => "the collector to answer",
            Self::Token => "a token that the collector accepts",
            Self::AnyToken => "an enrolment token",
            Self::Administrator => "the collector's administrator, who has ended this enrolment",
            Self::Settings => "the collector's address in the settings",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn exit_codes_are_of_one_cause_each_and_none_of_a_standing() {
        let codes: Vec<u8> = Waiting::ALL
            .iter()
            .filter_map(|waiting| waiting.exit_code())
            .collect();
        let distinct: BTreeSet<u8> = codes.iter().copied().collect();
        assert_eq!(distinct.len(), codes.len());
        assert!(codes.iter().all(|code| (10..64).contains(code)));
    }

    #[test]
    fn every_refusal_and_every_failed_step_has_its_cause() {
        let after = |refusal| Waiting::after(&CallError::Refused(refusal));
        assert_eq!(after(Refusal::TokenExpired), Waiting::Token);
        assert_eq!(after(Refusal::DeviceRetired), Waiting::Administrator);
        assert_eq!(after(Refusal::StoreUnavailable), Waiting::Collector);
        let address: crate::stream::address::Address = "h:1".parse().unwrap();
        let issuer = "Example Filter CA".to_owned();
        let opened = ConnectError::NotOurAuthority { address, issuer };
        assert_eq!(Waiting::after(&opened.into()), Waiting::Interception);
    }

    #[test]
    fn the_documentation_names_every_exit_code() {
        let page = include_str!("../../deploy/guides/status.md");
        for waiting in Waiting::ALL {
            let row = waiting
                .exit_code()
                .map(|code| format!("| {code} | {} |", waiting.words()));
            if let Some(row) = row {
                assert!(page.contains(&row), "status.md lacks: {row}");
            }
        }
    }
}
