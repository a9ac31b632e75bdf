//! Requests and their answers.

use hyper::body::HttpBody;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Body, Method, Request, Response, StatusCode};
use serde::Serialize;

use crate::store::{NewOrder, Order, Store, StoreError};

/// Many times an order's longest fields; more is no order.
const LONGEST_BODY: usize = 64 * 1024;

/// In characters, as the table has them.
const LONGEST_PRODUCT: usize = 200;
const LONGEST_ADDRESS: usize = 500;

/// What a request leads to.
enum Answer {
    Said(&'static str),
    Added(Order),
    Listed(Vec<Order>),
}

/// Why there is no answer.
enum Refusal {
    /// The client can do better.
    Client(StatusCode, String),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(cause: StoreError) -> Self {
        Self::Store(cause)
    }
}

#[derive(Serialize)]
struct Problem {
    error: String,
}

/// Answers a request; what goes wrong is an answer too.
pub async fn answer(request: Request<Body>, store: Store) -> Result<Response<Body>, hyper::Error> {
    let what = format!("{} {}", request.method(), request.uri().path());
    Ok(match route(request, &store).await {
        Ok(Answer::Said(text)) => text_response(text),
        Ok(Answer::Added(order)) => json(StatusCode::CREATED, &order),
        Ok(Answer::Listed(orders)) => json(StatusCode::OK, &orders),
        Err(Refusal::Client(status, error)) => json(status, &Problem { error }),
        Err(Refusal::Store(cause)) => {
            eprintln!("{what}: {cause}");
            let status = match cause {
                StoreError::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
                StoreError::Refused(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            json(status, &Problem { error: cause.to_string() })
        }
    })
}

async fn route(request: Request<Body>, store: &Store) -> Result<Answer, Refusal> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => {
            store.ping().await?;
            Ok(Answer::Said("the database answers\n"))
        }
        (&Method::GET, "/init") => {
            store.init().await?;
            Ok(Answer::Said("the table is there\n"))
        }
        (&Method::GET, "/orders") => Ok(Answer::Listed(store.list().await?)),
        (&Method::POST, "/orders") => {
            let order = parse(&read(request.into_body()).await?)?;
            Ok(Answer::Added(store.add(order).await?))
        }
        _ => Err(Refusal::Client(StatusCode::NOT_FOUND, "there is GET /, /init and /orders, and POST /orders".into())),
    }
}

async fn read(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|cause| Refusal::Client(StatusCode::BAD_REQUEST, cause.to_string()))?;
        if bytes.len() + piece.len() > LONGEST_BODY {
            let error = format!("an order has at most {LONGEST_BODY} bytes");
            return Err(Refusal::Client(StatusCode::PAYLOAD_TOO_LARGE, error));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn parse(body: &[u8]) -> Result<NewOrder, Refusal> {
    let bad = |error: String| Refusal::Client(StatusCode::BAD_REQUEST, error);
    let order: NewOrder = serde_json::from_slice(body).map_err(|cause| bad(cause.to_string()))?;
    for (name, text, longest) in
        [("product", &order.product, LONGEST_PRODUCT), ("address", &order.address, LONGEST_ADDRESS)]
    {
        if text.trim().is_empty() || text.chars().count() > longest {
            return Err(bad(format!("{name}: 1 to {longest} characters")));
        }
    }
    if order.quantity == 0 {
        return Err(bad("quantity: 1 or more".into()));
    }
    Ok(order)
}

fn text_response(text: &'static str) -> Response<Body> {
    response(StatusCode::OK, "text/plain; charset=utf-8", text.into())
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(value).expect("numbers and strings are always JSON");
    response(status, "application/json", body.into())
}

fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
