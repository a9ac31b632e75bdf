//! A service for a WebAssembly container that keeps orders in MariaDB.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | whether the database answers |
//! | `GET /init` | makes the table, where it isn't there |
//! | `POST /orders` | adds an order, given as JSON, and answers with it |
//! | `GET /orders` | all orders, the newest first |

mod api;
mod store;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use hyper::server::conn::Http;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};

use crate::store::Store;

/// All addresses: which of them can be reached is for the container's network to say.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);

/// How long to wait where no connection could be taken, so that a lasting cause does not keep a core busy.
const BREATH: Duration = Duration::from_millis(100);

// A module has one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        eprintln!("DATABASE_URL is not set: it is mysql://USER:PASSWORD@HOST:PORT/DATABASE");
        return ExitCode::FAILURE;
    };
    let store = match Store::new(&url) {
        Ok(store) => store,
        // not the address itself, which holds a password
        Err(cause) => {
            eprintln!("DATABASE_URL: {cause}");
            return ExitCode::FAILURE;
        }
    };
    let listener = match TcpListener::bind(ADDRESS).await {
        Ok(listener) => listener,
        Err(cause) => {
            eprintln!("{ADDRESS}: {cause}");
            return ExitCode::FAILURE;
        }
    };
    println!("listening on {ADDRESS}");
    tokio::spawn(announce(store.clone()));
    loop {
        match listener.accept().await {
            // each connection is a task of its own, so that a slow client keeps nobody else waiting
            Ok((connection, _)) => drop(tokio::spawn(serve(connection, store.clone()))),
            // a client that was gone before its turn
            Err(cause) if matches!(cause.kind(), ErrorKind::NotConnected | ErrorKind::ConnectionAborted) => {}
            Err(cause) => {
                eprintln!("accept: {cause}");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Tells the log when the database is there, or why it isn't: the first request may come much later.
async fn announce(store: Store) {
    match store.ping().await {
        Ok(()) => println!("the database answers"),
        Err(cause) => eprintln!("the database does not answer: {cause}"),
    }
}

/// Answers the requests of one connection, one after the other, until the client closes it.
async fn serve(connection: TcpStream, store: Store) {
    let service = service_fn(move |request| api::answer(request, store.clone()));
    if let Err(cause) = Http::new().http1_only(true).serve_connection(connection, service).await {
        eprintln!("a connection: {cause}");
    }
}
