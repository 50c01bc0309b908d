//! The plan's image: what the host side writes and init reads. Compiled into both.
//!
//! ```text
//! image  = header record*
//! header = magic u32 | version u32 | length u32 | slots u32 | received u32 | preserved u32
//! record = length u32 | code u32 | property text | fields of the operation
//! text   = length u32 | bytes | NUL        (the NUL is not counted)
//! texts  = count u32 | length u32 | (bytes NUL)*
//! ```
//!
//! Numbers are little-endian and nothing is aligned. There are no addresses in it: the image can lie
//! anywhere. A *slot* is an index into init's table of descriptors; the first `received` slots are the
//! descriptors that the host side sends along with the plan.

pub(crate) use super::operation::{Operation, attach};

/// `tare`, so that init does not run something else.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"tare");
/// Init and library are built together; this finds a build that mixed them up.
pub(crate) const VERSION: u32 = 1;
/// The bytes of the header.
pub(crate) const HEADER: usize = 24;
/// The most descriptors that come with a plan: one message carries 253 (`SCM_MAX_FD`), the image and the
/// status page among them.
pub(crate) const MOST_RECEIVED: usize = 251;
/// No slot.
pub(crate) const NO_SLOT: u32 = u32::MAX;
/// The slot of the gate: the listening socket in the container's state directory.
pub(crate) const GATE: u32 = 0;

/// A string of the plan, with its NUL, so that it can be handed to the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// The string without its NUL.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0.get(..self.0.len().saturating_sub(1)).unwrap_or(&[])
    }

    /// The address of the NUL-terminated string.
    pub(crate) fn pointer(self) -> *const u8 {
        self.0.as_ptr()
    }

    /// The same as a C string.
    pub(crate) fn from_c_str(text: &'a core::ffi::CStr) -> Self {
        Self(text.to_bytes_with_nul())
    }

    /// What follows the first byte; `None` for the empty string.
    pub(crate) fn after_first(self) -> Option<Self> {
        match self.0 {
            [_, rest @ ..] if !rest.is_empty() => Some(Self(rest)),
            _ => None,
        }
    }

    /// A string that is NUL-terminated and has no other NUL.
    pub(crate) fn from_bytes_with_nul(bytes: &'a [u8]) -> Option<Self> {
        let (nul, text) = bytes.split_last()?;
        (*nul == 0 && !text.contains(&0)).then_some(Self(bytes))
    }
}

impl core::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// A list of strings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Texts<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Texts<'a> {
    /// No strings.
    pub(crate) fn none() -> Self {
        Self { count: 0, bytes: &[] }
    }

    /// A list of NUL-terminated strings that lie one behind the other.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        if bytes.last().is_some_and(|&last| last != 0) {
            return None;
        }
        let count = u32::try_from(bytes.iter().filter(|&&b| b == 0).count()).ok()?;
        Some(Self { count, bytes })
    }

    /// How many there are.
    pub(crate) fn count(self) -> u32 {
        self.count
    }

    /// One after the other.
    pub(crate) fn iter(self) -> impl Iterator<Item = Text<'a>> {
        self.bytes.split_inclusive(|&b| b == 0).map(Text)
    }
}

impl core::fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Reads an image. Every read is checked: a broken image ends in `None`, never elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the beginning of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where an image is written to.
pub(crate) trait Sink {
    /// Appends.
    fn put(&mut self, bytes: &[u8]);
}

/// A kind of field that operations are made of.
pub(crate) trait Field<'a>: Sized {
    /// Writes it.
    fn put(&self, sink: &mut impl Sink);
    /// Reads it.
    fn take(reader: &mut Reader<'a>) -> Option<Self>;
}

impl<'a> Field<'a> for u32 {
    fn put(&self, sink: &mut impl Sink) {
        sink.put(&self.to_le_bytes());
    }
    fn take(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Self::from_le_bytes(reader.bytes(4)?.try_into().ok()?))
    }
}

impl<'a> Field<'a> for u64 {
    fn put(&self, sink: &mut impl Sink) {
        sink.put(&self.to_le_bytes());
    }
    fn take(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Self::from_le_bytes(reader.bytes(8)?.try_into().ok()?))
    }
}

/// A length or count as the image has it. A plan never gets near 4 GiB: the configuration is capped.
fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

impl<'a> Field<'a> for Text<'a> {
    fn put(&self, sink: &mut impl Sink) {
        length(self.bytes().len()).put(sink);
        sink.put(self.0);
    }
    fn take(reader: &mut Reader<'a>) -> Option<Self> {
        let length = usize::try_from(u32::take(reader)?).ok()?;
        Text::from_bytes_with_nul(reader.bytes(length.checked_add(1)?)?)
    }
}

impl<'a> Field<'a> for Texts<'a> {
    fn put(&self, sink: &mut impl Sink) {
        self.count.put(sink);
        length(self.bytes.len()).put(sink);
        sink.put(self.bytes);
    }
    fn take(reader: &mut Reader<'a>) -> Option<Self> {
        let count = u32::take(reader)?;
        let length = usize::try_from(u32::take(reader)?).ok()?;
        let texts = Self::from_bytes(reader.bytes(length)?)?;
        (texts.count == count).then_some(texts)
    }
}

/// What stands before the operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The bytes of the whole image.
    pub(crate) length: u32,
    /// How many slots init needs.
    pub(crate) slots: u32,
    /// How many of them come with the plan.
    pub(crate) received: u32,
    /// How many descriptors from 3 on the user's process inherits.
    pub(crate) preserved: u32,
}

impl Header {
    /// Writes it.
    pub(crate) fn encode(&self, sink: &mut impl Sink) {
        for word in [MAGIC, VERSION, self.length, self.slots, self.received, self.preserved] {
            word.put(sink);
        }
    }

    /// Reads it from the beginning of an image, and returns what follows.
    pub(crate) fn decode(image: &[u8]) -> Option<(Self, Reader<'_>)> {
        let mut reader = Reader::new(image);
        if u32::take(&mut reader)? != MAGIC || u32::take(&mut reader)? != VERSION {
            return None;
        }
        let header = Self {
            length: u32::take(&mut reader)?,
            slots: u32::take(&mut reader)?,
            received: u32::take(&mut reader)?,
            preserved: u32::take(&mut reader)?,
        };
        let whole = usize::try_from(header.length).ok()? == image.len();
        // An operation fills each slot that doesn't come along: a number out of all proportion to the
        // image would make init fill the memory with its table.
        let slots = header.slots <= header.length.saturating_add(header.received)
            && header.received <= header.slots
            && usize::try_from(header.received).ok()? <= MOST_RECEIVED;
        (whole && slots).then_some((header, reader))
    }
}

/// An operation and the property of `config.json` that it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Record<'a> {
    /// Such as `mounts[3]`.
    pub(crate) property: Text<'a>,
    /// What init does.
    pub(crate) operation: Operation<'a>,
}

impl<'a> Record<'a> {
    /// The next record, or `None` for a broken image.
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Option<Self> {
        let length = usize::try_from(u32::take(reader)?).ok()?;
        let mut fields = Reader::new(reader.bytes(length)?);
        let code = u32::take(&mut fields)?;
        let property = Text::take(&mut fields)?;
        let operation = Operation::decode(code, &mut fields)?;
        fields.is_empty().then_some(Self { property, operation })
    }
}

/// Whether there is another record.
pub(crate) fn at_end(reader: &Reader<'_>) -> bool {
    reader.is_empty()
}

/// Numbers of groups.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gids<'a>(&'a [u8]);

impl<'a> Gids<'a> {
    /// Little-endian numbers, four bytes each.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        bytes.len().is_multiple_of(4).then_some(Self(bytes))
    }

    /// The same bytes: what setgroups(2) takes, for both architectures are little-endian.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// How many there are.
    pub(crate) fn count(self) -> usize {
        self.0.len() / 4
    }

    /// One after the other.
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> {
        self.0.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
    }
}

/// A filter of system calls: `struct sock_filter`, eight bytes each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instructions<'a>(&'a [u8]);

impl<'a> Instructions<'a> {
    /// The bytes of whole instructions.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        bytes.len().is_multiple_of(8).then_some(Self(bytes))
    }

    /// The same bytes.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// How many there are.
    pub(crate) fn count(self) -> usize {
        self.0.len() / 8
    }
}

impl core::fmt::Debug for Instructions<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} instructions", self.count())
    }
}

impl<'a> Field<'a> for Instructions<'a> {
    fn put(&self, sink: &mut impl Sink) {
        length(self.0.len()).put(sink);
        sink.put(self.0);
    }
    fn take(reader: &mut Reader<'a>) -> Option<Self> {
        let length = usize::try_from(u32::take(reader)?).ok()?;
        Self::from_bytes(reader.bytes(length)?)
    }
}

impl core::fmt::Debug for Gids<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Field<'a> for Gids<'a> {
    fn put(&self, sink: &mut impl Sink) {
        length(self.0.len()).put(sink);
        sink.put(self.0);
    }
    fn take(reader: &mut Reader<'a>) -> Option<Self> {
        let length = usize::try_from(u32::take(reader)?).ok()?;
        Self::from_bytes(reader.bytes(length)?)
    }
}
