//! Mount options, from words to what the kernel takes.
//!
//! Source: `config.md#mounts` and the option table of `config-linux.md` in the runtime-spec 1.3,
//! `mount(8)`, `mount_setattr(2)`.

use nix::mount::MsFlags;

use crate::error::{Error, Result};
use crate::sys::mount::{
    MOUNT_ATTR_ATIME_MASK, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME, MountAttr,
};

/// The options of one mount, sorted by who takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// A bind mount: `bind` or `rbind` was given.
    pub bind: bool,
    /// With the mounts below the source: `rbind`.
    pub recursive_bind: bool,
    /// Attributes of this mount.
    pub attr: MountAttr,
    /// Attributes of this mount and all below it (`rro` and its like).
    pub recursive_attr: MountAttr,
    /// Propagation: one of `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, and whether the
    /// mounts below get it too.
    pub propagation: Option<(MsFlags, bool)>,
    /// Superblock flags that `mount(2)` takes and `mount_setattr(2)` doesn't.
    pub superblock: MsFlags,
    /// What is left for the filesystem itself, comma-separated.
    pub data: String,
    /// The new tmpfs starts with what the directory under it holds.
    pub copy_up: bool,
    /// Ids are shifted; `Some(true)` for the mounts below too.
    pub idmap: Option<bool>,
    /// A symbolic link as source is mounted itself.
    pub source_nofollow: bool,
    /// What is mounted there already is changed.
    pub remount: bool,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            bind: false,
            recursive_bind: false,
            attr: MountAttr::default(),
            recursive_attr: MountAttr::default(),
            propagation: None,
            superblock: MsFlags::empty(),
            data: String::new(),
            copy_up: false,
            idmap: None,
            source_nofollow: false,
            remount: false,
        }
    }
}

/// Attribute words: name, bits to set, bits to clear. Each has a recursive twin with an `r` before.
const ATTRIBUTES: &[(&str, u64, u64)] = &[
    ("ro", MOUNT_ATTR_RDONLY, 0),
    ("rw", 0, MOUNT_ATTR_RDONLY),
    ("nosuid", MOUNT_ATTR_NOSUID, 0),
    ("suid", 0, MOUNT_ATTR_NOSUID),
    ("nodev", MOUNT_ATTR_NODEV, 0),
    ("dev", 0, MOUNT_ATTR_NODEV),
    ("noexec", MOUNT_ATTR_NOEXEC, 0),
    ("exec", 0, MOUNT_ATTR_NOEXEC),
    ("nodiratime", MOUNT_ATTR_NODIRATIME, 0),
    ("diratime", 0, MOUNT_ATTR_NODIRATIME),
    ("noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME_MASK),
    ("atime", 0, MOUNT_ATTR_ATIME_MASK),
    ("relatime", 0, MOUNT_ATTR_ATIME_MASK),
    ("norelatime", 0, MOUNT_ATTR_ATIME_MASK),
    ("strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME_MASK),
    ("nostrictatime", 0, MOUNT_ATTR_ATIME_MASK),
    ("nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0),
    ("symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW),
];

/// Superblock words: name, flag, whether the word clears it.
const SUPERBLOCK: &[(&str, MsFlags, bool)] = &[
    ("sync", MsFlags::MS_SYNCHRONOUS, false),
    ("async", MsFlags::MS_SYNCHRONOUS, true),
    ("dirsync", MsFlags::MS_DIRSYNC, false),
    ("lazytime", MsFlags::MS_LAZYTIME, false),
    ("nolazytime", MsFlags::MS_LAZYTIME, true),
    ("mand", MsFlags::MS_MANDLOCK, false),
    ("nomand", MsFlags::MS_MANDLOCK, true),
    ("iversion", MsFlags::MS_I_VERSION, false),
    ("noiversion", MsFlags::MS_I_VERSION, true),
    ("silent", MsFlags::MS_SILENT, false),
    ("loud", MsFlags::MS_SILENT, true),
];

const PROPAGATION: &[(&str, MsFlags)] = &[
    ("shared", MsFlags::MS_SHARED),
    ("slave", MsFlags::MS_SLAVE),
    ("private", MsFlags::MS_PRIVATE),
    ("unbindable", MsFlags::MS_UNBINDABLE),
];

/// Words that stand for themselves.
const WORDS: &[&str] =
    &["bind", "rbind", "idmap", "ridmap", "remount", "tmpcopyup", "defaults", "src-nofollow"];

/// Every option word that this runtime interprets itself, for `features`.
pub fn known_options() -> impl Iterator<Item = String> {
    let recursive = ATTRIBUTES.iter().map(|(word, ..)| format!("r{word}"));
    let propagation =
        PROPAGATION.iter().flat_map(|(word, _)| [(*word).to_owned(), format!("r{word}")]);
    ATTRIBUTES
        .iter()
        .map(|(word, ..)| (*word).to_owned())
        .chain(recursive)
        .chain(SUPERBLOCK.iter().map(|(word, ..)| (*word).to_owned()))
        .chain(propagation)
        .chain(WORDS.iter().map(|word| (*word).to_owned()))
}

/// Adds an attribute change: a later word overrides an earlier one.
fn apply(attr: &mut MountAttr, set: u64, clear: u64) {
    attr.attr_set &= !clear;
    attr.attr_set |= set;
    attr.attr_clr &= !set;
    attr.attr_clr |= clear;
    // Access time modes are a field, not bits: the kernel wants the whole field cleared with a
    // new mode.
    if attr.attr_set & MOUNT_ATTR_ATIME_MASK != 0 {
        attr.attr_clr |= MOUNT_ATTR_ATIME_MASK;
    }
}

impl MountOptions {
    /// Sorts the option words of one mount. `destination` is for the error.
    ///
    /// # Errors
    /// `InvalidArgument` for words with a NUL byte.
    pub fn parse(options: &[String], destination: &str) -> Result<Self> {
        let mut parsed = Self::default();
        for word in options {
            parsed.word(word, destination)?;
        }
        Ok(parsed)
    }

    fn word(&mut self, word: &str, destination: &str) -> Result<()> {
        let recursive_word = word.strip_prefix('r').unwrap_or("");
        let attribute = |name: &str| ATTRIBUTES.iter().find(|(known, ..)| *known == name);
        if let Some((_, set, clear)) = attribute(word) {
            apply(&mut self.attr, *set, *clear);
        } else if let Some((_, set, clear)) = attribute(recursive_word) {
            apply(&mut self.recursive_attr, *set, *clear);
        } else if let Some((_, flag, clears)) = SUPERBLOCK.iter().find(|(name, ..)| *name == word) {
            self.superblock.set(*flag, !clears);
        } else if let Some((_, flag)) = PROPAGATION.iter().find(|(name, _)| *name == word) {
            self.propagation = Some((*flag, false));
        } else if let Some((_, flag)) = PROPAGATION.iter().find(|(name, _)| *name == recursive_word)
        {
            self.propagation = Some((*flag, true));
        } else {
            match word {
                "" | "defaults" => {}
                "bind" => self.bind = true,
                "rbind" => {
                    self.bind = true;
                    self.recursive_bind = true;
                }
                "idmap" => self.idmap = Some(false),
                "ridmap" => self.idmap = Some(true),
                "tmpcopyup" => self.copy_up = true,
                "src-nofollow" => self.source_nofollow = true,
                "remount" => self.remount = true,
                other if other.contains('\0') => {
                    return Err(Error::invalid(
                        "mount on",
                        format!("`{destination}`: option with a NUL byte"),
                    ));
                }
                other => {
                    if !self.data.is_empty() {
                        self.data.push(',');
                    }
                    self.data.push_str(other);
                }
            }
        }
        Ok(())
    }

    /// The attributes as flags of `mount(2)`, for a new filesystem.
    #[must_use]
    pub fn mount_flags(&self) -> MsFlags {
        let mut flags = self.superblock;
        let set = self.attr.attr_set | self.recursive_attr.attr_set;
        for (bit, flag) in [
            (MOUNT_ATTR_RDONLY, MsFlags::MS_RDONLY),
            (MOUNT_ATTR_NOSUID, MsFlags::MS_NOSUID),
            (MOUNT_ATTR_NODEV, MsFlags::MS_NODEV),
            (MOUNT_ATTR_NOEXEC, MsFlags::MS_NOEXEC),
            (MOUNT_ATTR_NOATIME, MsFlags::MS_NOATIME),
            (MOUNT_ATTR_STRICTATIME, MsFlags::MS_STRICTATIME),
            (MOUNT_ATTR_NODIRATIME, MsFlags::MS_NODIRATIME),
        ] {
            flags.set(flag, set & bit != 0);
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> MountOptions {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        MountOptions::parse(&words, "/x").unwrap()
    }

    #[test]
    fn a_later_word_overrides_an_earlier_one() {
        let options = parse(&["ro", "rw"]);
        assert_eq!(options.attr.attr_set & MOUNT_ATTR_RDONLY, 0);
        assert_eq!(options.attr.attr_clr & MOUNT_ATTR_RDONLY, MOUNT_ATTR_RDONLY);
    }

    #[test]
    fn recursive_words_stay_apart_from_plain_ones() {
        let options = parse(&["rbind", "rro", "nosuid"]);
        assert!(options.bind && options.recursive_bind);
        assert_eq!(options.recursive_attr.attr_set, MOUNT_ATTR_RDONLY);
        assert_eq!(options.attr.attr_set, MOUNT_ATTR_NOSUID);
    }

    #[test]
    fn an_access_time_mode_clears_the_whole_field() {
        let options = parse(&["noatime"]);
        assert_eq!(options.attr.attr_set, MOUNT_ATTR_NOATIME);
        assert_eq!(options.attr.attr_clr & MOUNT_ATTR_ATIME_MASK, MOUNT_ATTR_ATIME_MASK);
    }

    #[test]
    fn unknown_words_go_to_the_filesystem_in_order() {
        assert_eq!(parse(&["mode=755", "nosuid", "size=64k"]).data, "mode=755,size=64k");
    }

    #[test]
    fn no_known_word_is_left_for_the_filesystem() {
        for word in known_options() {
            assert_eq!(parse(&[&word]).data, "", "{word}");
        }
    }
}
