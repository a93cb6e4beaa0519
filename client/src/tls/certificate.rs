//! The two things of a certificate that TLS itself leaves to others: whom it names (as Kafka's principals do, RFC 2253), and its
//! alternative names, to compare a renewed certificate with the one before.
//!
//! Pure. Reads certificates whose chain has been verified, and our own; anything odd is an error, never a panic.
//! Not here: verification.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Names out of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject as Java's `X500Principal.getName()` gives it: RFC 2253, last attribute first. Empty if it has none.
    pub subject: String,
    /// Alternative names as they are encoded.
    pub alternative_names: BTreeSet<Vec<u8>>,
}

/// The certificate's structure does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be taken apart")]
pub struct CertificateError;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// id-ce-subjectAltName, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

impl Certificate {
    /// Takes a certificate in DER apart.
    pub fn parse(der: &[u8]) -> Result<Certificate, CertificateError> {
        let mut outer = Der(der).expect(SEQUENCE)?;
        let mut body = outer.expect(SEQUENCE)?;
        if body.peek() == Some(VERSION) {
            body.next()?;
        }
        body.expect(INTEGER)?; // serial number
        body.expect(SEQUENCE)?; // signature algorithm
        body.expect(SEQUENCE)?; // issuer
        body.expect(SEQUENCE)?; // validity
        let subject = body.expect(SEQUENCE)?;
        body.expect(SEQUENCE)?; // public key
        let mut alternative_names = BTreeSet::new();
        while !body.0.is_empty() {
            let (tag, content, _) = body.next()?;
            if tag == EXTENSIONS {
                alternative_names = read_alternative_names(content)?;
            }
        }
        Ok(Certificate {
            subject: distinguished_name(subject)?,
            alternative_names,
        })
    }
}

/// Elements of DER, one after another.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Tag, content, and the whole element.
    fn next(&mut self) -> Result<(u8, &'a [u8], &'a [u8]), CertificateError> {
        let all = self.0;
        let (&tag, rest) = all.split_first().ok_or(CertificateError)?;
        let (&first, mut rest) = rest.split_first().ok_or(CertificateError)?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            // Four bytes of length are more than any certificate has.
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return Err(CertificateError);
            }
            let digits;
            (digits, rest) = rest.split_at_checked(count).ok_or(CertificateError)?;
            length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
        }
        let (content, rest) = rest.split_at_checked(length).ok_or(CertificateError)?;
        self.0 = rest;
        Ok((tag, content, &all[..all.len() - rest.len()]))
    }

    fn expect(&mut self, expected: u8) -> Result<Der<'a>, CertificateError> {
        match self.next()? {
            (tag, content, _) if tag == expected => Ok(Der(content)),
            _ => Err(CertificateError),
        }
    }
}

fn read_alternative_names(content: &[u8]) -> Result<BTreeSet<Vec<u8>>, CertificateError> {
    let mut extensions = Der(content).expect(SEQUENCE)?;
    while !extensions.0.is_empty() {
        let mut extension = extensions.expect(SEQUENCE)?;
        if extension.expect(OBJECT_ID)?.0 != SUBJECT_ALT_NAME {
            continue;
        }
        if extension.peek() == Some(BOOLEAN) {
            extension.next()?;
        }
        let mut names = extension.expect(OCTET_STRING)?.expect(SEQUENCE)?;
        let mut found = BTreeSet::new();
        while !names.0.is_empty() {
            found.insert(names.next()?.2.to_vec());
        }
        return Ok(found);
    }
    Ok(BTreeSet::new())
}

fn distinguished_name(mut name: Der<'_>) -> Result<String, CertificateError> {
    let mut parts = Vec::new();
    while !name.0.is_empty() {
        let mut part = name.expect(SET)?;
        let mut attributes = Vec::new();
        while !part.0.is_empty() {
            attributes.push(attribute(part.expect(SEQUENCE)?)?);
        }
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    Ok(parts.join(","))
}

fn attribute(mut pair: Der<'_>) -> Result<String, CertificateError> {
    let kind = pair.expect(OBJECT_ID)?.0;
    let (tag, content, whole) = pair.next()?;
    let mut text = match keyword(kind) {
        Some(keyword) => format!("{keyword}="),
        None => format!("{}=", dotted(kind)),
    };
    if keyword(kind).is_some() && is_string(tag) {
        text.push_str(&escaped(&String::from_utf8_lossy(content)));
    } else {
        text.push('#');
        for byte in whole {
            write!(text, "{byte:02x}").expect("a String takes all that is written");
        }
    }
    Ok(text)
}

/// The attribute types that RFC 2253 gives a name.
fn keyword(object_id: &[u8]) -> Option<&'static str> {
    Some(match object_id {
        [0x55, 0x04, 0x03] => "CN",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x09] => "STREET",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        _ => return None,
    })
}

/// UTF8, Printable, Teletex, IA5, General, Universal and BMP strings, which Java writes as text.
fn is_string(tag: u8) -> bool {
    matches!(tag, 0x0c | 0x13 | 0x14 | 0x16 | 0x1b | 0x1c | 0x1e)
}

fn dotted(object_id: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in object_id {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first.to_string());
                number -= first * 40;
            }
            numbers.push(number.to_string());
            number = 0;
        }
    }
    numbers.join(".")
}

/// RFC 2253's escapes, in Java's reading.
fn escaped(value: &str) -> String {
    let is_padding = |c: char| c == ' ' || c == '\r';
    let lead = value.len() - value.trim_start_matches(is_padding).len();
    let trail = value.trim_end_matches(is_padding).len();
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let is_edge = is_padding(c) && (at < lead || at >= trail);
        if is_edge || ",=+<>#;\"\\".contains(c) {
            text.push('\\');
        }
        if c == '\0' {
            text.push_str("\\00");
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::Authority;
    use rcgen::{DistinguishedName, DnType, DnValue};

    fn named(entries: &[(DnType, &str)], alternatives: &[&str]) -> Certificate {
        let mut name = DistinguishedName::new();
        for (kind, value) in entries {
            name.push(kind.clone(), DnValue::Utf8String((*value).to_owned()));
        }
        let own = Authority::new("ca").issue_to(name, alternatives);
        Certificate::parse(&own.ders[0]).unwrap()
    }

    #[test]
    fn a_subject_is_written_last_attribute_first() {
        let plain = named(
            &[
                (DnType::CountryName, "DE"),
                (DnType::OrganizationName, "Kafka, \"Sons\" + <x>;\\"),
                (DnType::CommonName, " #1=ü "),
            ],
            &[],
        );
        assert_eq!(
            plain.subject,
            r#"CN=\ \#1\=ü\ ,O=Kafka\, \"Sons\" \+ \<x\>\;\\,C=DE"#
        );
        assert!(plain.alternative_names.is_empty());
        assert_eq!(named(&[], &["a"]).subject, "");
        let email = DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]);
        assert_eq!(
            named(&[(email, "a@b"), (DnType::CommonName, "x")], &[]).subject,
            "CN=x,1.2.840.113549.1.9.1=#0c03614062"
        );
    }

    #[test]
    fn alternative_names_are_found_and_compared() {
        let few = named(&[], &["a", "127.0.0.1"]).alternative_names;
        let more = named(&[], &["127.0.0.1", "b", "a"]).alternative_names;
        assert_eq!((few.len(), more.len()), (2, 3));
        assert!(more.is_superset(&few) && !few.is_superset(&more));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = Authority::new("ca").issue("x", &["a"]).ders[0].to_vec();
        for cut in 0..whole.len() {
            assert!(Certificate::parse(&whole[..cut]).is_err());
        }
        for at in 0..whole.len() {
            for value in [0x00, 0x7f, 0x80, 0x84, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                // Whatever it says; a name or an error.
                let _ = Certificate::parse(&bytes);
            }
        }
    }
}
