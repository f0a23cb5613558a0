//! One spawner and one listening thread for all JavaScript environments of this process.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use minictr_core::error::{Context, Error, ErrorCode, NO_PROCESSES, Result};
use minictr_core::spawn::{Event, Exit, LaunchId};
use minictr_core::spawner::client::{Client, Heard, spawner_died};
use minictr_core::spawner::image::Image;
use minictr_core::spawner::protocol::{Message, Receiver, Request};
use minictr_core::sys::process::pidfd_send_signal;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::SigSet;

/// What one environment is told: launch, what happened, the pty's master or -1.
pub(crate) type Listener = Arc<dyn Fn(LaunchId, News, i32) + Send + Sync>;

/// What happened. Every container starts and ends, so these two come as numbers, which JavaScript
/// takes in a tenth of the time that JSON takes.
pub(crate) enum News {
    /// It has executed its program, as the process of this id.
    Started(i32),
    /// It has ended.
    Exited(Box<Exit>),
    /// Anything else: the event as JSON.
    Other(String),
}

/// How long a container whose spawner died may take to end after SIGKILL, milliseconds.
const ORPHAN_END_MS: u16 = 2000;

/// Everything that environments share.
pub(crate) struct Hub {
    state: Mutex<State>,
    wake: EventFd,
}

#[derive(Default)]
struct State {
    helper: Option<PathBuf>,
    image: Option<Arc<Image>>,
    client: Option<Arc<Client>>,
    generation: u64,
    /// Spawners that a send found dead; the thread tells their launches.
    dead: Vec<(u64, Arc<Client>)>,
    launches: HashMap<LaunchId, Launch>,
    next: LaunchId,
    /// Messages that the spawner hasn't had room for.
    queue: VecDeque<Message>,
}

struct Launch {
    session: u64,
    listener: Listener,
    generation: u64,
    pidfd: Option<OwnedFd>,
    /// Set where the launch goes on but has failed for its caller.
    failure: Option<Error>,
}

/// The hub, with its thread, made at the first launch of the process.
pub(crate) fn hub() -> Result<&'static Hub> {
    static HUB: OnceLock<Hub> = OnceLock::new();
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if HUB.get().is_none() {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_flags(flags).context(
            ErrorCode::ResourceExhausted,
            "make eventfd of",
            "the listening thread",
        )?;
        let _ = HUB.set(Hub { state: Mutex::default(), wake });
    }
    let hub = HUB.get().ok_or_else(|| Error::new(ErrorCode::Internal, "find", "the hub"))?;
    if !*started {
        // What fails now, for want of processes, may work at the next call.
        std::thread::Builder::new()
            .name("minictr".into())
            .spawn(move || hub.listen())
            .context(ErrorCode::ResourceExhausted, "start", "the listening thread")
            .map_err(|error| error.hint(NO_PROCESSES))?;
        *started = true;
    }
    Ok(hub)
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while locked leaves plain data, each field of which is consistent by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // EAGAIN: it is about to wake up anyway.
        let _ = self.wake.write(1);
    }

    /// Where the helper's executable is. The first one said counts.
    pub(crate) fn set_helper(&self, path: PathBuf) {
        self.lock().helper.get_or_insert(path);
    }

    /// Starts a container and returns its number.
    pub(crate) fn launch(
        &self,
        session: u64,
        listener: Listener,
        json: Vec<u8>,
        fds: Vec<OwnedFd>,
    ) -> Result<LaunchId> {
        let mut state = self.lock();
        state.next += 1;
        let launch = state.next;
        let message = Request::Launch { launch, json }.encode(fds)?;
        // Twice: the first spawner may turn out to be dead only now.
        if self.send(&mut state, &message)? || self.send(&mut state, &message)? {
            let generation = state.generation;
            let entry = Launch { session, listener, generation, pidfd: None, failure: None };
            state.launches.insert(launch, entry);
            return Ok(launch);
        }
        if state.client.is_some() {
            let generation = state.generation;
            let entry = Launch { session, listener, generation, pidfd: None, failure: None };
            state.launches.insert(launch, entry);
            state.queue.push_back(message);
            self.wake();
            return Ok(launch);
        }
        Err(spawner_died())
    }

    /// Sends at once where the spawner keeps up: false where it is behind or was found dead.
    fn send(&self, state: &mut State, message: &Message) -> Result<bool> {
        let client = self.client(state)?;
        if !state.queue.is_empty() {
            return Ok(false);
        }
        match client.send(message) {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN | Errno::ENOBUFS) => Ok(false),
            Err(Errno::ETOOMANYREFS) => {
                Err(Error::new(ErrorCode::ResourceExhausted, "send descriptors to", "the spawner")
                    .errno(Errno::ETOOMANYREFS))
            }
            Err(_) => {
                self.lose(state, client);
                Ok(false)
            }
        }
    }

    /// The spawner is gone. What waited for it goes with it: the next one knows nothing of the
    /// launches that these messages are about, and would start containers that nobody owns.
    fn lose(&self, state: &mut State, client: Arc<Client>) {
        state.client = None;
        state.queue.clear();
        state.dead.push((state.generation, client));
        self.wake();
    }

    fn client(&self, state: &mut State) -> Result<Arc<Client>> {
        if let Some(client) = &state.client {
            return Ok(Arc::clone(client));
        }
        if state.image.is_none() {
            let path = state.helper.as_ref().ok_or_else(|| {
                Error::new(ErrorCode::SpawnerUnavailable, "find", "the native helper")
            })?;
            state.image = Some(Arc::new(Image::load(path)?));
        }
        let image = state.image.as_ref().ok_or_else(spawner_died)?;
        let client = Arc::new(Client::start(image)?);
        state.generation += 1;
        state.client = Some(Arc::clone(&client));
        self.wake();
        Ok(client)
    }

    fn request(&self, launch: LaunchId, request: &Request) -> Result<()> {
        let mut state = self.lock();
        let Some(entry) = state.launches.get(&launch) else {
            return Err(Error::new(
                ErrorCode::WrongState,
                "find running container:",
                "it has ended",
            ));
        };
        if entry.generation != state.generation || state.client.is_none() {
            return Err(spawner_died());
        }
        let message = request.encode(Vec::new())?;
        if !self.send(&mut state, &message)? && state.client.is_some() {
            state.queue.push_back(message);
            self.wake();
        }
        Ok(())
    }

    /// Sends a signal.
    pub(crate) fn kill(&self, launch: LaunchId, signal: i32, whole_container: bool) -> Result<()> {
        self.request(launch, &Request::Kill { launch, signal, whole_container, token: 0 })
    }

    /// Ends a launch wherever it is.
    pub(crate) fn abort(&self, launch: LaunchId) -> Result<()> {
        self.request(launch, &Request::Abort { launch })
    }

    /// Asks for statistics.
    pub(crate) fn stats(&self, launch: LaunchId, token: u32) -> Result<()> {
        self.request(launch, &Request::Stats { launch, token })
    }

    /// Asks for a pause.
    pub(crate) fn pause(&self, launch: LaunchId, token: u32) -> Result<()> {
        self.request(launch, &Request::Pause { launch, token })
    }

    /// Asks to let a paused container go on.
    pub(crate) fn resume(&self, launch: LaunchId, token: u32) -> Result<()> {
        self.request(launch, &Request::Resume { launch, token })
    }

    /// Asks for other limits.
    pub(crate) fn update(&self, launch: LaunchId, token: u32, json: Vec<u8>) -> Result<()> {
        self.request(launch, &Request::Update { launch, token, json })
    }

    /// Ends everything of one environment, which hears no more.
    pub(crate) fn close(&self, session: u64) {
        let mut ended = Vec::new();
        for (launch, entry) in &mut self.lock().launches {
            if entry.session == session {
                entry.listener = Arc::new(|_, _, fd| close_unwanted(fd));
                ended.push(*launch);
            }
        }
        for launch in ended {
            // It has ended by itself meanwhile, or its spawner has.
            let _ = self.abort(launch);
        }
    }

    /// The listening thread.
    fn listen(&self) {
        // Signals are for the threads of Node's that have handlers for them.
        let _ = SigSet::all().thread_block();
        let mut receiver = Receiver::default();
        loop {
            let (client, generation, behind) = {
                let mut state = self.lock();
                for (generation, client) in std::mem::take(&mut state.dead) {
                    self.spawner_ended(&mut state, generation);
                    retire(client);
                }
                (state.client.clone(), state.generation, !state.queue.is_empty())
            };
            let mut wait = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
            if let Some(client) = &client {
                let mut interest = PollFlags::POLLIN;
                interest.set(PollFlags::POLLOUT, behind);
                wait.push(PollFd::new(client.socket(), interest));
            }
            if poll(&mut wait, PollTimeout::NONE).is_err() {
                continue;
            }
            let _ = self.wake.read();
            let Some(client) = client else { continue };
            if behind {
                self.flush(&client);
            }
            if !self.hear_all(&client, &mut receiver) {
                let mut state = self.lock();
                if state.generation == generation && state.client.is_some() {
                    self.lose(&mut state, client);
                }
            }
        }
    }

    fn flush(&self, client: &Client) {
        let mut state = self.lock();
        while let Some(message) = state.queue.front() {
            if client.send(message).is_err() {
                break;
            }
            state.queue.pop_front();
        }
    }

    /// Takes everything the spawner has said; false once it has ended.
    fn hear_all(&self, client: &Client, receiver: &mut Receiver) -> bool {
        loop {
            match client.hear(receiver) {
                Heard::Nothing => return true,
                Heard::End => return false,
                Heard::Event(event, json, fds) => self.tell(event, json, fds),
            }
        }
    }

    fn tell(&self, event: Event, json: String, fds: Vec<OwnedFd>) {
        let mut state = self.lock();
        let (listener, launch, news, fd) = match event {
            Event::Started { launch, pid } => {
                let Some(entry) = state.launches.get_mut(&launch) else { return };
                let mut fds = fds.into_iter();
                entry.pidfd = fds.next();
                if entry.pidfd.is_none() {
                    entry.failure = Some(
                        Error::new(ErrorCode::ResourceExhausted, "take", "the container's pidfd")
                            .errno(Errno::EMFILE)
                            .exhaustion(),
                    );
                    drop(state);
                    let _ = self.abort(launch);
                    return;
                }
                let master = fds.next().map_or(-1, std::os::fd::IntoRawFd::into_raw_fd);
                (Arc::clone(&entry.listener), launch, News::Started(pid), master)
            }
            Event::Failed { launch, .. } => {
                let Some(entry) = state.launches.remove(&launch) else { return };
                (entry.listener, launch, News::Other(json), -1)
            }
            Event::Exited { launch, exit } => {
                let Some(entry) = state.launches.remove(&launch) else { return };
                let news = match entry.failure {
                    Some(error) => News::Other(failed_json(launch, error)),
                    None => News::Exited(Box::new(exit)),
                };
                (entry.listener, launch, news, -1)
            }
            Event::Stats { launch, .. }
            | Event::Done { launch, .. }
            | Event::RequestFailed { launch, .. } => {
                let Some(entry) = state.launches.get(&launch) else { return };
                (Arc::clone(&entry.listener), launch, News::Other(json), -1)
            }
        };
        drop(state);
        listener(launch, news, fd);
    }

    /// Ends what a dead spawner's containers still do, and tells their callers.
    fn spawner_ended(&self, state: &mut State, generation: u64) {
        let lost: Vec<LaunchId> = state
            .launches
            .iter()
            .filter(|(_, launch)| launch.generation == generation)
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let Some(launch) = state.launches.remove(&id) else { continue };
            if let Some(pidfd) = &launch.pidfd {
                // Its death signal was the spawner's end, but a hostile first process can clear it.
                let _ = pidfd_send_signal(pidfd.as_fd(), 9);
                let mut wait = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut wait, PollTimeout::from(ORPHAN_END_MS));
            }
            let error = launch.failure.unwrap_or_else(spawner_died);
            (launch.listener)(id, News::Other(failed_json(id, error)), -1);
        }
    }
}

/// Reaps a dead spawner: a child of ours, by its own pid only.
fn retire(client: Arc<Client>) {
    if let Some(client) = Arc::into_inner(client) {
        client.end();
    }
}

fn failed_json(launch: LaunchId, error: Error) -> String {
    serde_json::to_string(&Event::Failed { launch, error }).unwrap_or_default()
}

/// Closes a descriptor that no environment is left to take.
fn close_unwanted(fd: i32) {
    if fd >= 0 {
        drop(minictr_core::sys::own_received(fd));
    }
}
