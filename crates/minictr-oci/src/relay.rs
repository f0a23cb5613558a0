//! Between the user's terminal and the container's: bytes both ways, and the size.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use minictr_core::error::{Context, ErrorCode, Result};
use minictr_core::spawn::Supervisor;
use minictr_core::spec::ConsoleSize;
use minictr_core::sys::{self, terminal};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{read, write};

const INPUT: u32 = 0;
const MASTER: u32 = 1;
/// Typed-ahead input that the container hasn't read; past it the user's terminal is left alone.
const MAX_PENDING: usize = 64 * 1024;

/// The user's side of a container's terminal. Dropping it gives the user's terminal its modes back.
#[derive(Debug)]
pub(crate) struct Relay {
    interactive: bool,
    saved: Option<Termios>,
    master: Option<OwnedFd>,
    pending: VecDeque<u8>,
    reading_input: bool,
    /// Standard input is a regular file, which epoll takes for always ready.
    input_is_file: bool,
}

fn user_input() -> Option<BorrowedFd<'static>> {
    sys::borrow_of_caller(0)
}

fn user_output() -> Option<BorrowedFd<'static>> {
    sys::borrow_of_caller(1)
}

impl Relay {
    pub(crate) fn new(interactive: bool) -> Self {
        Self {
            interactive,
            saved: None,
            master: None,
            pending: VecDeque::new(),
            reading_input: false,
            input_is_file: false,
        }
    }

    /// The size of the user's terminal, if any standard stream is one.
    pub(crate) fn size(&self) -> Option<ConsoleSize> {
        (0..3).filter_map(sys::borrow_of_caller).find_map(|stream| {
            let (height, width) = terminal::size(stream).ok()?;
            Some(ConsoleSize { height, width })
        })
    }

    /// Gives the container's terminal the size of the user's.
    pub(crate) fn resize(&self) {
        if let (Some(size), Some(master)) = (self.size(), &self.master) {
            // The container has ended: nobody looks at the size.
            let _ = terminal::set_size(master.as_fd(), size.height, size.width);
        }
    }

    /// The container has started: connects both sides, tokens counted from `first_token`.
    pub(crate) fn connect(
        &mut self,
        supervisor: &mut Supervisor,
        master: OwnedFd,
        first_token: u32,
    ) -> Result<()> {
        let nonblocking = FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR);
        fcntl(&master, nonblocking).context(ErrorCode::Internal, "set up", "the terminal")?;
        supervisor.watch(master.as_fd(), first_token + MASTER)?;
        self.master = Some(master);
        self.resize();
        if let (true, Some(input)) = (self.interactive, user_input()) {
            if let Ok(modes) = tcgetattr(input) {
                let mut raw = modes.clone();
                cfmakeraw(&mut raw);
                tcsetattr(input, SetArg::TCSANOW, &raw).context(
                    ErrorCode::Io,
                    "set modes of",
                    "the terminal",
                )?;
                self.saved = Some(modes);
            }
            self.reading_input = supervisor.watch(input, first_token + INPUT).is_ok();
            self.input_is_file = !self.reading_input;
            if self.input_is_file {
                self.read_input(supervisor);
            }
        }
        Ok(())
    }

    /// A side is ready.
    pub(crate) fn ready(&mut self, supervisor: &mut Supervisor, token: u32) -> Result<()> {
        match token {
            INPUT => self.read_input(supervisor),
            _ => {
                self.write_pending(supervisor);
                if self.input_is_file && self.pending.is_empty() {
                    self.read_input(supervisor);
                }
                if !self.copy_output()
                    && let Some(master) = self.master.take()
                {
                    supervisor.unwatch(master.as_fd());
                }
            }
        }
        Ok(())
    }

    fn read_input(&mut self, supervisor: &mut Supervisor) {
        let Some(input) = user_input() else { return };
        if self.pending.len() > MAX_PENDING {
            return;
        }
        let mut buffer = [0u8; 4096];
        match read(input, &mut buffer) {
            Ok(0) | Err(Errno::EIO) => {
                // The end of typed input, for a program that reads to the end.
                const END_OF_TRANSMISSION: u8 = 4;
                self.pending.push_back(END_OF_TRANSMISSION);
                if self.reading_input {
                    supervisor.unwatch(input);
                    self.reading_input = false;
                }
                self.input_is_file = false;
            }
            Ok(count) => self.pending.extend(&buffer[..count]),
            Err(_) => {}
        }
        self.write_pending(supervisor);
    }

    fn write_pending(&mut self, supervisor: &mut Supervisor) {
        let Some(master) = &self.master else { return };
        while !self.pending.is_empty() {
            let (chunk, _) = self.pending.as_slices();
            match write(master, chunk) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        let behind = !self.pending.is_empty();
        let _ = supervisor.watch_writes(master.as_fd(), crate::foreground::MASTER_TOKEN, behind);
    }

    /// Copies what the container has written; false once its side is closed for good.
    fn copy_output(&mut self) -> bool {
        let Some(master) = &self.master else { return false };
        let mut buffer = [0u8; 16384];
        loop {
            match read(master, &mut buffer) {
                Ok(0) | Err(Errno::EIO) => return false,
                Ok(count) => write_all(&buffer[..count]),
                Err(Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
    }

    /// The container has ended: what it wrote last.
    pub(crate) fn drain(&mut self) {
        self.copy_output();
    }
}

fn write_all(mut bytes: &[u8]) {
    let Some(output) = user_output() else { return };
    while !bytes.is_empty() {
        match write(output, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            // The user's side is gone; the container finds that out by its own hang-up.
            Err(_) => return,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let (Some(modes), Some(input)) = (&self.saved, user_input()) {
            let _ = tcsetattr(input, SetArg::TCSANOW, modes);
        }
    }
}
