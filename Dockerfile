# syntax=docker/dockerfile:1
# tintype as a container. Originals are mounted read-only, results are kept in a volume:
#
#   docker build -t tintype .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges --stop-timeout 30 --memory 2g -p 8080:8080 \
#     -v "$PWD/testdata:/srv/images:ro" -v tintype:/var/cache/tintype tintype

# cargo-chef builds the dependencies in a layer of their own, which a change of the sources leaves as it is
FROM rust:1.95-slim-bookworm AS chef
# cmake and make for libjpeg-turbo and libaom, g++ for libaom, make for jemalloc, nasm for the fast paths of codecs
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ make nasm \
    && rm -rf /var/lib/apt/lists/*
RUN cargo install cargo-chef@0.1.78 cargo-auditable@0.7.7 --locked
WORKDIR /src

FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS builder
COPY --from=planner /src/recipe.json recipe.json
# CMake reads it where libaom is built
COPY crates/codec-sys/libaom-stills.cmake crates/codec-sys/libaom-stills.cmake
RUN cargo chef cook --profile dist --locked --recipe-path recipe.json
COPY . .
# the list of what it is built from stays in it, for scanners such as `cargo audit bin`
RUN cargo auditable build --profile dist --locked --bin tintype && strip target/dist/tintype

FROM debian:bookworm-slim
# a number that hosts can name in the permissions of what they mount
RUN groupadd --system --gid 10001 tintype \
    && useradd --system --uid 10001 --gid tintype --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tintype \
    && install --directory --owner=tintype --group=tintype --mode=0750 /var/cache/tintype \
    && install --directory /srv/images
COPY --from=builder /src/target/dist/tintype /usr/local/bin/tintype

# variables rather than flags, since the health check reads them too
ENV TINTYPE_SERVER_LISTEN=0.0.0.0:8080 \
    TINTYPE_SOURCE_ROOT=/srv/images \
    TINTYPE_CACHE_DIR=/var/cache/tintype
# by number, so that a cluster can see that it is not root
USER 10001:10001
# after its owner is set: a new volume takes over what is there
VOLUME ["/var/cache/tintype"]
EXPOSE 8080
# requests in flight are finished; give it longer than server.shutdown_timeout: docker stop --time 30
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=5s --retries=3 CMD ["tintype", "healthcheck"]
ENTRYPOINT ["tintype"]
CMD ["serve"]
