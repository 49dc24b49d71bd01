# The commands of this project: `make serve` to see it work, `make test` before a change.
#
# What is missing of the few tools that cargo does not bring is installed first; where nothing is missing, nothing is
# said and no network is used.

SHELL := /bin/bash
.PHONY: serve test test-pure bench deb setup tools

# where `make serve` listens and keeps what it made: make serve LISTEN=127.0.0.1:9090
LISTEN := 127.0.0.1:8080
CACHE := $(or $(CARGO_TARGET_DIR),target)/cache
TINTYPE := $(or $(CARGO_TARGET_DIR),target)/release/tintype
MANUAL := $(or $(CARGO_TARGET_DIR),target)/release/manual

## Build it and serve the test pictures.
serve: tools
	cargo build --release --locked
	@printf '\n  Open  http://%s/photos/coffee.png?width=800&format=webp\n  (Ctrl-C ends it)\n\n' '$(LISTEN)'
	@exec '$(TINTYPE)' serve testdata --listen '$(LISTEN)' --cache-dir '$(CACHE)'

## Run every test. The closing line is the sum of all that cargo ran, which itself ends with the last part's. Tests that
## this machine cannot run are skipped (tests/it/common/need.rs): they count as such, and not as passed.
test: setup
	@set -o pipefail; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	cargo test --workspace --locked --no-fail-fast | tee "$$log"; status=$$?; \
	awk -v status=$$status '/^test result:/ { passed += $$4; failed += $$6; ignored += $$8 } \
		match($$0, /skipped: [^ ]+ needs [a-z]+/) { \
			split(substr($$0, RSTART, RLENGTH), word, " "); needs[word[4]]++; tests[word[2]] } \
		END { skipped = length(tests); \
			printf "\ntest result: %s. %d passed; %d failed; %d ignored in all; %d skipped", \
				status ? "FAILED" : "ok", passed - skipped, failed, ignored, skipped; \
			for (need in needs) \
				printf "%s %d need%s %s", count++ ? "," : ":", needs[need], needs[need] == 1 ? "s" : "", need; \
			print "" }' "$$log"; \
	exit $$status

## Run what differs in a build without native codecs.
test-pure:
	cargo test --locked --no-default-features --features pure --lib -p tintype -p tintype-codecs -p tintype-render
	cargo test --locked --no-default-features --features pure -p tintype --test it -- golden:: requests::

## Measure it.
bench: tools
	cargo bench --locked

## Build the Debian package. It wants cargo-deb: cargo install cargo-deb --locked
deb: tools
	@command -v cargo-deb >/dev/null || { echo 'Please install cargo-deb: cargo install cargo-deb --locked' >&2; exit 2; }
	cargo build --release --locked
	rm -rf '$(MANUAL)' && '$(TINTYPE)' man '$(MANUAL)'
	'$(TINTYPE)' completions bash >'$(MANUAL)/tintype.bash'
	'$(TINTYPE)' completions zsh >'$(MANUAL)/_tintype'
	'$(TINTYPE)' completions fish >'$(MANUAL)/tintype.fish'
	cargo deb --no-build

## Install whatever is missing for the above.
setup:
	@$(call install,g++ cmake nasm nginx strace)

# libjpeg-turbo and libaom are built with CMake, which wants a C++ compiler for libaom, and their fast paths with NASM; only
# tests need nginx and strace
tools:
	@$(call install,g++ cmake nasm)

# Debian's packages are named as the programs are. Whether it worked is told by the programs being there, not by
# apt-get: nginx's package also fails where a web server already has port 80, which matters to no test.
define install
	PATH="$$PATH:/usr/sbin:/usr/local/sbin"; \
	missing() { for tool in $(1); do command -v "$$tool" >/dev/null || printf ' %s' "$$tool"; done; }; \
	todo=$$(missing); [ -n "$$todo" ] || exit 0; \
	as_root=; [ "$$(id -u)" = 0 ] || as_root=sudo; \
	if ! command -v apt-get >/dev/null || { [ -n "$$as_root" ] && ! command -v sudo >/dev/null; }; then \
		echo "Please install:$$todo   (Debian: apt-get install$$todo)" >&2; \
		echo "A build that needs none of g++, cmake and nasm: cargo build --release --no-default-features --features pure" >&2; \
		exit 2; \
	fi; \
	echo "Installing:$$todo"; \
	$$as_root apt-get -qq update; \
	$$as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends $$todo </dev/null >/dev/null; \
	todo=$$(missing); [ -z "$$todo" ] || { echo "Not installed:$$todo   (see above)" >&2; exit 2; }
endef
