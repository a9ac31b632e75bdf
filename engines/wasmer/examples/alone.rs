//! wasmer without us: `alone run [--env K=V]... [--volume DIR:/]... FILE [-- ARGS...]`, as `wasmer run` takes it.
//!
//! What runs is wasmer-wasix's own runner, the one of upstream's command, and nothing of the plug-in, so that a fault of a guest
//! can be told to be the engine's. Only the file system is another than the command's: the folder is copied into upstream's
//! own in memory, and so are stdout and stderr until the end, as the ones of the host are not among the features that the
//! plug-in is built with. Where the command itself is at hand, take that.

use std::error::Error;
use std::fs;
use std::io::{SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use wasmer::sys::{Cranelift, EngineBuilder};
use wasmer::{Engine, Module};
use wasmer_wasix::runners::wasi::{RuntimeOrEngine, WasiRunner};
use wasmer_wasix::runtime::module_cache::HashedModuleData;
use wasmer_wasix::virtual_fs::{
    ArcFile, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufferFile, FileSystem, NullFile, mem_fs,
};
use wasmer_wasix::{WasiError, WasiRuntimeError};

fn main() -> ExitCode {
    let error = match run(std::env::args().skip(1)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    eprintln!("alone: {error}");
    ExitCode::from(match error.downcast_ref::<WasiRuntimeError>() {
        Some(WasiRuntimeError::Wasi(WasiError::Exit(code))) => (code.raw() & 0xff) as u8,
        _ => 134,
    })
}

fn run(mut words: impl Iterator<Item = String>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _inside = executor.enter();
    let mut runner = WasiRunner::new();
    let mut file = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        match word.as_str() {
            "run" if file.is_none() => {}
            "--env" => {
                let value = value()?;
                runner.with_envs(value.split_once('='));
            }
            "--volume" => {
                let value = value()?;
                let (host, guest) = value.rsplit_once(':').ok_or("--volume wants DIR:/")?;
                let root = mem_fs::FileSystem::default();
                executor.block_on(copy(&root, Path::new(host), Path::new("/")))?;
                runner.with_mount(guest.to_owned(), Arc::new(root));
            }
            "--" => {
                runner.with_args(words.by_ref());
            }
            _ => file = Some(word),
        }
    }
    let file = file.ok_or("wanted: run [--env K=V]... [--volume DIR:/]... FILE [-- ARGS...]")?;
    let bytes = fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
    let engine = Engine::from(EngineBuilder::new(Cranelift::default()));
    let module = Module::new(&engine, &bytes)?;
    let hash = *HashedModuleData::new(bytes).hash();
    let [out, err] = [(); 2].map(|()| ArcFile::new(Box::new(BufferFile::default())));
    runner.with_stdin(Box::new(NullFile::default()));
    runner.with_stdout(Box::new(out.clone())).with_stderr(Box::new(err.clone()));
    let ended = runner.run_wasm(RuntimeOrEngine::Engine(engine), &file, module, hash);
    std::io::stdout().write_all(&executor.block_on(written(out))?)?;
    std::io::stderr().write_all(&executor.block_on(written(err))?)?;
    Ok(ended?)
}

/// All that a guest wrote.
async fn written(mut file: ArcFile<BufferFile>) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    file.seek(SeekFrom::Start(0)).await?;
    file.read_to_end(&mut all).await?;
    Ok(all)
}

/// Copies what lies in a folder of the host.
async fn copy(into: &mem_fs::FileSystem, folder: &Path, to: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    for entry in fs::read_dir(folder)? {
        let from = entry?.path();
        let to = to.join(from.file_name().unwrap_or_default());
        if from.is_dir() {
            into.create_dir(&to)?;
            Box::pin(copy(into, &from, &to)).await?;
        } else {
            let mut file = into.new_open_options().create(true).write(true).open(&to)?;
            file.write_all(&fs::read(&from)?).await?;
        }
    }
    Ok(())
}
