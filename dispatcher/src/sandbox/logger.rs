//! A program that takes a container's output: `binary:///path?argument=value`, as nerdctl gives it and `ctr run --log-uri` takes it.
//!
//! containerd's rules hold (core/runtime/v2/README.md, "Logging"; pkg/process of its runc shim): standard output is the program's
//! descriptor 3, standard error 4; it closes 5, or writes to it, when it is ready; its environment is the container's name and
//! namespace. It ends when both pipes do, and nothing waits
//! for that: the spawner reaps it, and ends it with its worker where the process can't be made.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use form_urlencoded::parse as pairs;
use nix::unistd::alarm;
use percent_encoding::percent_decode_str;

use super::SandboxError;
use crate::process::Process;

/// What such an address begins with.
pub(super) const SCHEME: &str = "binary://";
/// How long it may take to be ready, in seconds.
const READY_SECONDS: u32 = 30;
/// How long a program that lets go of its files may take to have ended: longer only on a machine that is stuck.
const ENDS: Duration = Duration::from_secs(5);
/// The program's descriptors: standard output, standard error, and what it closes when it is ready.
const DESCRIPTORS: [i32; 3] = [3, 4, 5];

/// Starts the program of `uri` for a process of the name `id`; gives the ends that the process writes to: standard output, and error.
pub(super) fn start(uri: &str, namespace: &str, id: &str) -> Result<(OwnedFd, OwnedFd), SandboxError> {
    let failed = |reason: String| SandboxError::Output { path: uri.to_owned(), reason };
    let (program, arguments) = parse(uri).map_err(failed)?;
    let unmade = |error: io::Error| failed(format!("a pipe can't be made: {error}"));
    let (out, stdout) = io::pipe().map_err(unmade)?;
    let (err, stderr) = io::pipe().map_err(unmade)?;
    let (mut ready, told) = io::pipe().map_err(unmade)?;
    let mut command = Command::new(&program);
    command.args(arguments).env_clear().env("CONTAINER_ID", id).env("CONTAINER_NAMESPACE", namespace);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let given = [out.as_raw_fd(), err.as_raw_fd(), told.as_raw_fd()];
    // SAFETY: between fork and exec, it makes system calls alone, on descriptors that are open until `spawn` returns.
    unsafe { command.pre_exec(move || take(given)) };
    let mut child =
        command.spawn().map_err(|error| failed(format!("the program {program} can't be started: {error}")))?;
    drop((out, err, told));
    let spoke = wait(&mut ready)
        .map_err(|error| failed(format!("the program {program} does not say that it is ready: {error}")))?;
    if !spoke
        && let Some(status) = end_of(&mut child)
        && !status.success()
    {
        return Err(failed(format!("the program {program} ended at once: {status}")));
    }
    Ok((stdout.into(), stderr.into()))
}

/// The program, and what it is called with: each name of the query, and behind it its value if it has one.
fn parse(uri: &str) -> Result<(String, Vec<String>), String> {
    let rest = uri.strip_prefix(SCHEME).unwrap_or(uri);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let program = percent_decode_str(path).decode_utf8().map_err(|error| error.to_string())?.into_owned();
    if !program.starts_with('/') {
        return Err(format!("the program {program:?} is not an absolute path: binary:///path?argument=value"));
    }
    let mut arguments = Vec::new();
    for (name, value) in pairs(query.as_bytes()) {
        arguments.push(name.into_owned());
        if !value.is_empty() {
            arguments.push(value.into_owned());
        }
    }
    Ok((program, arguments))
}

/// Puts descriptors where the program finds them, open across its start.
fn take(given: [i32; 3]) -> io::Result<()> {
    let checked = |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    let mut aside = [0; 3];
    for (place, descriptor) in aside.iter_mut().zip(given) {
        // Out of the way first: a place may be that of another one.
        // SAFETY: only numbers are passed.
        *place = checked(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 10) })?;
    }
    for (descriptor, place) in aside.into_iter().zip(DESCRIPTORS) {
        // SAFETY: only numbers are passed. What was at the place is this process's copy, which the start would close or hand on.
        checked(unsafe { libc::dup2(descriptor, place) })?;
    }
    Ok(())
}

/// How a program has ended that has closed its end, if it has: it may have closed the end alone, and go on.
fn end_of(program: &mut Child) -> Option<ExitStatus> {
    // The end of a process is seen later than that of its files, but its memory goes before them (`do_exit` in the kernel's
    // exit.c), and with it this link (proc(5)). So a program that goes on is not waited for.
    if std::fs::read_link(format!("/proc/{}/exe", program.id())).is_err() {
        Process::find(program.id() as i32)?.await_end(ENDS);
    }
    program.try_wait().ok().flatten()
}

/// Waits until the program writes to its end, or closes it: whether it has written.
fn wait(ready: &mut PipeReader) -> io::Result<bool> {
    // A program that never does holds up no other container: the signal ends this process, and the spawner cleans up.
    alarm::set(READY_SECONDS);
    let read = loop {
        match ready.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    alarm::cancel();
    read.map(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_and_its_arguments_are_read() {
        let read = parse("binary:///opt/a%20b/log?mode=fast&_INTERNAL=%2Fvar%2Flib&plain").unwrap();
        assert_eq!(read.0, "/opt/a b/log");
        assert_eq!(read.1, ["mode", "fast", "_INTERNAL", "/var/lib", "plain"]);
        assert!(parse("binary://log").unwrap_err().contains("not an absolute path"));
    }

    #[test]
    fn a_program_has_both_streams_the_name_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (script, seen) = (folder.path().join("log"), folder.path().join("seen"));
        let text = "#!/bin/sh\nexec 5>&-\n{ echo \"$@ $CONTAINER_ID $CONTAINER_NAMESPACE $HOME.\"; cat <&3; cat <&4; } >\"$2\"\n";
        nix::unistd::mkfifo(&seen, nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let uri = format!("binary://{}?to={}", script.display(), seen.display());
        let (stdout, stderr) = start(&uri, "space", "one").unwrap();
        fs::File::from(stdout).write_all(b"said\n").unwrap();
        fs::File::from(stderr).write_all(b"wrong\n").unwrap();
        assert_eq!(fs::read_to_string(&seen).unwrap(), format!("to {} one space .\nsaid\nwrong\n", seen.display()));
    }

    #[test]
    fn a_program_that_ends_at_once_is_told_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("log");
        fs::write(&script, "#!/bin/sh\nexit 3\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        for _ in 0..50 {
            let told = start(&format!("binary://{}", script.display()), "space", "one").unwrap_err().to_string();
            assert!(told.contains("ended at once: exit status: 3"), "{told}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let told = start("binary:///nonexistent/log", "space", "one").unwrap_err().to_string();
        assert!(
            told.starts_with("binary:///nonexistent/log can't be opened") && told.contains("No such file"),
            "{told}"
        );
    }
}
