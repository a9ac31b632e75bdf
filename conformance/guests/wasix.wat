;; Asks WASIX, which Wasmer alone provides, for its own thread's id, and exits with 7 if it got one.
(module
  (import "wasix_32v1" "thread_id" (func $thread_id (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.eqz (call $thread_id (i32.const 16))) (then (call $exit (i32.const 7))))
    (call $exit (i32.const 1))))
