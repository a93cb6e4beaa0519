//! Places in partitions, as people write them.

use ottla_client::cluster::OffsetSpec;

/// `earliest`, `latest`, an offset, or `@` and a time in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The first record there is.
    Earliest,
    /// Behind the last one.
    Latest,
    /// An offset.
    Offset(i64),
    /// The first record at or after this time.
    Time(i64),
}

/// Reads a position.
pub fn position(text: &str) -> Result<Position, String> {
    match text {
        "earliest" | "beginning" => return Ok(Position::Earliest),
        "latest" | "end" => return Ok(Position::Latest),
        _ => {}
    }
    let (number, position): (&str, fn(i64) -> Position) = match text.strip_prefix('@') {
        Some(time) => (time, Position::Time),
        None => (text, Position::Offset),
    };
    match number.parse() {
        Ok(number) if number >= 0 => Ok(position(number)),
        _ => Err("use earliest, latest, an offset, or @ and milliseconds since 1970".into()),
    }
}

impl Position {
    /// What to look up at the partition's leader; None for an offset that is known already.
    pub fn spec(self) -> Option<OffsetSpec> {
        match self {
            Position::Earliest => Some(OffsetSpec::Earliest),
            Position::Latest => Some(OffsetSpec::Latest),
            Position::Time(time) => Some(OffsetSpec::AtTime(time)),
            Position::Offset(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        assert_eq!(position("earliest"), Ok(Position::Earliest));
        assert_eq!(position("end"), Ok(Position::Latest));
        assert_eq!(position("42"), Ok(Position::Offset(42)));
        assert_eq!(
            position("@1700000000000"),
            Ok(Position::Time(1_700_000_000_000))
        );
        for wrong in ["", "-1", "@", "soon"] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }
}
