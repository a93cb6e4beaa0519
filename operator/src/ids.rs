//! Ids as Kafka writes them.

use ottla_client::net::NetRef;

/// Sixteen random bytes as Kafka writes ids: base64 without padding, never with a leading '-',
/// which command lines take for an option.
pub fn new_cluster_id(net: &NetRef) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = u128::from(net.random()) << 64 | u128::from(net.random());
    // The lowest two bits of the last of 22 digits must be unset: 128 = 21 × 6 + 2.
    let mut id: String = (0..22)
        .map(|digit| {
            let shift = 122 - 6 * digit;
            let six = if shift >= 0 {
                bits >> shift
            } else {
                bits << -shift
            };
            DIGITS[(six & 63) as usize] as char
        })
        .collect();
    if id.starts_with('-') {
        id.replace_range(..1, "A");
    }
    id
}
