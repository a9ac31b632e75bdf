//! The documentation's own commands: every block of a page that begins with ```` ```sh run ```` runs as it stands, so that the
//! pages say what is so.
//!
//! A page that has such blocks begins with `<!-- run: docker -->` or another need, which tells what its blocks need; a block that
//! needs something else says so itself, ```` ```sh run: cri ````, and is left out where that is not there. The blocks of a page are one
//! script in its order, for `bash -euo pipefail` in the clone's folder.
//!
//! A block of commands that can't run so says why: ```` ```sh not-run: it needs a cluster ````. Each block of commands in each
//! page of the clone is one or the other.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use multiwasm_conformance::command::{self, CommandError, Input, Output, Process};
    use multiwasm_conformance::ctr::lab;
    use multiwasm_conformance::docker::docker;

    /// How long a page may take: downloads and compilers are not part of it.
    const BOUND: Duration = Duration::from_secs(300);

    const FENCE: &str = "```";

    /// Languages of blocks that hold commands.
    const SHELLS: [&str; 6] = ["sh", "bash", "zsh", "shell", "console", "shell-session"];

    /// What the lines of our pages begin with that are commands.
    const COMMANDS: &str = "$ # apt apt-get bash cargo cd crictl ctr curl dnf docker echo export for install jq kubectl ln make mkdir \
                            multiwasm nerdctl rm rpm sh sudo systemctl tar until xdg-open";

    /// What commands need of the lab.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Needs {
        Containerd,
        /// Docker too, on the same containerd.
        Docker,
        /// The CRI plug-in and `crictl` too, beside a Docker that builds images.
        Cri,
    }

    impl Needs {
        fn of(word: &str) -> Result<Self, String> {
            match word {
                "containerd" => Ok(Self::Containerd),
                "docker" => Ok(Self::Docker),
                "cri" => Ok(Self::Cri),
                other => Err(format!("run: is containerd, docker or cri, not {other:?}")),
            }
        }

        /// What the lab lacks of it.
        fn missing(self) -> Option<&'static str> {
            match self {
                Self::Docker | Self::Cri if lab().docker.is_none() => Some("no Docker"),
                Self::Cri if lab().crictl.is_none() => Some("no CRI plug-in or no crictl"),
                _ => None,
            }
        }
    }

    /// A fenced block.
    #[derive(Debug)]
    struct Block<'a> {
        /// The number of its first line, the fence.
        line: usize,
        /// What stands behind the fence: a language, and what else there is.
        info: &'a str,
        body: Vec<&'a str>,
    }

    /// What becomes of a block.
    #[derive(Debug, PartialEq, Eq)]
    enum Fate {
        /// It holds no commands.
        Text,
        /// It runs: with what the page needs, or with needs of its own.
        Runs(Option<Needs>),
        /// It says why it does not.
        Stays,
    }

    impl Block<'_> {
        fn fate(&self) -> Result<Fate, String> {
            let unmarked = || {
                format!(
                    "its commands are not marked: begin it with {FENCE}sh run, where the test of the pages can run it as it stands, \
                     or with {FENCE}sh not-run: and the reason why it can't"
                )
            };
            let (language, rest) = self.info.split_once(' ').unwrap_or((self.info, ""));
            match (language, rest) {
                ("", _) => {
                    Err(format!("it names no language: {FENCE}text where it holds no commands, or {FENCE}sh run"))
                }
                ("sh", "run") => Ok(Fate::Runs(None)),
                ("sh", rest) => match rest.split_once(": ") {
                    Some(("run", needs)) => Needs::of(needs).map(|needs| Fate::Runs(Some(needs))),
                    Some(("not-run", reason)) if !reason.trim().is_empty() => Ok(Fate::Stays),
                    _ => Err(unmarked()),
                },
                (shell, _) if SHELLS.contains(&shell) => Err(unmarked()),
                _ => Ok(Fate::Text),
            }
            .map_err(|reason| format!("line {}: {reason}", self.line))
        }
    }

    /// A page's fenced blocks, and the lines outside of them, with their numbers.
    struct Parts<'a> {
        blocks: Vec<Block<'a>>,
        outside: Vec<(usize, &'a str)>,
    }

    fn parts(text: &str) -> Result<Parts<'_>, String> {
        let (mut blocks, mut open, mut outside) = (Vec::new(), None::<Block<'_>>, Vec::new());
        for (line, text) in (1..).zip(text.lines()) {
            open = match (open.take(), text.trim_start().strip_prefix(FENCE)) {
                (None, Some(_)) if !text.starts_with(FENCE) => {
                    return Err(format!("line {line}: a block begins at the start of its line, else it is not found"));
                }
                (None, Some(info)) => Some(Block { line, info: info.trim(), body: Vec::new() }),
                (None, None) => {
                    outside.push((line, text));
                    None
                }
                (Some(block), Some("")) => {
                    blocks.push(block);
                    None
                }
                (Some(mut block), _) => {
                    block.body.push(text);
                    Some(block)
                }
            };
        }
        match open {
            Some(block) => Err(format!("line {}: this block has no end", block.line)),
            None => Ok(Parts { blocks, outside }),
        }
    }

    /// A page with commands: as many lines as the page, those that run with what they need.
    #[derive(Debug)]
    struct Commands {
        lines: Vec<Option<(Needs, String)>>,
    }

    impl Commands {
        /// Those whose needs are met, each in its own line.
        fn script(&self, met: impl Fn(Needs) -> bool) -> String {
            let line = |line: &Option<(Needs, String)>| match line {
                Some((needs, command)) if met(*needs) => format!("{command}\n"),
                _ => "\n".to_owned(),
            };
            self.lines.iter().map(line).collect()
        }

        fn needs(&self) -> impl Iterator<Item = Needs> {
            self.lines.iter().flatten().map(|(needs, _)| *needs)
        }
    }

    /// The commands of a page, or none where it has none; an error where it says that it has some and has none, or the other
    /// way round, or where it is not said of a block.
    fn commands(text: &str) -> Result<Option<Commands>, String> {
        let first = text.lines().next().unwrap_or_default();
        let needs = first.strip_prefix("<!-- run: ").and_then(|rest| rest.strip_suffix(" -->"));
        let needs = needs.map(Needs::of).transpose().map_err(|reason| format!("line 1: {reason}"))?;
        let mut lines: Vec<_> = text.lines().map(|_| None).collect();
        for block in parts(text)?.blocks {
            let Fate::Runs(own) = block.fate()? else { continue };
            let needs = needs.ok_or_else(|| {
                format!(
                    "line {}: a block that runs, and no line <!-- run: docker --> or its like at the page's top",
                    block.line
                )
            })?;
            for (line, command) in lines[block.line..].iter_mut().zip(&block.body) {
                *line = Some((own.unwrap_or(needs), (*command).to_owned()));
            }
        }
        match (needs, lines.iter().flatten().next()) {
            (Some(_), None) => Err(format!("it begins with {first}, and has no {FENCE}sh run block")),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Ok(Some(Commands { lines })),
        }
    }

    /// Commands in a block that is only indented, where nothing can be said of them.
    fn indented_commands(text: &str) -> Result<(), String> {
        let command = |text: &str| {
            let mut words = text.strip_prefix("    ")?.split_whitespace();
            let first = words.find(|word| !word.contains('='))?.trim_start_matches('(');
            let ours = ["multiwasm-", "scripts/"].iter().any(|prefix| first.starts_with(prefix));
            (ours || COMMANDS.split(' ').any(|command| command == first)).then_some(())
        };
        match parts(text)?.outside.iter().find(|(_, text)| command(text).is_some()) {
            Some((line, text)) => Err(format!(
                "line {line}: {:?} looks like a command in an indented block: put it between {FENCE}sh run, or {FENCE}sh not-run: and \
                 the reason why it can't, and {FENCE}",
                text.trim()
            )),
            None => Ok(()),
        }
    }

    fn clone() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
    }

    fn read(page: &str) -> Result<Option<Commands>, String> {
        commands(&fs::read_to_string(clone().join(page)).unwrap()).map_err(|error| format!("{page}: {error}"))
    }

    /// The folder with the modules of examples/.
    fn examples() -> PathBuf {
        let named = std::env::var_os("MULTIWASM_EXAMPLES").map(PathBuf::from);
        let folder = named.unwrap_or_else(|| lab().cache.with_file_name("examples"));
        for module in ["http-server.wasm", "orders.wasm"] {
            assert!(folder.join(module).exists(), "no {module} in {}: scripts/examples builds it", folder.display());
        }
        folder
    }

    /// Runs a page's script, under the page's name, so that what bash says has the page's lines.
    fn run(page: &str, script: &str) -> Result<Output, CommandError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(page.replace('/', "-"));
        // The first line is the comment that says what the page needs.
        let trap = format!("exec 2>&1; trap 'echo \"{page}, line $LINENO: $BASH_COMMAND\"' ERR");
        fs::write(&path, trap + script).unwrap();
        let cache = folder.path().join("cache");
        let mut command = vec!["env".to_owned(), "-C".to_owned(), clone().display().to_string()];
        // What an installed multiwasm has in its usual places.
        let variables = [("EXAMPLES", examples()), ("ENGINE_PATH", lab().engines.clone()), ("CACHE_PATH", cache)];
        command.extend(variables.map(|(name, path)| format!("MULTIWASM_{name}={}", path.display())));
        let programs = Path::new(env!("CARGO_BIN_EXE_multiwasm-conformance")).parent().unwrap();
        let crictl = lab().crictl.as_ref().and_then(|crictl| crictl.parent());
        let path_of_all = [Some(programs), crictl].into_iter().flatten().map(|folder| format!(":{}", folder.display()));
        command.push(format!("PATH={}{}", std::env::var("PATH").unwrap(), path_of_all.collect::<String>()));
        command.extend(["bash", "-Eeuo", "pipefail"].map(str::to_owned));
        command.push(path.display().to_string());
        Process::start(&command, Input::Nothing)?.finish(BOUND)
    }

    /// The lines that a command writes, behind `what`.
    fn listed(what: &str, output: &Output) -> Vec<String> {
        output.expect_code(0).out().lines().map(|line| format!("{what} {line}")).collect()
    }

    /// All containers, those that ended as well, and images.
    fn things() -> Vec<String> {
        let mut things = Vec::new();
        if lab().docker.is_some() {
            things.extend(listed(CONTAINER, &docker(&["ps", "--all", "--quiet", "--no-trunc"])));
            things.extend(listed("Docker's image", &docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"])));
        }
        for namespace in ["default", "k8s.io"] {
            for what in ["containers", "images"] {
                let ls =
                    command::run(&lab().ctr(namespace, [what, "ls", "-q"])).unwrap_or_else(|error| panic!("{error}"));
                things.extend(listed(&format!("{namespace}'s {what}:"), &ls));
            }
        }
        things
    }

    const CONTAINER: &str = "Docker's container";

    fn runs(page: &str) {
        // Pages use the same names and ports, as their reader has one machine.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = read(page).unwrap_or_else(|error| panic!("{error}")).expect("a page with commands");
        let mut missing: Vec<_> = commands.needs().filter_map(Needs::missing).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let all = commands.needs().all(|needs| needs.missing().is_some());
            let what = if all { "not run" } else { "some of its blocks are not run" };
            println!("{page}: {what}, the lab of {} has {}", lab().suite, missing.join(", "));
            if all {
                return;
            }
        }
        let before = things();
        let script = commands.script(|needs| needs.missing().is_none());
        let output = run(page, &script).unwrap_or_else(|error| panic!("{page}: {error}"));
        let mut left = things();
        left.retain(|thing| !before.contains(thing));
        for container in left.iter().filter_map(|thing| thing.strip_prefix(CONTAINER)) {
            // So that the next page begins as this one did.
            docker(&["rm", "--force", container.trim()]);
        }
        assert!(output.code == 0, "{page}: ended with {} after {:?}\n{}", output.code, output.took, output.out());
        assert!(left.is_empty(), "{page}: it leaves behind {}\n{}", left.join(", "), output.out());
    }

    macro_rules! pages {
        ($($name:ident: $page:literal,)*) => {
            const PAGES: &[&str] = &[$($page),*];
            $(#[test]
            fn $name() {
                runs($page);
            })*
        };
    }

    pages! {
        readme: "README.md",
        cases: "conformance/cases/README.md",
        docker_desktop_config: "docker-desktop-config/README.md",
        conformance: "docs/conformance.md",
        docker_engine: "docs/docker.md",
        containerd: "docs/containerd.md",
        images: "docs/images.md",
        kubernetes: "docs/kubernetes.md",
        migration: "docs/migration.md",
        troubleshooting: "docs/troubleshooting.md",
        engine_authors: "docs/engine-authors.md",
        example_http_server: "examples/http-server/README.md",
        example_orders: "examples/orders/README.md",
    }

    /// All pages of the clone, by their paths in it.
    fn pages() -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" => {
                        walk(&path, found);
                    }
                    kind if kind.is_file() && name.ends_with(".md") => found.push(path),
                    _ => {}
                }
            }
        }
        let mut found = Vec::new();
        walk(&clone(), &mut found);
        let mut names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(clone()).unwrap().display().to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn each_page_with_commands_has_its_test() {
        let with_commands = |page: &String| read(page).unwrap_or_else(|error| panic!("{error}")).is_some();
        let found: Vec<_> = pages().into_iter().filter(with_commands).collect();
        let mut known = PAGES.to_vec();
        known.sort_unstable();
        assert_eq!(found, known);
    }

    #[test]
    fn each_block_of_commands_runs_or_says_why_not() {
        let pages = pages();
        assert!(pages.len() > 20, "{pages:?}");
        let wrong = |page: &String| {
            let text = fs::read_to_string(clone().join(page)).unwrap();
            let fates = |blocks: Vec<Block<'_>>| blocks.iter().filter_map(|block| block.fate().err()).collect();
            let mut wrong = parts(&text).map_or_else(|error| vec![error], |parts| fates(parts.blocks));
            wrong.extend(indented_commands(&text).err());
            wrong.into_iter().map(|reason| format!("{page}, {reason}")).collect::<Vec<_>>()
        };
        let wrong: Vec<_> = pages.iter().flat_map(wrong).collect();
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    #[test]
    fn commands_keep_their_lines() {
        let page = "<!-- run: docker -->\n# A page\n\n```sh run\none\ntwo\n```\n\n```sh not-run: never\nnot this\n```\n\
                    ```sh run: cri\nthree\n```\n";
        let found = commands(page).unwrap().unwrap();
        assert_eq!(found.script(|_| true), "\n\n\n\none\ntwo\n\n\n\n\n\n\nthree\n\n");
        assert_eq!(found.script(|needs| needs == Needs::Docker), "\n\n\n\none\ntwo\n\n\n\n\n\n\n\n\n");
        assert_eq!(found.needs().collect::<Vec<_>>(), [Needs::Docker, Needs::Docker, Needs::Cri]);
        assert!(commands("# A page\n").unwrap().is_none());
        for wrong in [
            "# A page\n```sh run\none\n```\n",
            "<!-- run: docker -->\n```sh not-run: never\none\n```\n",
            "<!-- run: podman -->\n```sh run\none\n```\n",
            "<!-- run: docker -->\n```sh run: podman\none\n```\n",
            "<!-- run: docker -->\n```sh run\none\n",
        ] {
            assert!(commands(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_block_that_is_not_marked_is_found() {
        let fate = |text: &str| parts(text)?.blocks[0].fate();
        assert_eq!(fate("```sh run\nmake\n```\n"), Ok(Fate::Runs(None)));
        assert_eq!(fate("```sh run: cri\nmake\n```\n"), Ok(Fate::Runs(Some(Needs::Cri))));
        assert_eq!(fate("```sh not-run: it takes half an hour\nmake\n```\n"), Ok(Fate::Stays));
        assert_eq!(fate("```toml\na = 1\n```\n"), Ok(Fate::Text));
        for info in ["", "sh", "sh not-run", "sh not-run: ", "sh not-run:", "sh runs", "bash", "console", "bash run"] {
            let said = fate(&format!("Text.\n\n```{info}\nmake\n```\n")).unwrap_err();
            assert!(said.starts_with("line 3: ") && said.contains("```sh run"), "{info}: {said}");
        }
        assert!(parts("- a list\n\n  ```sh run\n  make\n  ```\n").is_err());
        for (text, line) in [
            ("    make test    # all\n", 1),
            ("Text.\n\n    PREFIX=/usr make install\n", 3),
            ("```text\nx\n```\n    (cd server && cargo build)\n", 4),
            ("    scripts/lab up trixie\n", 1),
        ] {
            let said = indented_commands(text).unwrap_err();
            assert!(said.starts_with(&format!("line {line}: ")), "{said}");
        }
        for text in ["make test\n", "    private, 10, MiB   2.3\n", "```text\n    make\n```\n", "    FROM scratch\n"] {
            assert_eq!(indented_commands(text), Ok(()), "{text}");
        }
    }
}
