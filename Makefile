.PHONY: help build check test demo bench
SUITE ?=

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 10

build: ## the release binary, static
	cargo build --release --locked
	@ls -l target/*/release/groundwork

check: ## formatting, lints, documentation and the rules of the house
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --lib
	cargo test --quiet --locked --test house

test: ## every suite, or those named: make test SUITE="unit netns"
	@tests/run $(SUITE)

demo: ## two containers on a network, from nothing to nothing
	cargo build --release --locked
	target/$$(rustc --print host-tuple)/release/groundwork demo

bench: ## against the kernel's floor and the reference plugins: docs/performance.md; shorter with ROUNDS=5
	@tests/run --install floor cnitool
	cargo build --release --locked --example floor --example empty
	timeout 900 cargo bench --locked --bench speed
