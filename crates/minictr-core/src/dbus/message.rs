//! Messages of D-Bus and their bytes: the "Message Protocol" of the D-Bus specification.

use nix::errno::Errno;

use super::value::{Reader, Value, Writer, signature_of};

/// Bytes before the header's fields: byte order, kind, flags, version, length of the body, serial,
/// length of the fields.
pub(super) const FIXED: usize = 16;
/// What a bus lets through, 128 MiB, is more than anything here says.
const MAX_LENGTH: usize = 1024 * 1024;
const LITTLE_ENDIAN: u8 = b'l';
const VERSION: u8 = 1;

const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

// Fields of a header.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A call of a method.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) method: &'a str,
    pub(crate) arguments: Vec<Value>,
}

impl Call<'_> {
    /// Its bytes. Over a connection without a bus there are no destinations.
    pub(super) fn bytes(&self, serial: u32, bus: bool) -> Vec<u8> {
        let mut body = Writer::default();
        for value in &self.arguments {
            body.value(value);
        }
        let field = |code, value| Value::Struct(vec![Value::Byte(code), Value::variant(value)]);
        let mut fields = vec![
            field(PATH, Value::Path(self.path.to_owned())),
            field(INTERFACE, Value::text(self.interface)),
            field(MEMBER, Value::text(self.method)),
        ];
        if bus {
            fields.push(field(DESTINATION, Value::text(self.destination)));
        }
        if !self.arguments.is_empty() {
            fields.push(field(SIGNATURE, Value::Signature(signature_of(&self.arguments))));
        }
        let mut message = Writer(vec![LITTLE_ENDIAN, CALL, 0, VERSION]);
        message.value(&Value::U32(body.0.len() as u32));
        message.value(&Value::U32(serial));
        message.value(&Value::Array("(yv)".to_owned(), fields));
        message.align(8);
        message.0.extend_from_slice(&body.0);
        message.0
    }
}

/// What came from the other side.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    Return {
        to: u32,
        values: Vec<Value>,
    },
    Error {
        to: u32,
        name: String,
        text: String,
    },
    Signal(Signal),
    /// A call of ours, which nobody here answers.
    Other,
}

/// Something that is told to whoever listens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signal {
    pub(crate) interface: String,
    pub(crate) member: String,
    pub(crate) values: Vec<Value>,
}

/// How long the message is whose first bytes these are, and where its body begins.
///
/// # Errors
/// EBADMSG for what is no message, EMSGSIZE for one that is too long.
pub(super) fn lengths(fixed: &[u8; FIXED]) -> Result<(usize, usize), Errno> {
    if fixed[0] != LITTLE_ENDIAN || fixed[3] != VERSION {
        return Err(Errno::EBADMSG);
    }
    let number = |at: usize| {
        u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]) as usize
    };
    let (body, fields) = (number(4), number(12));
    if body > MAX_LENGTH || fields > MAX_LENGTH {
        return Err(Errno::EMSGSIZE);
    }
    let body_at = (FIXED + fields).next_multiple_of(8);
    Ok((body_at + body, body_at))
}

/// Reads a whole message.
///
/// # Errors
/// EBADMSG.
pub(super) fn parse(bytes: &[u8], body_at: usize) -> Result<Message, Errno> {
    let mut header = Reader::new(bytes.get(..body_at).ok_or(Errno::EBADMSG)?);
    let head = header.values("yyyyuua(yv)")?;
    let (Value::Byte(kind), Value::Array(_, fields)) = (&head[1], &head[6]) else {
        return Err(Errno::EBADMSG);
    };
    let field = |code: u8| {
        fields.iter().find_map(|field| match field {
            Value::Struct(pair) if pair[0] == Value::Byte(code) => match &pair[1] {
                Value::Variant(value) => Some(value.as_ref()),
                _ => None,
            },
            _ => None,
        })
    };
    let text = |code: u8| field(code).and_then(Value::as_text).unwrap_or_default().to_owned();
    let values = || match field(SIGNATURE) {
        Some(Value::Signature(signature)) => Reader::new(&bytes[body_at..]).values(signature),
        _ => Ok(Vec::new()),
    };
    let to = || match field(REPLY_SERIAL) {
        Some(Value::U32(serial)) => Ok(*serial),
        _ => Err(Errno::EBADMSG),
    };
    Ok(match *kind {
        RETURN => Message::Return { to: to()?, values: values()? },
        ERROR => {
            let text_of = |values: Vec<Value>| {
                values.first().and_then(Value::as_text).unwrap_or_default().to_owned()
            };
            Message::Error { to: to()?, name: text(ERROR_NAME), text: text_of(values()?) }
        }
        SIGNAL => Message::Signal(Signal {
            interface: text(INTERFACE),
            member: text(MEMBER),
            values: values()?,
        }),
        _ => Message::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_bytes_of_the_specification() {
        let call = Call {
            destination: "org.a",
            path: "/a",
            interface: "org.b",
            method: "C",
            arguments: vec![Value::U32(9)],
        };
        let bytes = call.bytes(1, true);
        let (length, body_at) = lengths(bytes[..FIXED].try_into().unwrap()).unwrap();
        assert_eq!((length, bytes.len() - body_at), (bytes.len(), 4));
        assert_eq!(&bytes[..12], [b'l', 1, 0, 1, 4, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(&bytes[16..27], [1, 1, b'o', 0, 2, 0, 0, 0, b'/', b'a', 0]);
        assert_eq!(parse(&bytes, body_at).unwrap(), Message::Other);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(lengths(&[0; FIXED]), Err(Errno::EBADMSG));
        let mut long = [0; FIXED];
        long[..4].copy_from_slice(&[b'l', RETURN, 0, 1]);
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(lengths(&long), Err(Errno::EMSGSIZE));
        // An answer that says to nothing that it answers.
        let answer = [b'l', RETURN, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(parse(&answer, FIXED), Err(Errno::EBADMSG));
    }
}
