//! Identities. None of them is derived from a MAC or IP address.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits;

/// Why a text is not the identity it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is no UUID.
    #[error("`{0}` is not a UUID such as 0192d3a4-5b6c-7d8e-9f00-112233445566")]
    NotUuid(String),
    /// The URI does not have the form of a device's name.
    #[error("`{0}` is not a device name of the form {DEVICE_URI_PREFIX}<uuid>")]
    NotDeviceUri(String),
    /// The bytes are not sixteen.
    #[error("an identity has 16 bytes, not {0}")]
    Length(usize),
    /// A label is empty, too long, or holds a control character.
    #[error(
        "`{0}` is not a label: 1 to {max} bytes, no control characters, no space at either end",
        max = limits::LABEL_BYTES
    )]
    NotLabel(String),
}

/// The prefix of a device's URI name in its certificate.
pub const DEVICE_URI_PREFIX: &str = "urn:rollcall:device:";

/// The prefix of a beacon's URI name in its certificate; the site's label follows, hex-encoded.
pub const BEACON_URI_PREFIX: &str = "urn:rollcall:beacon:";

macro_rules! uuid_identity {
    ($(#[$meta:meta])* $name:ident, $make:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identity that no other has.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::$make())
            }

            /// The identity with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The sixteen bytes, in the order that keys and the wire use.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                let bytes = bytes.try_into().map_err(|_| IdError::Length(bytes.len()))?;
                Ok(Self::from_bytes(bytes))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| IdError::NotUuid(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

uuid_identity!(
    /// A laptop, as the collector knows it: given at enrolment, carried in its certificate.
    DeviceId,
    now_v7
);
uuid_identity!(
    /// One life of an agent's spool: a spool that was lost or discarded is followed by another.
    SpoolId,
    new_v4
);
uuid_identity!(
    /// One run of a laptop's kernel, between two boots.
    BootId,
    new_v4
);

impl DeviceId {
    /// The URI that names the device in its certificate.
    #[must_use]
    pub fn to_uri(self) -> String {
        format!("{DEVICE_URI_PREFIX}{self}")
    }

    /// Reads the URI that [`DeviceId::to_uri`] writes.
    ///
    /// # Errors
    /// [`IdError`] when the URI has another form.
    pub fn from_uri(uri: &str) -> Result<Self, IdError> {
        uri.strip_prefix(DEVICE_URI_PREFIX)
            .ok_or_else(|| IdError::NotDeviceUri(uri.to_owned()))?
            .parse()
    }
}

/// A name that people gave: of a site, a group, a target. At most [`limits::LABEL_BYTES`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        let fits = !text.is_empty()
            && text.len() <= limits::LABEL_BYTES
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if fits {
            Ok(Self(text))
        } else {
            Err(IdError::NotLabel(text))
        }
    }
}

impl FromStr for Label {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.to_owned().try_into()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of a report in its spool: the first is 1, each next one is one more.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first report: nothing is stored yet.
    pub const NONE: Self = Self(0);

    /// The sequence that follows. A spool of one report a second lasts 5e11 years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_uri_returns_the_device() {
        let id = DeviceId::generate();
        assert_eq!(DeviceId::from_uri(&id.to_uri()), Ok(id));
        let error = DeviceId::from_uri("urn:other:1").unwrap_err();
        assert!(
            error.to_string().contains("urn:rollcall:device:<uuid>"),
            "{error}"
        );
    }

    #[test]
    fn a_label_has_bounds() {
        assert!("Lincoln Middle School".parse::<Label>().is_ok());
        for bad in ["", " x", "a\nb", &"x".repeat(limits::LABEL_BYTES + 1)] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identity_bytes_must_be_sixteen() {
        assert_eq!(SpoolId::try_from(&[1_u8; 15][..]), Err(IdError::Length(15)));
    }
}
