//! Shared libraries: which ones a program needs, and where they are. `ld.so(8)`.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

use super::{elf, open};
use crate::error::{Error, ErrorCode, Result};

/// A file that a program needs to start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LibraryFile {
    /// Where it was found.
    pub source: String,
    /// Where the program will look for it.
    pub target: String,
}

/// Libraries that one program may need at the most.
const MAX_FILES: usize = 1024;
/// Bytes of a configuration file that are read.
const MAX_CONFIG_BYTES: usize = 64 * 1024;
const MAX_CONFIG_FILES: usize = 256;

/// Where every loader looks at the end.
const DEFAULT_DIRECTORIES: &[&str] = &["/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// Directories of musl's loader where it has no configuration.
const MUSL_DIRECTORIES: &[&str] = &["/lib", "/usr/local/lib", "/usr/lib"];

struct Search<'root> {
    root: BorrowedFd<'root>,
    directories: Vec<String>,
}

fn read_text(root: BorrowedFd<'_>, path: &str) -> String {
    let Ok(file) = open(root, path, libc::O_RDONLY) else { return String::new() };
    let mut text = vec![0; MAX_CONFIG_BYTES];
    let count = nix::sys::uio::pread(&file, &mut text, 0).unwrap_or(0);
    String::from_utf8_lossy(&text[..count]).into_owned()
}

/// The directories of `/etc/ld.so.conf`, files that it includes from one directory with it.
fn configured(root: BorrowedFd<'_>) -> Vec<String> {
    let mut directories = Vec::new();
    let mut files = vec!["/etc/ld.so.conf".to_owned()];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        seen += 1;
        if seen > MAX_CONFIG_FILES {
            break;
        }
        for line in read_text(root, &path).lines().map(str::trim) {
            match line.strip_prefix("include ") {
                Some(pattern) => files.extend(included(root, pattern.trim())),
                None if line.starts_with('/') => directories.push(line.to_owned()),
                None => {}
            }
        }
    }
    directories
}

/// The files of `DIRECTORY/*.conf`.
fn included(root: BorrowedFd<'_>, pattern: &str) -> Vec<String> {
    let Some(directory) = pattern.strip_suffix("/*.conf") else { return Vec::new() };
    let directory =
        if directory.starts_with('/') { directory.to_owned() } else { format!("/etc/{directory}") };
    let Ok(listing) = open(root, &directory, libc::O_RDONLY | libc::O_DIRECTORY) else {
        return Vec::new();
    };
    let Ok(mut listing) = nix::dir::Dir::from_fd(listing) else { return Vec::new() };
    let mut names: Vec<String> = listing
        .iter()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| name.ends_with(".conf"))
        .take(MAX_CONFIG_FILES)
        .collect();
    names.sort();
    names.into_iter().map(|name| format!("{directory}/{name}")).collect()
}

impl<'root> Search<'root> {
    fn new(root: BorrowedFd<'root>, loader: &str) -> Self {
        let mut directories = Vec::new();
        if loader.contains("musl") {
            directories.extend(MUSL_DIRECTORIES.iter().map(|path| (*path).to_owned()));
        } else {
            directories.extend(configured(root));
            // Debian's loader has its own architecture's directories built in.
            let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
            directories.extend([format!("/lib/{triple}"), format!("/usr/lib/{triple}")]);
            directories.extend(DEFAULT_DIRECTORIES.iter().map(|path| (*path).to_owned()));
        }
        Self { root, directories }
    }

    /// The library that `needed` names, for a file whose directory is `origin`.
    ///
    /// A path with `$ORIGIN` is another one where the file is going to be.
    fn find(&self, needed: &str, wanted: &elf::Elf, origin: &Origin) -> Option<LibraryFile> {
        let own = wanted.library_paths.iter();
        let own =
            own.map(|path| (in_origin(path, &origin.source), in_origin(path, &origin.target)));
        let everywhere = self.directories.iter().map(|path| (path.clone(), path.clone()));
        let file = |directory: &str| format!("{}/{needed}", directory.trim_end_matches('/'));
        if needed.contains('/') {
            return self
                .fits(needed, wanted)
                .then(|| LibraryFile { source: needed.to_owned(), target: needed.to_owned() });
        }
        own.chain(everywhere)
            .map(|(source, target)| LibraryFile { source: file(&source), target: file(&target) })
            .find(|library| self.fits(&library.source, wanted))
    }

    /// Whether a file exists and is for the same machine.
    fn fits(&self, path: &str, wanted: &elf::Elf) -> bool {
        let Ok(file) = open(self.root, path, libc::O_RDONLY) else { return false };
        elf::read(file.as_fd())
            .is_ok_and(|found| found.machine == wanted.machine && found.bits == wanted.bits)
    }
}

/// The directory of a file: where it is, and where it is going to be.
struct Origin {
    source: String,
    target: String,
}

impl Origin {
    fn of(file: &LibraryFile) -> Self {
        let directory =
            |path: &str| path.rsplit_once('/').map_or("/", |(directory, _)| directory).to_owned();
        Self { source: directory(&file.source), target: directory(&file.target) }
    }
}

fn in_origin(path: &str, origin: &str) -> String {
    path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
}

/// Everything that a program needs to start, and what of it isn't there. The program is looked at in
/// the root at `source`, and is going to be at `target`.
fn walk(
    root: BorrowedFd<'_>,
    program: &LibraryFile,
) -> Option<(BTreeSet<LibraryFile>, BTreeSet<String>)> {
    let file = open(root, &program.source, libc::O_RDONLY).ok()?;
    let start = elf::read(file.as_fd()).ok()?;
    let loader = start.interpreter.clone()?;
    let search = Search::new(root, &loader);
    let mut found = BTreeSet::new();
    let mut missing = BTreeSet::new();
    if open(root, &loader, libc::O_PATH).is_ok() {
        found.insert(LibraryFile { source: loader.clone(), target: loader.clone() });
    } else {
        missing.insert(loader.clone());
    }
    let mut waiting = vec![(program.clone(), start)];
    let mut seen: BTreeSet<String> = BTreeSet::new();
    while let Some((file, elf)) = waiting.pop() {
        let origin = Origin::of(&file);
        for needed in &elf.needed {
            // The loader is a library of itself.
            if loader.ends_with(&format!("/{needed}")) || !seen.insert(needed.clone()) {
                continue;
            }
            if seen.len() > MAX_FILES {
                break;
            }
            match search.find(needed, &elf, &origin) {
                Some(library) => {
                    let next = open(root, &library.source, libc::O_RDONLY).ok();
                    if let Some(next) = next.and_then(|file| elf::read(file.as_fd()).ok()) {
                        waiting.push((library.clone(), next));
                    }
                    found.insert(library);
                }
                None => {
                    missing.insert(needed.clone());
                }
            }
        }
    }
    Some((found, missing))
}

/// The loader and all shared libraries of a program that is going to be at `target`; none for a
/// static one.
///
/// # Errors
/// `NotFound` where the program needs a library that isn't there either.
pub fn library_closure(
    root: BorrowedFd<'_>,
    program: &str,
    target: &str,
) -> Result<Vec<LibraryFile>> {
    let start = LibraryFile { source: program.to_owned(), target: target.to_owned() };
    let Some((found, missing)) = walk(root, &start) else { return Ok(Vec::new()) };
    if let Some(library) = missing.first() {
        return Err(Error::new(
            ErrorCode::NotFound,
            "find library",
            format!("`{library}`, which `{program}` needs"),
        )
        .hint("install it on this machine, or link the program statically"));
    }
    Ok(found.into_iter().collect())
}

/// The sentence for a program that ended with 127 because libraries of it aren't in the rootfs;
/// `None` where none is missing.
#[must_use]
pub fn explain_missing_libraries(root: BorrowedFd<'_>, program: &str) -> Option<Error> {
    let start = LibraryFile { source: program.to_owned(), target: program.to_owned() };
    let (_, missing) = walk(root, &start)?;
    if missing.is_empty() {
        return None;
    }
    let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
    let object = format!("`{program}`: not in the container: {}", names.join(", "));
    Some(
        Error::new(ErrorCode::CommandNotFound, "run", object)
            .hint("bring the loader and the libraries along with `minictr deploy --libs`"),
    )
}
