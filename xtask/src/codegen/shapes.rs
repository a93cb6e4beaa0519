//! The structs of one message: which there are, in which versions, how small they get.

use anyhow::{Context, Result, ensure};

use super::schema::{Field, Message, Versions};

/// A struct with everything known about it.
pub struct Shape<'a> {
    pub name: &'a str,
    /// Fields that exist in at least one version; Kafka keeps some whose versions are gone.
    pub fields: Vec<&'a Field>,
    /// Versions in which it can occur.
    pub versions: Versions,
    /// Those of them that have compact lengths and tagged fields.
    pub flexible: Versions,
    /// Fewest bytes on the wire over all its versions, and at least 1.
    pub size_min: usize,
}

/// The message itself, then its structs in the order of their first mention.
pub fn shapes(message: &Message) -> Result<Vec<Shape<'_>>> {
    let mut found = vec![Found {
        name: &message.name,
        fields: &message.fields,
        versions: message.versions,
    }];
    collect(&mut found, message, &message.fields, message.versions)?;
    found.iter().map(|one| one.shape(message, &found)).collect()
}

/// The struct a type mentions: they alone start with a capital.
pub fn struct_name(ty: &str) -> Option<&str> {
    let name = ty.trim_start_matches("[]");
    name.starts_with(char::is_uppercase).then_some(name)
}

struct Found<'a> {
    name: &'a str,
    fields: &'a [Field],
    versions: Versions,
}

fn collect<'a>(
    found: &mut Vec<Found<'a>>,
    message: &'a Message,
    fields: &'a [Field],
    within: Versions,
) -> Result<()> {
    for field in fields {
        let Some(name) = struct_name(&field.ty) else {
            continue;
        };
        let shared = message.structs.iter().find(|shared| shared.name == name);
        let (fields, declared) = shared.map_or((&field.fields, Versions::ALL), |shared| {
            (&shared.fields, shared.versions)
        });
        ensure!(!fields.is_empty(), "{name} has no fields");
        let versions = within.and(field.versions).and(declared);
        if versions.is_empty() {
            continue;
        }
        match found.iter_mut().find(|known| known.name == name) {
            Some(known) => {
                ensure!(known.fields == *fields, "two structs are called {name}");
                known.versions = known.versions.or(versions);
            }
            None => found.push(Found {
                name,
                fields,
                versions,
            }),
        }
        collect(found, message, fields, versions)?;
    }
    Ok(())
}

impl<'a> Found<'a> {
    fn shape(&self, message: &Message, all: &[Found<'_>]) -> Result<Shape<'a>> {
        let exists = |field: &&Field| !field.versions.and(self.versions).is_empty();
        let sizes: Vec<usize> = (self.versions.first..=self.versions.last)
            .map(|version| self.size_min(message, all, version))
            .collect::<Result<_>>()?;
        Ok(Shape {
            name: self.name,
            fields: self.fields.iter().filter(exists).collect(),
            versions: self.versions,
            flexible: message.flexible.and(self.versions),
            size_min: sizes.into_iter().min().unwrap_or(0).max(1),
        })
    }

    /// Fewest bytes in this version: arrays and tagged fields empty, strings and structs empty or null.
    fn size_min(&self, message: &Message, all: &[Found<'_>], version: i16) -> Result<usize> {
        let flexible = message.flexible.contains(version);
        // The count of tagged fields.
        let mut size = usize::from(flexible);
        for field in self.fields.iter().filter(|field| field.is_in_line(version)) {
            size += match (field.ty.as_str(), struct_name(&field.ty)) {
                ("bool" | "int8", _) => 1,
                ("int16" | "uint16", _) => 2,
                ("int32" | "uint32", _) => 4,
                ("int64" | "float64", _) => 8,
                ("uuid", _) => 16,
                ("string", _) if field.flexible.is_some() => 2,
                (ty, Some(name)) if !ty.starts_with("[]") => {
                    if field.nullable.contains(version) {
                        1
                    } else {
                        let inner = all.iter().find(|found| found.name == name);
                        inner
                            .context("every struct was found")?
                            .size_min(message, all, version)?
                    }
                }
                _ if flexible => 1,
                ("string", _) => 2,
                _ => 4,
            };
        }
        Ok(size)
    }
}
