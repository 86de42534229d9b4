#!/usr/bin/env bash
# Programs that nobody here wrote, under the mesh: nginx, curl, and nftables in network namespaces. Installs what is
# missing where it may (root, Debian); what is missing then is skipped by the tests themselves, which say so.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for pair in nginx:nginx-light curl:curl nft:nftables ip:iproute2 setpriv:util-linux; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
  else
    echo "not installed, and not mine to install: ${missing[*]}"
  fi
fi

cargo build --quiet -p weft-control-plane -p weft-proxy --bins
cargo test --quiet -p weft-tests --test it -- --nocapture real:: transparent::
