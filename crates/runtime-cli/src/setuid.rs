//! The refusal to run with privileges that the caller doesn't have (CVE-2020-5291 and its kin).
//!
//! A runtime does what its command line says. Installed setuid, setgid or with file capabilities it would
//! do that as root for everybody: see `AT_SECURE` in getauxval(3).

use std::fs::File;
use std::io::Read;

use anyhow::bail;
use nix::unistd::{getegid, geteuid, getgid, getuid};

/// The key of the auxiliary vector's entry that the kernel sets for such programs.
const AT_SECURE: usize = 23;

/// Fails if the program has privileges that its caller doesn't have.
pub(crate) fn refuse() -> anyhow::Result<()> {
    let differ = getuid() != geteuid() || getgid() != getegid();
    // Without /proc there are no containers; a later step says so.
    if differ || auxiliary_vector().is_ok_and(|vector| is_secure(&vector)) {
        bail!("refusing to run setuid, setgid or with file capabilities: AT_SECURE is set");
    }
    Ok(())
}

/// It is about 350 bytes long.
fn auxiliary_vector() -> std::io::Result<Vec<u8>> {
    let mut vector = Vec::with_capacity(1024);
    File::open("/proc/self/auxv")?.take(1024).read_to_end(&mut vector)?;
    Ok(vector)
}

/// Reads the auxiliary vector: pairs of machine words.
fn is_secure(vector: &[u8]) -> bool {
    const WORD: usize = size_of::<usize>();
    let (words, _) = vector.as_chunks::<WORD>();
    let (entries, _) = words.as_chunks::<2>();
    entries.iter().any(|&[key, value]| {
        usize::from_ne_bytes(key) == AT_SECURE && usize::from_ne_bytes(value) != 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(entries: &[(usize, usize)]) -> Vec<u8> {
        entries
            .iter()
            .flat_map(|&(key, value)| [key.to_ne_bytes(), value.to_ne_bytes()])
            .flatten()
            .collect()
    }

    #[test]
    fn the_kernels_word_counts() {
        assert!(is_secure(&vector(&[(6, 4096), (AT_SECURE, 1), (0, 0)])));
        assert!(!is_secure(&vector(&[(6, AT_SECURE), (AT_SECURE, 0), (0, 0)])));
        assert!(!is_secure(&[]));
        assert!(!is_secure(&[23, 0, 0]));
    }

    #[test]
    fn an_ordinary_process_is_not_refused() {
        refuse().unwrap();
    }
}
