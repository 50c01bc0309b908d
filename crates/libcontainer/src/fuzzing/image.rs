//! Images of plans, whole and changed.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use arbitrary::{Result, Unstructured};

use crate::init::check;
use crate::plan::format::{HEADER, Header, NO_SLOT};
use crate::plan::tests::format::read_all;
use crate::plan::tests::{fixture, fixtures, host, hybrid, plan, supported, v2};
use crate::plan::{Hook, HookKind, Image, Plan, explain_killed};

/// The images of all fixtures, and that of a hook.
pub(super) fn images() -> &'static [Vec<u8>] {
    static IMAGES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let hook = Hook {
            kind: HookKind::Prestart,
            index: 0,
            path: "/bin/true".into(),
            arguments: vec!["true".to_owned(), "x".to_owned()],
            environment: vec!["A=1".to_owned()],
            timeout: Some(Duration::from_secs(1)),
        };
        let mut images = vec![Plan::of_hook(&hook, Path::new("/")).unwrap().image];
        for name in fixtures() {
            for facts in [host(hybrid()), host(v2())] {
                let (config, _) = supported(fixture(&name), &facts);
                images.push(plan(&config, &facts).unwrap().image);
            }
        }
        images.into_iter().map(|image| image.bytes().to_vec()).collect()
    })
}

/// Whether init goes on to execute an image; panics if it would read something else than stands there.
pub(super) fn is_accepted(image: &[u8]) -> bool {
    let read = read_all(image);
    let Some((header, reader)) = Header::decode(image) else { return false };
    if !check::plan(&header, reader) {
        return false;
    }
    let image = Image::of(image);
    assert_eq!(image.records().count(), read, "not all was read");
    for record in image.records() {
        let text = format!("{:?}", record.operation);
        for name in ["slot: ", "cgroup: ", "null: ", "empty: "] {
            let Some((_, value)) = text.split_once(name) else { continue };
            let digits = value.split(|c: char| !c.is_ascii_digit()).next().unwrap();
            let slot: u32 = digits.parse().unwrap();
            assert!(slot < header.slots || slot == NO_SLOT, "{text} of {}", header.slots);
        }
        assert!(explain_killed(Some(&record), "killed").to_string().contains("killed"));
    }
    true
}

/// An image of a fixture with some changes, or bytes that are none.
pub(super) fn check_edited(bytes: &mut Unstructured<'_>) -> Result<()> {
    let mut image = bytes.choose(images())?.clone();
    for _ in 0..bytes.int_in_range(1..=8)? {
        edit(bytes, &mut image)?;
    }
    // Mostly the header fits, so that the rest is read.
    if image.len() >= HEADER && bytes.ratio(7, 8)? {
        let length = u32::try_from(image.len()).unwrap();
        image[8..12].copy_from_slice(&length.to_le_bytes());
    }
    is_accepted(&image);
    Ok(())
}

fn edit(bytes: &mut Unstructured<'_>, image: &mut Vec<u8>) -> Result<()> {
    if image.len() <= HEADER {
        return Ok(());
    }
    let kind = bytes.int_in_range(0..=7)?;
    if kind >= 4 {
        return edit_record(bytes, image, kind);
    }
    let at = bytes.choose_index(image.len())?;
    match kind {
        0 => image[at] = bytes.arbitrary()?,
        1 => image.truncate(at),
        2 => image.extend_from_slice(bytes.bytes(bytes.len().min(9))?),
        _ => {
            let word = word(bytes)?.to_le_bytes();
            image[at..].iter_mut().zip(word).for_each(|(byte, new)| *byte = new);
        }
    }
    Ok(())
}

/// A word as it would lead astray: small, huge, or near the length of something.
fn word(bytes: &mut Unstructured<'_>) -> Result<u32> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 => bytes.int_in_range(0..=100)?,
        1 => u32::MAX - bytes.int_in_range(0..=16)?,
        2 => bytes.int_in_range(0..=70_000)?,
        _ => bytes.arbitrary()?,
    })
}

/// Where the records begin and end, as far as their lengths tell.
fn records(image: &[u8]) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let mut at = HEADER;
    while let Some(&[a, b, c, d]) = image.get(at..at + 4) {
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap();
        let Some(end) = at.checked_add(4 + length).filter(|&end| end <= image.len()) else { break };
        places.push((at, end));
        at = end;
    }
    places
}

/// A change that leaves the other records where they can be read.
fn edit_record(bytes: &mut Unstructured<'_>, image: &mut Vec<u8>, kind: u8) -> Result<()> {
    let places = records(image);
    if places.is_empty() {
        return Ok(());
    }
    let (start, end) = *bytes.choose(&places)?;
    let mut record = image[start..end].to_vec();
    match kind {
        4 => record.clear(),
        5 => record.extend_from_within(..),
        6 => {
            let (other, until) = *bytes.choose(&places)?;
            record.extend_from_slice(&image[other..until]);
        }
        _ if record.len() >= 8 => {
            // Longer or shorter, with a length that says so.
            let at = bytes.int_in_range(4..=record.len())?;
            match bytes.arbitrary()? {
                true => drop(record.splice(at..at, word(bytes)?.to_le_bytes())),
                false => drop(record.drain(at..(at + 4).min(record.len()))),
            }
            let length = u32::try_from(record.len() - 4).unwrap();
            record[..4].copy_from_slice(&length.to_le_bytes());
        }
        _ => {}
    }
    image.splice(start..end, record);
    Ok(())
}
