//! A headless browser, as a person uses one: opens a page, types, presses, reads.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::runtime::{Builder, Runtime};

/// How long a page may take for what is awaited.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Browser {
    runtime: Runtime,
    client: Client,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens a page in a browser of its own.
    pub(crate) fn open(url: &str) -> Self {
        let (port, driver) = start_driver();
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless=new".to_owned(),
            // Its sandbox needs what a root user in a container of tests does not have; the page is our own.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = serde_json::json!({"goog:chromeOptions": {"args": arguments}});
        let capabilities = capabilities.as_object().unwrap().clone();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities);
            let client = builder.connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
            client.goto(url).await.unwrap();
            client
        });
        Self { runtime, client, driver, _profile: profile }
    }

    async fn find(&self, selector: &str) -> Element {
        self.client.wait().at_most(PATIENCE).for_element(Locator::Css(selector)).await.unwrap()
    }

    /// Types into a field.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        self.runtime.block_on(async { self.find(selector).await.send_keys(text).await.unwrap() });
    }

    /// Presses a button.
    pub(crate) fn press(&self, selector: &str) {
        self.runtime.block_on(async { self.find(selector).await.click().await.unwrap() });
    }

    /// What a reader sees there.
    pub(crate) fn text(&self, selector: &str) -> String {
        self.runtime.block_on(async { self.find(selector).await.text().await.unwrap() })
    }

    /// Waits until this is to be read there.
    #[track_caller]
    pub(crate) fn await_text(&self, selector: &str, text: &str) {
        let mut seen = String::new();
        multiwasm_conformance::ctr::await_true(&format!("{selector} says {text:?}"), PATIENCE, || {
            seen = self.text(selector);
            seen == text
        });
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Starts chromedriver on a port of the kernel's choice, which it says.
fn start_driver() -> (u16, Child) {
    let mut driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| {
        let port = line.split("on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok()?;
        (port != 0).then_some(port)
    });
    (port.expect("chromedriver said no port"), driver)
}
