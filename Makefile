.PHONY: help build agent check test demo bench mutants musl
SUITE ?=
FILES ?= src/cni/** src/config/** src/ipam/ranges.rs src/ipam/resolv_conf.rs src/kernel/feature.rs \
	src/nft/ruleset/** src/overlay/plan/** src/plan/** src/rtnl/values.rs
# With this C library the binary is smaller and starts in half the time; without its std the host's will do.
MUSL := $(shell rustc --print host-tuple | sed 's/-gnu$$/-musl/')
TARGET = $(shell [ -d "$$(rustc --print target-libdir --target $(MUSL))" ] && echo $(MUSL) || rustc --print host-tuple)

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 10

musl:
	@[ $(TARGET) = $(MUSL) ] || rustup target add $(MUSL) || echo "without musl: the host's C library, linked statically"

build: musl ## the release binary, static: target/groundwork
	cargo build --release --locked --target $(TARGET)
	install target/$(TARGET)/release/groundwork target/groundwork
	@ls -l target/groundwork

agent: musl ## the service of the overlay's engine etcd, static: target/groundwork-agent
	@for program in protoc musl-gcc; do command -v $$program >/dev/null || \
	{ echo "there is no $$program: apt-get install protobuf-compiler libprotobuf-dev musl-tools"; exit 1; }; done
	CC_$(subst -,_,$(MUSL))=musl-gcc cargo build --release --locked --target $(TARGET) --features agent --bin groundwork-agent
	install target/$(TARGET)/release/groundwork-agent target/groundwork-agent
	@ls -l target/groundwork-agent

check: ## formatting, lints, documentation and the rules of the house
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	@command -v protoc >/dev/null || { echo "without protoc, the agent is not linted: apt-get install protobuf-compiler"; exit 0; }; \
	set -x; cargo clippy --locked --features agent --lib --bins --test overlay --bench overlay -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --lib
	cargo test --quiet --locked --test house

test: ## every suite, or those named: make test SUITE="unit netns"
	@tests/run $(SUITE)

demo: build ## two containers on a network, from nothing to nothing
	target/groundwork demo

bench: musl ## against the kernel's floor and the reference plugins, and the overlay: docs/performance.md; shorter with ROUNDS=5
	@tests/run --install floor cnitool overlay
	cargo build --release --locked --target $(TARGET) --example floor --example empty
	timeout 900 cargo bench --locked --target $(TARGET) --bench speed
	@for program in etcd etcdctl protoc; do command -v $$program >/dev/null || \
	{ echo "there is no $$program: the overlay is not measured"; exit 0; }; done; \
	cargo bench --locked --features agent --bench overlay --no-run && \
	timeout 300 cargo bench --locked --features agent --bench overlay

mutants: ## changes in the pure rooms that no unit test notices; of one file with FILES=src/ipam/ranges.rs
	@command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
	CARGO_PROFILE_DEV_DEBUG=0 PROPTEST_CASES=24 PROPTEST_RNG_SEED=1 \
	cargo mutants $(FILES:%=--file '%') --output target
