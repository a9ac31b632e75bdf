//! The orders' table, and the connections to the database that it is in.

use std::fmt::{self, Display};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, UrlError};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

/// A database that comes up beside the service has this long to answer; after it, who asked is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// A module has one thread, so more connections than this would only wait for it.
const CONNECTIONS: usize = 8;

/// A page's worth: a list without end would not fit into the memory of a small container.
const LISTED: usize = 100;

/// What a customer asks for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    pub product: String,
    pub quantity: u32,
    pub address: String,
}

/// An order that is in the table.
#[derive(Debug, Serialize)]
pub struct Order {
    pub id: u64,
    #[serde(flatten)]
    pub order: NewOrder,
    /// When it came, in UTC, as `2000-01-31 12:00:00`.
    pub ordered: String,
}

/// Why the database did not do what it was asked.
#[derive(Debug)]
pub enum StoreError {
    /// No connection in time.
    Unreachable(Option<mysql_async::Error>),
    /// A connection, and this answer.
    Refused(mysql_async::Error),
}

impl Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(None) => write!(f, "no connection to the database within {PATIENCE:?}"),
            Self::Unreachable(Some(cause)) => write!(f, "no connection to the database within {PATIENCE:?}: {cause}"),
            Self::Refused(cause) => write!(f, "{cause}"),
        }
    }
}

impl From<mysql_async::Error> for StoreError {
    fn from(cause: mysql_async::Error) -> Self {
        Self::Refused(cause)
    }
}

/// The table; a clone shares the connections.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
}

impl Store {
    /// Takes an address such as `mysql://user:password@host:3306/database`, and connects when it is first needed.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        let constraints = PoolConstraints::new(0, CONNECTIONS).expect("none is fewer than some");
        let opts = OptsBuilder::from_opts(Opts::from_url(url)?)
            .pool_opts(PoolOpts::default().with_constraints(constraints))
            // there are no Unix sockets here, and the client would look for the server's
            .prefer_socket(false)
            // times are told in UTC, whatever the database's own zone
            .setup(vec!["SET time_zone = '+00:00'"]);
        Ok(Self { pool: Pool::new(opts) })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.connection().await?.ping().await?)
    }

    /// Makes the table, where it isn't there.
    pub async fn init(&self) -> Result<(), StoreError> {
        let statement = "CREATE TABLE IF NOT EXISTS orders (
            id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
            product VARCHAR(200) NOT NULL,
            quantity INT UNSIGNED NOT NULL,
            address VARCHAR(500) NOT NULL,
            ordered TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
        ) CHARACTER SET utf8mb4";
        Ok(self.connection().await?.query_drop(statement).await?)
    }

    /// Adds an order, and gives it back as the table has it.
    pub async fn add(&self, order: NewOrder) -> Result<Order, StoreError> {
        let mut connection = self.connection().await?;
        let values = (&order.product, order.quantity, &order.address);
        connection.exec_drop("INSERT INTO orders (product, quantity, address) VALUES (?, ?, ?)", values).await?;
        let id = connection.last_insert_id().unwrap_or_default();
        let ordered = connection.exec_first("SELECT CAST(ordered AS CHAR) FROM orders WHERE id = ?", (id,)).await?;
        Ok(Order { id, order, ordered: ordered.unwrap_or_default() })
    }

    /// The newest orders, the newest first.
    pub async fn list(&self) -> Result<Vec<Order>, StoreError> {
        let query = "SELECT id, product, quantity, address, CAST(ordered AS CHAR) FROM orders ORDER BY id DESC LIMIT ?";
        let order = |(id, product, quantity, address, ordered)| {
            let order = NewOrder { product, quantity, address };
            Order { id, order, ordered }
        };
        Ok(self.connection().await?.exec_map(query, (LISTED,), order).await?)
    }

    /// A connection, waiting for a database that is not up yet, or is being restarted.
    async fn connection(&self) -> Result<Conn, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        loop {
            match timeout_at(deadline, self.pool.get_conn()).await {
                Ok(Ok(connection)) => return Ok(connection),
                // the database is there and says no: waiting won't help
                Ok(Err(cause @ mysql_async::Error::Server(_))) => return Err(StoreError::Refused(cause)),
                Ok(Err(cause)) if Instant::now() + PAUSE < deadline => {
                    last = Some(cause);
                    sleep(PAUSE).await;
                }
                Ok(Err(cause)) => return Err(StoreError::Unreachable(Some(cause))),
                Err(_) => return Err(StoreError::Unreachable(last)),
            }
        }
    }
}
