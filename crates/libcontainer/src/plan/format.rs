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

/// `tare`, so that init does not run something else.
pub const MAGIC: u32 = u32::from_le_bytes(*b"tare");
/// Init and library are built together; this finds a build that mixed them up.
pub const VERSION: u32 = 1;
/// The bytes of the header.
pub const HEADER: usize = 24;
/// No slot.
pub const NO_SLOT: u32 = u32::MAX;
/// The slot of the gate: the listening socket in the container's state directory.
pub const GATE: u32 = 0;

/// A string of the plan, with its NUL, so that it can be handed to the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// The string without its NUL.
    pub fn bytes(self) -> &'a [u8] {
        self.0.get(..self.0.len().saturating_sub(1)).unwrap_or(&[])
    }

    /// The address of the NUL-terminated string.
    pub fn pointer(self) -> *const u8 {
        self.0.as_ptr()
    }

    /// The same as a C string.
    pub fn from_c_str(text: &'a core::ffi::CStr) -> Self {
        Self(text.to_bytes_with_nul())
    }

    /// What follows the first byte; `None` for the empty string.
    pub fn after_first(self) -> Option<Self> {
        (self.0.len() > 1).then(|| Self(&self.0[1..]))
    }

    /// A string that is NUL-terminated and has no other NUL.
    pub fn from_bytes_with_nul(bytes: &'a [u8]) -> Option<Self> {
        (bytes.iter().position(|&b| b == 0)? == bytes.len() - 1).then_some(Self(bytes))
    }
}

impl core::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// A list of strings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Texts<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Texts<'a> {
    /// No strings.
    pub fn none() -> Self {
        Self { count: 0, bytes: &[] }
    }

    /// A list of NUL-terminated strings that lie one behind the other.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        if bytes.last().is_some_and(|&last| last != 0) {
            return None;
        }
        let count = u32::try_from(bytes.iter().filter(|&&b| b == 0).count()).ok()?;
        Some(Self { count, bytes })
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.count
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Text<'a>> {
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
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
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
pub trait Sink {
    /// Appends.
    fn put(&mut self, bytes: &[u8]);
}

/// A kind of field that operations are made of.
pub trait Field<'a>: Sized {
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
pub struct Header {
    /// The bytes of the whole image.
    pub length: u32,
    /// How many slots init needs.
    pub slots: u32,
    /// How many of them come with the plan.
    pub received: u32,
    /// How many descriptors from 3 on the user's process inherits.
    pub preserved: u32,
}

impl Header {
    /// Writes it.
    pub fn encode(&self, sink: &mut impl Sink) {
        for word in [MAGIC, VERSION, self.length, self.slots, self.received, self.preserved] {
            word.put(sink);
        }
    }

    /// Reads it from the beginning of an image, and returns what follows.
    pub fn decode(image: &[u8]) -> Option<(Self, Reader<'_>)> {
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
        (whole && header.received <= header.slots).then_some((header, reader))
    }
}

/// An operation and the property of `config.json` that it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record<'a> {
    /// Such as `mounts[3]`.
    pub property: Text<'a>,
    /// What init does.
    pub operation: Operation<'a>,
}

impl<'a> Record<'a> {
    /// The next record, or `None` for a broken image.
    pub fn decode(reader: &mut Reader<'a>) -> Option<Self> {
        let length = usize::try_from(u32::take(reader)?).ok()?;
        let mut fields = Reader::new(reader.bytes(length)?);
        let code = u32::take(&mut fields)?;
        let property = Text::take(&mut fields)?;
        let operation = Operation::decode(code, &mut fields)?;
        fields.is_empty().then_some(Self { property, operation })
    }
}

/// Whether there is another record.
pub fn at_end(reader: &Reader<'_>) -> bool {
    reader.is_empty()
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $code:literal {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)?
    })*) => {
        /// Everything that init can do.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Operation<'a> {
            $($(#[$doc])* $name { $($(#[$field_doc])* $field: $kind),* },)*
        }

        impl<'a> Operation<'a> {
            /// Writes code and fields; `property` stands between them.
            pub fn encode(&self, property: Text<'_>, sink: &mut impl Sink) {
                match self {
                    $(Self::$name { $($field),* } => {
                        u32::put(&$code, sink);
                        property.put(sink);
                        $($field.put(sink);)*
                    })*
                }
            }

            fn decode(code: u32, reader: &mut Reader<'a>) -> Option<Self> {
                Some(match code {
                    $($code => Self::$name { $($field: <$kind>::take(reader)?),* },)*
                    _ => return None,
                })
            }
        }
    };
}

operations! {
    /// setsid(2).
    Session = 50 {}
    /// prctl(2) `PR_SET_DUMPABLE` 0: nobody in the container can trace init or open its descriptors.
    NotDumpable = 51 {}
    /// prlimit64(2) of init itself.
    SetRlimit = 53 { resource: u32, soft: u64, hard: u64 }
    /// Makes three slots from `first` on the standard streams.
    Stdio = 52 { first: u32 }
    /// setns(2) into the namespace in a slot.
    JoinNamespace = 1 { slot: u32, kind: u32 }
    /// clone3(2): the second stage goes on, as a child of init's parent, when the host side says so.
    Clone = 2 { flags: u64, cgroup: u32 }
    /// Asks the host side for the v1 cgroups and joins each by writing `0` into its `tasks`.
    JoinCgroups = 3 {}
    /// unshare(2).
    Unshare = 4 { flags: u64 }
    /// setresgid(2) and setresuid(2): become root of the user namespace.
    BecomeRoot = 5 {}
    /// sethostname(2).
    SetHostname = 6 { name: Text<'a> }
    /// setdomainname(2).
    SetDomainname = 7 { name: Text<'a> }
    /// Brings up the loopback interface of the network namespace.
    LoopbackUp = 8 {}
    /// mount(2) with propagation flags alone, by path.
    Propagation = 10 { path: Text<'a>, flags: u64 }
    /// open_tree(2) of a host path: a detached copy of the mount there.
    OpenTree = 11 { slot: u32, path: Text<'a>, flags: u32 }
    /// The same for a device node, which must be this one.
    OpenDevice = 12 { slot: u32, path: Text<'a>, kind: u32, major: u32, minor: u32 }
    /// Attaches the container's root over the path that it was copied from.
    AttachRoot = 13 { slot: u32, path: Text<'a> }
    /// fsopen(2), fsconfig(2), fsmount(2): a detached new mount.
    Filesystem = 14 { slot: u32, kind: Text<'a>, source: Text<'a>, options: Texts<'a>, attributes: u64 }
    /// mount_setattr(2) of the mount in a slot.
    Attributes = 15 { slot: u32, set: u64, clear: u64, propagation: u64, recursive: u32 }
    /// Copies what the container has below `target` into the detached tmpfs in the slot.
    CopyUp = 16 { slot: u32, target: Text<'a> }
    /// move_mount(2) of a detached mount onto a path of the container, which is made if it is missing.
    Attach = 17 { slot: u32, target: Text<'a>, flags: u32 }
    /// Changes a mount that is there: its attributes and, if asked, its file system: fspick(2).
    Remount = 18 { target: Text<'a>, options: Texts<'a>, filesystem: u32, set: u64, clear: u64 }
    /// The root of the detached tmpfs gets the mode of the directory that it is going to cover.
    CopyMode = 26 { slot: u32, target: Text<'a> }
    /// mkdirat(2) of a directory and of those above it, where they are missing.
    MakeDirectory = 19 { path: Text<'a>, mode: u32 }
    /// mknodat(2), or the verification of a node that is there.
    MakeNode = 20 { path: Text<'a>, mode: u32, major: u32, minor: u32, uid: u32, gid: u32 }
    /// symlinkat(2), unless something is there.
    Symlink = 21 { target: Text<'a>, path: Text<'a> }
    /// Covers a file with the null device in a slot, a directory with an empty read-only tmpfs.
    Mask = 22 { path: Text<'a>, null: u32, empty: u32 }
    /// Binds a path onto itself, read-only with everything below it.
    MakeReadonly = 23 { path: Text<'a> }
    /// pivot_root(2); what was `/` before is detached.
    PivotRoot = 24 {}
    /// For a host whose root is a ramfs: moves the root over `/`, then chroot(2).
    MoveRoot = 25 {}
    /// Closes everything that setting up needed.
    CloseSlots = 30 {}
    /// Standard streams that are the host's null device become the container's, the others the user's.
    OwnStdio = 31 { uid: u32 }
    /// Finds the home directory of a user in the container's passwd file and adds it to the environment.
    Home = 32 { uid: u32, passwd: Text<'a> }
    /// umask(2).
    Umask = 33 { mask: u32 }
    /// chdir(2), and getcwd(2) must agree that the directory lies inside the root. A first try as root
    /// may fail with EACCES; the second one, as the user, comes to the same if the first went well.
    Chdir = 34 { path: Text<'a>, retry: u32 }
    /// prctl(2) `PR_CAPBSET_DROP` of all that are not kept.
    DropBounding = 35 { keep: u64, last: u32 }
    /// setgroups(2): bytes of little-endian numbers, four each, as the kernel takes them.
    SetGroups = 36 { groups: Gids<'a> }
    /// setresgid(2), setresuid(2) with the capabilities kept, and getres[ug]id(2) must agree.
    SetUser = 37 { uid: u32, gid: u32 }
    /// capset(2) and the ambient set, and reading all five must agree.
    SetCapabilities = 38 { bounding: u64, effective: u64, permitted: u64, inheritable: u64, ambient: u64 }
    /// prctl(2) `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges = 39 {}
    /// Finds the program: the first of the candidates that can be executed.
    FindProgram = 40 { name: Text<'a>, candidates: Texts<'a> }
    /// Tells the host side that the container is created, and waits for `start`.
    Gate = 41 {}
    /// execve(2).
    Execute = 42 { arguments: Texts<'a>, environment: Texts<'a> }
}

/// Numbers of groups.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Gids<'a>(&'a [u8]);

impl<'a> Gids<'a> {
    /// Little-endian numbers, four bytes each.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        bytes.len().is_multiple_of(4).then_some(Self(bytes))
    }

    /// The same bytes: what setgroups(2) takes, for both architectures are little-endian.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.0.len() / 4
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        self.0.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
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

/// Flags of [`Operation::Attach`].
pub mod attach {
    /// The slot stays open for operations that come later.
    pub const KEEP: u32 = 1;
    /// The target must be an ordinary directory: nothing on the way is a symbolic link.
    pub const NO_SYMLINKS: u32 = 2;
    /// The target may lie in a procfs.
    pub const INSIDE_PROC: u32 = 4;
    /// What is mounted must be a procfs.
    pub const IS_PROC: u32 = 8;
    /// A copy is attached, and the slot stays as it is.
    pub const COPY: u32 = 16;
}
