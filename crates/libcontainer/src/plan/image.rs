//! Writes an image, and prints one.

use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::format::{self, Field, HEADER, Header, Operation, Record, Sink, Text};
use crate::error::{Error, ErrorKind, Result};

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A string for the plan.
#[derive(Debug, Clone)]
pub(crate) struct TextBuf(CString);

impl TextBuf {
    /// A string of the configuration.
    ///
    /// # Errors
    ///
    /// If it has a NUL, which no string that the kernel takes can have.
    pub(crate) fn new(string: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = string.as_ref();
        match CString::new(bytes) {
            Ok(string) => Ok(Self(string)),
            Err(error) => Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("\"{}\": a NUL at byte {}", bytes.escape_ascii(), error.nul_position()),
            )),
        }
    }

    pub(crate) fn path(path: &Path) -> Result<Self> {
        Self::new(path.as_os_str().as_bytes())
    }

    /// As the operations have it.
    pub(crate) fn text(&self) -> Text<'_> {
        Text::from_c_str(&self.0)
    }
}

/// Strings that lie one behind the other, each with its NUL.
#[derive(Debug, Default)]
pub(crate) struct TextsBuf(Vec<u8>);

impl TextsBuf {
    pub(crate) fn push(&mut self, string: impl AsRef<[u8]>) -> Result<()> {
        self.0.extend_from_slice(TextBuf::new(string)?.0.as_bytes_with_nul());
        Ok(())
    }

    pub(crate) fn collect<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut texts = Self::default();
        for string in strings {
            texts.push(string)?;
        }
        Ok(texts)
    }

    /// As the operations have it.
    pub(crate) fn texts(&self) -> format::Texts<'_> {
        format::Texts::from_bytes(&self.0).unwrap_or_else(format::Texts::none)
    }
}

/// An image that is being written.
#[derive(Debug)]
pub(crate) struct Builder {
    image: Vec<u8>,
    slots: u32,
    received: u32,
}

impl Builder {
    /// An image whose first slots are filled with descriptors that the host side sends along.
    pub(crate) fn new(received: u32) -> Self {
        let mut image = Vec::with_capacity(8192);
        image.resize(HEADER, 0);
        Self { image, slots: received, received }
    }

    /// A slot for a descriptor that init opens.
    pub(crate) fn slot(&mut self) -> u32 {
        self.slots += 1;
        self.slots - 1
    }

    /// Appends an operation that `property` of the configuration asks for.
    pub(crate) fn push(&mut self, property: &str, operation: &Operation<'_>) -> Result<()> {
        let start = self.image.len();
        0u32.put(&mut self.image);
        operation.encode(TextBuf::new(property)?.text(), &mut self.image);
        let length = u32::try_from(self.image.len() - start - 4).map_err(|_e| {
            Error::new(ErrorKind::InvalidConfig, format!("{property}: longer than 4 GiB"))
        })?;
        self.image[start..start + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// The image, with its header.
    pub(crate) fn finish(mut self, preserved: u32) -> Result<Image> {
        let length = u32::try_from(self.image.len()).map_err(|_e| {
            Error::new(ErrorKind::InvalidConfig, "the configuration is larger than 4 GiB")
        })?;
        let header = Header { length, slots: self.slots, received: self.received, preserved };
        let mut bytes = Vec::with_capacity(HEADER);
        header.encode(&mut bytes);
        self.image[..HEADER].copy_from_slice(&bytes);
        Ok(Image(self.image))
    }
}

/// A finished image.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Image(Vec<u8>);

impl Image {
    /// Bytes that may be an image.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The operations, read as init reads them.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut reader = Header::decode(&self.0).map(|(_, reader)| reader);
        std::iter::from_fn(move || {
            let reader = reader.as_mut()?;
            if format::at_end(reader) { None } else { Record::decode(reader) }
        })
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.records()).finish()
    }
}
