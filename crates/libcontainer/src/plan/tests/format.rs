//! The image: what is written is read, and nothing else is.

use super::{fixture, host, plan, supported, v2};
use crate::plan::format::{
    Gids, HEADER, Header, Instructions, MOST_RECEIVED, Operation, Reader, Record, Text, Texts,
    at_end,
};

/// A value for a field of an operation.
pub(in crate::plan) trait Sample {
    fn sample() -> Self;
}

impl Sample for u32 {
    fn sample() -> Self {
        0x8765_4321
    }
}

impl Sample for u64 {
    fn sample() -> Self {
        0xfedc_ba98_7654_3210
    }
}

impl Sample for Text<'_> {
    fn sample() -> Self {
        Text::from_c_str(c"/a \xff\"b")
    }
}

impl Sample for Texts<'_> {
    fn sample() -> Self {
        Texts::from_bytes(b"one\0\0three\0").unwrap()
    }
}

impl Sample for Gids<'_> {
    fn sample() -> Self {
        Gids::from_bytes(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).unwrap()
    }
}

impl Sample for Instructions<'_> {
    fn sample() -> Self {
        Instructions::from_bytes(&[0x20, 0, 1, 2, 4, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0xff, 0x7f])
            .unwrap()
    }
}

/// The image of one operation.
fn record(property: &[u8], operation: &Operation<'_>) -> Vec<u8> {
    let property = std::ffi::CString::new(property).unwrap();
    let mut body = Vec::new();
    operation.encode(Text::from_c_str(&property), &mut body);
    let length = u32::try_from(body.len()).unwrap();
    [length.to_le_bytes().as_slice(), &body].concat()
}

fn header(length: usize, slots: u32, received: u32) -> Vec<u8> {
    let length = u32::try_from(length).unwrap();
    let mut bytes = Vec::new();
    Header { length, slots, received, preserved: 0 }.encode(&mut bytes);
    bytes
}

#[test]
fn every_operation_is_read_as_it_was_written() {
    let samples = Operation::samples();
    assert!(samples.len() > 40);
    for operation in samples {
        let bytes = record(b"mounts[3] /x", &operation);
        let mut reader = Reader::new(&bytes);
        let read = Record::decode(&mut reader).unwrap();
        assert_eq!(read.operation, operation);
        assert_eq!(read.property.bytes(), b"mounts[3] /x");
        assert!(at_end(&reader));

        for cut in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..cut]);
            assert_eq!(Record::decode(&mut reader), None, "{operation:?} cut at {cut}");
        }
        // The length is that of the fields: one more is no record.
        let mut longer = [&bytes[..], &[0]].concat();
        longer[0] += 1;
        assert_eq!(Record::decode(&mut Reader::new(&longer)), None, "{operation:?}");
    }
}

#[test]
fn codes_that_no_operation_has_are_refused() {
    let bytes = record(b"process", &Operation::Session {});
    let known = (0..=u8::MAX).filter(|&code| {
        let mut bytes = bytes.clone();
        bytes[4] = code;
        Record::decode(&mut Reader::new(&bytes)).is_some()
    });
    // Those without fields: the others miss theirs.
    let bare = Operation::samples().into_iter().filter(|op| record(b"process", op).len() == 20);
    assert_eq!(known.count(), bare.count());
}

#[test]
fn a_header_must_fit_its_image() {
    let body = record(b"process", &Operation::Session {});
    let whole = HEADER + body.len();
    let received = u32::try_from(MOST_RECEIVED).unwrap();
    for (length, slots, received, good) in [
        (whole, 3, 1, true),
        (whole, 1, 1, true),
        (whole, received, received, true),
        (whole - 1, 3, 1, false),
        (whole + 1, 3, 1, false),
        (whole, 1, 2, false),
        (whole, received + 1, received + 1, false),
        // A table that would fill the memory.
        (whole, 1 << 30, 1, false),
        (whole, u32::MAX, 1, false),
        (whole, u32::MAX, u32::MAX, false),
    ] {
        let image = [header(length, slots, received), body.clone()].concat();
        let decoded = Header::decode(&image);
        assert_eq!(decoded.is_some(), good, "{length} {slots} {received}");
        if let Some((header, mut reader)) = decoded {
            assert_eq!((header.slots, header.received), (slots, received));
            assert!(Record::decode(&mut reader).is_some());
        }
    }
    for (at, what) in [(0, "magic"), (4, "version")] {
        let mut image = [header(whole, 3, 1), body.clone()].concat();
        image[at] ^= 1;
        assert!(Header::decode(&image).is_none(), "{what}");
    }
    for length in 0..HEADER {
        assert!(Header::decode(&header(length, 0, 0)[..length]).is_none(), "{length} bytes");
    }
}

#[test]
fn strings_have_one_nul_at_their_end() {
    for (bytes, good) in
        [(&b"a\0"[..], true), (b"\0", true), (b"", false), (b"a", false), (b"a\0b\0", false)]
    {
        assert_eq!(Text::from_bytes_with_nul(bytes).is_some(), good, "{bytes:?}");
    }
    for (bytes, count) in [
        (&b""[..], Some(0)),
        (b"\0", Some(1)),
        (b"a\0\0b\0", Some(3)),
        (b"a", None),
        (b"\0a", None),
    ] {
        assert_eq!(Texts::from_bytes(bytes).map(Texts::count), count, "{bytes:?}");
        let listed = Texts::from_bytes(bytes).map(|texts| texts.iter().count());
        assert_eq!(listed, count.map(|count| count as usize));
    }
    let after = |text| Text::from_c_str(text).after_first().map(Text::bytes);
    assert_eq!(after(c"=v"), Some(&b"v"[..]));
    assert_eq!(after(c"="), Some(&b""[..]));
    assert_eq!(after(c""), None);
}

/// Reads an image to its end, or to where it is broken. What is read must be what would be written: a
/// reader that makes something else of the bytes has read past them.
pub(crate) fn read_all(image: &[u8]) -> usize {
    let Some((_, mut reader)) = Header::decode(image) else { return 0 };
    let mut at = HEADER;
    let mut count = 0;
    while let Some(read) = Record::decode(&mut reader) {
        let written = record(read.property.bytes(), &read.operation);
        assert_eq!(image.get(at..at + written.len()), Some(&written[..]));
        // What is shown, and explained, is read again.
        assert!(!read.operation.to_string().is_empty());
        at += written.len();
        count += 1;
    }
    count
}

#[test]
fn a_corrupt_image_is_never_read_beyond_its_bytes() {
    let (config, _) = supported(fixture("userns"), &host(v2()));
    let plan = plan(&config, &host(v2())).unwrap();
    let image = plan.image.bytes();
    let records = read_all(image);
    assert_eq!(records, plan.image.records().count());

    let mut changed = image.to_vec();
    for at in 0..image.len() {
        for bits in [0x01, 0xff] {
            changed[at] ^= bits;
            assert!(read_all(&changed) <= records + 1, "byte {at} ^ {bits:#x}");
            changed[at] ^= bits;
        }
    }
    for length in 0..image.len() {
        assert_eq!(read_all(&image[..length]), 0, "cut to {length}");
        // Cut where the header says so.
        let mut cut = image[..length].to_vec();
        if let Some(place) = cut.get_mut(8..12) {
            place.copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
        }
        assert!(read_all(&cut) <= records, "shortened to {length}");
    }
}
