//! An HTTP server for a WebAssembly container: `GET /` greets, `POST /echo` answers with what it was sent.
//!
//! With the argument `check` it is a client instead, which asks the server beside it whether it is well: an image with
//! nothing but this module in it has no other program for that.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::Http;
use hyper::service::service_fn;
use hyper::{Body, Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PORT: u16 = 8080;

/// All addresses: which of them can be reached is for the container's network to say.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);

/// How long to wait where no connection could be taken, so that a lasting cause does not keep a core busy.
const BREATH: Duration = Duration::from_millis(100);

// A module has one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let end = match std::env::args().nth(1).as_deref() {
        None => run().await,
        Some("check") => check().await,
        Some(word) => Err(std::io::Error::other(format!("{word}: the only argument is check"))),
    };
    if let Err(cause) = end {
        eprintln!("{cause}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Serves until it is killed.
async fn run() -> std::io::Result<()> {
    let listener = TcpListener::bind(ADDRESS).await?;
    println!("listening on {ADDRESS}");
    loop {
        match listener.accept().await {
            // each connection is a task of its own, so that a slow client keeps nobody else waiting
            Ok((connection, _)) => drop(tokio::spawn(serve(connection))),
            // a client that was gone before its turn
            Err(cause) if matches!(cause.kind(), ErrorKind::NotConnected | ErrorKind::ConnectionAborted) => {}
            Err(cause) => {
                eprintln!("accept: {cause}");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Answers the requests of one connection, one after the other, until the client closes it.
async fn serve(connection: TcpStream) {
    if let Err(cause) = Http::new().http1_only(true).serve_connection(connection, service_fn(answer)).await {
        eprintln!("a connection: {cause}");
    }
}

async fn answer(request: Request<Body>) -> Result<Response<Body>, hyper::Error> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => text(StatusCode::OK, "Hello from a WebAssembly module, on WasmEdge's sockets\n"),
        // the body streams through: an upload larger than the container's memory comes back whole
        (&Method::POST, "/echo") => Response::new(request.into_body()),
        _ => text(StatusCode::NOT_FOUND, "there is GET / and POST /echo\n"),
    })
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Whether the server beside this answers a request with its greeting.
async fn check() -> std::io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).await?;
    server.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.0 200 ") { Ok(()) } else { Err(std::io::Error::other("the server does not greet")) }
}
