//! The operator's own HTTP: whether it lives, whether it is ready, and figures for Prometheus.

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// What the operator counts. Owned by its one thread.
#[derive(Default)]
pub struct Figures {
    /// Whether this operator leads.
    pub is_leader: Cell<bool>,
    /// Whether every kind was listed.
    pub is_synced: Cell<bool>,
    /// Clusters that are looked after.
    pub clusters: Cell<usize>,
    /// Looks at a cluster.
    pub passes: Cell<u64>,
    /// Writes begun.
    pub writes: Cell<u64>,
    /// Writes that failed.
    pub failures: Cell<u64>,
}

impl Figures {
    /// The exposition format of Prometheus, version 0.0.4.
    fn text(&self) -> String {
        let rows = [
            (
                "ottla_operator_leader",
                "gauge",
                "1 while this operator leads",
                u64::from(self.is_leader.get()),
            ),
            (
                "ottla_operator_clusters",
                "gauge",
                "KafkaClusters that are looked after",
                self.clusters.get() as u64,
            ),
            (
                "ottla_operator_reconciliations_total",
                "counter",
                "Looks at a cluster",
                self.passes.get(),
            ),
            (
                "ottla_operator_api_writes_total",
                "counter",
                "Writes to the API server",
                self.writes.get(),
            ),
            (
                "ottla_operator_api_write_failures_total",
                "counter",
                "Writes that failed",
                self.failures.get(),
            ),
            (
                "process_resident_memory_bytes",
                "gauge",
                "Memory in use",
                resident_bytes().unwrap_or_default(),
            ),
        ];
        let mut text = String::new();
        for (name, type_, help, value) in rows {
            writeln!(text, "# HELP {name} {help}").expect("a String takes all");
            writeln!(text, "# TYPE {name} {type_}").expect("a String takes all");
            writeln!(text, "{name} {value}").expect("a String takes all");
        }
        text
    }

    /// One that does not lead is ready to; one that leads has seen everything.
    fn is_ready(&self) -> bool {
        !self.is_leader.get() || self.is_synced.get()
    }
}

/// Memory of this process, as the kernel counts it.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

enum Question {
    Ready(oneshot::Sender<bool>),
    Text(oneshot::Sender<String>),
}

/// Serves `/healthz`, `/readyz` and `/metrics`. Must be called inside a `LocalSet`.
pub fn serve(listener: TcpListener, figures: Rc<Figures>) {
    // Axum's handlers can move between threads and the figures cannot: they are asked for.
    let (ask, mut questions) = mpsc::channel(8);
    tokio::task::spawn_local(async move {
        while let Some(question) = questions.recv().await {
            // Who asked may be gone.
            match question {
                Question::Ready(answer) => drop(answer.send(figures.is_ready())),
                Question::Text(answer) => drop(answer.send(figures.text())),
            }
        }
    });
    let (ready, metrics) = (ask.clone(), ask);
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(move || is_ready(ready.clone())))
        .route("/metrics", get(move || text(metrics.clone())))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "there are /healthz, /readyz and /metrics\n",
            )
        });
    tokio::task::spawn_local(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "nothing is served to probes any more");
        }
    });
}

async fn is_ready(ask: mpsc::Sender<Question>) -> impl IntoResponse {
    let (answer, answered) = oneshot::channel();
    let asked = ask.send(Question::Ready(answer)).await.is_ok();
    match asked && answered.await.unwrap_or(false) {
        true => (StatusCode::OK, "ok\n"),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not everything was listed yet\n",
        ),
    }
}

async fn text(ask: mpsc::Sender<Question>) -> impl IntoResponse {
    let (answer, answered) = oneshot::channel();
    let asked = ask.send(Question::Text(answer)).await.is_ok();
    let text = match asked {
        true => answered.await.unwrap_or_default(),
        false => String::new(),
    };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
