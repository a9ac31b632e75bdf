//! `fat FILE [FUNCTIONS ROUNDS]`: writes the module that is costly to compile, to measure what it costs an engine:
//! `/usr/bin/time -v cargo run --example run -p multiwasm-engine -- PLUGIN.so FILE`.

use multiwasm_conformance::fat::{COSTLY, Size, module};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let (file, size) = match words.as_slice() {
        [file] => (file, COSTLY),
        [file, functions, rounds] => (file, Size { functions: functions.parse()?, rounds: rounds.parse()? }),
        _ => return Err("wanted: fat FILE [FUNCTIONS ROUNDS]".into()),
    };
    let module = module(size);
    println!("{} bytes", module.len());
    Ok(std::fs::write(file, module)?)
}
