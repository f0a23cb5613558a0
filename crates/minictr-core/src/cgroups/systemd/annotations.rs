//! Properties of a unit that a config sets itself, by annotations `org.systemd.property.NAME`: values
//! in the text form of GVariant, as runc and crun take them.

use std::collections::BTreeMap;

use super::Property;
use crate::dbus::Value;
use crate::error::{Error, Result};

/// What their names begin with.
pub const PREFIX: &str = "org.systemd.property.";

/// The properties in annotations.
///
/// # Errors
/// `InvalidArgument` for what is no name of a property, and for what is no value.
pub(super) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>> {
    let mut found = Vec::new();
    for (annotation, text) in annotations {
        let Some(name) = annotation.strip_prefix(PREFIX) else { continue };
        // As runc has it: a capital, and at least three letters and nothing else.
        let is_name = name.len() >= 3
            && name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !is_name {
            return Err(Error::invalid("use annotation", format!("`{annotation}`"))
                .hint("behind the prefix stands the name of a property of systemd's D-Bus"));
        }
        let wrong = || {
            Error::invalid("use annotation", format!("`{annotation}`: no value is `{text}`"))
                .hint("a value is written as `true`, `'text'`, `uint64 5` or `['a', 'b']`")
        };
        let value = parse(text).ok_or_else(wrong)?;
        found.push(match name.strip_suffix("Sec") {
            // Unit files have seconds where D-Bus has microseconds.
            Some(stem) if !stem.ends_with('U') => {
                (format!("{stem}USec"), microseconds(&value).ok_or_else(wrong)?)
            }
            _ => (name.to_owned(), value),
        });
    }
    Ok(found)
}

fn microseconds(value: &Value) -> Option<Value> {
    const MICROSECONDS: u64 = 1_000_000;
    let seconds = match value {
        Value::I32(seconds) => u64::try_from(*seconds).ok()?,
        Value::I64(seconds) => u64::try_from(*seconds).ok()?,
        Value::U32(seconds) => u64::from(*seconds),
        Value::U64(seconds) => *seconds,
        Value::Double(seconds) if *seconds >= 0.0 => {
            return Some(Value::U64((seconds * MICROSECONDS as f64) as u64));
        }
        _ => return None,
    };
    seconds.checked_mul(MICROSECONDS).map(Value::U64)
}

/// A value in GVariant's text form: booleans, numbers, strings, arrays of one kind of them.
fn parse(text: &str) -> Option<Value> {
    let (value, rest) = value(text.trim_start())?;
    rest.trim().is_empty().then_some(value)
}

fn value(text: &str) -> Option<(Value, &str)> {
    match text.chars().next()? {
        quote @ ('\'' | '"') => string(&text[1..], quote),
        '[' => array(&text[1..], None),
        '@' => {
            let (signature, rest) = text[1..].split_once(' ')?;
            let element = signature.strip_prefix('a')?;
            array(rest.trim_start().strip_prefix('[')?, Some(element))
        }
        _ => {
            let end = text.find([' ', ',', ']']).unwrap_or(text.len());
            let (word, rest) = text.split_at(end);
            match word {
                "true" => Some((Value::Bool(true), rest)),
                "false" => Some((Value::Bool(false), rest)),
                "byte" | "int32" | "uint32" | "int64" | "uint64" | "double" => {
                    let rest = rest.trim_start();
                    let end = rest.find([' ', ',', ']']).unwrap_or(rest.len());
                    let (number, rest) = rest.split_at(end);
                    Some((typed(word, number)?, rest))
                }
                number if number.contains(['.', 'e']) => Some((typed("double", number)?, rest)),
                number => Some((typed("int32", number)?, rest)),
            }
        }
    }
}

fn typed(kind: &str, number: &str) -> Option<Value> {
    Some(match kind {
        "byte" => Value::Byte(number.parse().ok()?),
        "int32" => Value::I32(number.parse().ok()?),
        "uint32" => Value::U32(number.parse().ok()?),
        "int64" => Value::I64(number.parse().ok()?),
        "uint64" => Value::U64(number.parse().ok()?),
        _ => Value::Double(number.parse().ok()?),
    })
}

fn string(text: &str, quote: char) -> Option<(Value, &str)> {
    let mut string = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next()?.1 {
                'n' => string.push('\n'),
                't' => string.push('\t'),
                other => string.push(other),
            },
            '\0' => return None,
            end if end == quote => return Some((Value::Text(string), &text[at + 1..])),
            other => string.push(other),
        }
    }
    None
}

fn array<'a>(text: &'a str, element: Option<&str>) -> Option<(Value, &'a str)> {
    let mut values: Vec<Value> = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(rest) = rest.strip_prefix(']') {
            let kind = element.map(str::to_owned).or_else(|| Some(values.first()?.signature()))?;
            let same = values.iter().all(|value| value.signature() == kind);
            // An array of arrays is no property's.
            return (same && kind.len() == 1).then_some((Value::Array(kind, values), rest));
        }
        let (one, behind) = value(rest)?;
        if matches!(one, Value::Array(..)) {
            return None;
        }
        values.push(one);
        rest = behind.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if rest.starts_with(']') => rest,
            None => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_gvariant() {
        let cases = [
            ("true", Value::Bool(true)),
            ("5", Value::I32(5)),
            ("uint64 18446744073709551615", Value::U64(u64::MAX)),
            ("double 2", Value::Double(2.0)),
            ("1.5", Value::Double(1.5)),
            ("'inactive-or-failed'", Value::text("inactive-or-failed")),
            ("\"it's\"", Value::text("it's")),
            (r"'it\'s'", Value::text("it's")),
            ("['a', \"b\"]", Value::texts(["a", "b"])),
            ("@as []", Value::texts([])),
            ("[uint32 1, uint32 2]", Value::Array("u".into(), vec![Value::U32(1), Value::U32(2)])),
        ];
        for (text, value) in cases {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for text in ["", "yes", "'a", "[]", "[1, 'a']", "[[1]]", "@as [1]", "uint64 -1", "1 2", "["]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_are_microseconds_on_the_bus() {
        let annotations = BTreeMap::from([
            ("org.systemd.property.TimeoutStopSec".to_owned(), "3".to_owned()),
            ("org.systemd.property.TimeoutStopUSec".to_owned(), "uint64 7".to_owned()),
            ("com.example".to_owned(), "x".to_owned()),
        ]);
        assert_eq!(
            properties(&annotations).unwrap(),
            [
                ("TimeoutStopUSec".to_owned(), Value::U64(3_000_000)),
                ("TimeoutStopUSec".to_owned(), Value::U64(7)),
            ]
        );
    }

    #[test]
    fn refuses_names_and_values_by_the_annotation() {
        for (name, value) in [("Xy", "1"), ("collectMode", "1"), ("A.b.c", "1"), ("Long", "nope")] {
            let annotation = format!("{PREFIX}{name}");
            let error = properties(&BTreeMap::from([(annotation.clone(), value.to_owned())]));
            assert!(error.unwrap_err().message().contains(&annotation));
        }
    }
}
