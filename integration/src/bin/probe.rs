//! Makes system calls inside a container and says what came of each.
//!
//! Each argument is a number and up to six arguments of a call, separated by colons: `165:0:0` is
//! mount(2). For each, a line with the errno is written, 0 for success.

#![allow(unsafe_code, clippy::print_stdout, reason = "this is what it is for")]

use std::process::ExitCode;

fn main() -> ExitCode {
    for argument in std::env::args().skip(1) {
        let Ok(words) = argument.split(':').map(str::parse::<i64>).collect::<Result<Vec<_>, _>>()
        else {
            return ExitCode::FAILURE;
        };
        let word = |index: usize| words.get(index).copied().unwrap_or(0);
        println!("{}", errno([0, 1, 2, 3, 4, 5, 6].map(word)));
    }
    ExitCode::SUCCESS
}

/// The errno of a call.
fn errno([number, a, b, c, d, e, f]: [i64; 7]) -> i32 {
    // SAFETY: the tests pass numbers that are no addresses, or null, wherever the call takes a pointer.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 }
}
