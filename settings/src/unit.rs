//! Durations and sizes for people: `7d`, `1 GiB`, `PT1H`. Keys themselves hold plain numbers, as Kafka's do.

use crate::table::Unit;

/// A number of a unit in words, `None` where the bare number says it best: 604800000 ms is `7 days`.
pub fn in_words(unit: Unit, number: i64) -> Option<String> {
    match unit {
        Unit::Bytes | Unit::BytesPerSecond => {
            let text = largest(
                number,
                &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")],
            )?;
            Some(if unit == Unit::Bytes {
                text
            } else {
                text + " per second"
            })
        }
        _ => {
            let unit_ms = unit.ms()?;
            let units = [
                (86_400_000, "days"),
                (3_600_000, "hours"),
                (60_000, "minutes"),
                (1000, "seconds"),
            ];
            // `5 seconds` says no more than 5 of a key in seconds.
            let larger: Vec<_> = units
                .into_iter()
                .filter(|(size, _)| *size > unit_ms)
                .collect();
            largest(number.checked_mul(unit_ms)?, &larger)
        }
    }
}

fn largest(number: i64, units: &[(i64, &str)]) -> Option<String> {
    let (size, name) = units
        .iter()
        .find(|(size, _)| number >= *size && number % size == 0)?;
    let count = number / size;
    let name = if count == 1 {
        name.trim_end_matches('s')
    } else {
        name
    };
    Some(format!("{count} {name}"))
}

/// Reads a duration as people write it: a number with ms, s, m, h, d or w, or several of them (`1h30m`). Milliseconds.
pub fn duration_ms(text: &str) -> Option<i64> {
    sum(text, |unit| match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        "w" => Some(604_800_000),
        _ => None,
    })
}

/// Reads a size as Kubernetes writes it: a number with nothing, k, M, G, T (powers of 1000) or Ki, Mi, Gi, Ti. Bytes.
pub fn size_bytes(text: &str) -> Option<i64> {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let factor: i64 = match &text[at..] {
        "" | "B" => 1,
        "k" | "kB" => 1000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        "Ti" | "TiB" => 1 << 40,
        _ => return None,
    };
    text[..at].parse::<i64>().ok()?.checked_mul(factor)
}

fn sum(text: &str, factor: impl Fn(&str) -> Option<i64>) -> Option<i64> {
    let mut rest = text;
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        total = total.checked_add(number.checked_mul(factor(&rest[..letters])?)?)?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total)
}

/// Reads an ISO 8601 duration without negative parts (`P1DT2H3M4.5S`), as `share.auto.offset.reset` has it. Milliseconds.
pub fn iso_duration_ms(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let rest = text.strip_prefix('P')?;
    let (date, time) = rest
        .split_once('T')
        .map_or((rest, None), |(date, time)| (date, Some(time)));
    if date.is_empty() && time.is_none_or(str::is_empty) || time == Some("") {
        return None;
    }
    let days = if date.is_empty() {
        0
    } else {
        date.strip_suffix('D')?
            .parse::<i64>()
            .ok()?
            .checked_mul(86_400_000)?
    };
    let mut total = days;
    let mut rest = time.unwrap_or_default();
    for (letter, factor) in [('H', 3_600_000), ('M', 60_000), ('S', 1000)] {
        let Some((number, after)) = rest.split_once(letter) else {
            continue;
        };
        total =
            total.checked_add(thousandths(number, letter == 'S')?.checked_mul(factor)? / 1000)?;
        rest = after;
    }
    (rest.is_empty() && total >= 0).then_some(total)
}

/// A decimal number in thousandths; a fraction only where allowed.
fn thousandths(text: &str, fraction_allowed: bool) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || !is_digits(whole)
        || !is_digits(fraction)
        || fraction.len() > 9
        || text.contains('.') && !fraction_allowed
    {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1000)?
        .checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        let words = |unit, number| in_words(unit, number).unwrap_or_default();
        assert_eq!(words(Unit::Ms, 604_800_000), "7 days");
        assert_eq!(words(Unit::Ms, 86_400_000), "1 day");
        assert_eq!(words(Unit::Hours, 168), "7 days");
        assert_eq!(words(Unit::Ms, 90_000), "90 seconds");
        assert_eq!(words(Unit::Seconds, 300), "5 minutes");
        assert_eq!(words(Unit::Seconds, 1), "");
        assert_eq!(words(Unit::Ms, 1500), "");
        assert_eq!(words(Unit::Ms, -1), "");
        assert_eq!(words(Unit::Ms, i64::MAX), "");
        assert_eq!(words(Unit::Bytes, 1 << 30), "1 GiB");
        assert_eq!(words(Unit::Bytes, 1_048_588), "");
        assert_eq!(words(Unit::Plain, 1000), "");
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration_ms("1h30m"), Some(5_400_000));
        assert_eq!(duration_ms("7d"), Some(604_800_000));
        assert_eq!(duration_ms("250ms"), Some(250));
        for bad in [
            "",
            "7",
            "d",
            "1y",
            "1h-",
            "99999999999999999999d",
            "9999999999999d",
        ] {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
        assert_eq!(size_bytes("10Gi"), Some(10 << 30));
        assert_eq!(size_bytes("5k"), Some(5000));
        assert_eq!(size_bytes("512"), Some(512));
        for bad in ["", "Gi", "1.5Gi", "-1", "9999999Ti"] {
            assert_eq!(size_bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn iso_durations() {
        assert_eq!(iso_duration_ms("PT1H"), Some(3_600_000));
        assert_eq!(
            iso_duration_ms("p1dt2h3m4.5s"),
            Some(86_400_000 + 7_200_000 + 180_000 + 4500)
        );
        assert_eq!(iso_duration_ms("P2D"), Some(172_800_000));
        for bad in [
            "", "P", "PT", "P1DT", "1H", "PT1", "PT1M1H", "PT-1H", "P1Y", "PT1.5H", "PTS",
        ] {
            assert_eq!(iso_duration_ms(bad), None, "{bad}");
        }
    }
}
