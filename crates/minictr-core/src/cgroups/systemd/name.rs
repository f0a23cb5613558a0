//! What the unit of a container is called: `cgroupsPath` as runc and crun read it.

use crate::error::{Error, Result};

/// `NAME_MAX` of a unit, systemd.unit(5).
const MAX_NAME: usize = 255;

/// A scope and the slice that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeName {
    /// The slice, such as `machine.slice`; `a-b.slice` lies in `a.slice`, and systemd makes both.
    pub slice: String,
    /// The scope, such as `libpod-3f2a.scope`.
    pub unit: String,
}

impl ScopeName {
    /// Reads `slice:prefix:name`. Without a slice it is `system.slice`, or of a user's own systemd
    /// `user.slice`; without a path at all the scope is called by `fallback`.
    ///
    /// # Errors
    /// `InvalidArgument` for a path of another form, and for what can't be the name of a unit.
    pub fn parse(path: Option<&str>, fallback: &str, user: bool) -> Result<Self> {
        let default_slice = if user { "user.slice" } else { "system.slice" };
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            let unit = format!("{fallback}.scope");
            return Self { slice: default_slice.to_owned(), unit }.checked();
        };
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            // In runc's words.
            let what = format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"{path}\" instead"
            );
            return Err(Error::invalid("use cgroup driver `systemd`:", what)
                .hint("a path is for the cgroup driver `cgroupfs`: engine and runtime disagree"));
        };
        let slice = if slice.is_empty() { default_slice } else { slice };
        Self { slice: slice.to_owned(), unit: format!("{prefix}-{name}.scope") }.checked()
    }

    fn checked(self) -> Result<Self> {
        let Self { slice, unit } = &self;
        let steps = slice.strip_suffix(".slice");
        // `-.slice` is the root of all; elsewhere each dash ends the name of a slice above.
        let nests = steps.is_some_and(|name| name == "-" || name.split('-').all(|s| !s.is_empty()));
        if !nests || !is_unit_name(slice) {
            return Err(Error::invalid("use slice", format!("`{slice}`")).hint(
                "a slice is called as `machine.slice`, or as `machine-web.slice` which lies in it",
            ));
        }
        if !is_unit_name(unit) {
            return Err(Error::invalid("use scope", format!("`{unit}`")).hint(
                "the name of a unit has at most 255 letters, digits and characters of `:-_.\\@`",
            ));
        }
        Ok(self)
    }
}

/// Characters and length of a unit's name, systemd.unit(5).
fn is_unit_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
}

/// Refuses a path that means a unit where no systemd is asked.
///
/// # Errors
/// `InvalidArgument` for `slice:prefix:name`.
pub fn refuse_unit(path: &str) -> Result<()> {
    let parts: Vec<&str> = path.split(':').collect();
    let is_unit =
        matches!(parts[..], [slice, _, _] if slice.is_empty() || slice.ends_with(".slice"));
    if !is_unit || path.contains('/') {
        return Ok(());
    }
    let what = format!(
        "`{path}` of cgroupsPath: it is \"slice:prefix:name\" for the cgroup driver `systemd`"
    );
    Err(Error::invalid("use cgroup driver `cgroupfs`:", what)
        .hint("give `--systemd-cgroup`, or set the engine's cgroup driver to `cgroupfs`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str, user: bool) -> (String, String) {
        let name = ScopeName::parse(Some(path), "minictr-c1", user).unwrap();
        (name.slice, name.unit)
    }

    #[test]
    fn slice_prefix_and_name_are_those_of_engines() {
        assert_eq!(
            parsed("machine.slice:libpod:3f2a", false),
            ("machine.slice".into(), "libpod-3f2a.scope".into())
        );
        assert_eq!(
            parsed("kubepods-besteffort-pod1.slice:cri-containerd:a1", false).0,
            "kubepods-besteffort-pod1.slice"
        );
        assert_eq!(parsed(":docker:x", false).0, "system.slice");
        assert_eq!(parsed(":docker:x", true).0, "user.slice");
        assert_eq!(parsed("", true), ("user.slice".into(), "minictr-c1.scope".into()));
        assert_eq!(parsed("-.slice:a:b", false).0, "-.slice");
    }

    #[test]
    fn refuses_what_is_no_unit() {
        let refused = |path: &str, words: &str| {
            let error = ScopeName::parse(Some(path), "x", false).unwrap_err();
            assert!(error.message().contains(words), "{path}: {error}");
        };
        refused("/a/b", "expected cgroupsPath to be of format \"slice:prefix:name\"");
        refused("a:b", "got \"a:b\" instead");
        refused("machine:a:b", "use slice `machine`");
        refused("a--b.slice:a:b", "use slice");
        refused("../x.slice:a:b", "use slice");
        refused("a.slice:b:c/d", "use scope");
        refused("a.slice:b:é", "use scope");
        refused(&format!("a.slice:b:{}", "c".repeat(300)), "use scope");
    }

    #[test]
    fn a_unit_is_refused_where_no_systemd_is_asked() {
        for path in ["machine.slice:libpod:x", ":libpod:x"] {
            let error = refuse_unit(path).unwrap_err();
            assert!(error.message().contains("`cgroupfs`"), "{error}");
            assert!(error.message().contains("`systemd`"), "{error}");
        }
        for path in ["/a/b", "a", "a:b:c", "x.slice:a/b:c", "/system.slice:a:b"] {
            refuse_unit(path).unwrap();
        }
    }
}
