# Builds, tries, tests and installs multiwasm; `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := build
.NOTPARALLEL:

# Everything that is made lies here, none of it in the clone.
MULTIWASM_BUILD ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/multiwasm
CARGO_TARGET_DIR ?= $(MULTIWASM_BUILD)/target
export MULTIWASM_BUILD CARGO_TARGET_DIR

PREFIX ?= /usr/local
# How what is installed is compiled: `dist` takes a quarter of an hour longer than `release` and makes containers weigh a third
# less (docs/performance.md). Tools are `release` in any case.
PROFILE ?= dist
SUITES ?= bookworm trixie forky
# The lab of `demo`, `bench` and the wasi-testsuite.
SUITE ?= forky

# What is compiled for: the machine's own architecture, or arm64 on one of amd64.
PACKAGE_ARCH ?= $(shell dpkg --print-architecture)
cross := $(filter arm64,$(filter-out $(shell dpkg --print-architecture),$(PACKAGE_ARCH)))
export PACKAGE_ARCH

engines := wasmtime wasmedge wasmer
# WasmEdge's library starts without LLVM by this, see engines/wasmedge/build.rs.
without_llvm := wasmedge-without-llvm
# K3s finds the first by itself, and then asks containerd for the second (dispatcher/src/install/k3s.rs).
aliases := $(engines:%=containerd-shim-%-v1) $(engines:%=containerd-shim-%-v2)
wasmedge := WASMEDGE_INCLUDE_DIR=$(MULTIWASM_BUILD)/wasmedge/include WASMEDGE_LIB_DIR=$(MULTIWASM_BUILD)/wasmedge/lib
ifdef cross
arm64 := $(MULTIWASM_BUILD)/arm64
wasmedge := WASMEDGE_INCLUDE_DIR=$(arm64)/usr/include WASMEDGE_LIB_DIR=$(arm64)/usr/lib/aarch64-linux-gnu
export CARGO_BUILD_TARGET := aarch64-unknown-linux-gnu
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER := aarch64-linux-gnu-gcc
export LIBSECCOMP_LIB_PATH := $(arm64)/usr/lib/aarch64-linux-gnu
export BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu := --target=aarch64-linux-gnu -I/usr/aarch64-linux-gnu/include
endif
cargo := env $(wasmedge) cargo
# A lab has no way out to the network: what runs there was built before.
in_lab_plain = scripts/lab run $(1) --
in_lab = $(in_lab_plain) $(cargo) --offline
# One profile and one selection for all: cargo unites the features of what is selected, and engines take minutes to
# compile, so that each selection of its own would compile them again.
all := --release --workspace
shipped = $(if $(filter release,$(PROFILE)),$(all),--profile $(PROFILE) --package multiwasm $(engines:%=--package multiwasm-%))
built = $(CARGO_TARGET_DIR)/$(if $(cross),$(CARGO_BUILD_TARGET)/)$(PROFILE)
staged = $(MULTIWASM_BUILD)/stage$(if $(cross),-arm64)
stamp = $(CARGO_TARGET_DIR)/.clone$(if $(cross),-arm64)
conformance := $(CARGO_TARGET_DIR)/release/multiwasm-conformance
bench := $(CARGO_TARGET_DIR)/release/multiwasm-bench
reports := $(MULTIWASM_BUILD)/reports
cases = mkdir -p $(reports) && $(call in_lab_plain,$(1)) $(conformance) run $(addprefix --case ,$(2)) $(addprefix --engine ,$(3)) \
	--json $(reports)/$(1).json --junit $(reports)/$(1).xml
# `make test` runs every case on one containerd. On the others it runs those in which containerd has a part; what a guest
# finds in its file system is the engine's alone, and runc has proved the cases by then. `make conformance` runs all on all.
every_case := bookworm
ours := $(engines) native
of_containerd := args/ artifacts/ errors/ exit/ images/ lifecycle/ mounts/ signals/ stdio/ task-api/
wasi_testsuite = $(call in_lab_plain,$(SUITE)) $(conformance) testsuite $(abspath $(WASI_TESTSUITE)) \
	--json $(reports)/wasi-testsuite.json --markdown $(reports)/wasi-testsuite.md --html $(reports)/wasi-testsuite.html
# Debian 12 has Docker in no version that is supported here, so its lab has containerd alone.
without_docker := bookworm
# Pods are tried by crictl, which can't be had everywhere (scripts/get-cri-tools says why), on the containerds that Kubernetes uses.
crictl = $(wildcard $(or $(MULTIWASM_CRI_TOOLS),$(MULTIWASM_BUILD)/cri-tools)/crictl)
with_pods = $(if $(crictl),$(filter-out bookworm,$(1)))
conformance_tests = test $(all) --features multiwasm-conformance/lab $(addprefix --test ,$(filter-out \
	manifests $(if $(filter $(1),$(without_docker)),docker examples installer) $(if $(call with_pods,$(1)),,cri cri_faults),$(patsubst conformance/tests/%.rs,%,$(wildcard conformance/tests/*.rs))))

# Tests do not wait for it. `make bench` and `make test-packages` are of what is installed.
test test-unit $(SUITES:%=test-%) conformance prove chaos critest: PROFILE = release

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z%-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# Cargo tells clones of one workspace apart by nothing but their files' times, so what another clone has built would pass
# for ours, with that clone's paths in it.
.PHONY: own
own:
	@mkdir -p $(CARGO_TARGET_DIR)
	@[ "$$(cat $(stamp) 2>/dev/null)" = "$(CURDIR)" ] || { \
		for profile in release dist; do cargo clean --quiet --profile $$profile $(if $(cross),--target $(CARGO_BUILD_TARGET)) \
			$(addprefix --package ,multiwasm multiwasm-engine multiwasm-conformance multiwasm-bench multiwasm-bench-alone \
			$(engines:%=multiwasm-%)) || exit; done; \
		echo "$(CURDIR)" >$(stamp); }

.PHONY: build
build: own ## compile the shim, the command and the three engines (PROFILE=release: faster, and not as small)
	$(if $(cross),scripts/get-arm64,scripts/get-packages && scripts/get-wasmedge)
	$(cargo) build $(shipped)

.PHONY: tools
tools: own ## compile what measures and tests
	$(cargo) build $(all)

.PHONY: demo
demo: ## one image on three engines, under a real containerd and Docker
	scripts/setup $(SUITE)
	$(MAKE) --no-print-directory stage tools PROFILE=release
	$(call in_lab_plain,$(SUITE)) $(CARGO_TARGET_DIR)/release/multiwasm-demo

.PHONY: test
test: setup check test-unit $(SUITES:%=test-%) ## all tests

.PHONY: setup
setup: ## get everything that a build and the labs need
	scripts/setup $(SUITES)

.PHONY: check
check: own ## format, lints and documentation
	$(cargo) fmt --all --check
	$(cargo) clippy $(all) --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(cargo) doc $(all) --no-deps

.PHONY: test-unit
test-unit: stage ## the tests that need no lab
	$(cargo) test $(all) --features multiwasm-engine/loader

# Before its recipe is read, which asks whether there is a crictl.
setup-%:
	scripts/setup $*

test-%: setup-% stage tools ## the tests in the lab of bookworm, trixie or forky: by cases, and by the command lines that users type
	@$(if $(filter $*,bookworm)$(crictl),,echo "==> $*: pods are not tried, there is no crictl (scripts/get-cri-tools says why)")
	$(MAKE) --no-print-directory examples $(if $(filter $*,$(without_docker)),,example-images)
	$(cargo) $(call conformance_tests,$*) --no-run
	$(call cases,$*,$(if $(filter-out $(every_case),$*),$(of_containerd)),$(if $(filter-out $(every_case),$*),$(ours)))
	$(if $(call with_pods,$*),MULTIWASM_LAB_CRI=yes )$(call in_lab,$*) $(call conformance_tests,$*)

.PHONY: conformance
conformance: stage tools ## what each engine does, case by case, on each containerd (SUITES, CASES=…, ENGINES=…, WASI_TESTSUITE=folder)
	scripts/setup $(SUITES)
	@failed=; $(foreach suite,$(SUITES),$(call cases,$(suite),$(CASES),$(ENGINES)) || failed=1;) \
	$(if $(WASI_TESTSUITE),$(wasi_testsuite) || failed=1;) \
	$(conformance) report $(SUITES:%=$(reports)/%.json) --markdown $(reports)/conformance.md --html $(reports)/conformance.html && \
	echo "==> $(reports)/conformance.html" && [ -z "$$failed" ]

.PHONY: prove
prove: stage tools ## show that the suite finds faults: run it on a shim that is broken on purpose
	scripts/setup $(SUITE)
	$(cargo) build $(all) --features multiwasm/faults --bin containerd-shim-faulty-v1
	$(call in_lab_plain,$(SUITE)) $(CARGO_TARGET_DIR)/release/multiwasm-conformance prove \
		--shim $(CARGO_TARGET_DIR)/release/containerd-shim-faulty-v1

.PHONY: critest
critest: stage ## Kubernetes' own tests of container runtimes on our handler, and on runc's to compare with (SUITE)
	scripts/setup $(SUITE)
	scripts/critest $(SUITE)

.PHONY: chaos
chaos: stage tools ## kill shims, guests and containerd at random moments, 500 times
	scripts/setup $(SUITE)
	$(call in_lab_plain,$(SUITE)) $(CARGO_TARGET_DIR)/release/multiwasm-conformance chaos

.PHONY: examples
examples: ## build the modules of examples/
	scripts/examples

# The browser is for the test that orders through the page.
.PHONY: example-images
example-images: ## make nginx and MariaDB for examples/orders of Debian's packages
	scripts/get-packages mmdebstrap jq chromium chromium-driver
	scripts/example-images

.PHONY: guests
guests: ## build the guests of the tests again, from their sources
	scripts/make-guests

# The steps come from a lab of their own: what a shim logs for them costs time that starts would show. BENCH adds arguments.
.PHONY: bench
bench: stage tools ## starts, memory and speed, side by side: tables, JSON, and a page with plots (BENCH='--rounds 50 --large')
	scripts/setup $(SUITE)
	mkdir -p $(reports)
	rm -f $(reports)/bench.json $(reports)/bench-steps.json
	@# What could not be measured, a module that one engine refuses for one, stands in the report.
	$(call in_lab_plain,$(SUITE)) $(bench) run $(BENCH) --json $(reports)/bench.json || [ -s $(reports)/bench.json ]
	MULTIWASM_LAB_LOG_LEVEL=debug $(call in_lab_plain,$(SUITE)) $(bench) steps $(BENCH) --json $(reports)/bench-steps.json
	$(bench) report $(reports)/bench.json $(reports)/bench-steps.json --html $(reports)/bench.html --svg $(reports)/plots \
		--markdown $(reports)/bench.md >$(reports)/bench.txt
	@echo "==> $(reports)/bench.html"

# Engines are loaded as root from here, so nobody else may write to the folder.
.PHONY: install
install: ## install what `make build` built (DESTDIR, PREFIX)
	@[ -e $(built)/containerd-shim-multiwasm-v1 ] || { echo "nothing is built yet: make build" >&2; exit 1; }
	install -d -m 0755 $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/multiwasm/engines
	install -m 0755 $(addprefix $(built)/,containerd-shim-multiwasm-v1 multiwasm) $(DESTDIR)$(PREFIX)/bin
	for alias in $(aliases); do ln -sfn containerd-shim-multiwasm-v1 $(DESTDIR)$(PREFIX)/bin/$$alias; done
	install -m 0644 $(engines:%=$(built)/libmultiwasm_%.so) $(DESTDIR)$(PREFIX)/lib/multiwasm/engines
	rm -rf $(DESTDIR)$(PREFIX)/lib/multiwasm/engines/$(without_llvm)
	if [ -d $(built)/$(without_llvm) ]; then \
		install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/multiwasm/engines/$(without_llvm) $(built)/$(without_llvm)/*; fi

.PHONY: stage
stage: build ## install for the labs
	$(MAKE) --no-print-directory install PROFILE=$(PROFILE) DESTDIR=$(staged) PREFIX=/usr

.PHONY: package
package: ## deb, rpm and tarball, with their sizes (PACKAGE_ARCH=arm64: compiled across, without WasmEdge's library)
	$(MAKE) --no-print-directory stage
	scripts/make-packages

.PHONY: test-packages
test-packages: package ## lint and pack them again, install, upgrade and remove them in clean Debian roots (STEPS: docs/packages.md)
	scripts/test-packages

.PHONY: clean
clean: ## remove what was compiled; what was fetched stays
	rm -rf $(CARGO_TARGET_DIR) $(MULTIWASM_BUILD)/stage $(MULTIWASM_BUILD)/stage-arm64
