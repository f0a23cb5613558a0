//! What a program needs to start, read from its ELF header. `elf(5)`.
//!
//! The file is hostile: every offset is checked, and no more than [`MAX_BYTES`] of any part is read.

use std::os::fd::BorrowedFd;

use nix::sys::uio::pread;

/// Most that one table or string may take.
const MAX_BYTES: usize = 256 * 1024;
const MAX_HEADERS: usize = 128;
const MAX_NEEDED: usize = 512;

/// What stands in an ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elf {
    /// `EM_…`.
    pub machine: u16,
    /// 32 or 64.
    pub bits: u8,
    /// The loader, of a dynamically linked program.
    pub interpreter: Option<String>,
    /// Libraries, as the file names them.
    pub needed: Vec<String>,
    /// Directories to look for them in, `RPATH` or `RUNPATH`, with `$ORIGIN` as it stands.
    pub library_paths: Vec<String>,
}

/// Why a file is no ELF program that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotElf {
    /// It has no ELF header.
    Other,
    /// It begins like one and ends too early, or contradicts itself.
    Truncated,
}

struct File<'fd> {
    fd: BorrowedFd<'fd>,
    wide: bool,
    little: bool,
}

impl File<'_> {
    fn bytes(&self, offset: u64, length: usize) -> Result<Vec<u8>, NotElf> {
        if length > MAX_BYTES {
            return Err(NotElf::Truncated);
        }
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let at = i64::try_from(offset).ok().and_then(|at| at.checked_add(filled as i64));
            match pread(self.fd, &mut bytes[filled..], at.ok_or(NotElf::Truncated)?) {
                Ok(0) | Err(_) => return Err(NotElf::Truncated),
                Ok(count) => filled += count,
            }
        }
        Ok(bytes)
    }

    /// A number of `size` bytes in the file's byte order.
    fn number(&self, bytes: &[u8], at: usize, size: usize) -> Result<u64, NotElf> {
        let field = bytes.get(at..at + size).ok_or(NotElf::Truncated)?;
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Ok(if self.little { field.iter().rev().fold(0, fold) } else { field.iter().fold(0, fold) })
    }

    /// A number as wide as an address, at the offset for 64 or for 32 bits.
    fn word(&self, bytes: &[u8], wide_at: usize, narrow_at: usize) -> Result<u64, NotElf> {
        if self.wide { self.number(bytes, wide_at, 8) } else { self.number(bytes, narrow_at, 4) }
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Reads a file's headers.
///
/// # Errors
/// [`NotElf`].
pub fn read(fd: BorrowedFd<'_>) -> Result<Elf, NotElf> {
    let mut file = File { fd, wide: true, little: true };
    let ident = file.bytes(0, 16).map_err(|_| NotElf::Other)?;
    if ident[..4] != *b"\x7fELF" {
        return Err(NotElf::Other);
    }
    file.wide = ident[4] == 2;
    file.little = ident[5] != 2;
    let header = file.bytes(0, if file.wide { 64 } else { 52 })?;
    let mut elf = Elf {
        machine: file.number(&header, 18, 2)? as u16,
        bits: if file.wide { 64 } else { 32 },
        ..Elf::default()
    };
    let table = file.word(&header, 32, 28)?;
    let size = file.number(&header, if file.wide { 54 } else { 42 }, 2)? as usize;
    let count = file.number(&header, if file.wide { 56 } else { 44 }, 2)? as usize;
    if count > MAX_HEADERS || size < if file.wide { 56 } else { 32 } {
        return Err(NotElf::Truncated);
    }
    let headers = file.bytes(table, size * count)?;
    let mut loads = Vec::new();
    let mut dynamic = None;
    for header in headers.chunks_exact(size) {
        const LOAD: u64 = 1;
        const DYNAMIC: u64 = 2;
        const INTERPRETER: u64 = 3;
        let offset = file.word(header, 8, 4)?;
        let address = file.word(header, 16, 8)?;
        let length = file.word(header, 32, 16)?;
        match file.number(header, 0, 4)? {
            LOAD => loads.push((address, length, offset)),
            DYNAMIC => dynamic = Some((offset, length)),
            INTERPRETER => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                elf.interpreter = Some(text(&file.bytes(offset, length.min(4096))?));
            }
            _ => {}
        }
    }
    if let Some((offset, length)) = dynamic {
        read_dynamic(&file, offset, length, &loads, &mut elf)?;
    }
    Ok(elf)
}

fn read_dynamic(
    file: &File<'_>,
    offset: u64,
    length: u64,
    loads: &[(u64, u64, u64)],
    elf: &mut Elf,
) -> Result<(), NotElf> {
    const NEEDED: u64 = 1;
    const STRINGS: u64 = 5;
    const STRINGS_SIZE: u64 = 10;
    const RPATH: u64 = 15;
    const RUNPATH: u64 = 29;
    let width = if file.wide { 16 } else { 8 };
    let length = usize::try_from(length).map_err(|_| NotElf::Truncated)?;
    let table = file.bytes(offset, length - length % width)?;
    let mut wanted = Vec::new();
    let mut paths = Vec::new();
    let (mut strings_at, mut strings_size) = (None, 0);
    for entry in table.chunks_exact(width) {
        let value = file.word(entry, 8, 4)?;
        match file.word(entry, 0, 0)? {
            0 => break,
            NEEDED if wanted.len() < MAX_NEEDED => wanted.push(value),
            RPATH | RUNPATH => paths.push(value),
            STRINGS => strings_at = Some(value),
            STRINGS_SIZE => strings_size = value,
            _ => {}
        }
    }
    // The string table is named by its address in memory.
    let Some(address) = strings_at else { return Ok(()) };
    let Some((load, _, at)) =
        loads.iter().find(|(load, size, _)| address >= *load && address - load < *size)
    else {
        return Err(NotElf::Truncated);
    };
    let at = at.checked_add(address - load).ok_or(NotElf::Truncated)?;
    let size = usize::try_from(strings_size).unwrap_or(usize::MAX).min(MAX_BYTES);
    let strings = file.bytes(at, size)?;
    let string = |offset: u64| {
        let offset = usize::try_from(offset).ok()?;
        strings.get(offset..).map(text).filter(|name| !name.is_empty())
    };
    elf.needed = wanted.into_iter().filter_map(string).collect();
    elf.library_paths = paths
        .into_iter()
        .filter_map(string)
        .flat_map(|list| list.split(':').map(str::to_owned).collect::<Vec<_>>())
        .filter(|path| !path.is_empty())
        .collect();
    Ok(())
}

/// The name of a machine that people know.
#[must_use]
pub fn machine_name(machine: u16, bits: u8) -> String {
    match (machine, bits) {
        (62, 32) => "x32".to_owned(),
        (62, _) => "x86_64".to_owned(),
        (3, _) => "i386".to_owned(),
        (183, _) => "aarch64".to_owned(),
        (40, _) => "arm".to_owned(),
        (243, _) => "riscv64".to_owned(),
        (22, _) => "s390x".to_owned(),
        (21, _) => "powerpc64".to_owned(),
        (8, _) => "mips".to_owned(),
        (258, _) => "loongarch64".to_owned(),
        (other, _) => format!("machine number {other}"),
    }
}

/// Whether this machine's CPU could run it.
#[must_use]
pub fn is_native(machine: u16) -> bool {
    if cfg!(target_arch = "x86_64") {
        matches!(machine, 62 | 3)
    } else {
        matches!(machine, 183 | 40)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    fn file_of(bytes: &[u8]) -> std::fs::File {
        let path = std::env::temp_dir().join(format!(
            "minictr-elf-{}-{}",
            std::process::id(),
            bytes.len()
        ));
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(bytes).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    #[test]
    fn a_dynamic_program_names_its_loader_and_libraries() {
        let own = std::fs::File::open("/proc/self/exe").unwrap();
        let elf = read(own.as_fd()).unwrap();
        assert!(elf.interpreter.is_some_and(|loader| loader.contains("ld-")));
        assert!(elf.needed.iter().any(|library| library.starts_with("libc.")));
    }

    #[test]
    fn every_cut_and_every_broken_byte_is_an_answer_not_a_panic() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        let head = &whole[..8192.min(whole.len())];
        for cut in (0..head.len()).step_by(61) {
            let _ = read(file_of(&head[..cut]).as_fd());
        }
        let mut state = 88_172_645_463_325_252u64;
        for _ in 0..600 {
            let mut broken = head.to_vec();
            for _ in 0..8 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = (state as usize >> 8) % 1024;
                broken[at] = state as u8;
            }
            let _ = read(file_of(&broken).as_fd());
        }
    }

    #[test]
    fn text_is_not_elf() {
        assert_eq!(read(file_of(b"#!/bin/sh\necho hello there\n").as_fd()), Err(NotElf::Other));
    }
}
