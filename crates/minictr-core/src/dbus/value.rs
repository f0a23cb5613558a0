//! Values of D-Bus, and their bytes: the "Type System" and "Marshaling" of the D-Bus specification.

use nix::errno::Errno;

/// How deep containers may lie in one another: more than anything here has, and less than a stack.
const MAX_DEPTH: usize = 16;

/// A value, with the types that systemd's interfaces have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Byte(u8),
    Bool(bool),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Double(f64),
    Text(String),
    Path(String),
    Signature(String),
    /// With the signature of an element, which an empty one has too.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn variant(value: Self) -> Self {
        Self::Variant(Box::new(value))
    }

    /// An array of strings.
    #[cfg(test)]
    pub(crate) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Array("s".to_owned(), texts.into_iter().map(Self::text).collect())
    }

    /// The text of a string or an object path.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Path(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".to_owned(),
            Self::Bool(_) => "b".to_owned(),
            Self::I32(_) => "i".to_owned(),
            Self::U32(_) => "u".to_owned(),
            Self::I64(_) => "x".to_owned(),
            Self::U64(_) => "t".to_owned(),
            Self::Double(_) => "d".to_owned(),
            Self::Text(_) => "s".to_owned(),
            Self::Path(_) => "o".to_owned(),
            Self::Signature(_) => "g".to_owned(),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => format!("({})", signature_of(fields)),
            Self::Variant(_) => "v".to_owned(),
        }
    }
}

/// The signature of values one after another.
pub(super) fn signature_of(values: &[Value]) -> String {
    values.iter().map(Value::signature).collect()
}

/// The alignment of what a signature begins with.
fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'y' | b'g' | b'v') | None => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        Some(_) => 4,
    }
}

/// Writes values behind what is there: alignment counts from the first byte.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.align(N);
        self.0.extend_from_slice(&bytes);
    }

    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Byte(byte) => self.0.push(*byte),
            Value::Bool(so) => self.number(u32::from(*so).to_le_bytes()),
            Value::I32(number) => self.number(number.to_le_bytes()),
            Value::U32(number) => self.number(number.to_le_bytes()),
            Value::I64(number) => self.number(number.to_le_bytes()),
            Value::U64(number) => self.number(number.to_le_bytes()),
            Value::Double(number) => self.number(number.to_le_bytes()),
            Value::Text(text) | Value::Path(text) => {
                self.number((text.len() as u32).to_le_bytes());
                self.0.extend_from_slice(text.as_bytes());
                self.0.push(0);
            }
            Value::Signature(text) => {
                self.0.push(text.len() as u8);
                self.0.extend_from_slice(text.as_bytes());
                self.0.push(0);
            }
            Value::Array(element, values) => {
                self.number(0u32.to_le_bytes());
                let length_at = self.0.len() - 4;
                // The padding before the first element isn't part of the length.
                self.align(alignment(element));
                let begin = self.0.len();
                for value in values {
                    self.value(value);
                }
                let length = (self.0.len() - begin) as u32;
                self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
            }
            Value::Struct(fields) => {
                self.align(8);
                for field in fields {
                    self.value(field);
                }
            }
            Value::Variant(value) => {
                self.value(&Value::Signature(value.signature()));
                self.value(value);
            }
        }
    }
}

/// Reads values from bytes that nobody vouches for: alignment counts from the first byte.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let end = self.at.checked_add(count).ok_or(Errno::EBADMSG)?;
        let taken = self.bytes.get(self.at..end).ok_or(Errno::EBADMSG)?;
        self.at = end;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Errno> {
        self.align(N);
        self.take(N)?.try_into().map_err(|_| Errno::EBADMSG)
    }

    fn string(&mut self, length: usize) -> Result<String, Errno> {
        let text = self.take(length)?;
        self.take(1)?;
        String::from_utf8(text.to_vec()).map_err(|_| Errno::EBADMSG)
    }

    /// All values of a signature.
    ///
    /// # Errors
    /// EBADMSG for bytes that aren't such values.
    pub(super) fn values(&mut self, signature: &str) -> Result<Vec<Value>, Errno> {
        self.sequence(signature, 0)
    }

    fn sequence(&mut self, mut signature: &str, depth: usize) -> Result<Vec<Value>, Errno> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (first, rest) = split(signature)?;
            values.push(self.value(first, depth)?);
            signature = rest;
        }
        Ok(values)
    }

    fn value(&mut self, signature: &str, depth: usize) -> Result<Value, Errno> {
        if depth > MAX_DEPTH {
            return Err(Errno::EBADMSG);
        }
        Ok(match signature.as_bytes()[0] {
            b'y' => Value::Byte(self.take(1)?[0]),
            b'b' => Value::Bool(u32::from_le_bytes(self.number()?) != 0),
            b'n' => Value::I32(i16::from_le_bytes(self.number()?).into()),
            b'q' => Value::U32(u16::from_le_bytes(self.number()?).into()),
            b'i' => Value::I32(i32::from_le_bytes(self.number()?)),
            b'u' | b'h' => Value::U32(u32::from_le_bytes(self.number()?)),
            b'x' => Value::I64(i64::from_le_bytes(self.number()?)),
            b't' => Value::U64(u64::from_le_bytes(self.number()?)),
            b'd' => Value::Double(f64::from_le_bytes(self.number()?)),
            kind @ (b's' | b'o') => {
                let length = u32::from_le_bytes(self.number()?) as usize;
                let text = self.string(length)?;
                if kind == b's' { Value::Text(text) } else { Value::Path(text) }
            }
            b'g' => Value::Signature(self.signature()?),
            b'v' => {
                let signature = self.signature()?;
                match split(&signature)? {
                    (one, "") => Value::variant(self.value(one, depth + 1)?),
                    _ => return Err(Errno::EBADMSG),
                }
            }
            b'a' => {
                let element = &signature[1..];
                let length = u32::from_le_bytes(self.number()?) as usize;
                self.align(alignment(element));
                let end = self.at.checked_add(length).ok_or(Errno::EBADMSG)?;
                let mut values = Vec::new();
                while self.at < end {
                    values.push(self.value(element, depth + 1)?);
                }
                if self.at != end {
                    return Err(Errno::EBADMSG);
                }
                Value::Array(element.to_owned(), values)
            }
            // An entry of a dictionary is read as what it is, a pair.
            b'(' | b'{' if signature.len() > 2 => {
                self.align(8);
                Value::Struct(self.sequence(&signature[1..signature.len() - 1], depth + 1)?)
            }
            _ => return Err(Errno::EBADMSG),
        })
    }

    fn signature(&mut self) -> Result<String, Errno> {
        let length = self.take(1)?[0];
        self.string(length.into())
    }
}

/// The first complete type of a signature, and the rest.
fn split(signature: &str) -> Result<(&str, &str), Errno> {
    let mut open = 0;
    for (at, letter) in signature.bytes().enumerate() {
        match letter {
            b'(' | b'{' => open += 1,
            b')' | b'}' if open == 0 => return Err(Errno::EBADMSG),
            b')' | b'}' => open -= 1,
            b'a' => continue,
            b'b' | b'd' | b'g' | b'h' | b'i' | b'n' | b'o' | b'q' | b's' | b't' | b'u' | b'v'
            | b'x' | b'y' => {}
            _ => return Err(Errno::EBADMSG),
        }
        if open == 0 {
            return Ok(signature.split_at(at + 1));
        }
    }
    Err(Errno::EBADMSG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(values: &[Value]) -> Vec<Value> {
        let mut writer = Writer::default();
        for value in values {
            writer.value(value);
        }
        Reader::new(&writer.0).values(&signature_of(values)).unwrap()
    }

    #[test]
    fn values_come_back_as_they_were() {
        let property =
            |name: &str, value| Value::Struct(vec![Value::text(name), Value::variant(value)]);
        let values = [
            Value::Byte(7),
            Value::Array(
                "(sv)".to_owned(),
                vec![
                    property("PIDs", Value::Array("u".to_owned(), vec![Value::U32(42)])),
                    property("Delegate", Value::Bool(true)),
                    property("MemoryMax", Value::U64(u64::MAX)),
                    property("Load", Value::Double(0.5)),
                ],
            ),
            Value::Array("(sa(sv))".to_owned(), vec![]),
            Value::I64(-3),
            Value::Path("/org/freedesktop/systemd1".to_owned()),
            Value::I32(-1),
            Value::texts(["a", ""]),
        ];
        assert_eq!(there_and_back(&values), values);
    }

    /// The example of the specification: an array of one 64-bit number is padded before it, and the
    /// padding isn't counted.
    #[test]
    fn an_array_is_as_long_as_its_elements() {
        let mut writer = Writer::default();
        writer.value(&Value::Array("x".to_owned(), vec![Value::I64(5)]));
        assert_eq!(writer.0, [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn bytes_that_are_no_values_are_refused() {
        let refused = |bytes: &[u8], signature: &str| {
            assert_eq!(Reader::new(bytes).values(signature), Err(Errno::EBADMSG), "{signature}");
        };
        refused(&[255, 255, 255, 255, 0], "s");
        refused(&[1, 0, 0, 0, 0xff, 0], "s");
        refused(&[3, 0, 0, 0, 1, 0, 0, 0], "au");
        refused(&[255, 255, 255, 255], "ay");
        refused(&[0; 8], "a");
        refused(&[0; 8], "(u");
        refused(&[0; 8], "z");
        refused(&[0; 8], ")");
        // One that holds nothing has no end.
        refused(&[8, 0, 0, 0, 0, 0, 0, 0], "a()");
        let deep = [[1, b'v', 0]; 100].concat();
        refused(&deep, "v");
    }
}
