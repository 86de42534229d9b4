#!/usr/bin/env bash
# Installs the programs that tests/real carries: from the distribution where it may (root, Debian), and Python's modules
# into a virtual environment outside of the repository (WEFT_REAL_VENV). What is missing then is skipped by the tests
# themselves, which say so. (faketime is for the clocks of tests/faults.)
set -euo pipefail

missing=()
for pair in nginx:nginx-light curl:curl wrk:wrk h2load:nghttp2-client node:nodejs redis-server:redis-server \
  redis-cli:redis-tools psql:postgresql-client python3:python3 openssl:openssl nft:nftables ip:iproute2 \
  setpriv:util-linux faketime:faketime; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # The programs alone: a package that starts a service of its own would take its port.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
      echo "could not be installed: ${missing[*]}"
  else
    echo "not installed, and not mine to install: ${missing[*]}"
  fi
fi

venv="${WEFT_REAL_VENV:-$HOME/.cache/weft-real/venv}"
modules='import grpc, grpc_status, websockets, opentelemetry.proto.trace.v1.trace_pb2'
if ! "$venv/bin/python" -c "$modules" 2>/dev/null; then
  if python3 -m venv "$venv" &&
    "$venv/bin/pip" install -q --disable-pip-version-check grpcio grpcio-status websockets opentelemetry-proto; then
    echo "grpcio, grpcio-status, websockets and opentelemetry-proto are in $venv"
  else
    echo "not installed: grpcio, grpcio-status, websockets, opentelemetry-proto (python3-venv or a package index is missing)"
  fi
fi
