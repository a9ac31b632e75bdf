;; A command written by hand: greets on standard output and ends with the number of its arguments (its own path is one).
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  ;; An iovec at 0: where the text is, and how long it is.
  (data (i32.const 0) "\10\00\00\00\17\00\00\00")
  (data (i32.const 16) "hello from text format\0a")
  (func (export "_start")
    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)) (then unreachable))
    (if (call $args_sizes_get (i32.const 68) (i32.const 72)) (then unreachable))
    (call $exit (i32.load (i32.const 68)))))
