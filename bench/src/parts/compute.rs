//! Guest code: kernels in a container, on the same engine with nothing of ours, and as a native program.

use multiwasm_conformance::command::run;
use multiwasm_conformance::runner::target::Target;

use crate::BenchError;
use crate::alone::{self, Code};
use crate::context::Context;
use crate::guests::{self, Guests};
use crate::model::{Part, Unit};
use crate::rounds::{Column, Figure, columns, rounds};
use crate::run::Bench;

/// How many milliseconds each kernel works at least for one value: the fastest of its batches.
const AT_LEAST: &str = "40";

/// Where the kernels run.
#[derive(Debug, Clone)]
enum Place {
    /// On the machine, as a program.
    Native,
    /// On the engine of this name, with nothing of ours.
    Alone(String, Code),
    /// In a container.
    Contained(Target, Code),
}

/// Measures each target, and each engine alone.
///
/// # Errors
/// The native program can't be built.
pub async fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let Bench { context, guests, plan, report, progress } = bench;
    let program = guests::native(context)?.display().to_string();
    let module = context.on_host("bench.wasm", guests::BENCH)?;
    rounds(Part::Compute, &places(&plan.targets), plan.fewer(2), report, progress, async |place, _| {
        let said = match place {
            Place::Native => run(&[&program, "compute", AT_LEAST])?.success()?.err(),
            Place::Alone(engine, code) => {
                let mut command = alone::command(context, engine, *code, &module)?;
                command.extend(["compute".to_owned(), AT_LEAST.to_owned()]);
                run(&command)?.success()?.err()
            }
            Place::Contained(target, code) => contained(context, guests, target, *code).await?,
        };
        figures(&said)
    })
    .await;
    Ok(())
}

fn places(targets: &[Target]) -> Vec<Column<Place>> {
    const NATIVE: &str = "native";
    let mut places = vec![Column { name: NATIVE.to_owned(), against: None, of: Place::Native }];
    for column in columns(targets) {
        let contained = |name: &str, against: &str, code| Column {
            name: name.to_owned(),
            against: Some(against.to_owned()),
            of: Place::Contained(column.of.clone(), code),
        };
        let Some(engine) = &column.of.engine else {
            places.push(contained(&column.name, NATIVE, Code::Compiled));
            continue;
        };
        let codes: &[_] = if engine == "wasmedge" { &[Code::Compiled, Code::Interpreted] } else { &[Code::Compiled] };
        for &code in codes {
            let name = match code {
                Code::Compiled => column.name.clone(),
                Code::Interpreted => format!("{} interpreted", column.name),
            };
            let alone = format!("{name} alone");
            let of = Place::Alone(engine.clone(), code);
            places.push(Column { name: alone.clone(), against: Some(NATIVE.to_owned()), of });
            places.push(contained(&name, &alone, code));
        }
    }
    places
}

async fn contained(context: &Context, guests: &Guests, target: &Target, code: Code) -> Result<String, BenchError> {
    let mut program = guests.bench(target, &["compute", AT_LEAST]);
    if code == Code::Interpreted {
        program.annotations.push(guests::compile("off"));
    }
    let ended = context.run(target, &program, true).await?;
    Ok(String::from_utf8_lossy(&ended.stderr).into_owned())
}

/// A line a kernel: its name, nanoseconds, and a number that proves the work.
fn figures(said: &str) -> Result<Vec<Figure>, BenchError> {
    let unexpected = |line: &str| BenchError::Unexpected(format!("the guest said {line:?}"));
    let mut figures = Vec::new();
    for line in said.lines() {
        let mut words = line.split('\t');
        let (Some(name), Some(took), Some(proof)) = (words.next(), words.next(), words.next()) else {
            return Err(unexpected(line));
        };
        let took: f64 = took.parse().map_err(|_| unexpected(line))?;
        let known = PROOFS.iter().find(|(kernel, _)| *kernel == name).map(|(_, proof)| *proof);
        if known != Some(proof) {
            return Err(unexpected(line));
        }
        figures.push(Figure::new(name, Unit::Microseconds, took / 1e3));
    }
    if figures.len() == PROOFS.len() { Ok(figures) } else { Err(unexpected(said)) }
}

/// What each kernel must come to, as the native program has it.
const PROOFS: [(&str, &str); 14] = [
    ("calls", "6765"),
    ("indirect calls", "265165672"),
    ("sieve", "6542"),
    ("collatz", "59431"),
    ("bytecode", "3859450062624225239"),
    ("mandelbrot", "621"),
    ("matrices", "18446744073700025344"),
    ("simd", "25673664"),
    ("copy", "1"),
    ("chase", "105790"),
    ("sha256", "12281031272561139860"),
    ("sorting", "2095367718"),
    ("json", "244500"),
    ("compression", "14907"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_is_no_figure() {
        let right: String = PROOFS.iter().map(|(name, proof)| format!("{name}\t1500.0\t{proof}\n")).collect();
        let told = figures(&right).unwrap();
        assert_eq!((told.len(), told[0].row.as_str()), (14, "calls"));
        assert!((told[0].value - 1.5).abs() < 1e-9);
        assert!(figures(&right.replace("6542", "6543")).is_err());
        assert!(figures("calls\t1.0\t6765\n").is_err());
    }

    #[test]
    fn an_engine_in_a_container_is_set_against_itself_alone() {
        let targets: Vec<_> = ["runc", "wasmtime", "wasmedge"].iter().filter_map(|name| Target::named(name)).collect();
        let places = places(&targets);
        let told: Vec<_> = places.iter().map(|place| (place.name.as_str(), place.against.as_deref())).collect();
        let native = Some("native");
        let all = [
            ("native", None),
            ("runc", native),
            ("wasmtime alone", native),
            ("wasmtime", Some("wasmtime alone")),
            ("wasmedge alone", native),
            ("wasmedge", Some("wasmedge alone")),
            ("wasmedge interpreted alone", native),
            ("wasmedge interpreted", Some("wasmedge interpreted alone")),
        ];
        assert_eq!(told, all);
    }
}
