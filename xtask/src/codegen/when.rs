//! Conditions on the version, as Rust.

use super::schema::Versions;

/// When something holds, for a version known to be in some range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    Never,
    From(i16),
    Until(i16),
    Within(i16, i16),
}

impl When {
    /// The version is in `wanted`, given that it is in `here`.
    pub fn new(wanted: Versions, here: Versions) -> Self {
        let Versions { first, last } = wanted.and(here);
        match (first > here.first, last < here.last) {
            _ if wanted.and(here).is_empty() => Self::Never,
            (false, false) => Self::Always,
            (true, false) => Self::From(first),
            (false, true) => Self::Until(last),
            (true, true) => Self::Within(first, last),
        }
    }

    /// A Rust condition.
    pub fn holds(self) -> String {
        match self {
            Self::Always => "true".to_owned(),
            Self::Never => "false".to_owned(),
            Self::From(first) => format!("version >= {first}"),
            Self::Until(last) => format!("version <= {last}"),
            Self::Within(first, last) if first == last => format!("version == {first}"),
            Self::Within(first, last) => format!("({first}..={last}).contains(&version)"),
        }
    }

    /// The opposite.
    pub fn fails(self) -> String {
        match self {
            Self::Always => "false".to_owned(),
            Self::Never => "true".to_owned(),
            Self::From(first) => format!("version < {first}"),
            Self::Until(last) => format!("version > {last}"),
            Self::Within(first, last) if first == last => format!("version != {first}"),
            Self::Within(first, last) => format!("!({first}..={last}).contains(&version)"),
        }
    }

    /// `then` when it holds, else `otherwise`; without an `if` where none is needed.
    pub fn choose(self, then: &str, otherwise: &str) -> String {
        match self {
            Self::Always => then.to_owned(),
            Self::Never => otherwise.to_owned(),
            _ if then.is_empty() && otherwise.is_empty() => String::new(),
            _ if otherwise.is_empty() => format!("if {} {{ {then} }}", self.holds()),
            _ if then.is_empty() => format!("if {} {{ {otherwise} }}", self.fails()),
            _ => format!("if {} {{ {then} }} else {{ {otherwise} }}", self.holds()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(wanted: &str, here: &str) -> When {
        let versions = |text: &str| text.parse().expect("versions");
        When::new(versions(wanted), versions(here))
    }

    #[test]
    fn conditions_are_as_short_as_can_be() {
        assert_eq!(when("0+", "3-9"), When::Always);
        assert_eq!(when("0-2", "3-9"), When::Never);
        assert_eq!(when("7+", "3-9").holds(), "version >= 7");
        assert_eq!(when("0-4", "3-9").fails(), "version > 4");
        assert_eq!(
            when("5", "3-9").choose("a", "b"),
            "if version == 5 { a } else { b }"
        );
        assert_eq!(
            when("5-6", "3-9").choose("", "b"),
            "if !(5..=6).contains(&version) { b }"
        );
    }
}
