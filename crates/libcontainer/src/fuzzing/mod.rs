//! What must hold whatever the bytes are: each function makes something of them and panics if a property is
//! broken. The targets in `fuzz/` call them, and so do tests, with the fixtures and a few thousand changes
//! of them.

mod config;
mod edits;
mod image;
mod kernel;
mod messages;
mod state;
#[cfg(test)]
mod tests;

use arbitrary::Unstructured;

use crate::error::Error;
use crate::seccomp;

/// A `config.json`: it is refused in words, or becomes plans that init reads as they were written.
pub fn config(bytes: &[u8]) {
    config::check(bytes);
}

/// The same for a fixture that the bytes change: so the parser of JSON is no obstacle.
pub fn edited_config(bytes: &[u8]) {
    // No bytes are left: nothing to try.
    if let Ok(bytes) = edits::edited(&mut Unstructured::new(bytes)) {
        config::check(&bytes);
    }
}

/// A profile and system calls: the filter returns what the profile says.
pub fn filter(bytes: &[u8]) {
    seccomp::random::the_program_means_what_the_profile_says(&mut Unstructured::new(bytes)).ok();
}

/// An image that was changed: init refuses it, or reads what stands there.
pub fn image(bytes: &[u8]) {
    image::check_edited(&mut Unstructured::new(bytes)).ok();
}

/// Text that the kernel writes, in which others choose names and paths.
pub fn kernel_text(bytes: &[u8]) {
    kernel::check(&mut Unstructured::new(bytes)).ok();
}

/// Files of the state directory, and the container's passwd.
pub fn state(bytes: &[u8]) {
    state::check(bytes);
}

/// A message from init, which may be somebody else.
pub fn message(bytes: &[u8]) {
    messages::check(&mut Unstructured::new(bytes)).ok();
}

/// An error has words, on one line, and not without end.
fn is_told(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty(), "{error:?}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 100_000, "{} bytes", text.len());
    if let Some(property) = error.property() {
        assert!(!property.is_empty() && !property.contains(char::is_control), "{property:?}");
    }
}
