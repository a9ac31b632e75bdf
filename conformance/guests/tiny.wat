;; The smallest command: what remains of a container's start when there is nothing to run.
(module
  (memory (export "memory") 1)
  (func (export "_start")))
