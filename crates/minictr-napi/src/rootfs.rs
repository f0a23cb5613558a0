//! Files of a rootfs: what `deploy` needs, and what is said of a program that can't start.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::Arc;

use minictr_core::diagnose;
use minictr_core::error::{Error, ErrorCode, Result};
use minictr_core::rootfs::deploy::{Kind, Rootfs};
use minictr_core::rootfs::overlay;
use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Task};
use napi_derive::napi;
use nix::errno::Errno;

use crate::failure::exception;

fn c_string(path: &str) -> Result<CString> {
    CString::new(path).map_err(|_| Error::invalid("use", "a path with a NUL byte"))
}

fn failed(operation: &str, path: &str) -> impl FnOnce(Errno) -> Error {
    let error = Error::new(ErrorCode::Io, operation, format!("`{path}`"));
    move |errno| error.errno(errno)
}

/// A directory that files are brought into. Every path is resolved inside it.
#[napi]
pub struct BindingRootfs {
    /// None once it is closed.
    rootfs: Option<Arc<Rootfs>>,
}

#[napi]
impl BindingRootfs {
    /// Opens a directory of the host's.
    #[napi(constructor)]
    pub fn new(path: String) -> napi::Result<Self> {
        let open = || Rootfs::open(&c_string(&path)?).map_err(failed("open rootfs", &path));
        Ok(Self { rootfs: Some(Arc::new(open().map_err(|error| exception(&error))?)) })
    }

    /// Makes a directory and those above it where missing.
    #[napi]
    pub fn make_directories(&self, path: String) -> napi::Result<()> {
        self.on("make directory", &path, |rootfs, path| rootfs.make_directories(path))
    }

    /// What is at a path: `file`, `directory`, `link`, `other`, or null for nothing.
    #[napi(ts_return_type = "'file' | 'directory' | 'link' | 'other' | null")]
    pub fn kind(&self, path: String) -> napi::Result<Option<String>> {
        let kind = self.on("look at", &path, |rootfs, path| rootfs.kind(path))?;
        Ok(kind.map(|kind| {
            match kind {
                Kind::File => "file",
                Kind::Directory => "directory",
                Kind::Link => "link",
                Kind::Other => "other",
            }
            .to_owned()
        }))
    }

    /// Copies a regular file of the host's in, whole or not at all.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn copy_file(&self, source: String, path: String) -> napi::Result<AsyncTask<CopyFile>> {
        let rootfs = Arc::clone(self.opened().map_err(|error| exception(&error))?);
        Ok(AsyncTask::new(CopyFile { rootfs, source, path }))
    }

    /// Lets go of the directory, which can't be unmounted until then, once copies under way are done.
    #[napi]
    pub fn close(&mut self) {
        self.rootfs = None;
    }

    fn opened(&self) -> Result<&Arc<Rootfs>> {
        self.rootfs
            .as_ref()
            .ok_or_else(|| Error::new(ErrorCode::WrongState, "use", "a closed rootfs"))
    }

    /// Makes a symbolic link, with times and owner of the host's link `source`.
    #[napi]
    pub fn symlink(&self, target: String, path: String, source: String) -> napi::Result<()> {
        let target = c_string(&target).map_err(|error| exception(&error))?;
        let source = c_string(&source).map_err(|error| exception(&error))?;
        self.on("make symbolic link", &path, |rootfs, path| {
            rootfs.symlink(&target, path)?;
            rootfs.dress_link(&source, path)
        })
    }

    /// Makes `path` another name of the file at `existing`.
    #[napi]
    pub fn link(&self, existing: String, path: String) -> napi::Result<()> {
        let existing = c_string(&existing).map_err(|error| exception(&error))?;
        self.on("link", &path, |rootfs, path| rootfs.link(&existing, path))
    }

    /// Gives a directory mode, times, attributes and owner of the host's directory `source`.
    #[napi]
    pub fn dress_directory(&self, source: String, path: String) -> napi::Result<()> {
        let source = c_string(&source).map_err(|error| exception(&error))?;
        self.on("set mode of", &path, |rootfs, path| rootfs.dress_directory(&source, path))
    }

    /// Removes what a killed `deploy` left half-made in a directory.
    #[napi]
    pub fn sweep(&self, path: String) -> napi::Result<()> {
        self.on("tidy", &path, |rootfs, path| rootfs.sweep(path))
    }

    fn on<T>(
        &self,
        operation: &str,
        path: &str,
        act: impl FnOnce(&Rootfs, &std::ffi::CStr) -> std::result::Result<T, Errno>,
    ) -> napi::Result<T> {
        c_string(path)
            .and_then(|c_path| act(self.opened()?, &c_path).map_err(failed(operation, path)))
            .map_err(|error| exception(&error))
    }
}

/// A copy under way on libuv's pool.
pub struct CopyFile {
    rootfs: Arc<Rootfs>,
    source: String,
    path: String,
}

#[napi]
impl Task for CopyFile {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> napi::Result<()> {
        let copy = || {
            let (source, path) = (c_string(&self.source)?, c_string(&self.path)?);
            let what = format!("{}` to `{}", self.source, self.path);
            self.rootfs.copy_file(&source, &path).map_err(failed("copy", &what))
        };
        copy().map_err(|error| exception(&error))
    }

    fn resolve(&mut self, _env: Env, _output: ()) -> napi::Result<()> {
        Ok(())
    }
}

/// A file that a program needs to start.
#[napi(object)]
pub struct BindingLibrary {
    /// Where it is on the host.
    pub source: String,
    /// Where the program will look for it.
    pub target: String,
}

/// The loader and shared libraries of a program of the host's that is going to be at `target` in a
/// rootfs; none for a static one.
#[napi]
pub fn library_closure(program: String, target: String) -> napi::Result<Vec<BindingLibrary>> {
    let root =
        Rootfs::open(c"/").map_err(failed("open", "/")).map_err(|error| exception(&error))?;
    let found = diagnose::library_closure(root.fd(), &program, &target)
        .map_err(|error| exception(&error))?;
    Ok(found
        .into_iter()
        .map(|file| BindingLibrary { source: file.source, target: file.target })
        .collect())
}

/// Whether a directory of the rootfs can be removed in a private layer: since Linux 6.6.
#[napi]
pub fn layer_loses_directories() -> bool {
    overlay::layer_loses_directories()
}

/// Why a program of a rootfs ended with 127, as an error's JSON; null where nothing is missing.
#[napi(ts_return_type = "Promise<string | null>")]
pub fn explain_program(rootfs: String, program: String) -> AsyncTask<ExplainProgram> {
    AsyncTask::new(ExplainProgram { rootfs, program })
}

/// A look at a program on libuv's pool.
pub struct ExplainProgram {
    rootfs: String,
    program: String,
}

#[napi]
impl Task for ExplainProgram {
    type Output = Option<String>;
    type JsValue = Option<String>;

    fn compute(&mut self) -> napi::Result<Option<String>> {
        let explanation = c_string(&self.rootfs)
            .ok()
            .and_then(|path| Rootfs::open(&path).ok())
            .and_then(|root| diagnose::explain_missing_libraries(root.fd().as_fd(), &self.program));
        Ok(explanation.and_then(|error| serde_json::to_string(&error).ok()))
    }

    fn resolve(&mut self, _env: Env, output: Option<String>) -> napi::Result<Option<String>> {
        Ok(output)
    }
}
