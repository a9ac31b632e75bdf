//! The forms that files of cgroups have (the kernel's cgroup-v2.rst, "Format").

use std::collections::HashMap;
use std::path::Path;

/// The number in a file; 0 where there is none, as containerd's own shim has it, and the most there is for `max`.
pub(super) fn number(file: &Path) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    match text.trim() {
        "max" => u64::MAX,
        number => number.parse().unwrap_or(0),
    }
}

/// `key number` a line; empty where there is no such file.
pub(super) fn keyed(file: &Path) -> HashMap<String, u64> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// `major:minor` at the start of a line, and the rest.
pub(super) fn device(line: &str) -> Option<(u64, u64, &str)> {
    let (device, rest) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?, rest))
}

/// The sizes of huge pages that the folder has files of: `2MB` of `hugetlb.2MB.<what>`.
pub(super) fn huge_pages(folder: &Path, what: &str) -> Vec<String> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |name: String| Some(name.strip_prefix("hugetlb.")?.strip_suffix(what)?.strip_suffix('.')?.to_owned());
    // `rsvd` counts pages that are reserved only.
    names.filter_map(|entry| size(entry.file_name().into_string().ok()?)).filter(|size| !size.contains('.')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        assert_eq!(number(&file("a", "42\n")), 42);
        assert_eq!(number(&file("b", "max\n")), u64::MAX);
        assert_eq!(number(Path::new("/nonexistent")), 0);
        assert_eq!(keyed(&file("c", "x 1\ny_z 2\nbad\n")), HashMap::from([("x".into(), 1), ("y_z".into(), 2)]));
        assert_eq!(device("8:16 Read 512"), Some((8, 16, "Read 512")));
        assert_eq!(device("Total 512"), None);
        file("hugetlb.2MB.current", "0");
        file("hugetlb.2MB.rsvd.current", "0");
        assert_eq!(huge_pages(folder.path(), "current"), ["2MB"]);
    }
}
