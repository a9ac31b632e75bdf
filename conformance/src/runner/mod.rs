//! Runs cases: each on each of its targets, many at once, and says what was seen.
//!
//! # Layout
//!
//! - [`target`]: what cases run on. [`select`]: which cases on which targets.
//! - [`image`], [`layer`], [`twin`]: the image of a case; [`spec`]: its container's specification; [`streams`]: its pipes.
//! - [`cgroup`]: how its cgroup is named. [`node`]: the node of its own that a case may want.
//! - [`container`]: one container and the state of its case; [`act`]: what each step does to it.
//! - [`cell`]: one case on one target, from image to leaks; [`verdict`]: what was seen against what must be.
//! - [`traces`]: what a container leaves on the machine. [`log`]: what the shim and containerd logged of it.
//! - [`suite`]: all cells, many at once, and what is around them; [`machine`]: what they ran on.

pub mod act;
pub mod cell;
pub mod cgroup;
pub mod container;
pub mod image;
pub mod layer;
pub mod log;
pub mod machine;
pub mod node;
pub mod select;
pub mod spec;
pub mod streams;
pub mod suite;
pub mod target;
pub mod traces;
pub mod twin;
pub mod verdict;
