#!/usr/bin/env bash
# h2spec, a conformance suite that nobody here wrote, against a real sidecar before an application that takes whole
# requests: in plaintext, and through a client's sidecar and the mTLS hop. Built once, from a pinned version, where
# there is Go; what is built is kept outside of the repository.
#   tests/h2/h2spec.sh [runs]     (default 20)
set -euo pipefail
cd "$(dirname "$0")/../.."

runs="${1:-20}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/weft"
version="$(awk '/summerwind\/h2spec/ { print $2 }' tests/h2/h2spec/go.mod)"
h2spec="$cache/h2spec-${version%%+*}"

if [ ! -x "$h2spec" ]; then
  if ! PATH="$PATH:/usr/local/go/bin" command -v go >/dev/null; then
    echo "skipped: h2spec is written in Go, and there is no Go here"
    exit 0
  fi
  mkdir -p "$cache"
  (cd tests/h2/h2spec && PATH="$PATH:/usr/local/go/bin" go build -mod=readonly -o "$h2spec" github.com/summerwind/h2spec/cmd/h2spec)
fi

WEFT_H2SPEC="$h2spec" WEFT_H2SPEC_RUNS="$runs" \
  cargo test --quiet -p weft-tests --test h2 -- --nocapture outside::
