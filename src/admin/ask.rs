//! From an HTTP request to the control thread and back.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};

use super::clusters::{Change, Format};
use super::pages;
use super::stats::StatsPage;
use crate::app::Control;

/// Something a client of the admin address wants.
pub struct Ask {
    page: Page,
    answer: oneshot::Sender<Answer>,
}

/// What it wants.
pub enum Page {
    /// Is traffic welcome?
    Ready,
    /// The config that is served.
    Config,
    /// Certificates of listeners and clusters.
    Certs,
    /// Clusters and their endpoints.
    Clusters(Format),
    /// Drain or resume the cluster of that name.
    Change(String, Change),
    /// The keys that are asked for most.
    HotKeys,
    /// Where the process listens.
    Listeners,
    /// Statistics.
    Stats(StatsPage),
    /// Read the config file again.
    Reload,
    /// End the process in order.
    Drain,
}

/// What it gets.
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// HTTP content type.
    pub content_type: &'static str,
    /// The page.
    pub body: String,
}

/// What the control thread does after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Goes on.
    Go,
    /// Drains.
    Drain,
}

impl Answer {
    /// A page of plain text.
    pub fn text(body: impl Into<String>) -> Self {
        Self::status(StatusCode::OK, body)
    }

    /// Plain text with a status.
    pub fn status(status: StatusCode, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }

    /// A page of JSON.
    pub fn json(body: String) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "application/json",
            body,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, self.content_type)];
        (self.status, headers, self.body).into_response()
    }
}

/// Answers one request on the control thread.
pub async fn answer(ask: Ask, control: &mut Control) -> Next {
    let drains = matches!(ask.page, Page::Drain);
    let answer = pages::answer(ask.page, control).await;
    // Whoever asked may have left.
    let _ = ask.answer.send(answer);
    if drains { Next::Drain } else { Next::Go }
}

/// Has the control thread make a page.
pub(super) async fn ask(asking: &mpsc::Sender<Ask>, page: Page) -> Answer {
    let (answer, answered) = oneshot::channel();
    if asking.send(Ask { page, answer }).await.is_ok()
        && let Ok(answer) = answered.await
    {
        return answer;
    }
    Answer::status(StatusCode::SERVICE_UNAVAILABLE, "the process is ending\n")
}

pub(super) type Asking = State<mpsc::Sender<Ask>>;

/// `GET /`: what there is to see.
pub(super) async fn index() -> Html<&'static str> {
    Html(include_str!("ui/index.html"))
}

/// `GET /ready`
pub(super) async fn ready(State(asking): Asking) -> Answer {
    ask(&asking, Page::Ready).await
}

/// `GET /config`
pub(super) async fn config(State(asking): Asking) -> Answer {
    ask(&asking, Page::Config).await
}

/// `GET /listeners`
pub(super) async fn listeners(State(asking): Asking) -> Answer {
    ask(&asking, Page::Listeners).await
}

/// `POST /reload`
pub(super) async fn reload(State(asking): Asking) -> Answer {
    ask(&asking, Page::Reload).await
}

/// `POST /drain`
pub(super) async fn drain(State(asking): Asking) -> Answer {
    ask(&asking, Page::Drain).await
}
