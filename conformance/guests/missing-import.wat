;; Wants a function that no engine and no host offers.
(module
  (import "env" "nobody_offers_this" (func $nobody))
  (memory (export "memory") 1)
  (func (export "_start") (call $nobody)))
