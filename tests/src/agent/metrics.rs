//! A scrape of the agent's metrics.

use std::net::SocketAddr;

use anyhow::Result;

use super::http;

/// All samples of one scrape, in the text format of Prometheus and OpenMetrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    samples: Vec<(String, f64)>,
}

impl Metrics {
    /// Those that are served there.
    pub(crate) fn read(address: SocketAddr) -> Result<Self> {
        Ok(Self::parse(&http::request("GET", address, "/metrics")?.1))
    }

    pub(crate) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self { samples: samples.collect() }
    }

    /// The sum of all series of a name that carry all the given labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted = |series: &str| {
            let (own_name, own_labels) = series.split_once('{').unwrap_or((series, ""));
            let has = |(key, value): &(&str, &str)| own_labels.contains(&format!("{key}=\"{value}\""));
            own_name == name && labels.iter().all(has)
        };
        self.samples.iter().filter(|(series, _)| wanted(series)).map(|(_, value)| value).sum()
    }

    /// Connections opened, by who reports them: `source` or `destination`.
    #[must_use]
    pub fn opened(&self, reporter: &str) -> f64 {
        self.sum("istio_tcp_connections_opened_total", &[("reporter", reporter)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_what_carries_the_labels() {
        let metrics = Metrics::parse("# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\"} 4\na{x=\"2\"} 5\nb 6\n");
        assert_eq!(metrics.sum("a", &[("x", "1")]), 7.0);
        assert_eq!(metrics.sum("a", &[]), 12.0);
        assert_eq!(metrics.sum("b", &[]), 6.0);
        assert_eq!(metrics.sum("c", &[]), 0.0);
    }
}
