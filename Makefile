# The project's commands. `make up` and `make test` work on a fresh Debian-like machine and a fresh clone.

SHELL := /bin/bash
# Where rustup puts cargo, also when it was installed a moment ago.
export PATH := $(PATH):$(HOME)/.cargo/bin
KONTIKI := target/release/kontiki
# Building needs no root; network namespaces do.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
ifneq ($(SUDO),)
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := sudo -E
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER := sudo -E
endif
# The tool that checks licences and banned crates; built once, kept beside the build.
DENY := target/tools/bin/cargo-deny
DENY_VERSION := 0.20.2

.PHONY: up down status test lint bench build chaos evidence

up: build ## Start three masters and two workers on this machine.
	@$(SUDO) $(KONTIKI) up

down: build ## End them; nothing is left behind.
	@$(SUDO) $(KONTIKI) down

status: build ## Masters, nodes and pods in one table.
	@$(SUDO) $(KONTIKI) status

build:
	@tools/bootstrap build
	@cargo build --release --locked --quiet

test: lint ## Every test; asks for root where hosts are network namespaces.
	@tools/bootstrap test
	cargo test --workspace --locked --no-run
	cargo test --locked --manifest-path node-agent/shim/Cargo.toml --target-dir target/shim
	cargo test --workspace --locked --lib --bins
	cargo test --workspace --locked --no-fail-fast --test '*'

lint: ## Format, clippy, licences; the tidy tests are among the tests.
	@tools/bootstrap lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@test -x $(DENY) || cargo install --quiet --locked --version $(DENY_VERSION) --root target/tools --target-dir target/tools/build cargo-deny
	$(DENY) check licenses bans sources

HOURS := 1
chaos: ## The store, and the control plane on it, under faults, seed after seed from a fresh one on: make chaos HOURS=8
	@tools/bootstrap build
	KONTIKI_HOURS=$(HOURS) cargo test --workspace --locked --test simulation every_seed -- --nocapture

evidence: ## Measure the figures of docs/explanation/evidence.md anew: the seeds of `make test`, every fault, a hundred leader kills.
	@tools/bootstrap test
	@tools/evidence

bench: ## Figures beside etcd and beside the ceilings, as in docs/explanation/performance.md.
	@tools/bootstrap bench
	@cargo build --release --locked --quiet -p kontiki -p chaos-tests --bins
	@$(SUDO) target/release/kontiki-bench
	@$(SUDO) target/release/kontiki-bench-api
