//! `.kafka_cleanshutdown`: the broker epoch at the time of a clean stop. Kafka sends it as PreviousBrokerEpoch.

/// Reads the broker epoch; -1 when the file holds none that can be read (Kafka's own reading).
pub fn parse_clean_shutdown(text: &str) -> i64 {
    let epoch = text
        .split_once("\"brokerEpoch\"")
        .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'));
    let digits = epoch
        .map(str::trim_start)
        .and_then(|rest| rest.split([',', '}', ' ', '\n']).next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(-1)
}

/// Writes the file.
pub fn render_clean_shutdown(broker_epoch: i64) -> String {
    format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}")
}
