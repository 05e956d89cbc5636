# The everyday commands. `make test` is the only one that installs anything, and it says what.

CARGO ?= cargo

.PHONY: help test setup fmt clippy bench try-compose

help:
	@echo "make test         install what the tests need and lack, then test the workspace"
	@echo "make fmt          is everything formatted?"
	@echo "make clippy       warnings are errors"
	@echo "make bench        Criterion benchmarks"
	@echo "make try-compose  bring docker-compose.yml up, create and follow a link, take it down"

# Release, so that the tests and the main job share one build of the dependencies.
test: setup
	$(CARGO) test --release --workspace --locked

setup:
	@.ci/setup

fmt:
	$(CARGO) fmt --all -- --check

clippy:
	$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings

bench:
	$(CARGO) bench --workspace --locked

try-compose:
	server/deploy/try.sh
