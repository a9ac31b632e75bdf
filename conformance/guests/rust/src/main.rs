//! What a Rust program does in a container, on nothing but the standard library.
//!
//! The verbs are those of the guests in other languages: `tour`, `filter`, `exit CODE`, `fail`.

use std::collections::hash_map::RandomState;
use std::error::Error;
use std::fs;
use std::hash::BuildHasher;
use std::io::{BufRead, Write, stdin, stdout};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("tour") => tour(&words),
        Some("filter") => filter(),
        Some("exit") => std::process::exit(words[2].parse()?),
        Some("fail") => panic!("asked to fail"),
        verb => Err(format!("no such verb: {verb:?}").into()),
    }
}

/// Arguments, environment, a file, clocks and random numbers; each line says what was seen.
fn tour(words: &[String]) -> Result<(), Box<dyn Error>> {
    println!("args: {}", words[2..].join("|"));
    println!("env: {}", std::env::var("GREETING")?);

    fs::create_dir_all("/tmp/tour")?;
    fs::write("/tmp/tour/note", "first\n")?;
    fs::OpenOptions::new().append(true).open("/tmp/tour/note")?.write_all("zweite Zeile: ü\n".as_bytes())?;
    println!("file: {:?}", fs::read_to_string("/tmp/tour/note")?.lines().collect::<Vec<_>>());
    fs::remove_dir_all("/tmp/tour")?;
    println!("gone: {}", fs::metadata("/tmp/tour").is_err());

    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    println!("slept: {}", began.elapsed() >= Duration::from_millis(20));
    println!("after 2024: {}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() > 1_735_689_600);
    // Each `RandomState` of a thread differs from the last by a counter, so two processes are told apart by the hash alone.
    println!("random: {:016x}", RandomState::new().hash_one(0));
    Ok(())
}

/// Lines of standard input in capitals, and their number at the end.
fn filter() -> Result<(), Box<dyn Error>> {
    let mut out = stdout().lock();
    let mut count = 0;
    for line in stdin().lock().lines() {
        writeln!(out, "{}", line?.to_uppercase())?;
        count += 1;
    }
    eprintln!("{count} lines");
    Ok(())
}
