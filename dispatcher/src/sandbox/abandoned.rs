//! Containers that nobody watches any more, where their maker is who watches them: those of a killed `multiwasm run`.

use std::ffi::OsStr;

use super::teardown::{removed, teardown};
use crate::state::{Record, State};

/// Removes the containers of `namespace` whose makers have ended, with what still runs in them. `forsaken` tells by the id
/// alone whether the maker has ended: one may have ended between the folder and the record in it. What can't be removed is
/// logged and left for the next call.
///
/// Where makers are the workers of shims, which end when they have made a container, that would be all of them.
pub fn remove_abandoned(namespace: &str, forsaken: impl Fn(&str) -> bool) {
    remove_of(State::all(namespace), forsaken);
}

fn remove_of(all: Vec<State>, forsaken: impl Fn(&str) -> bool) {
    for state in all {
        let left = match state.read() {
            Some(record) if record.maker.is_none_or(|maker| maker.runs()) => continue,
            // Without the maker: such a one leads no session, so what is in the session of its number is not its own.
            Some(record) => teardown(&state, &Record { maker: None, ..record }),
            None if state.folder().file_name().and_then(OsStr::to_str).is_some_and(&forsaken) => removed(&state),
            // One that is just being made or removed.
            None => continue,
        };
        if let Err(error) = left {
            tracing::warn!("what an earlier run has left can't be removed: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::process::Process;

    #[test]
    fn containers_go_whose_makers_are_gone() {
        let root = tempfile::tempdir().unwrap();
        let living = Process::find(std::process::id() as i32).unwrap();
        // Another process had the number before.
        let gone = Process { started: living.started - 1, ..living };
        let mut unwatched = Command::new("sleep").arg("1000").spawn().unwrap();
        let init = Process::find(unwatched.id() as i32);
        for id in ["watched", "unwatched", "unmade", "begun", "forsaken"] {
            fs::create_dir_all(root.path().join(id)).unwrap();
        }
        let state = |id: &str| State::below(root.path()).into_iter().find(|state| state.folder().ends_with(id));
        for (id, maker, init) in [("watched", living, None), ("unwatched", gone, init), ("unmade", gone, None)] {
            let record = Record {
                id: id.to_owned(),
                bundle: "/nonexistent".into(),
                rootfs: None,
                cgroup: None,
                systemd: false,
                init,
                maker: Some(maker),
            };
            state(id).unwrap().write(&record).unwrap();
        }
        remove_of(State::below(root.path()), |id| id == "forsaken");
        assert!(state("watched").is_some() && state("begun").is_some());
        assert!(state("unwatched").is_none() && state("unmade").is_none() && state("forsaken").is_none());
        assert!(!unwatched.wait().unwrap().success());
    }
}
