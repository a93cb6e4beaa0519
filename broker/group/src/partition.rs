//! Which partition of `__consumer_offsets` a group lives in. Every broker and every client-side tool must agree on it.

/// The partition of `group_id` among `partitions` (> 0): Java's 32-bit string hash over UTF-16 units, sign bit cleared, modulo.
pub fn partition_for_group(group_id: &str, partitions: i32) -> i32 {
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    (hash & i32::MAX) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::partition_for_group;

    #[test]
    fn agrees_with_java() {
        // Values of (s.hashCode() & 0x7fffffff) % n, computed by a JVM.
        assert_eq!(partition_for_group("", 50), 0);
        assert_eq!(partition_for_group("console-consumer-1", 50), 24);
        assert_eq!(partition_for_group("grüße-😀", 50), 27);
        assert_eq!(partition_for_group("polygenelubricants", 50), 0); // its hash is i32::MIN
    }
}
