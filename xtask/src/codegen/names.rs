//! Kafka's names in Rust's spelling.

/// `TransactionalId` → `transactional_id`, `KRaftVersion` → `kraft_version`, `Type` → `type_`.
pub fn snake(name: &str) -> String {
    let letters: Vec<char> = name.replace("KRaft", "Kraft").chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let after_small = at > 0 && !letters[at - 1].is_uppercase();
        let before_small = at > 0 && letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_small || before_small) {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    if matches!(out.as_str(), "type" | "match") {
        out.push('_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake;

    #[test]
    fn spelling() {
        let cases = [
            ("TransactionalId", "transactional_id"),
            ("KRaftVersionFeature", "kraft_version_feature"),
            ("topicId", "topic_id"),
            ("PartitionMaxBytes", "partition_max_bytes"),
            ("Type", "type_"),
            ("DescribeACLs", "describe_ac_ls"),
        ];
        for (kafka, ours) in cases {
            assert_eq!(snake(kafka), ours);
        }
    }
}
