//! The files that containerd's configuration imports, and what they have in place of its own.
//!
//! containerd 1 takes the whole section of a plug-in from the last file that has one (containerd#5837), containerd 2 puts the
//! sections together (containerd#9982). 1 reads files of version 2 at most; for one of version 2 that containerd 2 reads this is
//! the careful answer.

use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::Item;

use super::Problem;
use super::containerd::{CRI, handlers, ours_in, parse, place, version};

/// The imported files whose section of the CRI plug-in hides that of this configuration.
///
/// # Errors
/// [`Problem::Unreadable`].
pub fn hiding(config: &Path, text: &str) -> Result<Vec<PathBuf>, Problem> {
    if version(&parse(text)?) > 2 {
        return Ok(Vec::new());
    }
    let has = |file: &PathBuf| {
        let document = fs::read_to_string(file).ok().and_then(|text| parse(&text).ok());
        document.is_some_and(|document| {
            CRI.iter().any(|name| document.get("plugins").and_then(|all| all.get(name)).is_some())
        })
    };
    Ok(imported(config, text)?.into_iter().filter(has).collect())
}

/// The names of our handlers that hold, wherever they are.
///
/// # Errors
/// [`Problem`], of the configuration itself.
pub fn handlers_with(config: &Path, text: &str) -> Result<Vec<String>, Problem> {
    let mut names = handlers(text)?;
    let main = version(&parse(text)?);
    // A file that is imported may leave its version to the one that imports it.
    let of = |file: &PathBuf| {
        let document = fs::read_to_string(file).ok().and_then(|text| parse(&text).ok());
        let found = document.and_then(|mut document| {
            let version = if document.contains_key("version") { version(&document) } else { main };
            Some(ours_in(&mut document, &place(version).ok()?))
        });
        found.into_iter().flatten().map(str::to_owned).collect::<Vec<_>>()
    };
    match hiding(config, text)?.last() {
        Some(last) => Ok(of(last)),
        None => {
            for name in imported(config, text)?.iter().flat_map(of) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            Ok(names)
        }
    }
}

/// The imported files that are there, in containerd's order. Of patterns, those are seen whose star is in the file's name.
fn imported(config: &Path, text: &str) -> Result<Vec<PathBuf>, Problem> {
    let document = parse(text)?;
    let named = document.get("imports").and_then(Item::as_array);
    let named = named.into_iter().flatten().filter_map(|path| path.as_str());
    let folder = config.parent().unwrap_or(Path::new("/"));
    Ok(named.flat_map(|path| matching(&folder.join(path))).collect())
}

fn matching(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let Some((begin, end)) = name.split_once('*') else { return vec![path.to_owned()] };
    let fits = |found: &str| found.len() >= begin.len() + end.len() && found.starts_with(begin) && found.ends_with(end);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(fits)).map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::super::containerd::with;
    use super::*;

    #[test]
    fn an_imported_section_hides_that_of_version_2_and_joins_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        let main = |version: i64| {
            with(&format!("version = {version}\nimports = [\"conf.d/*.toml\", \"/nonexistent.toml\"]\n"), 3)
                .unwrap()
                .text
        };
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        let (file, other) = (folder.path().join("conf.d/10-cri.toml"), folder.path().join("conf.d/20.toml.off"));
        fs::write(&other, "[plugins.cri]\n").unwrap();
        fs::write(&file, "[debug]\nlevel = \"info\"\n").unwrap();
        assert!(hiding(&config, &main(2)).unwrap().is_empty());
        assert_eq!(handlers_with(&config, &main(2)).unwrap().len(), 4);

        fs::write(
            &file,
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/certs.d\"\n",
        )
        .unwrap();
        assert_eq!(hiding(&config, &main(2)).unwrap(), [file.as_path()]);
        assert!(handlers_with(&config, &main(2)).unwrap().is_empty());
        assert!(hiding(&config, &main(3)).unwrap().is_empty());

        let whole = with("version = 2\n", 3).unwrap().text;
        for text in [&whole, &whole.replace("version = 2\n", "")] {
            fs::write(&file, text).unwrap();
            assert_eq!(handlers_with(&config, &main(2)).unwrap().len(), 4, "{text}");
        }
        fs::write(&file, with("", 3).unwrap().text).unwrap();
        assert_eq!(handlers_with(&config, "version = 4\nimports = [\"conf.d/*.toml\"]\n").unwrap().len(), 4);
    }
}
