//! One JavaScript environment's view of the spawner.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minictr_core::error::{Context, Error, ErrorCode};
use minictr_core::spawn::Exit;
use minictr_core::sys;
use napi::bindgen_prelude::{Either3, FnArgs, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::{Env, Status};
use napi_derive::napi;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::failure::exception;
use crate::hub::{Listener, News, hub};

/// A descriptor of `launch`: nothing but `/dev/null`.
const NULL: i32 = -1;
/// A descriptor of `launch`: a new pipe, whose other end is returned.
const PIPE: i32 = -2;

/// The containers of one JavaScript environment.
#[napi]
pub struct BindingSession {
    number: u64,
    listener: Listener,
}

/// A container that is being started, with our ends of its pipes; -1 where there is none.
#[napi(object)]
pub struct BindingLaunch {
    /// The container's number, in every event about it.
    pub launch: f64,
    /// Writing end.
    pub stdin: i32,
    /// Reading end.
    pub stdout: i32,
    /// Reading end.
    pub stderr: i32,
}

/// Arguments of JavaScript's function.
type Call = FnArgs<(f64, Either3<f64, Vec<f64>, String>, i32)>;

struct Told {
    launch: f64,
    news: News,
    fd: i32,
}

/// An [`Exit`] in numbers: status and signal (-1 where there is none), three answers of 0 or 1, then
/// duration, both CPU times and memory.
fn numbers(exit: &Exit) -> Vec<f64> {
    let or_none = |value: Option<i32>| f64::from(value.unwrap_or(-1));
    vec![
        or_none(exit.code),
        or_none(exit.signal),
        f64::from(u8::from(exit.timed_out)),
        f64::from(u8::from(exit.cpu_time_exceeded)),
        f64::from(u8::from(exit.oom_killed)),
        exit.duration_us as f64,
        exit.cpu_user_us as f64,
        exit.cpu_system_us as f64,
        exit.peak_memory_bytes as f64,
    ]
}

#[napi]
impl BindingSession {
    /// Makes a session whose events go to `onEvent`: the launch, what happened, and at a start the
    /// pty's master or -1. What happened is the process id for a start, numbers for an end (exit
    /// status and signal or -1, whether it timed out, whether its CPU time was used up, whether it
    /// ran out of memory, microseconds in all, in user mode, in the kernel, most bytes of memory),
    /// else the event as JSON. `helper` is the path of the executable `minictr-oci`.
    #[napi(
        constructor,
        ts_args_type = "helper: string, onEvent: (launch: number, news: number | number[] | string, fd: number) => void"
    )]
    pub fn new(env: Env, helper: String, on_event: Function<'_, Call, ()>) -> napi::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        hub().map_err(|error| exception(&error))?.set_helper(helper.into());
        // Weak: TypeScript holds the event loop while containers are attached, nothing else does.
        let function = on_event
            .build_threadsafe_function::<Told>()
            .weak::<true>()
            .callee_handled::<false>()
            .build_callback(|context| {
                let Told { launch, news, fd } = context.value;
                let news = match news {
                    News::Started(pid) => Either3::A(f64::from(pid)),
                    News::Exited(exit) => Either3::B(numbers(&exit)),
                    News::Other(json) => Either3::C(json),
                };
                Ok(FnArgs::from((launch, news, fd)))
            })?;
        let listener: Listener = Arc::new(move |launch, news, fd| {
            let told = Told { launch: launch as f64, news, fd };
            // An environment that is going away takes no calls: its containers are ended by the
            // hook below.
            let status: Status = function.call(told, ThreadsafeFunctionCallMode::NonBlocking);
            if status != Status::Ok && fd >= 0 {
                drop(sys::own_received(fd));
            }
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        env.add_env_cleanup_hook(number, |number| {
            if let Ok(hub) = hub() {
                hub.close(number);
            }
        })?;
        Ok(Self { number, listener })
    }

    /// Starts a container. `request` is a launch request as JSON, whose `stdio` and `preserveFds`
    /// count the descriptors in the order given here, those of -1 left out. `stdio` holds a
    /// descriptor, -1 for `/dev/null` or -2 for a new pipe, three times.
    ///
    /// Throws the core's error as JSON in the message.
    #[napi]
    pub fn launch(
        &self,
        request: String,
        stdio: Vec<i32>,
        preserve_fds: Vec<i32>,
    ) -> napi::Result<BindingLaunch> {
        self.start(request, &stdio, &preserve_fds).map_err(|error| exception(&error))
    }

    fn start(
        &self,
        request: String,
        stdio: &[i32],
        preserve_fds: &[i32],
    ) -> minictr_core::error::Result<BindingLaunch> {
        let mut fds = Vec::with_capacity(stdio.len() + preserve_fds.len());
        let mut ours: [Option<OwnedFd>; 3] = [None, None, None];
        for (position, fd) in stdio.iter().take(3).enumerate() {
            match *fd {
                NULL => {}
                PIPE => {
                    let (reading, writing) =
                        nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(no_room)?;
                    let (kept, given) =
                        if position == 0 { (writing, reading) } else { (reading, writing) };
                    fcntl(&kept, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(no_room)?;
                    ours[position] = Some(kept);
                    fds.push(given);
                }
                fd => fds.push(copy(fd)?),
            }
        }
        for fd in preserve_fds {
            fds.push(copy(*fd)?);
        }
        let listener = Arc::clone(&self.listener);
        let launch = hub()?.launch(self.number, listener, request.into_bytes(), fds)?;
        let [stdin, stdout, stderr] = ours.map(|end| end.map_or(-1, |end| end.into_raw_fd()));
        Ok(BindingLaunch { launch: launch as f64, stdin, stdout, stderr })
    }

    /// Sends a signal to the container's first process, or SIGKILL to everything in it.
    #[napi]
    pub fn kill(&self, launch: f64, signal: i32, whole_container: bool) -> napi::Result<()> {
        hub()
            .and_then(|hub| hub.kill(launch as u64, signal, whole_container))
            .map_err(|error| exception(&error))
    }

    /// Ends a container wherever it is, being started or running.
    #[napi]
    pub fn abort(&self, launch: f64) -> napi::Result<()> {
        hub().and_then(|hub| hub.abort(launch as u64)).map_err(|error| exception(&error))
    }

    /// Asks for statistics; they come as an event with the same `token`.
    #[napi]
    pub fn stats(&self, launch: f64, token: u32) -> napi::Result<()> {
        hub().and_then(|hub| hub.stats(launch as u64, token)).map_err(|error| exception(&error))
    }

    /// Pauses a container; `done` or `requestFailed` comes with the same `token`, once everything in
    /// it stands still or hasn't come to.
    #[napi]
    pub fn pause(&self, launch: f64, token: u32) -> napi::Result<()> {
        hub().and_then(|hub| hub.pause(launch as u64, token)).map_err(|error| exception(&error))
    }

    /// Lets a paused container go on; `done` or `requestFailed` comes with the same `token`.
    #[napi]
    pub fn resume(&self, launch: f64, token: u32) -> napi::Result<()> {
        hub().and_then(|hub| hub.resume(launch as u64, token)).map_err(|error| exception(&error))
    }

    /// Changes limits, given as `linux.resources` in JSON; `done` or `requestFailed` comes with the
    /// same `token`.
    #[napi]
    pub fn update(&self, launch: f64, token: u32, resources: String) -> napi::Result<()> {
        hub()
            .and_then(|hub| hub.update(launch as u64, token, resources.into_bytes()))
            .map_err(|error| exception(&error))
    }

    /// Ends every container of this environment; no events come any more.
    #[napi]
    pub fn close(&self) {
        if let Ok(hub) = hub() {
            hub.close(self.number);
        }
    }
}

fn no_room(errno: nix::errno::Errno) -> Error {
    Error::new(ErrorCode::ResourceExhausted, "make pipes of", "the container").errno(errno)
}

/// A copy of a descriptor of JavaScript's, which it may close at any time.
fn copy(fd: i32) -> minictr_core::error::Result<OwnedFd> {
    let caller = sys::borrow_of_caller(fd)
        .ok_or_else(|| Error::invalid("pass", format!("descriptor {fd}: it isn't open")))?;
    debug_assert_eq!(caller.as_raw_fd(), fd);
    caller.try_clone_to_owned().context(
        ErrorCode::ResourceExhausted,
        "copy",
        format!("descriptor {fd} for the container"),
    )
}
