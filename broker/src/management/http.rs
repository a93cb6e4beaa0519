//! The paths of the rim and their answers. Each connection carries one request: `Connection: close` costs a
//! scraper a handshake and spares a table of idle ones.
//!
//! Invariant: an answer comes within [`ANSWER_MAX`], since a shard that does not answer is itself an answer.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::desk::Question;
use super::limits::{Limited, Limits};
use super::readiness::Readiness;
use crate::metrics::{Dialect, Metric, Page, Process, fill};

/// How long the shard may take. It is there within microseconds unless it hangs.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Little stack for little work; the default of 2 MiB would count in every memory figure.
const STACK_BYTES: usize = 256 * 1024;
const TEXT: &str = "text/plain; charset=utf-8";
/// Prometheus's text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Scrapes at a time; each holds a page in memory.
const SCRAPES_MAX: usize = 2;
const PATHS: &str = "there is nothing here; the paths are /healthz, /readyz, /metrics\n";

/// Serves `socket` on a thread of its own until the process ends.
pub fn start(
    socket: std::net::TcpListener,
    limits: Limits,
    process: Process,
    questions: mpsc::UnboundedSender<Question>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rim = Arc::new(Rim {
        questions,
        process,
        readiness: Mutex::default(),
        scrapes: Semaphore::new(SCRAPES_MAX),
    });
    let serve = move || {
        let ended = runtime.block_on(async move {
            let socket = Limited::new(tokio::net::TcpListener::from_std(socket)?, limits);
            axum::serve(socket, paths(rim)).await
        });
        if let Err(error) = ended {
            tracing::error!(%error, "metrics and probes are not served any more");
        }
    };
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(serve)?;
    Ok(())
}

struct Rim {
    questions: mpsc::UnboundedSender<Question>,
    process: Process,
    readiness: Mutex<Readiness>,
    scrapes: Semaphore,
}

fn paths(rim: Arc<Rim>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async { text(StatusCode::NOT_FOUND, PATHS.to_owned()) })
        .method_not_allowed_fallback(|| async {
            let allow = [(header::ALLOW, "GET, HEAD")];
            let line = "only GET and HEAD\n".to_owned();
            (allow, text(StatusCode::METHOD_NOT_ALLOWED, line)).into_response()
        })
        .with_state(rim)
}

async fn healthz(State(rim): State<Arc<Rim>>) -> Response {
    probe(rim.ask(Question::Health).await.and_then(|health| health))
}

async fn readyz(State(rim): State<Arc<Rim>>) -> Response {
    probe(rim.readiness().await)
}

async fn metrics(State(rim): State<Arc<Rim>>, uri: Uri) -> Response {
    let dialects = match dialects(uri.query().unwrap_or_default()) {
        Ok(dialects) => dialects,
        Err(line) => return text(StatusCode::BAD_REQUEST, format!("{line}\n")),
    };
    let _turn = rim.scrapes.acquire().await;
    match rim.page(&dialects).await {
        Ok(page) => answer(StatusCode::OK, EXPOSITION, page),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// The dialects that a query asks for; all when it asks for none. Errors: what is wrong with it, and what may be asked.
fn dialects(query: &str) -> Result<Vec<Dialect>, String> {
    // A comma may come escaped.
    let query = query.replace("%2C", ",");
    let asked = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("dialect="));
    let mut dialects = Vec::new();
    for name in asked.flat_map(|names| names.split(',')) {
        let known = Dialect::ALL
            .into_iter()
            .find(|dialect| dialect.name() == name);
        dialects.push(known.ok_or_else(|| {
            let all = Dialect::ALL.map(Dialect::name).join(", ");
            format!("there is no dialect {name:?}; there are {all}")
        })?);
    }
    if dialects.is_empty() {
        dialects.extend(Dialect::ALL);
    }
    Ok(dialects)
}

impl Rim {
    async fn readiness(&self) -> Result<(), String> {
        let look = self.ask(Question::Look).await?;
        // A judgement is a few sets: none is left half done.
        let readiness = self.readiness.lock();
        readiness
            .unwrap_or_else(PoisonError::into_inner)
            .judge(&look)
    }

    async fn page(&self, dialects: &[Dialect]) -> Result<String, String> {
        let began = Instant::now();
        let snapshot = self.ask(Question::Metrics).await?;
        let is_ready = self.readiness().await.is_ok();
        let mut page = Page::new(dialects);
        page.put(Metric::BrokerReady, &[], is_ready);
        if let Some(snapshot) = &snapshot {
            fill(&mut page, snapshot);
            self.process.fill_space(&mut page, &snapshot.directory);
        }
        self.process.fill(&mut page);
        page.put(Metric::ScrapeSeconds, &[], began.elapsed().as_secs_f64());
        Ok(page.finish())
    }

    /// Asks the shard. Errors: that it does not answer, in words.
    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        // A desk that is gone drops the reply sender.
        let _ = self.questions.send(question(reply));
        match tokio::time::timeout(ANSWER_MAX, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err("the broker's loop has ended".to_owned()),
            Err(_) => Err(format!(
                "the broker's loop has not answered for {} s",
                ANSWER_MAX.as_secs()
            )),
        }
    }
}

fn probe(outcome: Result<(), String>) -> Response {
    match outcome {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response {
    answer(status, TEXT, body)
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONNECTION, "close"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}
