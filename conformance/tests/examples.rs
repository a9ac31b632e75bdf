//! The examples, end to end, as people meet them first: the blog post's `docker run`, and the compose stack through its page.
//!
//! They need what `scripts/examples` and `scripts/example-images` make, and a browser.

#[cfg(test)]
mod browser;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use multiwasm_conformance::command::{Output, run};
    use multiwasm_conformance::ctr::{await_true, lab};
    use multiwasm_conformance::docker::docker;

    use super::browser::Browser;

    /// What a first start of a database may take on a busy machine.
    const READY: Duration = Duration::from_secs(90);

    /// Where the examples' modules and images are.
    fn built() -> PathBuf {
        lab().cache.with_file_name("examples")
    }

    fn source(name: &str) -> String {
        lab().script.with_file_name("../examples").join(name).display().to_string()
    }

    /// Builds an example's image from its module, as its README says.
    fn image(name: &str, folder: &str, platform: &str) {
        let (file, context) = (source(&format!("{folder}/Dockerfile")), built().display().to_string());
        docker(&["build", "--quiet", platform, "-t", name, "-f", &file, &context]).expect_code(0);
    }

    fn curl(words: &[&str]) -> Output {
        let command = ["curl", "--silent", "--show-error", "--max-time", "60"].iter().chain(words);
        let command: Vec<_> = command.map(|word| (*word).to_owned()).collect();
        run(&command).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A container that goes with the test, however that ends.
    struct Server(&'static str);

    impl Server {
        fn start(name: &'static str, words: &[&str]) -> Self {
            let words = [&["run", "--name", name], words].concat();
            docker(&words).expect_code(0);
            let server = Self(name);
            server.await_answer();
            server
        }

        fn docker(&self, words: &[&str]) -> Output {
            docker(&[words, &[self.0]].concat())
        }

        fn status(&self) -> String {
            self.docker(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}"]).out()
        }

        fn await_answer(&self) {
            await_true("the server answers", READY, || curl(&["localhost:8080/"]).code == 0);
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            docker(&["rm", "--force", "--volumes", self.0]);
        }
    }

    #[test]
    fn the_blog_posts_server() {
        if lab().docker.is_none() {
            return;
        }
        // As the announcement has it, and as images are built today.
        let ways = [("io.containerd.wasmedge.v1", "wasi/wasm32"), ("io.containerd.multiwasm.v1", "wasi/wasm")];
        for (runtime, platform) in ways {
            let (runtime, platform) = (format!("--runtime={runtime}"), format!("--platform={platform}"));
            image("http-server", "http-server", &platform);
            let words = ["-dp", "8080:8080", &runtime, &platform, "--restart=on-failure", "http-server"];
            let server = Server::start("blog-post", &words);
            let greeting = curl(&["--fail", "localhost:8080/"]);
            assert!(greeting.expect_code(0).out().contains("WebAssembly"), "{greeting}");
            curl(&["--fail", "localhost:8080/echo", "--data", "as you like it"])
                .expect_code(0)
                .expect_out("as you like it");
            let missing = curl(&["--output", "/dev/null", "--write-out", "%{http_code}", "localhost:8080/nothing"]);
            missing.expect_code(0).expect_out("404");

            await_true("the image's health check passes", READY, || {
                server.docker(&["inspect", "--format", "{{.State.Health.Status}}"]).out().trim() == "healthy"
            });
            docker(&["exec", "blog-post", "/http-server.wasm", "check"]).expect_code(0);
            server.docker(&["logs"]).expect_code(0).expect_out("listening on 0.0.0.0:8080\n");
            let top = server.docker(&["top"]);
            assert!(top.expect_code(0).out().contains("/http-server.wasm"), "{top}");
            let stats = docker(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "blog-post"]);
            assert!(stats.expect_code(0).out().contains("MiB"), "{stats}");

            // A pause in the middle of a wait is none to the guest.
            server.docker(&["pause"]).expect_code(0);
            server.docker(&["unpause"]).expect_code(0);
            curl(&["--fail", "localhost:8080/"]).expect_code(0);

            // What fails comes back.
            let pid = server.docker(&["inspect", "--format", "{{.State.Pid}}"]).out();
            run(&["kill".to_owned(), "-9".to_owned(), pid.trim().to_owned()]).unwrap();
            await_true("it is started again", READY, || server.status().starts_with("running 0 1"));
            server.await_answer();

            server.docker(&["stop"]).expect_code(0);
            assert!(server.status().starts_with("exited 143"), "{}", server.status());

            // Whatever its code, until somebody stops it.
            server.docker(&["update", "--restart=unless-stopped"]).expect_code(0);
            server.docker(&["start"]).expect_code(0);
            server.await_answer();
            docker(&["exec", "blog-post", "/http-server.wasm", "check"]).expect_code(0);
            let before = server.docker(&["inspect", "--format", "{{.State.Pid}}"]).out();
            run(&["kill", "-TERM", before.trim()]).unwrap();
            await_true("it is started again", READY, || {
                let now = server.docker(&["inspect", "--format", "{{.State.Running}} {{.State.Pid}}"]).out();
                now.starts_with("true") && now.trim() != format!("true {}", before.trim())
            });
            server.docker(&["stop"]).expect_code(0);
            assert!(server.status().starts_with("exited 143"), "{}", server.status());
        }
    }

    /// The compose stack, which goes with the test.
    struct Stack;

    impl Stack {
        fn compose(&self, words: &[&str]) -> Output {
            let file = source("orders/compose.yaml");
            let mut command = vec![
                "env".to_owned(),
                "NGINX_IMAGE=multiwasm-example/nginx".to_owned(),
                "MARIADB_IMAGE=multiwasm-example/mariadb".to_owned(),
            ];
            let words = [&["compose", "--file", &file, "--project-name", "orders"], words].concat();
            command.extend(lab().docker(&words).unwrap());
            run(&command).unwrap_or_else(|error| panic!("{error}"))
        }

        fn rows(&self) -> String {
            let query = "SELECT product, quantity FROM orders.orders";
            let rows = self.compose(&["exec", "-T", "db", "mariadb", "--batch", "--skip-column-names", "-e", query]);
            rows.expect_code(0).out()
        }
    }

    impl Drop for Stack {
        fn drop(&mut self) {
            self.compose(&["down", "--volumes", "--timeout", "5"]);
        }
    }

    #[test]
    fn the_compose_stack_takes_an_order_through_its_page() {
        if lab().docker.is_none() {
            return;
        }
        for name in ["nginx", "mariadb"] {
            let archive = built().join(format!("{name}.tar")).display().to_string();
            docker(&["load", "--quiet", "--input", &archive]).expect_code(0);
        }
        image("orders", "orders/server", "--platform=wasi/wasm");
        let stack = Stack;
        stack.compose(&["up", "--detach", "--no-build"]).expect_code(0);
        await_true("the service has its database", READY, || curl(&["--fail", "localhost:8090/api/init"]).code == 0);

        let browser = Browser::open("http://localhost:8090/");
        browser.await_text("#status", "");
        browser.fill("#product", "Kettle <b>blue</b>");
        browser.fill("#address", "1 Harbour Street");
        browser.press("button");
        browser.await_text("#status", "Order 1 is placed.");
        assert!(browser.text("#orders").contains("Kettle <b>blue</b>"), "{}", browser.text("#orders"));
        drop(browser);
        assert_eq!(stack.rows(), "Kettle <b>blue</b>\t1\n");

        for part in ["server", "db"] {
            stack.compose(&["restart", part]).expect_code(0);
            await_true("it answers again", READY, || {
                let orders = curl(&["--fail", "localhost:8090/api/orders"]);
                orders.code == 0 && orders.out().contains("Kettle")
            });
        }
        let refused = curl(&["localhost:8090/api/orders", "--data", r#"{"product":"","quantity":1,"address":"x"}"#]);
        assert!(refused.out().contains("error"), "{refused}");
        stack.compose(&["down", "--volumes", "--timeout", "5"]).expect_code(0);
        for list in [["ps", "--all"].as_slice(), &["volume", "ls"], &["network", "ls"]] {
            let project = ["--quiet", "--filter", "label=com.docker.compose.project=orders"];
            docker(&[list, &project].concat()).expect_code(0).expect_out("");
        }
    }
}
