//! What wasmer-wasix wants to be given by its embedder. Threads, timers and sockets are there as soon as a guest asks
//! for them: one that does not ask lives in a process of a single thread.

use std::num::NonZero;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmer::{Engine, Store};
use wasmer_wasix::runtime::resolver::{MultiSource, Source};
use wasmer_wasix::runtime::task_manager::TaskWasm;
use wasmer_wasix::runtime::task_manager::tokio::TokioTaskManager;
use wasmer_wasix::virtual_net::{DynVirtualNetworking, UnsupportedVirtualNetworking};
use wasmer_wasix::{LocalNetworking, Runtime, VirtualTaskManager, WasiThreadError};

/// Stack of the threads that drive timers and sockets, in bytes. They run no guest code.
const DRIVER_STACK: usize = 256 << 10;

/// The system under one guest. It has no package registry and no HTTP client: nothing is fetched from anywhere.
#[derive(Debug)]
pub(crate) struct GuestRuntime {
    engine: Engine,
    threads: Threads,
    tasks: Arc<dyn VirtualTaskManager>,
    network: OnceLock<DynVirtualNetworking>,
}

impl GuestRuntime {
    /// A system whose memories are those of `engine`.
    pub(crate) fn new(engine: Engine) -> Self {
        let threads = Threads::default();
        Self { engine, tasks: Arc::new(threads.clone()), threads, network: OnceLock::new() }
    }
}

impl Runtime for GuestRuntime {
    fn networking(&self) -> &DynVirtualNetworking {
        self.network.get_or_init(|| match self.threads.manager() {
            Ok(manager) => {
                let handle = manager.runtime_handle();
                let _inside = handle.enter();
                Arc::new(LocalNetworking::new())
            }
            // Without threads there are no sockets; the guest's calls say so.
            Err(_) => Arc::new(UnsupportedVirtualNetworking::default()),
        })
    }

    fn task_manager(&self) -> &Arc<dyn VirtualTaskManager> {
        &self.tasks
    }

    fn source(&self) -> Arc<dyn Source + Send + Sync> {
        Arc::new(MultiSource::default())
    }

    fn engine(&self) -> Engine {
        self.engine.clone()
    }

    fn new_store(&self) -> Store {
        Store::new(self.engine.clone())
    }
}

/// Threads of the host, none before the first task.
#[derive(Debug, Clone, Default)]
struct Threads(Arc<OnceLock<Option<TokioTaskManager>>>);

impl Threads {
    fn manager(&self) -> Result<&TokioTaskManager, WasiThreadError> {
        let start = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).thread_stack_size(DRIVER_STACK).thread_name("driver").enable_all();
            builder.build().ok().map(TokioTaskManager::new)
        };
        self.0.get_or_init(start).as_ref().ok_or(WasiThreadError::Unsupported)
    }
}

impl VirtualTaskManager for Threads {
    fn sleep_now(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let threads = self.clone();
        // Nothing is started before somebody waits: at each guest's end a timer is made that is not needed.
        Box::pin(async move {
            match threads.manager() {
                _ if time.is_zero() => {}
                Ok(manager) => manager.sleep_now(time).await,
                Err(_) => std::thread::sleep(time),
            }
        })
    }

    fn task_shared(
        &self,
        task: Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>,
    ) -> Result<(), WasiThreadError> {
        self.manager()?.task_shared(task)
    }

    fn task_wasm(&self, task: TaskWasm) -> Result<(), WasiThreadError> {
        self.manager()?.task_wasm(task)
    }

    fn task_dedicated(&self, task: Box<dyn FnOnce() + Send>) -> Result<(), WasiThreadError> {
        self.manager()?.task_dedicated(task)
    }

    fn thread_parallelism(&self) -> Result<usize, WasiThreadError> {
        Ok(std::thread::available_parallelism().map_or(1, NonZero::get))
    }
}
