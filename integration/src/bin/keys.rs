//! Keys in the caller's and in a container's session keyring (keyctl(2)), for which no test image has a
//! program. Static, so that it runs in any root filesystem.
#![allow(unsafe_code, reason = "keyctl(2) and add_key(2) have no wrapper in nix or std")]
#![allow(clippy::print_stdout, reason = "a program")]

use std::env;
use std::ffi::CString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use nix::errno::Errno;

const SESSION: libc::c_long = -3;
const GET_KEYRING_ID: libc::c_long = 0;
const JOIN_SESSION_KEYRING: libc::c_long = 1;
const DESCRIBE: libc::c_long = 6;
const SEARCH: libc::c_long = 10;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // A session keyring with this key, for the command.
        ["with", key, command, arguments @ ..] => {
            join()?;
            add(key).context("add_key")?;
            let error = Command::new(command).args(arguments).exec();
            Err(error).context((*command).to_string())
        }
        // Whether the session keyring has this key.
        ["find", key] => {
            let found = search(key);
            println!("{}", found.map_or_else(|errno| errno.to_string(), |_| "found".to_string()));
            Ok(())
        }
        // Its number.
        ["session"] => {
            println!("{}", keyctl([GET_KEYRING_ID, SESSION, 0, 0, 0])?);
            Ok(())
        }
        // Type, owner, group, permissions and name of it.
        ["describe"] => {
            println!("{}", describe()?);
            Ok(())
        }
        // Uses up the quota of the user, says so, and keeps it until standard input ends.
        ["fill"] => {
            join()?;
            let mut count = 0;
            while add(&format!("fill-{count}")) != Err(Errno::EDQUOT) {
                count += 1;
            }
            println!("full");
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
            Ok(())
        }
        _ => bail!(
            "usage: keys with KEY COMMAND [ARGUMENT ...] | find KEY | session | describe | fill"
        ),
    }
}

fn keyctl(arguments: [libc::c_long; 5]) -> nix::Result<libc::c_long> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the callers pass numbers, and addresses of NUL-terminated strings or of buffers with their
    // length, which outlive the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, a, b, c, d, e) })
}

fn address<T: ?Sized>(of: *const T) -> libc::c_long {
    of.cast::<u8>().addr().cast_signed() as libc::c_long
}

fn join() -> nix::Result<()> {
    keyctl([JOIN_SESSION_KEYRING, 0, 0, 0, 0]).map(drop)
}

fn add(name: &str) -> nix::Result<()> {
    let name = CString::new(name).unwrap_or_default();
    let (kind, payload) = (c"user", b"secret");
    // SAFETY: two NUL-terminated strings and six bytes, all of which outlive the call.
    let key = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            kind.as_ptr(),
            name.as_ptr(),
            payload.as_ptr(),
            payload.len(),
            SESSION,
        )
    };
    Errno::result(key).map(drop)
}

fn search(name: &str) -> nix::Result<libc::c_long> {
    let name = CString::new(name).unwrap_or_default();
    keyctl([SEARCH, SESSION, address(c"user".as_ptr()), address(name.as_ptr()), 0])
}

fn describe() -> anyhow::Result<String> {
    let mut buffer = [0u8; 512];
    let room = libc::c_long::try_from(buffer.len())?;
    let length = keyctl([DESCRIBE, SESSION, address(buffer.as_mut_ptr()), room, 0])?;
    let text = buffer.get(..usize::try_from(length)?).context("a long description")?;
    Ok(String::from_utf8_lossy(text).trim_end_matches('\0').to_string())
}
