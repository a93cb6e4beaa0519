//! The name that was probably meant.

/// The candidate with the fewest edits (insert, delete, replace, swap of neighbours) from `name`, if they are few for its length.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.len() / 4).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit)
        .map(|candidate| (edits(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_word() {
        let words = [
            "log.retention.ms",
            "log.retention.bytes",
            "log.roll.ms",
            "node.id",
        ];
        for (name, expected) in [
            ("log.retention.msec", Some("log.retention.ms")),
            ("log.retetnion.bytes", Some("log.retention.bytes")),
            ("node.di", Some("node.id")),
            ("nodeid", Some("node.id")),
            ("zookeeper.connect", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, words), expected, "{name}");
        }
    }
}
