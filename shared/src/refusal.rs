//! Why a collector refuses an agent: one word on the wire, one sentence for a technician.

use std::fmt;

/// The metadata key under which a refusal's word travels beside the gRPC status.
pub const REFUSAL_KEY: &str = "rollcall-refusal";

macro_rules! refusals {
    ($($(#[$meta:meta])* $name:ident = $word:literal, $sentence:literal;)*) => {
        /// A reason that the other side acts on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal { $($(#[$meta])* $name,)* }

        impl Refusal {
            /// Every refusal.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word for the wire, for audit lines and counters.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it means and what to do, for a technician.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

refusals! {
    /// No token has this secret.
    TokenUnknown = "token-unknown",
        "the collector knows no such enrolment token; make one with `rollcall-collector token create`";
    /// The token has been used as often as it may.
    TokenUsedUp = "token-used-up",
        "the enrolment token has been used as often as it allows; make a new one";
    /// The token's time is over.
    TokenExpired = "token-expired",
        "the enrolment token has expired; make a new one";
    /// Somebody revoked the token.
    TokenRevoked = "token-revoked",
        "the enrolment token was revoked; make a new one";
    /// The signing request is not one, or its signature is wrong.
    RequestMalformed = "request-malformed",
        "the certificate signing request could not be read or its signature is wrong";
    /// A call that needs a device's certificate came without one.
    CertificateMissing = "certificate-missing",
        "this call needs a device certificate; enrol the laptop first";
    /// The certificate's time is over, and it may only renew itself.
    CertificateExpired = "certificate-expired",
        "the device certificate has expired; renew it";
    /// The certificate's time is over by more than the grace period.
    GraceOver = "grace-over",
        "the device certificate expired too long ago to renew itself; enrol the laptop anew";
    /// Somebody revoked the device.
    DeviceRevoked = "device-revoked",
        "this device was revoked at the collector; enrol it anew if it belongs to the fleet";
    /// Somebody retired the device.
    DeviceRetired = "device-retired",
        "this device was retired at the collector; enrol it anew if it is back in the fleet";
    /// The collector does not know the device, for example after a restore of an old backup.
    DeviceUnknown = "device-unknown",
        "the collector does not know this device; enrol it anew";
    /// The hardware is not the one that enrolled: the disk was cloned.
    HardwareDiffers = "hardware-differs",
        "this identity belongs to other hardware; the laptop takes one of its own";
    /// More of something than is allowed in a time.
    TooMany = "too-many",
        "too many requests of this kind; the agent tries again later";
    /// The collector cannot store at present.
    StoreUnavailable = "store-unavailable",
        "the collector cannot store at present; the laptop keeps its reports and tries again";
    /// A message that breaks the protocol.
    MessageMalformed = "message-malformed",
        "the collector could not accept a message; agent and collector may be too far apart in version";
}

impl Refusal {
    /// The refusal with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|refusal| refusal.word() == word)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_come_back() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::from_word(refusal.word()), Some(*refusal));
        }
        assert_eq!(Refusal::from_word("no-such"), None);
    }
}
