//! One page in Prometheus's text format 0.0.4.
//!
//! Invariant: each metric has its HELP and TYPE once, before all its samples, whatever order they were put in and
//! however many rows share its name; a metric without samples is not there. Numbers that are whole are printed
//! whole. Not here: which metrics there are (`table.rs`), their values (`fill.rs`).

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use ottla_broker_storage::Tally;

use super::table::{Alias, Kind, Metric, ROWS, Row};

/// Whose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Ours.
    Native,
    /// Those of Strimzi's rules for Kafka's JMX exporter.
    Strimzi,
    /// kafka_exporter's.
    Exporter,
}

impl Dialect {
    /// All of them, in the order of the page.
    pub const ALL: [Self; 3] = [Self::Native, Self::Strimzi, Self::Exporter];

    /// Its name in `?dialect=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Strimzi => "strimzi",
            Self::Exporter => "exporter",
        }
    }

    /// Name and labels of a row in this dialect, and what its value is multiplied by.
    pub(super) fn alias(self, row: &Row) -> Option<Alias> {
        match self {
            Self::Native => row.native.map(|name| Alias {
                name,
                labels: row.labels,
                scale: 1.0,
            }),
            Self::Strimzi => row.strimzi,
            Self::Exporter => row.exporter,
        }
    }
}

/// A value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole one.
    Whole(i128),
    /// Any other.
    Real(f64),
}

macro_rules! whole {
    ($($of:ty)*) => {
        $(impl From<$of> for Number {
            fn from(number: $of) -> Self {
                Self::Whole(number as i128)
            }
        })*
    };
}

whole! { bool i32 i64 u32 u64 usize }

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl Number {
    fn times(self, scale: f64) -> Self {
        match self {
            number if scale == 1.0 => number,
            Self::Whole(number) => Self::Real(number as f64 * scale),
            Self::Real(number) => Self::Real(number * scale),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) if number.is_nan() => f.write_str("NaN"),
            Self::Real(number) if number.is_infinite() => {
                f.write_str(if *number > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Real(number) => number.fmt(f),
        }
    }
}

/// A page that is being written.
pub struct Page {
    families: Vec<Family>,
    /// Per row, where its samples go.
    places: Vec<Vec<Place>>,
}

struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: String,
}

#[derive(Clone, Copy)]
struct Place {
    family: usize,
    alias: Alias,
}

/// Writing to a String cannot fail.
const STRING: &str = "a String takes all that is written";

impl Page {
    /// An empty page in these dialects.
    pub fn new(dialects: &[Dialect]) -> Self {
        let mut page = Self {
            families: Vec::new(),
            places: vec![Vec::new(); ROWS.len()],
        };
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for dialect in Dialect::ALL.iter().filter(|known| dialects.contains(known)) {
            for (row, places) in ROWS.iter().zip(&mut page.places) {
                let Some(alias) = dialect.alias(row) else {
                    continue;
                };
                let family = *known.entry(alias.name).or_insert_with(|| {
                    page.families.push(Family {
                        name: alias.name,
                        kind: row.kind,
                        help: row.help,
                        samples: String::new(),
                    });
                    page.families.len() - 1
                });
                places.push(Place { family, alias });
            }
        }
        page
    }

    /// A sample of a counter or gauge, with the values of the row's labels.
    pub fn put(&mut self, metric: Metric, labels: &[&dyn Display], value: impl Into<Number>) {
        let value = value.into();
        for place in &self.places[metric as usize] {
            let family = &mut self.families[place.family];
            family.sample(
                "",
                &place.alias,
                labels,
                None,
                value.times(place.alias.scale),
            );
        }
    }

    /// A histogram, whose values are told as `unit` of those in the tally (1e-9 for seconds of nanoseconds).
    pub fn put_tally<const N: usize>(
        &mut self,
        metric: Metric,
        labels: &[&dyn Display],
        tally: &Tally<N>,
        unit: f64,
    ) {
        let scaled = |value: u64| match unit {
            1.0 => Number::from(value),
            // Divided, because 2.5 ms times 1e-9 is not quite 0.0025.
            unit => Number::Real(value as f64 / (1.0 / unit).round()),
        };
        for place in &self.places[metric as usize] {
            let (family, alias) = (&mut self.families[place.family], &place.alias);
            for (bound, count) in tally.cumulative() {
                family.sample("_bucket", alias, labels, Some(scaled(bound)), count.into());
            }
            let infinity = Some(Number::Real(f64::INFINITY));
            family.sample("_bucket", alias, labels, infinity, tally.count().into());
            family.sample("_sum", alias, labels, None, scaled(tally.sum()));
            family.sample("_count", alias, labels, None, tally.count().into());
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        let families = self
            .families
            .iter()
            .filter(|family| !family.samples.is_empty());
        let mut text = String::with_capacity(families.clone().map(|f| f.samples.len() + 256).sum());
        for family in families {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let (name, help) = (family.name, family.help);
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(STRING);
            text.push_str(&family.samples);
        }
        text
    }
}

impl Family {
    fn sample(
        &mut self,
        suffix: &str,
        alias: &Alias,
        labels: &[&dyn Display],
        bound: Option<Number>,
        value: Number,
    ) {
        debug_assert_eq!(labels.len(), alias.labels.len(), "{}", alias.name);
        let text = &mut self.samples;
        text.push_str(alias.name);
        text.push_str(suffix);
        let mut open = '{';
        for (name, label) in alias.labels.iter().zip(labels) {
            write!(text, "{open}{name}=\"").expect(STRING);
            write!(Escaped(text), "{label}").expect(STRING);
            text.push('"');
            open = ',';
        }
        if let Some(bound) = bound {
            write!(text, "{open}le=\"{bound}\"").expect(STRING);
            open = ',';
        }
        if open == ',' {
            text.push('}');
        }
        writeln!(text, " {value}").expect(STRING);
    }
}

/// Writes a label's value: a group may call itself anything.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(dialects: &[Dialect], fill: impl FnOnce(&mut Page), expected: Expect) {
        let mut page = Page::new(dialects);
        fill(&mut page);
        expected.assert_eq(&page.finish());
    }

    #[test]
    fn rows_that_share_a_name_become_one_metric() {
        check(
            &[Dialect::Strimzi],
            |page| {
                page.put(Metric::TopicBytesIn, &[&"a"], 5u64);
                page.put(Metric::AllRecordsIn, &[], 1u64);
                page.put(Metric::AllBytesIn, &[], 7u64);
                page.put(Metric::TopicBytesIn, &[&"b"], 2u64);
            },
            expect![[r##"
                # HELP kafka_server_brokertopicmetrics_bytesin_total Bytes of record batches that clients appended, all topics together, as stored.
                # TYPE kafka_server_brokertopicmetrics_bytesin_total counter
                kafka_server_brokertopicmetrics_bytesin_total{topic="a"} 5
                kafka_server_brokertopicmetrics_bytesin_total 7
                kafka_server_brokertopicmetrics_bytesin_total{topic="b"} 2
                # HELP kafka_server_brokertopicmetrics_messagesin_total Records that clients appended, all topics together.
                # TYPE kafka_server_brokertopicmetrics_messagesin_total counter
                kafka_server_brokertopicmetrics_messagesin_total 1
            "##]],
        );
    }

    #[test]
    fn a_row_is_told_in_each_dialect() {
        check(
            &[Dialect::Exporter, Dialect::Native],
            |page| {
                page.put(Metric::GroupLag, &[&"g", &"t", &0], 3i64);
                page.put(Metric::OldestOffset, &[&"t", &0], 1i64);
            },
            expect![[r##"
                # HELP ottla_group_lag_records Offsets from the committed one to the high watermark, where both are known to the group's coordinator: for partitions that its broker leads.
                # TYPE ottla_group_lag_records gauge
                ottla_group_lag_records{group="g",topic="t",partition="0"} 3
                # HELP kafka_topic_partition_oldest_offset First offset of the log, told by the leader.
                # TYPE kafka_topic_partition_oldest_offset gauge
                kafka_topic_partition_oldest_offset{topic="t",partition="0"} 1
                # HELP kafka_consumergroup_lag Offsets from the committed one to the high watermark, where both are known to the group's coordinator: for partitions that its broker leads.
                # TYPE kafka_consumergroup_lag gauge
                kafka_consumergroup_lag{consumergroup="g",topic="t",partition="0"} 3
            "##]],
        );
        check(
            &[Dialect::Native, Dialect::Strimzi],
            |page| page.put(Metric::ApplyLagSeconds, &[], 0.25),
            expect![[r#"
                # HELP ottla_metadata_apply_lag_seconds Age of the last applied metadata record while there are others to apply; 0 when there are none.
                # TYPE ottla_metadata_apply_lag_seconds gauge
                ottla_metadata_apply_lag_seconds 0.25
                # HELP kafka_controller_kafkacontroller_lastappliedrecordlagms Age of the last applied metadata record while there are others to apply; 0 when there are none.
                # TYPE kafka_controller_kafkacontroller_lastappliedrecordlagms gauge
                kafka_controller_kafkacontroller_lastappliedrecordlagms 250
            "#]],
        );
    }

    #[test]
    fn histograms_have_buckets_sum_and_count() {
        check(
            &Dialect::ALL,
            |page| {
                let mut tally = Tally::new([2_500_000, 1_000_000_000]);
                for nanos in [2_500_000, 3_000_000, 4_000_000_000] {
                    tally.add(nanos);
                }
                page.put_tally(Metric::RequestSeconds, &[&"Fetch"], &tally, 1e-9);
                let mut tally = Tally::new([4096]);
                tally.add(100);
                page.put_tally(Metric::GroupCommitBytes, &[], &tally, 1.0);
            },
            expect![[r##"
                # HELP ottla_request_seconds From the arrival of a request to its answer: for Produce with its flush, for Fetch with the wait that the consumer asked for.
                # TYPE ottla_request_seconds histogram
                ottla_request_seconds_bucket{api="Fetch",le="0.0025"} 1
                ottla_request_seconds_bucket{api="Fetch",le="1"} 2
                ottla_request_seconds_bucket{api="Fetch",le="+Inf"} 3
                ottla_request_seconds_sum{api="Fetch"} 4.0055
                ottla_request_seconds_count{api="Fetch"} 3
                # HELP ottla_group_commit_bytes Bytes of each group commit.
                # TYPE ottla_group_commit_bytes histogram
                ottla_group_commit_bytes_bucket{le="4096"} 1
                ottla_group_commit_bytes_bucket{le="+Inf"} 1
                ottla_group_commit_bytes_sum 100
                ottla_group_commit_bytes_count 1
            "##]],
        );
    }

    #[test]
    fn whatever_a_group_is_called_stays_one_label() {
        check(
            &[Dialect::Native],
            |page| page.put(Metric::GroupMembers, &[&"a\"} 1\nb\\"], 0usize),
            expect![[r##"
                # HELP ottla_group_members Members of the group.
                # TYPE ottla_group_members gauge
                ottla_group_members{group="a\"} 1\nb\\"} 0
            "##]],
        );
    }
}
