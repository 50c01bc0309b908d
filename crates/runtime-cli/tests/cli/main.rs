//! The built binary, called as container managers call it.

#[cfg(test)]
mod common;
#[cfg(test)]
mod surface;
