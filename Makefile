# The commands of this project: `make serve` to try it, `make test` before a change, `make help` for all of them.
#
# Missing build tools are installed first, after the command that does so is printed. If none is missing, nothing is
# printed and no network is used.

SHELL := /bin/bash
.PHONY: serve demo cluster docs test test-pure bench deb setup help tools

# the address and the cache folder of `make serve`, such as: make serve LISTEN=127.0.0.1:9090
LISTEN := 127.0.0.1:8080
CACHE := $(or $(CARGO_TARGET_DIR),target)/cache
TINTYPE := $(or $(CARGO_TARGET_DIR),target)/release/tintype
DIST := $(or $(CARGO_TARGET_DIR),target)/dist
MANUAL := $(DIST)/manual

## Build tintype and serve the test images.
serve: tools
	cargo build --release --locked -p tintype
	@printf '\n  Open  http://%s/photos/coffee.png?width=800&format=webp\n  (Ctrl-C to stop)\n\n' '$(LISTEN)'
	@exec '$(TINTYPE)' serve testdata --listen '$(LISTEN)' --cache-dir '$(CACHE)'

## Build tintype and show a small site of photographs behind nginx, with the shipped settings.
demo: tools
	@$(call install,nginx)
	cargo build --release --locked -p tintype
	@exec env TINTYPE='$(TINTYPE)' PORT='$(lastword $(subst :, ,$(LISTEN)))' FOLDER='$(or $(CARGO_TARGET_DIR),target)/demo' deploy/demo/try

## Build tintype and start three servers behind nginx that share an object store (docs/cluster.md).
cluster: tools
	@$(call install,nginx python3 pip3)
	@tests/cluster/install
	cargo build --release --locked -p tintype
	@exec env TINTYPE='$(TINTYPE)' PORT='$(lastword $(subst :, ,$(LISTEN)))' FOLDER='$(or $(CARGO_TARGET_DIR),target)/cluster' deploy/cluster/try

## Run all tests. At the end are the messages of those that failed, and in the last line the sums over all test binaries.
## Tests that this machine cannot run are skipped (tests/it/common/need.rs), and counted as skipped.
test: setup
	@set -o pipefail; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	cargo test --workspace --locked --no-fail-fast | tee "$$log"; status=$$?; \
	awk -v status=$$status '/^test result:/ { passed += $$4; failed += $$6; ignored += $$8; isFailure = 0 } \
		/^failures:$$/ { isFailure = !isFailure } \
		isFailure { messages = messages "\n" $$0 } \
		match($$0, /skipped: [^ ]+ needs [a-z]+/) { \
			split(substr($$0, RSTART, RLENGTH), word, " "); needs[word[4]]++; tests[word[2]] } \
		END { if (messages) print messages; \
			skipped = length(tests); \
			printf "\ntest result: %s. %d passed; %d failed; %d ignored in all; %d skipped", \
				status ? "FAILED" : "ok", passed - skipped, failed, ignored, skipped; \
			for (need in needs) \
				printf "%s %d need%s %s", count++ ? "," : ":", needs[need], needs[need] == 1 ? "s" : "", need; \
			print "" }' "$$log"; \
	exit $$status

## Run the tests that differ in a build without native codecs.
test-pure:
	cargo test --locked --no-default-features --features pure --lib -p tintype -p tintype-codecs -p tintype-render
	cargo test --locked --no-default-features --features pure -p tintype --test it -- golden:: requests::

## Run the benchmarks.
bench: tools
	cargo bench --locked

## Render the documentation as a website with search. Needs mdBook: cargo install mdbook --locked
docs:
	@docs/book/render '$(or $(CARGO_TARGET_DIR),target)/book'

## Build the Debian packages: the program, and its symbols. Needs cargo-deb and cargo-auditable:
## cargo install cargo-deb cargo-auditable --locked
deb: tools
	@for tool in cargo-deb cargo-auditable; do \
		command -v $$tool >/dev/null || { echo "Please install $$tool: cargo install $$tool --locked" >&2; exit 2; }; \
	done
	cargo auditable build --profile dist --locked -p tintype
	@size '$(DIST)/tintype' | awk 'NR == 2 { size = ($$1 + $$2) / 1e6; printf "%.1f MB without symbols\n", size; \
		if (size > 33) { print "The program has more than 33 MB"; exit 1 } }' >&2
	rm -rf '$(MANUAL)' && '$(DIST)/tintype' man '$(MANUAL)'
	gzip -9n '$(MANUAL)'/*.1    # *.1.gz
	'$(DIST)/tintype' completions bash >'$(MANUAL)/tintype.bash'
	'$(DIST)/tintype' completions zsh >'$(MANUAL)/_tintype'
	'$(DIST)/tintype' completions fish >'$(MANUAL)/tintype.fish'
	deploy/notices >'$(MANUAL)/NOTICE'
	cargo deb --no-build --profile dist --dbgsym --compress-debug-symbols

## Install the tools that the other targets need.
setup:
	@$(call install,g++ cmake nasm nginx strace curl)

## List the targets.
help:
	@awk '/^## / { text = text (text ? "\n               " : "") substr($$0, 4); next } \
		text && match($$0, /^[a-z-]+:/) { printf "make %-9s %s\n", substr($$0, 1, RLENGTH - 1), text } { text = "" }' Makefile

# libjpeg-turbo and libaom are built with CMake (libaom with a C++ compiler) and NASM; only tests need nginx, strace and curl
tools:
	@$(call install,g++ cmake nasm)

# Debian's packages have the names of the programs, but for pip. Success is judged by the programs, not by apt-get: nginx's package
# fails to install completely if port 80 is in use, which matters to no test.
define install
	PATH="$$PATH:/usr/sbin:/usr/local/sbin"; \
	missing() { for tool in $(1); do command -v "$$tool" >/dev/null || printf ' %s' "$$tool"; done; }; \
	todo=$$(missing); [ -n "$$todo" ] || exit 0; \
	as_root=; [ "$$(id -u)" = 0 ] || as_root='sudo '; \
	if ! command -v apt-get >/dev/null || { [ -n "$$as_root" ] && ! command -v sudo >/dev/null; }; then \
		echo "Please install:$$todo   (Debian: apt-get install$$todo)" >&2; \
		echo "A build that needs none of g++, cmake and nasm: cargo build --release --no-default-features --features pure" >&2; \
		exit 2; \
	fi; \
	packages=$${todo/pip3/python3-pip}; \
	echo "Missing build tools:$$todo. Installing them with:"; \
	echo "  $${as_root}apt-get update && $${as_root}apt-get install --no-install-recommends$$packages"; \
	$$as_root apt-get -qq update; \
	$$as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends $$packages </dev/null >/dev/null; \
	todo=$$(missing); [ -z "$$todo" ] || { echo "Not installed:$$todo   (see above)" >&2; exit 2; }
endef
