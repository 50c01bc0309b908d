//! Messages from init, told to the caller.

use arbitrary::{Result, Unstructured};

use super::{image, is_told};
use crate::plan::protocol::{Fault, MESSAGE, Message};
use crate::plan::{Image, explain, explain_hook, explain_start, record};

/// Whatever a message says happened, it is told in words.
pub(super) fn check(bytes: &mut Unstructured<'_>) -> Result<()> {
    let image = Image::of(bytes.choose(image::images())?);
    let mut message = [0; MESSAGE];
    bytes.fill_buffer(&mut message)?;
    let read = Message::from_bytes(&message);
    assert_eq!(read.to_bytes(), message);
    let small = Fault {
        cause: bytes.int_in_range(0..=25)?,
        call: bytes.int_in_range(0..=500)?,
        errno: bytes.int_in_range(0..=140)?,
    };
    let operation = bytes.int_in_range(0..=image.records().count())?;
    for (index, fault) in [(read.a, read.fault), (u32::try_from(operation).unwrap(), small)] {
        is_told(&explain(record(&image, index).as_ref(), fault, read.text()));
        is_told(&explain_start(fault, Some(read.text())));
        is_told(&explain_start(fault, None));
        is_told(&explain_hook(fault));
    }
    Ok(())
}
