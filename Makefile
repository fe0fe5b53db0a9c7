# Each goal does all of its own set-up; what it fetches goes into .cache/ (see tests/support/setup.sh).
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build demo test check fuzz bench clean

CACHE := $(abspath $(or $(NARROWS_CACHE),.cache))
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
PYTHON := $(CACHE)/bin/python
FUZZ := parsers/fuzz
LOAD := benches/compare/mongoload
# Where the tests find mongod, Python and promtool.
export NARROWS_CACHE := $(CACHE)

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

build: ## The release binary, in target/release/narrows
	cargo build --release --locked

demo: ## A real MongoDB and a web service under a sample load behind narrows, and a live table of what passes
	@tests/support/setup.sh demo
	cargo build --release --locked
	@$(PYTHON) tests/demo/demo.py --narrows $(TARGET)/release/narrows --mongod $(CACHE)/bin/mongod

test: ## All tests, against a real MongoDB, a real Redis and real drivers
	@tests/support/setup.sh tests
	@$(MAKE) --no-print-directory fuzz
	cargo test --workspace --locked

# The sanitizer flags of rustc are nightly's; RUSTC_BOOTSTRAP lets the stable compiler that builds all else take them.
fuzz: ## Builds the fuzz targets and replays the corpus through each
	@if [ -d $(FUZZ) ]; then tests/support/replay_corpus.sh $(FUZZ); else echo "fuzz: skipped, there is no folder $(FUZZ)"; fi

check: ## Format, lints and docs, each warning an error
	@tests/support/setup.sh compiler
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	cargo fmt --manifest-path $(LOAD)/Cargo.toml --check
	cargo clippy --manifest-path $(LOAD)/Cargo.toml --target-dir $(TARGET)/mongoload --all-targets --locked -- -D warnings

# ARGS="--rounds 5 --seconds 10" measures longer, ARGS="--only redis" less.
bench: ## Decoder benches, then cost per request and per connection against HAProxy, nginx, Envoy and twemproxy; fails when a bar is missed
	@tests/support/setup.sh bench
	cargo build --release --locked
	cargo build --release --locked --manifest-path $(LOAD)/Cargo.toml --target-dir $(TARGET)/mongoload
	cargo bench --locked --package narrows-parsers
	@$(PYTHON) benches/compare/compare.py --narrows $(TARGET)/release/narrows \
		--load $(TARGET)/mongoload/release/mongoload --tools $(CACHE)/bin $(ARGS)

clean: ## Removes what was built and what was fetched (a folder named by NARROWS_CACHE stays)
	cargo clean
	rm -rf .cache
