//! The documentation's own commands: every block of a page that begins with ```` ```sh run ```` runs as it stands, so that the
//! pages say what is so.
//!
//! A page that has such blocks begins with `<!-- run: docker -->` or `<!-- run: containerd -->`, which tells what it needs.
//! Its blocks are one script in the order of the page, for `bash -euo pipefail` in the clone's folder.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use multiwasm_conformance::command::{CommandError, Input, Output, Process};
    use multiwasm_conformance::ctr::lab;
    use multiwasm_conformance::docker::docker;

    /// How long a page may take: downloads and compilers are not part of it.
    const BOUND: Duration = Duration::from_secs(600);

    const BEGIN: &str = "```sh run";
    const END: &str = "```";

    /// What a page's commands need of the lab.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Needs {
        Containerd,
        Docker,
    }

    /// A page with commands: what they need, and a script of as many lines as the page, each command in its own.
    #[derive(Debug)]
    struct Commands {
        needs: Needs,
        script: String,
    }

    /// The commands of a page, or none where it has none; an error where it says that it has some and has none, or the other
    /// way round.
    fn commands(text: &str) -> Result<Option<Commands>, String> {
        let first = text.lines().next().unwrap_or_default();
        let needs = match first.strip_prefix("<!-- run: ").and_then(|rest| rest.strip_suffix(" -->")) {
            None => None,
            Some("docker") => Some(Needs::Docker),
            Some("containerd") => Some(Needs::Containerd),
            Some(other) => return Err(format!("line 1: run: is docker or containerd, not {other}")),
        };
        let (mut script, mut inside, mut blocks) = (String::new(), false, 0);
        for line in text.lines() {
            match (inside, line) {
                (false, BEGIN) => (inside, blocks) = (true, blocks + 1),
                (true, END) => inside = false,
                (true, command) => script.push_str(command),
                (false, _) => {}
            }
            script.push('\n');
        }
        match (needs, blocks) {
            _ if inside => Err("its last block has no end".to_owned()),
            (None, 0) => Ok(None),
            (None, _) => {
                Err(format!("it has {BEGIN:?} blocks, and no line <!-- run: docker --> or containerd at its top"))
            }
            (Some(_), 0) => Err(format!("it begins with {first}, and has no {BEGIN:?} block")),
            (Some(needs), _) => Ok(Some(Commands { needs, script })),
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
        command.extend(["bash", "-Eeuo", "pipefail"].map(str::to_owned));
        command.push(path.display().to_string());
        Process::start(&command, Input::Nothing)?.finish(BOUND)
    }

    /// Docker's containers, those that ended as well.
    fn containers() -> Vec<String> {
        docker(&["ps", "--all", "--quiet", "--no-trunc"]).expect_code(0).out().lines().map(str::to_owned).collect()
    }

    fn runs(page: &str) {
        // Pages use the same names and ports, as their reader has one machine.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = read(page).unwrap_or_else(|error| panic!("{error}")).expect("a page with commands");
        let has_docker = lab().docker.is_some();
        if commands.needs == Needs::Docker && !has_docker {
            println!("{page}: not run, the lab of {} has no Docker", lab().suite);
            return;
        }
        let before = if has_docker { containers() } else { Vec::new() };
        let output = run(page, &commands.script).unwrap_or_else(|error| panic!("{page}: {error}"));
        let mut left = if has_docker { containers() } else { Vec::new() };
        left.retain(|container| !before.contains(container));
        if !left.is_empty() {
            // So that the next page begins as this one did.
            docker(&[vec!["rm".to_owned(), "--force".to_owned()], left.clone()].concat());
        }
        assert!(output.code == 0, "{page}: ended with {} after {:?}\n{}", output.code, output.took, output.out());
        assert!(left.is_empty(), "{page}: it leaves {} containers behind\n{}", left.len(), output.out());
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
        docker_engine: "docs/docker.md",
        containerd: "docs/containerd.md",
        kubernetes: "docs/kubernetes.md",
        troubleshooting: "docs/troubleshooting.md",
        engine_authors: "docs/engine-authors.md",
    }

    #[test]
    fn each_page_with_commands_has_its_test() {
        let docs = fs::read_dir(clone().join("docs")).unwrap();
        let names = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
        let pages = names.filter(|name| name.ends_with(".md")).chain(["README.md".to_owned()]);
        let with_commands = pages.filter(|page| read(page).unwrap_or_else(|error| panic!("{error}")).is_some());
        let mut found: Vec<_> = with_commands.collect();
        found.sort();
        let mut known = PAGES.to_vec();
        known.sort_unstable();
        assert_eq!(found, known);
    }

    #[test]
    fn commands_keep_their_lines() {
        let page = "<!-- run: docker -->\n# A page\n\n```sh run\none\ntwo\n```\n\n```sh\nnot this\n```\n";
        let found = commands(page).unwrap().unwrap();
        assert_eq!((found.needs, found.script.as_str()), (Needs::Docker, "\n\n\n\none\ntwo\n\n\n\n\n\n"));
        assert!(commands("# A page\n").unwrap().is_none());
        for wrong in [
            "# A page\n```sh run\none\n```\n",
            "<!-- run: docker -->\n```sh\none\n```\n",
            "<!-- run: podman -->\n```sh run\none\n```\n",
            "<!-- run: docker -->\n```sh run\none\n",
        ] {
            assert!(commands(wrong).is_err(), "{wrong}");
        }
    }
}
