;; A library: it has a function, and nothing to start.
(module
  (memory (export "memory") 1)
  (func (export "helper")))
