//! What a container's rootfs holds, read from outside and before anything is mounted.
//!
//! # Layout
//!
//! - [`entry`]: the file that the entrypoint names, and its bytes
//! - `backing`: which device a file really lies on
//! - [`folder`]: the working directory, made where it is missing
//! - [`tree`]: the container's file tree, with links and mounts resolved as they will be inside, and never left

mod backing;
pub mod entry;
pub mod folder;
pub mod tree;

pub use entry::{Content, Entry, EntryError};
