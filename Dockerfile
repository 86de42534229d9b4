# The three programs as images with nothing else in them: a program, the libraries it is linked to, two users.
#
#   docker build --target control-plane -t weft/control-plane:0.1.0 .
#   docker build --target proxy         -t weft/proxy:0.1.0 .
#   docker build --target meshctl       -t weft/meshctl:0.1.0 .
#
# `control-plane` has `meshctl` in it, for `kubectl exec`; `proxy` has nftables, for its init container, and the CNI plugin
# with its agent. The plugin is static: it is copied to nodes, whose libraries nobody knows.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake nftables && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
  cargo build --release --locked -p weft-control-plane -p weft-proxy -p weft-cni -p weft-meshctl --bins && \
  RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked -p weft-cni --bin weft-cni \
    --target "$(uname -m)-unknown-linux-gnu" && \
  packaging/root /out/control-plane target/release/weft-control-plane target/release/meshctl && \
  packaging/root /out/proxy target/release/weft-proxy target/release/weft-cni-agent \
    "target/$(uname -m)-unknown-linux-gnu/release/weft-cni" /usr/sbin/nft:/usr/sbin/nft && \
  packaging/root /out/meshctl target/release/meshctl

FROM scratch AS control-plane
COPY --from=build /out/control-plane /
USER 65532:65532
ENTRYPOINT ["/weft-control-plane"]

FROM scratch AS proxy
COPY --from=build /out/proxy /
USER 65532:65532
ENTRYPOINT ["/weft-proxy"]

FROM scratch AS meshctl
COPY --from=build /out/meshctl /
USER 65532:65532
ENTRYPOINT ["/meshctl"]
