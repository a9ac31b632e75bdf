//! What containerd passes to `start`: as flags, environment and options on stdin (up to 2.2), or as one message (2.3).

use std::path::PathBuf;

use containerd_shim::Flags;
use containerd_shim::bootstrap::BootstrapParams;
use containerd_shim::protos::protobuf::Message;
use containerd_shim::protos::protobuf::well_known_types::any::Any;

/// Why `start` can't begin.
#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    /// A name that can't be a folder's.
    #[error("{what} {value:?} can't be used: only letters, digits, '_', '-', '.' and '+' are allowed")]
    Name {
        /// Namespace or id.
        what: &'static str,
        /// As given.
        value: String,
    },
    /// The bundle.
    #[error("the current folder, which is the bundle, can't be found: {0}")]
    Bundle(std::io::Error),
}

/// All that `start` is told, whichever way it came.
#[derive(Debug, Clone)]
pub struct Params {
    /// containerd's namespace.
    pub namespace: String,
    /// The container's id.
    pub id: String,
    /// The bundle folder.
    pub bundle: PathBuf,
    /// containerd's gRPC address.
    pub grpc_address: String,
    /// Where events go.
    pub ttrpc_address: String,
    /// Log more.
    pub debug: bool,
    /// Runtime options, as containerd packed them.
    pub options: Option<Any>,
    /// The folder for the socket, where containerd wants one.
    pub socket_dir: Option<PathBuf>,
    /// The engine that the binary was called by.
    pub alias: Option<String>,
}

impl Params {
    /// Reads flags, the environment and what came on stdin.
    ///
    /// containerd 2.3 sends `BootstrapParams`, and the flags too. Options of earlier versions are an `Any`, which reads as
    /// `BootstrapParams` by chance (its type URL lands in the id, its value in the namespace), so the message counts only
    /// where it names the container that the flags name: <https://github.com/containerd/containerd/pull/13764>.
    ///
    /// # Errors
    /// Where the id or namespace can't be used, or there is no current folder.
    pub fn read(flags: &Flags, input: &[u8], alias: Option<String>) -> Result<Self, ParamsError> {
        let message = BootstrapParams::parse_from_bytes(input).ok().filter(|message| {
            !input.is_empty() && message.instance_id == flags.id && message.namespace == flags.namespace
        });
        let mut params = Self {
            namespace: name("namespace", &flags.namespace)?,
            id: name("container id", &flags.id)?,
            bundle: std::env::current_dir().map_err(ParamsError::Bundle)?,
            grpc_address: flags.address.clone(),
            ttrpc_address: std::env::var("TTRPC_ADDRESS").unwrap_or_default(),
            debug: flags.debug,
            options: None,
            socket_dir: None,
            alias,
        };
        match message {
            Some(message) => params.take(message),
            None => params.options = Any::parse_from_bytes(input).ok().filter(|any| !any.type_url.is_empty()),
        }
        if params.ttrpc_address.is_empty() {
            params.ttrpc_address = format!("{}.ttrpc", params.grpc_address);
        }
        Ok(params)
    }

    fn take(&mut self, message: BootstrapParams) {
        let or = |new: String, old: &mut String| {
            if !new.is_empty() {
                *old = new;
            }
        };
        // LOG_LEVEL_DEBUG; more verbose levels are lower (bootstrap.proto).
        self.debug |= message.log_level.value() <= -4;
        or(message.containerd_grpc_address, &mut self.grpc_address);
        or(message.containerd_ttrpc_address, &mut self.ttrpc_address);
        self.socket_dir = message.socket_dir.filter(|dir| !dir.is_empty()).map(PathBuf::from);
        // Extensions of other kinds (CRI's, a sandbox's) may stand beside the options.
        let mut values = message.extensions.into_iter().filter_map(|extension| extension.value.into_option());
        self.options = values.find(|any| any.type_url.rsplit(['/', '.']).next() == Some("Options"));
    }
}

/// A namespace or id as the name of a folder: containerd's own rule is stricter
/// (pkg/identifiers), so a name that fails here did not come from containerd.
pub(super) fn name(what: &'static str, value: &str) -> Result<String, ParamsError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.+".contains(c);
    if value.is_empty() || value == "." || value == ".." || !value.chars().all(allowed) {
        return Err(ParamsError::Name { what, value: value.to_owned() });
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use containerd_shim::bootstrap::Extension;

    use super::*;

    fn flags() -> Flags {
        containerd_shim::parse(&["-namespace", "k8s.io", "-id", "abc", "-address", "/run/c.sock", "start"]).unwrap()
    }

    fn options() -> Any {
        Any { type_url: "runtimeoptions.v1.Options".to_owned(), value: b"x".to_vec(), ..Default::default() }
    }

    #[test]
    fn options_of_the_old_protocol_are_found() {
        let read = Params::read(&flags(), &options().write_to_bytes().unwrap(), None).unwrap();
        assert_eq!(read.options, Some(options()));
        assert!(!read.ttrpc_address.is_empty());
    }

    #[test]
    fn the_message_of_the_new_protocol_is_read() {
        let message = BootstrapParams {
            instance_id: "abc".into(),
            namespace: "k8s.io".into(),
            containerd_ttrpc_address: "/run/other.ttrpc".into(),
            socket_dir: Some("/run/s".into()),
            extensions: vec![Extension { value: Some(options()).into(), ..Default::default() }],
            ..Default::default()
        };
        let read = Params::read(&flags(), &message.write_to_bytes().unwrap(), None).unwrap();
        assert_eq!(read.ttrpc_address, "/run/other.ttrpc");
        assert_eq!(read.grpc_address, "/run/c.sock");
        assert_eq!(read.socket_dir, Some("/run/s".into()));
        assert_eq!(read.options, Some(options()));
    }

    #[test]
    fn a_path_is_no_id() {
        for id in ["", ".", "..", "a/b", "../x"] {
            let error = name("container id", id).unwrap_err();
            assert!(error.to_string().contains(&format!("{id:?}")), "{error}");
        }
    }
}
