//! What the colours of a plot mean: the drawing names them, and the style has each twice, for light and for dark.

use std::fmt::Write;

use multiwasm_conformance::report::html::PALETTE;

use crate::plots::COLOURS;

const STYLE: &str = include_str!("page/colours.css");

/// The style of all that has a plot in it.
pub fn style() -> String {
    let mut style = format!("{PALETTE}{STYLE}");
    for number in 0..COLOURS {
        for what in ["fill", "stroke"] {
            // Writing to a string can't fail.
            let _ = write!(style, "[{what}=\"#{:02X}0000\"]{{{what}:var(--series-{number})}}", 10 + number);
        }
    }
    style
}
