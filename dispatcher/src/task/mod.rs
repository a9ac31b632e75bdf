//! The task service: containerd's calls, the state of each container, its events, its exit.

mod any;
mod container;
mod events;
mod execs;
mod exits;
mod lifecycle;
mod process;
mod service;
mod stats;
mod stdio;

pub use events::Publisher;
pub use exits::Exits;
pub use service::TaskService;
