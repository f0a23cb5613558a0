//! The helper's side: a loop around a supervisor.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::protocol::{Message, Received, Receiver, Request, send};
use crate::error::{Error, ErrorCode, Result};
use crate::spawn::{Emitted, Event, LaunchId, LaunchRequest, Supervisor};
use crate::spec::parse_json;

/// The control socket's token.
const CONTROL: u32 = 0;
/// Answers that wait for a client that doesn't read: past this it is taken for dead.
const MAX_WAITING: usize = 100_000;

/// Serves the process at the other end of `control` until it closes; then every container of its is
/// killed.
///
/// # Errors
/// `ResourceExhausted` where the supervisor can't be made, `Internal` where waiting fails.
pub fn serve(control: OwnedFd) -> Result<()> {
    let mut server = Server {
        supervisor: Supervisor::new()?,
        control,
        receiver: Receiver::default(),
        waiting: VecDeque::new(),
        watching_writes: false,
    };
    server.supervisor.watch(server.control.as_fd(), CONTROL)?;
    let mut events = Vec::new();
    loop {
        let tokens = server.supervisor.wait(&mut events)?;
        for emitted in events.drain(..) {
            server.answer(emitted);
        }
        let here = !tokens.contains(&CONTROL) || server.read_requests();
        // After reading: some requests are answered at once.
        if !here || !server.flush()? {
            server.supervisor.kill_all();
            return Ok(());
        }
    }
}

struct Server {
    supervisor: Supervisor,
    control: OwnedFd,
    receiver: Receiver,
    waiting: VecDeque<Message>,
    watching_writes: bool,
}

impl Server {
    fn answer(&mut self, emitted: Emitted) {
        // An event is plain data: it always serializes.
        let bytes = serde_json::to_vec(&emitted.event).unwrap_or_default();
        self.waiting.push_back(Message { bytes, fds: emitted.fds });
    }

    /// Sends what the client takes; false once it is gone.
    fn flush(&mut self) -> Result<bool> {
        while let Some(message) = self.waiting.front() {
            match send(self.control.as_fd(), &message.bytes, &message.fds) {
                Ok(()) => {
                    self.waiting.pop_front();
                }
                Err(Errno::EAGAIN) => break,
                Err(_) => return Ok(false),
            }
        }
        let behind = !self.waiting.is_empty();
        if behind != self.watching_writes {
            self.supervisor.watch_writes(self.control.as_fd(), CONTROL, behind)?;
            self.watching_writes = behind;
        }
        Ok(self.waiting.len() < MAX_WAITING)
    }

    /// Takes what has arrived; false once the client is gone.
    fn read_requests(&mut self) -> bool {
        loop {
            match self.receiver.receive(self.control.as_fd()) {
                Ok(Received::Nothing) => return true,
                Ok(Received::Message(length, fds)) => self.handle(length, fds),
                Ok(Received::Cut(length, _)) => self.refuse(length),
                Ok(Received::End) | Err(_) => return false,
            }
        }
    }

    fn handle(&mut self, length: usize, mut fds: Vec<OwnedFd>) {
        match Request::decode(self.receiver.message(length), &mut fds) {
            Ok(Request::Launch { launch, json }) => {
                match parse_json::<LaunchRequest>(&json, "read container config") {
                    Ok(request) => self.supervisor.launch(launch, request, fds),
                    Err(error) => self.say(Event::Failed { launch, error }),
                }
            }
            Ok(Request::Kill { launch, signal, whole_container, token }) => {
                if let Err(error) = self.supervisor.kill(launch, signal, whole_container) {
                    self.say(Event::RequestFailed { launch, token, error });
                }
            }
            Ok(Request::Abort { launch }) => self.supervisor.abort(launch),
            Ok(Request::Stats { launch, token }) => {
                let event = match self.supervisor.stats(launch) {
                    Ok(stats) => Event::Stats { launch, token, stats: Box::new(stats) },
                    Err(error) => Event::RequestFailed { launch, token, error },
                };
                self.say(event);
            }
            Ok(Request::Pause { launch, token }) => {
                if let Err(error) = self.supervisor.pause(launch, token) {
                    self.say(Event::RequestFailed { launch, token, error });
                }
            }
            Ok(Request::Resume { launch, token }) => {
                let done = self.supervisor.resume(launch);
                self.say_done(launch, token, done);
            }
            Ok(Request::Update { launch, token, json }) => {
                let done = parse_json(&json, "read limits")
                    .and_then(|resources| self.supervisor.update(launch, &resources));
                self.say_done(launch, token, done);
            }
            // From a client of another version: there is no launch to tell it about.
            Err(_) => {}
        }
    }

    /// A launch whose descriptors this process has no room for fails alone.
    fn refuse(&mut self, length: usize) {
        let request = Request::decode(self.receiver.message(length), &mut Vec::new());
        if let Ok(Request::Launch { launch, .. }) = request {
            let error = Error::new(
                ErrorCode::ResourceExhausted,
                "take over",
                "the container's descriptors",
            )
            .errno(Errno::EMFILE)
            .exhaustion();
            self.say(Event::Failed { launch, error });
        }
    }

    fn say_done(&mut self, launch: LaunchId, token: u32, done: Result<()>) {
        self.say(match done {
            Ok(()) => Event::Done { launch, token },
            Err(error) => Event::RequestFailed { launch, token, error },
        });
    }

    fn say(&mut self, event: Event) {
        self.answer(Emitted { event, fds: Vec::new() });
    }
}
