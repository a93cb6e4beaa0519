//! Random instances of every message, as bytes, straight from the fact tables in `schemas/`.
//!
//! Shares no line with the generated codec, nor with the generator that wrote it: a fact that the
//! codec misreads is read rightly here, and the two disagree. Seeded, so that a failure repeats.
//! Used by the fuzzer beside it and by the oracle in e2e/tests/codec_oracle.rs.

mod random;
mod table;

pub use random::Random;
use table::{Field, Shape};
pub use table::{Message, parse};

use std::cmp::Ordering;

/// Longest string, array and so on: now and then long enough for lengths of two varint bytes.
const LONG: u64 = 200;
/// Now and then a byte field as large as what the writer does not copy.
const LARGE: usize = 5000;
/// What arrays claim that claim too much: a frame of 20,000 bytes by element sizes of 1, 2, 3, 4, 8.
const CLAIMS: [usize; 5] = [19_900, 9_900, 6_600, 4_900, 2_400];

/// The bytes of one random instance in this version.
pub fn instance(message: &Message, version: i16, random: &mut Random) -> Vec<u8> {
    write(message, version, random, None)
}

/// An instance in which everything is as small as can be, but arrays at this depth, which have
/// `count` elements: the most structs for the fewest bytes.
pub fn wide_instance(message: &Message, version: i16, depth: u32, count: usize) -> Vec<u8> {
    let wide = Wide {
        depth,
        count,
        overclaim: false,
    };
    write(
        message,
        version,
        &mut Random::named(0, "unused", 0),
        Some(wide),
    )
}

/// The start of an instance in which every array on the way down has one element and claims many,
/// as many as the rest of a frame of 20,000 bytes could just hold if its elements were small.
pub fn overclaiming_instance(message: &Message, version: i16, random: &mut Random) -> Vec<u8> {
    let wide = Wide {
        depth: u32::MAX,
        count: 0,
        overclaim: true,
    };
    write(message, version, random, Some(wide))
}

/// Small everywhere but in arrays.
#[derive(Clone, Copy)]
struct Wide {
    /// Where arrays have `count` elements; further out they have one, further in none.
    depth: u32,
    count: usize,
    /// Arrays claim more than they have.
    overclaim: bool,
}

fn write(message: &Message, version: i16, random: &mut Random, wide: Option<Wide>) -> Vec<u8> {
    let flexible = message.flexible.contains(version);
    let mut writer = Instance {
        message,
        version,
        flexible,
        random,
        wide,
        out: Vec::new(),
        depth: 0,
    };
    writer.fields(&message.fields);
    writer.out
}

struct Instance<'a> {
    message: &'a Message,
    version: i16,
    flexible: bool,
    random: &'a mut Random,
    wide: Option<Wide>,
    out: Vec<u8>,
    /// How many arrays we are in.
    depth: u32,
}

impl Instance<'_> {
    fn fields(&mut self, fields: &[Field]) {
        let version = self.version;
        let mut tagged = Vec::new();
        for field in fields
            .iter()
            .filter(|field| field.versions.contains(version))
        {
            match field.tag {
                Some((tag, versions)) if versions.contains(version) => tagged.push((tag, field)),
                _ => self.field(field),
            }
        }
        if self.flexible {
            self.tags(tagged);
        }
    }

    /// Some of the known tags, and some that nobody knows.
    fn tags(&mut self, mut known: Vec<(u32, &Field)>) {
        known.retain(|_| self.wide.is_none() && self.random.below(2) == 0);
        known.sort_by_key(|(tag, _)| *tag);
        let mut sections = Vec::new();
        for (tag, field) in known {
            let outside = std::mem::take(&mut self.out);
            self.field(field);
            sections.push((tag, std::mem::replace(&mut self.out, outside)));
        }
        let mut unknown = 100;
        while self.wide.is_none() && self.random.below(8) == 0 {
            unknown += 1 + self.random.below(20_000) as u32;
            let size = self.random.below(20) as usize;
            sections.push((unknown, self.random.bytes(size)));
        }
        uvarint(&mut self.out, sections.len() as u32);
        for (tag, content) in sections {
            uvarint(&mut self.out, tag);
            uvarint(&mut self.out, content.len() as u32);
            self.out.extend(content);
        }
    }

    fn field(&mut self, field: &Field) {
        let flexible = self.flexible
            && field
                .flexible
                .is_none_or(|versions| versions.contains(self.version));
        let nullable = field.nullable.contains(self.version);
        let null = nullable && self.wide.is_none() && self.random.below(4) == 0;
        match field.ty.strip_prefix("[]") {
            Some(inner) => {
                let count = self.count();
                let claim = match self.wide {
                    Some(Wide {
                        overclaim: true, ..
                    }) => CLAIMS[self.random.below(CLAIMS.len() as u64) as usize],
                    _ => count,
                };
                self.length((!null).then_some(claim), flexible);
                if !null {
                    self.depth += 1;
                    (0..count).for_each(|_| self.value(inner, field, flexible));
                    self.depth -= 1;
                }
            }
            None if matches!(field.shape(self.message), Shape::Struct(_)) => {
                if nullable {
                    // Tagged fields say null in another way than fields in line.
                    let marker = if field.tag.is_some() { 0 } else { 0xff };
                    self.out.push(if null { marker } else { 1 });
                }
                if !null {
                    self.value(&field.ty, field, flexible);
                }
            }
            None if null && field.ty == "string" && !flexible => self.out.extend([0xff; 2]),
            None if null => self.length(None, flexible),
            None => self.value(&field.ty, field, flexible),
        }
    }

    /// Few elements, fewer the deeper we are, so that instances stay small.
    fn count(&mut self) -> usize {
        if let Some(wide) = self.wide {
            return match self.depth.cmp(&wide.depth) {
                Ordering::Less => 1,
                Ordering::Equal => wide.count,
                Ordering::Greater => 0,
            };
        }
        if self.depth == 0 && self.random.below(50) == 0 {
            return self.random.below(LONG) as usize;
        }
        self.random
            .below(u64::from(4u32.saturating_sub(self.depth).max(2))) as usize
    }

    fn value(&mut self, ty: &str, field: &Field, flexible: bool) {
        if let Shape::Struct(fields) = field.shape(self.message) {
            return self.fields(fields);
        }
        match ty {
            // Any byte but 0 is true, and is written back as 1.
            "bool" => self.out.push([0, 1, 1, 7][self.random.below(4) as usize]),
            "int8" => self.integer(1, field),
            "int16" | "uint16" => self.integer(2, field),
            "int32" | "uint32" => self.integer(4, field),
            "int64" => self.integer(8, field),
            "float64" => {
                let value = [0.0, -0.0, 1.5, f64::INFINITY, f64::MIN_POSITIVE, 1e300]
                    [self.random.below(6) as usize];
                self.out.extend(value.to_be_bytes());
            }
            "uuid" => {
                let bytes = if self.random.below(4) == 0 {
                    vec![0; 16]
                } else {
                    self.random.bytes(16)
                };
                self.out.extend(bytes);
            }
            "string" => {
                let end = if self.wide.is_some() {
                    1
                } else if self.random.below(20) == 0 {
                    LONG
                } else {
                    12
                };
                let text = self.random.text(end);
                if flexible {
                    self.length(Some(text.len()), true);
                } else {
                    self.out.extend((text.len() as u16).to_be_bytes());
                }
                self.out.extend(text.bytes());
            }
            "bytes" | "records" => {
                let size = if self.wide.is_some() {
                    0
                } else if self.random.below(60) == 0 {
                    LARGE
                } else {
                    self.random.below(40) as usize
                };
                self.length(Some(size), flexible);
                let bytes = self.random.bytes(size);
                self.out.extend(bytes);
            }
            other => panic!("the table has an unknown type {other}"),
        }
    }

    /// Interesting values and the field's default come often: a default is left out of tagged fields.
    fn integer(&mut self, size: usize, field: &Field) {
        let value = match self.random.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1,
            3 => field.default_number().unwrap_or(0) as u64,
            4 => 1 << (8 * size - 1),
            _ => self.random.next(),
        };
        self.out.extend(&value.to_be_bytes()[8 - size..]);
    }

    fn length(&mut self, length: Option<usize>, flexible: bool) {
        if flexible {
            uvarint(&mut self.out, length.map_or(0, |length| length as u32 + 1));
        } else {
            self.out
                .extend(length.map_or(-1, |length| length as i32).to_be_bytes());
        }
    }
}

fn uvarint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
