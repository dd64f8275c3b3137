//! Figures for Prometheus, on a listener of their own.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
/// All histograms are of seconds. Buckets of several replicas can be added up.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts counting. A second start in one process keeps the first.
pub fn start() {
    let builder = PrometheusBuilder::new();
    // It fails for no buckets alone.
    let Ok(builder) = builder.set_buckets(&BUCKETS) else {
        return;
    };
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        let _ = HANDLE.set(handle);
    }
}

/// Sums samples up until `stop`. Otherwise they would pile up until somebody asks for the figures, which may be never.
pub async fn keep_up(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP) => {}
            () = stop.cancelled() => return,
        }
        let tasks = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        metrics::gauge!("sf_supervisor_tasks").set(u32::try_from(tasks).unwrap_or(u32::MAX));
        if let Some(handle) = HANDLE.get() {
            handle.run_upkeep();
        }
    }
}

/// All figures in Prometheus' text form.
pub fn render() -> String {
    HANDLE
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}

/// What one of our counters says for each value of a label; nothing before it first counts.
pub fn counted(name: &str, label: &str) -> BTreeMap<String, i64> {
    counts(&render(), name, label)
}

fn counts(text: &str, name: &str, label: &str) -> BTreeMap<String, i64> {
    let start = format!("{name}{{{label}=\"");
    text.lines()
        .filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "))
        .filter_map(|(value, count)| Some((value.to_owned(), count.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_back() {
        let text = "# TYPE mails_total counter\nmails_total{outcome=\"sent\"} 12\nmails_total{outcome=\"failed\"} 1\n\
                    mails_total_more{outcome=\"sent\"} 9\n";
        let counted = counts(text, "mails_total", "outcome");
        assert_eq!(counted["sent"], 12);
        assert_eq!(counted["failed"], 1);
        assert_eq!(counted.len(), 2);
    }
}
