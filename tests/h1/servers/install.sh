#!/usr/bin/env bash
# Installs the servers that the differential test of tests/h1 reads forwarded bytes with: where it may (root, Debian)
# from the distribution, and two of Python's in a virtual environment outside of the repository. What is missing then
# is skipped by the test, which says so.
set -euo pipefail

missing=()
for pair in nginx:nginx-light apache2:apache2-bin haproxy:haproxy lighttpd:lighttpd node:nodejs python3:python3; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # The programs alone: a package that starts a service of its own would take port 80.
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"
  else
    echo "not installed, and not mine to install: ${missing[*]}"
  fi
fi

venv="${WEFT_TEST_VENV:-$HOME/.cache/weft-test-venv}"
if [ ! -x "$venv/bin/gunicorn" ] || ! "$venv/bin/python" -c 'import h11' 2>/dev/null; then
  if python3 -m venv "$venv" && "$venv/bin/pip" install -q h11 gunicorn; then
    echo "h11 and gunicorn are in $venv"
  else
    echo "not installed: h11, gunicorn (python3-venv or a package index is missing)"
  fi
fi
