//! What a topic's name says: whether it may be one, and whether the topic is the broker's own.

use crate::controller::METADATA_TOPIC;
use crate::coordinator::OFFSETS_TOPIC;

/// Longest name: a directory name of 255 bytes, less a dash and five digits.
const NAME_BYTES_MAX: usize = 249;
/// Topics of coordinators that are not served yet; nobody else may take the names.
const RESERVED: [&str; 2] = ["__transaction_state", "__share_group_state"];

/// Whether `name` may be a topic's: letters, digits, dot, dash, underscore, and neither `.` nor `..`.
pub fn is_valid(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && name.bytes().all(is_allowed)
}

/// Whether the topic is written by brokers only.
pub fn is_internal(name: &str) -> bool {
    name == OFFSETS_TOPIC || name == METADATA_TOPIC || RESERVED.contains(&name)
}
