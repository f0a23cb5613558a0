//! The hierarchies of a machine, and the cgroups that are made in them.

use std::ffi::CString;

use nix::errno::Errno;

use super::cgroup::Cgroup;
use super::detect::{self, Hierarchy};
use super::make::Place;
use super::plan::{self, CgroupSpec, Controller, V2_ALWAYS};
use super::v2;
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::mounts::CgroupMount;
use crate::spec::Resources;
use crate::sys::files::read_text;

/// Controllers that a container's cgroup takes, each with whether there is no point without it.
pub(super) type Needed = Vec<(Controller, bool)>;

/// The hierarchies of this machine, as this process sees them.
#[derive(Debug)]
pub struct Hierarchies {
    pub(super) found: Vec<Hierarchy>,
    /// What a cgroup of each can have.
    offers: Vec<Vec<Controller>>,
}

impl Hierarchies {
    /// Looks at `/proc/self/mountinfo` and `/proc/self/cgroup`.
    ///
    /// # Errors
    /// `Cgroup` where they can't be read.
    pub fn detect() -> Result<Self> {
        let read =
            |path: &str| read_text(path).context(ErrorCode::Cgroup, "read", format!("`{path}`"));
        Ok(Self::of(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?))
    }

    /// The hierarchies that the texts of `/proc/PID/mountinfo` and `/proc/PID/cgroup` tell of; with
    /// lines left out, a machine that has fewer.
    #[must_use]
    pub fn of(mountinfo: &str, membership: &str) -> Self {
        let found = detect::hierarchies(mountinfo, membership);
        let v2_controllers: Vec<String> = found
            .iter()
            .find(|hierarchy| hierarchy.v2)
            .and_then(|v2| {
                let file = format!("{}/cgroup.controllers", v2.directory(&v2.own));
                read_text(&file).ok()
            })
            .map(|text| text.split_ascii_whitespace().map(str::to_owned).collect())
            .unwrap_or_default();
        let offers = found.iter().map(|hierarchy| offers(hierarchy, &v2_controllers)).collect();
        Self { found, offers }
    }

    /// The mounts that show a container the hierarchies as this machine combines them.
    #[must_use]
    pub fn mounts(&self) -> Vec<CgroupMount> {
        detect::mounts(&self.found)
    }

    /// As [`Hierarchies::mounts`], of a container without a cgroup namespace of its own: in each
    /// hierarchy what is below its own cgroup, or below this process's where it gets none.
    #[must_use]
    pub fn bound_mounts(&self, spec: &CgroupSpec<'_>) -> Vec<CgroupMount> {
        let planned = self.planned_paths(spec);
        let mut mounts = self.mounts();
        for (mount, hierarchy) in mounts.iter_mut().zip(&self.found) {
            let own = planned.iter().filter(|path| hierarchy.split(path).is_some()).cloned();
            let directories = own.chain([hierarchy.directory(&hierarchy.own)]);
            mount.bound = directories.flat_map(CString::new).collect();
        }
        mounts
    }

    /// Whether there is no hierarchy of v1.
    pub(super) fn only_v2(&self) -> bool {
        self.found.iter().all(|hierarchy| hierarchy.v2)
    }

    /// The directories of a cgroup in all hierarchies, given by its path in them.
    pub(super) fn directories(&self, cgroup: &str) -> Vec<String> {
        self.found.iter().map(|hierarchy| hierarchy.directory(cgroup)).collect()
    }

    /// The directory of a cgroup of v2, given by its path there.
    pub(super) fn v2_directory(&self, cgroup: &str) -> Option<String> {
        let v2 = self.found.iter().find(|hierarchy| hierarchy.v2)?;
        Some(v2.directory(cgroup))
    }

    /// The directory of this process's cgroup of v2.
    pub(super) fn own_v2_directory(&self) -> Option<String> {
        let v2 = self.found.iter().find(|hierarchy| hierarchy.v2)?;
        Some(v2.directory(&v2.own))
    }

    /// Each hierarchy with what a cgroup of it can have.
    fn offering(&self) -> impl Iterator<Item = (&Hierarchy, &[Controller])> {
        self.found.iter().zip(self.offers.iter().map(Vec::as_slice))
    }

    /// What a cgroup of v2 can have; nothing where there is no v2.
    fn offers_of_v2(&self) -> &[Controller] {
        self.offering().find(|(hierarchy, _)| hierarchy.v2).map_or(&[], |(_, offers)| offers)
    }

    /// The hierarchy that has a controller, v1 first: where v2 has it too, v1 hasn't, but for what
    /// every v2 cgroup can do.
    fn of_controller(&self, controller: Controller) -> Option<&Hierarchy> {
        let has = |v2: bool| {
            self.offering()
                .find(|(hierarchy, offers)| hierarchy.v2 == v2 && offers.contains(&controller))
        };
        has(false).or_else(|| has(true)).map(|(hierarchy, _)| hierarchy)
    }

    /// The hierarchies that a container needs, each with its controllers and whether they were asked
    /// for.
    fn needed<'h>(&'h self, spec: &CgroupSpec<'_>) -> Result<Vec<(&'h Hierarchy, Needed)>> {
        let mut needed: Vec<(&Hierarchy, Needed)> = Vec::new();
        let mut add = |hierarchy: &'h Hierarchy, entry: (Controller, bool)| match needed
            .iter_mut()
            .find(|(known, _)| std::ptr::eq(*known, hierarchy))
        {
            Some((_, controllers)) if controllers.iter().any(|(c, _)| *c == entry.0) => {}
            Some((_, controllers)) => controllers.push(entry),
            None => needed.push((hierarchy, vec![entry])),
        };
        for (controller, asked) in self.of_files(spec.resources())? {
            if let Some(hierarchy) = self.found.iter().find(|hierarchy| hierarchy.v2) {
                add(hierarchy, (controller, asked));
            }
        }
        for (controller, asked) in spec.controllers() {
            match self.of_controller(controller) {
                Some(hierarchy) => add(hierarchy, (controller, asked)),
                None if asked => return Err(plan::unavailable(controller, None)),
                None => {}
            }
        }
        // What v2 counts costs next to nothing where it is the container's main hierarchy.
        if let Some((_, controllers)) = needed.iter_mut().find(|(hierarchy, _)| hierarchy.v2) {
            let offers = self.offers_of_v2();
            for controller in [Controller::Io, Controller::HugePages] {
                let known = controllers.iter().any(|(known, _)| *known == controller);
                if !known && offers.contains(&Controller::Memory) && offers.contains(&controller) {
                    controllers.push((controller, false));
                }
            }
        }
        Ok(needed)
    }

    /// The controllers whose files `unified` names.
    ///
    /// # Errors
    /// `InvalidArgument` for a file that no cgroup here has.
    fn of_files(&self, resources: Option<&Resources>) -> Result<Vec<(Controller, bool)>> {
        let mut controllers = Vec::new();
        for file in resources.iter().flat_map(|resources| resources.unified.keys()) {
            let missing = |why: String| Error::invalid("set", format!("unified `{file}`: {why}"));
            if !self.found.iter().any(|hierarchy| hierarchy.v2) {
                return Err(missing("this machine has no cgroup v2".to_owned()));
            }
            match v2::unified::controller(file)? {
                None => controllers.push((Controller::CpuAccounting, true)),
                Some(name) => match Controller::named(name, true) {
                    Some(controller) if self.offers_of_v2().contains(&controller) => {
                        controllers.push((controller, true));
                    }
                    _ => return Err(missing(format!("cgroup v2 has no controller `{name}` here"))),
                },
            }
        }
        Ok(controllers)
    }

    /// Every place where a container's cgroup is, or may come to be later, when it is paused or a
    /// limit is changed that it didn't have. Memory's last: what a child is charged for before it is
    /// there is its parent's.
    fn places(&self, spec: &CgroupSpec<'_>) -> Vec<(&Hierarchy, Place)> {
        let mut places: Vec<(&Hierarchy, Place)> = self
            .offering()
            .filter(|(_, offers)| !offers.is_empty())
            .map(|(hierarchy, offers)| {
                let parents = plan::parents(hierarchy, spec);
                let make = spec.parent().is_some();
                let place = Place::of(hierarchy, offers.to_vec(), parents, spec.name(), make);
                (hierarchy, Place { take_empty: spec.names_path(), ..place })
            })
            .collect();
        places.sort_by_key(|(_, place)| place.offers.contains(&Controller::Memory));
        places
    }

    /// The directories in which the cgroup of a container is or may come to be: what a journal or a
    /// state file holds, for [`Cgroup::open`] and [`super::remove_leftover`]. Most of them never
    /// exist.
    #[must_use]
    pub fn planned_paths(&self, spec: &CgroupSpec<'_>) -> Vec<String> {
        if !spec.wanted() || plan::check_path(spec).is_err() {
            return Vec::new();
        }
        self.places(spec).iter().flat_map(|(_, place)| place.paths().collect::<Vec<_>>()).collect()
    }

    /// Where a container's cgroup is made.
    ///
    /// # Errors
    /// `CgroupUnavailable` for a limit that no hierarchy here has, `InvalidArgument` for a path that
    /// leads out of them and for a limit that this version of cgroups hasn't.
    pub fn plan(&self, spec: &CgroupSpec<'_>) -> Result<Planned> {
        plan::check_path(spec)?;
        let mut needed = self.needed(spec)?;
        let mut planned = Planned::default();
        for (hierarchy, place) in self.places(spec) {
            match needed.iter().position(|(known, _)| std::ptr::eq(*known, hierarchy)) {
                Some(found) => planned.first.push((place, needed.swap_remove(found).1)),
                None => planned.later.push(place),
            }
        }
        Ok(planned)
    }

    /// Makes a container's cgroup with its limits; nothing runs in it yet. `None` where none can be
    /// had and no limit was asked for.
    ///
    /// # Errors
    /// `CgroupUnavailable` where a limit was asked for and no writable cgroup can be had,
    /// `AlreadyExists` for a name that is taken, `Cgroup` for a limit that the kernel refuses,
    /// `InvalidArgument` for one that this version of cgroups hasn't.
    pub fn create(&self, spec: &CgroupSpec<'_>) -> Result<Option<Cgroup>> {
        self.plan(spec)?.make(spec)
    }

    /// Takes a cgroup over that somebody else has made for a container, which is in it, and puts its
    /// limits in force.
    ///
    /// # Errors
    /// As for [`Hierarchies::create`]; `Cgroup` where it is gone.
    pub(super) fn adopt(&self, paths: &[String], spec: &CgroupSpec<'_>) -> Result<Cgroup> {
        let Some(mut cgroup) = self.open(paths)? else {
            let object = format!("`{}`", paths.first().map_or("", String::as_str));
            return Err(Error::new(ErrorCode::Cgroup, "open cgroup", object).errno(Errno::ENOENT));
        };
        let files = self.of_files(spec.resources())?;
        for (controller, asked) in files.into_iter().chain(spec.controllers()) {
            if asked {
                cgroup.join(controller)?;
            }
        }
        cgroup.limit(spec)?;
        Ok(cgroup)
    }

    /// The cgroup that lies in some of these directories, as [`Hierarchies::planned_paths`] gave
    /// them; `None` where none of them exists.
    ///
    /// Paths outside the hierarchies are left alone: they come from a file.
    ///
    /// # Errors
    /// `Cgroup` where one can't be opened.
    pub fn open(&self, paths: &[String]) -> Result<Option<Cgroup>> {
        let mut cgroup = Cgroup::default();
        for (hierarchy, offers) in self.offering() {
            let below: Vec<(&str, &str)> =
                paths.iter().filter_map(|path| hierarchy.split(path)).collect();
            // systemd's own hierarchy, `name=systemd`, is among those of its units: whoever joins one
            // belongs there too, as systemd ends what it finds there.
            let Some((_, name)) = below.first() else { continue };
            let parents = below.iter().map(|(parent, _)| (*parent).to_owned()).collect();
            // An engine's parent may be in some hierarchies only: where it was made with a limit.
            let place = Place::of(hierarchy, offers.to_vec(), parents, name, true);
            match place.open() {
                Ok(member) => cgroup.members.push(member),
                Err(Errno::ENOENT) => cgroup.places.push(place),
                // Another user's, to be looked at by that user.
                Err(errno) => {
                    return Err(errno).context(
                        ErrorCode::Cgroup,
                        "open cgroup",
                        format!("`{}`", place.paths().next().unwrap_or_default()),
                    );
                }
            }
        }
        cgroup.members.sort_by_key(|member| member.has(Controller::Memory));
        Ok(if cgroup.members.is_empty() { None } else { Some(cgroup) })
    }
}

/// Where a container's cgroup is made, and where it may come to be later, when it is paused or gets a
/// limit that it didn't have.
#[derive(Debug, Default)]
pub struct Planned {
    first: Vec<(Place, Needed)>,
    later: Vec<Place>,
}

impl Planned {
    /// The directories that [`Planned::make`] may make.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.first.iter().flat_map(|(place, _)| place.paths()).collect()
    }

    /// Whether a process attaches itself to all of it, rather than to be cloned into it.
    #[must_use]
    pub fn is_v1(&self) -> bool {
        self.first.iter().all(|(place, _)| !place.v2)
    }

    /// As [`Cgroup::later_paths`].
    #[must_use]
    pub fn later_paths(&self) -> Vec<String> {
        self.later.iter().flat_map(Place::paths).collect()
    }

    /// Makes the cgroup, as [`Hierarchies::create`] does.
    ///
    /// # Errors
    /// Those of [`Hierarchies::create`].
    pub fn make(self, spec: &CgroupSpec<'_>) -> Result<Option<Cgroup>> {
        let mut cgroup = Cgroup::default();
        cgroup.places = self.later;
        for (place, controllers) in &self.first {
            match place.make(controllers) {
                Ok(member) => cgroup.members.push(member),
                Err(error) if refused(&error) => {
                    let asked = controllers.iter().find(|(_, asked)| *asked);
                    let Some((controller, _)) = asked else { continue };
                    cgroup.discard();
                    return Err(plan::unavailable(*controller, error.errno.map(Errno::from_raw)));
                }
                Err(error) => {
                    cgroup.discard();
                    return Err(error);
                }
            }
        }
        if cgroup.members.is_empty() {
            return Ok(None);
        }
        match cgroup.limit(spec) {
            Ok(()) => Ok(Some(cgroup)),
            Err(error) => {
                cgroup.discard();
                Err(error)
            }
        }
    }
}

/// What a cgroup of a hierarchy can have.
fn offers(hierarchy: &Hierarchy, v2_controllers: &[String]) -> Vec<Controller> {
    let names = if hierarchy.v2 { v2_controllers } else { &hierarchy.controllers };
    let named = names.iter().filter_map(|name| Controller::named(name, hierarchy.v2));
    let always = V2_ALWAYS.into_iter().filter(|_| hierarchy.v2);
    named.chain(always).collect()
}

/// Whether no cgroup can be made here, rather than this one.
fn refused(error: &Error) -> bool {
    error.code == ErrorCode::CgroupUnavailable
        && matches!(
            error.errno,
            Some(
                libc::EACCES
                    | libc::EPERM
                    | libc::EROFS
                    | libc::EBUSY
                    | libc::ENOENT
                    | libc::EINVAL
                    | libc::EXDEV
                    | libc::EOPNOTSUPP
            )
        )
}
