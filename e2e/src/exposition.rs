//! Prometheus's text format, read strictly: what promtool and the scraper would take, and a little less.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

/// A page that was found sound: samples by name and labels as they stand (`a{b="c"}`).
#[derive(Debug)]
pub struct Exposition(BTreeMap<String, f64>);

impl Exposition {
    /// Reads a page. Errors: a sample without HELP and TYPE before it, a metric told in two places, a sample told
    /// twice, a value or label that is none, a histogram whose buckets do not add up.
    pub fn parse(text: &str) -> Result<Exposition> {
        ensure!(text.ends_with('\n'), "the last line does not end");
        let mut samples = BTreeMap::new();
        let mut families = BTreeSet::new();
        let mut family: Option<(&str, &str)> = None;
        let mut histograms = BTreeSet::new();
        let mut helped = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').context("HELP without a text")?;
                ensure!(!help.trim().is_empty(), "{name} has no help");
                ensure!(families.insert(name), "{name} is told in two places");
                helped = name;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').context("TYPE without a type")?;
                ensure!(name == helped, "{name} has a TYPE and no HELP before it");
                ensure!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                family = Some((name, kind));
                if kind == "histogram" {
                    histograms.insert(name);
                }
            } else {
                let (name, kind) = family.context("a sample before any TYPE")?;
                let (sample, value) = sample(line).with_context(|| format!("in `{line}`"))?;
                let own = sample.split('{').next().unwrap_or_default();
                let suffixes: &[&str] = match kind {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                let fits = |suffix: &&str| own.strip_prefix(name) == Some(*suffix);
                ensure!(suffixes.iter().any(fits), "`{line}` under {name}");
                ensure!(kind != "counter" || value >= 0.0, "{line}");
                ensure!(
                    samples.insert(sample.to_owned(), value).is_none(),
                    "`{sample}` twice"
                );
            }
        }
        let page = Exposition(samples);
        page.check_buckets(&histograms)?;
        Ok(page)
    }

    /// The value of a sample, as it stands on the page.
    pub fn value(&self, sample: &str) -> Result<f64> {
        self.0.get(sample).copied().with_context(|| {
            let name = sample.split('{').next().unwrap_or_default();
            let near = self.of(name).map(|(sample, _)| sample);
            format!("no {sample}; there are {:?}", near.collect::<Vec<_>>())
        })
    }

    /// All samples of a name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let samples = self
            .0
            .iter()
            .map(|(sample, value)| (sample.as_str(), *value));
        samples.filter(move |(sample, _)| sample.split('{').next() == Some(name))
    }

    /// All names.
    pub fn names(&self) -> BTreeSet<&str> {
        let names = self.0.keys().map(|sample| sample.split('{').next());
        names.flatten().collect()
    }

    fn check_buckets(&self, histograms: &BTreeSet<&str>) -> Result<()> {
        for (sample, count) in &self.0 {
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let histogram = name.strip_suffix("_count");
            let Some(histogram) = histogram.filter(|name| histograms.contains(name)) else {
                continue;
            };
            let with = |le: &str| match labels.strip_suffix('}') {
                Some(labels) => format!("{histogram}_bucket{{{labels},le=\"{le}\"}}"),
                None => format!("{histogram}_bucket{{le=\"{le}\"}}"),
            };
            ensure!(
                self.value(&with("+Inf"))? == *count,
                "{sample} and its last bucket differ"
            );
            let opening = with("").replace("\"}", "");
            let mut buckets: Vec<(f64, f64)> = Vec::new();
            for (bucket, value) in self.0.range(opening.clone()..) {
                let Some(bound) = bucket.strip_prefix(&opening) else {
                    break;
                };
                let bound = bound.trim_end_matches("\"}").replace("+Inf", "inf");
                buckets.push((bound.parse()?, *value));
            }
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
            ensure!(buckets.len() > 1 && grows, "{histogram}: {buckets:?}");
        }
        Ok(())
    }
}

/// `name{label="value",…} number`.
fn sample(line: &str) -> Result<(&str, f64)> {
    let (sample, value) = line.rsplit_once(' ').context("no value")?;
    let (name, labels) = match sample.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').context("labels do not end")?),
        None => (sample, ""),
    };
    ensure!(is_name(name), "{name:?} is no name");
    check_labels(labels)?;
    Ok((sample, value.replace("+Inf", "inf").parse()?))
}

fn check_labels(labels: &str) -> Result<()> {
    let mut rest = labels;
    let mut seen = BTreeSet::new();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").context("a label without a value")?;
        ensure!(is_name(name) && seen.insert(name), "label {name:?}");
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.context("a value does not end")?;
        rest = match &value[end + 1..] {
            "" => "",
            more => more.strip_prefix(',').context("labels without a comma")?,
        };
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a Help.\n# TYPE a gauge\na{b=\"c\\\"} 1\"} 2\n# HELP h Help.\n# TYPE h histogram\n\
                        h_bucket{x=\"y\",le=\"1\"} 1\nh_bucket{x=\"y\",le=\"+Inf\"} 2\nh_sum{x=\"y\"} 3.5\nh_count{x=\"y\"} 2\n";

    #[test]
    fn a_sound_page_is_taken() {
        let page = Exposition::parse(GOOD).expect("it is sound");
        assert_eq!(page.value("h_sum{x=\"y\"}").expect("it is there"), 3.5);
        assert_eq!(page.of("a").count(), 1);
    }

    #[test]
    fn an_unsound_page_is_not() {
        for (from, to) in [
            ("# HELP a Help.\n", ""),
            ("# TYPE h histogram", "# TYPE h counter"),
            ("# HELP h", "# HELP a"),
            ("le=\"1\"} 1", "le=\"1\"} 3"),
            ("h_count{x=\"y\"} 2", "h_count{x=\"y\"} 3"),
            ("} 2\n# HELP", "} two\n# HELP"),
            (
                "h_sum{x=\"y\"} 3.5\n",
                "h_sum{x=\"y\"} 3.5\nh_sum{x=\"y\"} 3.5\n",
            ),
            ("x=\"y\"} 3.5", "x=\"y} 3.5"),
        ] {
            let page = GOOD.replace(from, to);
            assert_ne!(page, GOOD);
            assert!(Exposition::parse(&page).is_err(), "{from:?} to {to:?}");
        }
    }
}
