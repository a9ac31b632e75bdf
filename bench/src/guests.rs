//! What runs in the containers: the tiny guest, the idle one, and `bench.wasm`, each with its native twin.

use multiwasm_conformance::command::run;
use multiwasm_conformance::guests;
use multiwasm_conformance::runner::image::Image;
use multiwasm_conformance::runner::target::Target;

use crate::BenchError;
use crate::container::Program;
use crate::context::Context;

/// The kernels and the I/O of `guests/*.c`, built by `guests/build`.
pub const BENCH: &[u8] = include_bytes!("../guests/bench.wasm");
/// Waits for an hour.
const IDLE: &str = include_str!("../guests/idle.wat");
const SOURCES: [(&str, &str); 3] = [
    ("main.c", include_str!("../guests/main.c")),
    ("kernels.c", include_str!("../guests/kernels.c")),
    ("kernels.h", include_str!("../guests/kernels.h")),
];

/// The two images that all parts but `sizes` need.
#[derive(Debug, Clone)]
pub struct Guests {
    wasm: Image,
    native: Image,
}

impl Guests {
    /// Builds what is not built yet, and puts both images into containerd.
    ///
    /// # Errors
    /// There is no C compiler, or containerd refuses an image.
    pub async fn new(context: &Context) -> Result<Self, BenchError> {
        let idle = wat::parse_str(IDLE).map_err(|error| BenchError::Unexpected(format!("idle.wat: {error}")))?;
        let wasm = [
            ("/tiny.wasm", 0o644, &guests::read("tiny.wasm")[..]),
            ("/idle.wasm", 0o644, &idle),
            ("/bench.wasm", 0o644, BENCH),
        ];
        let read = |path: &std::path::Path| std::fs::read(path).map_err(BenchError::file(&path.display().to_string()));
        let (busybox, bench) = (read(&context.lab.busybox)?, read(&native(context)?)?);
        let native = [("/bin/busybox", 0o755, &busybox[..]), ("/bench", 0o755, &bench)];
        Ok(Self { wasm: context.image(false, &wasm).await?, native: context.image(true, &native).await? })
    }

    /// What ends at once.
    pub fn tiny(&self, target: &Target) -> Program {
        self.program(target, &["/tiny.wasm"], &["/bin/busybox", "true"])
    }

    /// What waits for an hour.
    pub fn idle(&self, target: &Target) -> Program {
        self.program(target, &["/idle.wasm"], &["/bin/busybox", "sleep", "3600"])
    }

    /// `bench.wasm`, or its twin, with these words behind. Engines run their best code of it, from its first start on.
    pub fn bench(&self, target: &Target, words: &[&str]) -> Program {
        let with = |first| [&[first], words].concat();
        let mut program = self.program(target, &with("/bench.wasm"), &with("/bench"));
        program.annotations.push(compile("eager"));
        program
    }

    fn program(&self, target: &Target, wasm: &[&str], native: &[&str]) -> Program {
        if target.native { Program::new(&self.native, native) } else { Program::new(&self.wasm, wasm) }
    }
}

/// The annotation that says when a module is compiled.
pub fn compile(mode: &str) -> (String, String) {
    ("io.containerd.multiwasm.compile".to_owned(), mode.to_owned())
}

/// The native twin of `bench.wasm`, as this machine's C compiler makes it.
///
/// # Errors
/// It does not compile.
pub fn native(context: &Context) -> Result<std::path::PathBuf, BenchError> {
    let built = context.folder().join("bench");
    if !built.exists() {
        for (name, source) in SOURCES {
            context.on_host(name, source.as_bytes())?;
        }
        let path = |name: &str| context.folder().join(name).display().to_string();
        run(&["cc", "-O2", "-static", "-o", &path("bench"), &path("main.c"), &path("kernels.c")])?.success()?;
    }
    Ok(built)
}
