//! A client of D-Bus: one connection, one call at a time, and the signals that come meanwhile.
//!
//! What systemd is asked through, by [`crate::cgroups`] alone. It speaks the little that this takes:
//! authentication as whoever the kernel says we are, calls, their answers, signals; of addresses
//! `unix:`. A process of ours has one thread and lives for milliseconds, so nothing here runs beside
//! it. Limits and order of bytes are those of a peer on this machine.

mod message;
mod value;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::{Context, Error, ErrorCode, Result};
pub(crate) use message::{Call, Signal};
use message::{FIXED, Message};
pub(crate) use value::Value;

/// How long the other side may take to answer.
const PATIENCE: Duration = Duration::from_secs(25);
/// Longest line of the authentication.
const MAX_LINE: usize = 4096;
/// Signals that are kept for whoever may ask for them.
const MAX_SIGNALS: usize = 1024;

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The other side refuses, by the name of an error and in words.
    Refused { name: String, text: String },
    /// There is no answer.
    Broken(Error),
}

/// A connection to a bus, or to one peer without a bus between.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    /// The address, for messages.
    address: String,
    bus: bool,
    serial: u32,
    received: Vec<u8>,
    signals: VecDeque<Signal>,
}

impl Connection {
    /// Connects to one of the addresses of a bus, or of a peer, and authenticates: as the owner of
    /// this process, whom the kernel tells the other side, so that it holds in a user namespace too.
    ///
    /// # Errors
    /// `Io` where nobody listens, or lets us in.
    pub(crate) fn open(addresses: &str, bus: bool) -> Result<Self> {
        let mut last = Error::invalid("connect to D-Bus at", format!("`{addresses}`"))
            .hint("an address is `unix:path=PATH` or `unix:abstract=NAME`");
        for address in addresses.split(';').filter(|address| !address.is_empty()) {
            let Some(socket) = socket_address(address) else { continue };
            let connected = UnixStream::connect_addr(&socket)
                .context(ErrorCode::Io, "connect to D-Bus at", format!("`{address}`"))
                .and_then(|stream| Self::begin(stream, address, bus));
            match connected {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn begin(stream: UnixStream, address: &str, bus: bool) -> Result<Self> {
        let mut connection = Self {
            stream,
            address: address.to_owned(),
            bus,
            serial: 0,
            received: Vec::new(),
            signals: VecDeque::new(),
        };
        connection.authenticate()?;
        if bus {
            let hello = Call {
                destination: "org.freedesktop.DBus",
                path: "/org/freedesktop/DBus",
                interface: "org.freedesktop.DBus",
                method: "Hello",
                arguments: Vec::new(),
            };
            connection.call(&hello).map_err(|failure| connection.explain(failure, "greet"))?;
        }
        Ok(connection)
    }

    /// `EXTERNAL` with an empty identity: that of the socket.
    fn authenticate(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", "authenticate to")?;
        loop {
            let line = self.line(deadline)?;
            match line.split(' ').next() {
                Some("OK") => return Ok(()),
                Some("DATA") => {}
                _ => {
                    let refused = format!("`{}`: it says `{line}`", self.address);
                    return Err(Error::new(ErrorCode::Io, "authenticate to D-Bus at", refused));
                }
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).take(end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.received.len() > MAX_LINE {
                return Err(self.broken(Errno::EMSGSIZE, "authenticate to"));
            }
            self.receive(deadline, "authenticate to")?;
        }
    }

    /// Calls a method, and waits for its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn call(&mut self, call: &Call<'_>) -> Result<Vec<Value>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        self.serial += 1;
        let serial = self.serial;
        self.send(&call.bytes(serial, self.bus), "call").map_err(Failure::Broken)?;
        loop {
            match self.message(deadline).map_err(Failure::Broken)? {
                Message::Return { to, values } if to == serial => return Ok(values),
                Message::Error { to, name, text } if to == serial => {
                    return Err(Failure::Refused { name, text });
                }
                Message::Signal(signal) => self.keep(signal),
                // An answer that came too late for its call.
                Message::Return { .. } | Message::Error { .. } | Message::Other => {}
            }
        }
    }

    /// Waits for a signal, also among those that came while calls were answered.
    ///
    /// # Errors
    /// `Io` where it doesn't come within `patience`.
    pub(crate) fn wait_for<T>(
        &mut self,
        patience: Duration,
        mut wanted: impl FnMut(&Signal) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        while let Some(signal) = self.signals.pop_front() {
            if let Some(found) = wanted(&signal) {
                return Ok(found);
            }
        }
        loop {
            if let Message::Signal(signal) = self.message(deadline)?
                && let Some(found) = wanted(&signal)
            {
                return Ok(found);
            }
        }
    }

    /// The error for a failure.
    pub(crate) fn explain(&self, failure: Failure, operation: &'static str) -> Error {
        match failure {
            Failure::Broken(error) => error,
            Failure::Refused { name, text } => {
                Error::new(ErrorCode::Io, operation, format!("D-Bus: {text} ({name})"))
            }
        }
    }

    fn keep(&mut self, signal: Signal) {
        if self.signals.len() == MAX_SIGNALS {
            self.signals.pop_front();
        }
        self.signals.push_back(signal);
    }

    fn message(&mut self, deadline: Instant) -> Result<Message> {
        const READ: &str = "read from";
        loop {
            let (length, body_at) = match self.received.first_chunk::<FIXED>() {
                Some(fixed) => message::lengths(fixed).map_err(|errno| self.broken(errno, READ))?,
                None => (FIXED, FIXED),
            };
            if self.received.len() >= length.max(FIXED) && self.received.len() >= FIXED {
                let bytes: Vec<u8> = self.received.drain(..length).collect();
                return message::parse(&bytes, body_at).map_err(|errno| self.broken(errno, READ));
            }
            self.receive(deadline, READ)?;
        }
    }

    fn receive(&mut self, deadline: Instant, operation: &'static str) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.broken(Errno::ETIMEDOUT, operation));
        }
        let mut chunk = [0u8; 4096];
        let read =
            self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut chunk));
        match read {
            Ok(0) => Err(self.broken(Errno::ECONNRESET, operation)),
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(error) => {
                let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
                let errno = if errno == Errno::EAGAIN { Errno::ETIMEDOUT } else { errno };
                Err(self.broken(errno, operation))
            }
        }
    }

    fn send(&mut self, bytes: &[u8], operation: &'static str) -> Result<()> {
        let sent = self
            .stream
            .set_write_timeout(Some(PATIENCE))
            .and_then(|()| self.stream.write_all(bytes));
        sent.map_err(|error| {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
            self.broken(errno, operation)
        })
    }

    fn broken(&self, errno: Errno, operation: &'static str) -> Error {
        Error::new(ErrorCode::Io, operation, format!("D-Bus at `{}`", self.address)).errno(errno)
    }
}

/// The socket of an address, "Server Addresses" of the D-Bus specification; `None` for other
/// transports.
fn socket_address(address: &str) -> Option<SocketAddr> {
    let keys = address.strip_prefix("unix:")?;
    keys.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = unescape(value)?;
        match key {
            "path" => SocketAddr::from_pathname(String::from_utf8(value).ok()?).ok(),
            "abstract" => SocketAddr::from_abstract_name(value).ok(),
            _ => None,
        }
    })
}

fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?);
        rest = &rest[at + 3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests;
