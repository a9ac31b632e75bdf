//! Messages packed for containerd under their type's name.

use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::protobuf::{Message, Result};

/// `message`, whose type is called `name`. A message could tell that itself, but by tables of all types that its file knows of:
/// 0.4 MB in each shim, made at the first event.
pub(super) fn pack(name: &str, message: &impl Message) -> Result<Any> {
    Ok(Any { type_url: name.to_owned(), value: message.write_to_bytes()?, ..Default::default() })
}
