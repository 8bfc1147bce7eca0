//! Secrets: from files or the environment, never shown.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use zeroize::Zeroizing;

/// Bytes of a secret; passwords and keys have far fewer.
const BYTES: u64 = 4096;

/// A text that is wiped when it is dropped and never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Reads the secret from a file, or else from an environment variable.
    pub fn read(file: Option<&Path>, variable: Option<&str>) -> anyhow::Result<Option<Self>> {
        let text = match (file, variable) {
            (Some(file), _) => {
                let place = file.display();
                let meta =
                    std::fs::metadata(file).with_context(|| format!("secret file {place}"))?;
                anyhow::ensure!(
                    meta.len() <= BYTES,
                    "secret file {place} has more than {BYTES} bytes"
                );
                std::fs::read_to_string(file).with_context(|| format!("secret file {place}"))?
            }
            (None, Some(name)) => std::env::var(name)
                .with_context(|| format!("environment variable {name} with the secret"))?,
            (None, None) => return Ok(None),
        };
        let text = Zeroizing::new(text);
        let secret = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        anyhow::ensure!(!secret.is_empty(), "the secret is empty");
        Ok(Some(Self(secret)))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "open sesame\n").unwrap();
        let secret = Secret::read(Some(&file), None).unwrap().unwrap();
        assert_eq!(secret.expose(), "open sesame");
        assert!(!format!("{secret:?}").contains("sesame"));
        std::fs::write(&file, "\n").unwrap();
        assert!(Secret::read(Some(&file), None).is_err());
        let missing = Secret::read(Some(&dir.path().join("none")), None).unwrap_err();
        assert!(format!("{missing:#}").contains("none"), "{missing:#}");
    }
}
