//! A bundle: a directory with a `config.json`, or the same as values.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// Where a container comes from: a directory that relative paths start from, and its configuration.
#[derive(Debug)]
pub struct Bundle {
    directory: PathBuf,
    config: Config,
}

impl Bundle {
    /// Loads `config.json` from the absolute path of a bundle directory.
    ///
    /// # Kernel
    ///
    /// open(2), fstat(2) and read(2) of the file.
    ///
    /// # Errors
    ///
    /// If the path is relative, the file can't be read, or the configuration breaks a rule.
    pub fn load(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = absolute(directory.into())?;
        let config = Config::from_path(&directory.join("config.json"))?;
        Ok(Self { directory, config })
    }

    /// A bundle of an absolute directory and a configuration that need not lie in it.
    ///
    /// # Errors
    ///
    /// If the path is relative.
    pub fn new(directory: impl Into<PathBuf>, config: Config) -> Result<Self> {
        Ok(Self { directory: absolute(directory.into())?, config })
    }

    /// The directory that relative paths of the configuration start from.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

fn absolute(directory: PathBuf) -> Result<PathBuf> {
    if directory.is_absolute() {
        return Ok(directory);
    }
    let message = format!("bundle {}: the path must be absolute", directory.display());
    Err(Error::new(ErrorKind::InvalidConfig, message))
}
