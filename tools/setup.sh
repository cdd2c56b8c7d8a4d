#!/usr/bin/env bash
# Installs what `make demo` (argument: run) or `make test` and `make lint` (argument: dev) need, and nothing twice.
# Works as root or with sudo on Debian 12; elsewhere it says which programs are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}

say() { printf '[set-up] %s\n' "$*" >&2; }
fail() { printf '[set-up] %s\n' "$*" >&2; exit 1; }

# Mirrors are slow at times: try again, later and later, then give up loudly.
retry() {
  local pause=5 try
  for try in 1 2 3 4 5; do
    if "$@"; then return 0; fi
    [ "$try" = 5 ] && break
    say "failed ($try of 5), again in ${pause}s: $*"
    sleep "$pause"
    pause=$((pause * 2))
  done
  fail "gave up after 5 tries: $*"
}

# What a tool says matters only when it failed.
quietly() {
  local log; log=$(mktemp)
  if "$@" >"$log" 2>&1; then rm -f "$log"; else tail -n 40 "$log" >&2; rm -f "$log"; return 1; fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "needs root or sudo to run: $*"; fi
}

packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need python3 python3
need openssl openssl
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
# Cards in readers, also emulated ones: pcscd, its driver for emulated readers, and what builds pyscard.
need gcc gcc
need pkg-config pkg-config
need swig swig
need pcscd pcscd
need ip iproute2
[ -e /usr/lib/pcsc/drivers/serial/libifdvpcd.so ] || packages+=(vsmartcard-vpcd)
[ -e /usr/include/PCSC/winscard.h ] || packages+=(libpcsclite-dev)
[ -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))' 2>/dev/null)/Python.h" ] || packages+=(python3-dev)
if [ "$what" = dev ]; then
  need go golang-go
  need javac openjdk-17-jdk-headless
  need mvn maven
  # Two hosts with an IKE daemon each, for the security gateway's tests.
  need ping iputils-ping
  need swanctl strongswan-swanctl
  [ -x /usr/sbin/charon-systemd ] || packages+=(charon-systemd)
  [ -e /usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so ] || packages+=(libcharon-extra-plugins)
  [ -e /usr/lib/ipsec/plugins/libstrongswan-openssl.so ] || packages+=(libstrongswan-standard-plugins)
  # The proxy in front of the OpenID provider, and a stranger that logs in there: Apache's module (no Apache service).
  [ -x /usr/sbin/nginx ] || packages+=(nginx)
  [ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || packages+=(libapache2-mod-auth-openidc)
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages+=(postgresql)
  need chromium chromium
  need softhsm2-util softhsm2
fi
if [ ${#packages[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "please install: ${packages[*]} (this script installs by itself on Debian only)"
  say "installing with apt-get: ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  retry as_root apt-get update -qq
  retry quietly as_root apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi
[ "$(uname -sm)" = "Linux x86_64" ] || fail "the embedded engine and the contract tests come as programs for Linux on x86_64, this is $(uname -sm)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or later is needed, this is $(python3 -V)"

if ! cat requirements.txt pyproject.toml | cmp -s - .venv/installed; then
  say "installing Python packages into .venv (by hash)"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  retry quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
  retry quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
  cat requirements.txt pyproject.toml >.venv/installed
fi
if ! cmp -s requirements-sim.txt .venv/installed-sim; then
  say "building pyscard (it comes as source only)"
  retry quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --require-hashes -r requirements-sim.txt
  cp requirements-sim.txt .venv/installed-sim
fi
if [ "$what" = dev ] && [ ! -e sim_applet_tools/applet/target/card-server.jar ]; then
  say "building the card server (Maven fetches the simulator)"
  retry quietly mvn -q -B -f sim_applet_tools/applet/pom.xml package -DskipTests
fi
# The compiler's and the engine's packages want Node.js 20; Debian 12 has 18, so the wheel of Node.js steps in.
export PATH="$PWD/.venv/bin:$PATH"
node_major() { node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/'; }
major=$(node_major || true)
if [ "${major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
  say "no Node.js 20 or later here: installing one into .venv (by hash)"
  retry quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-node.txt
fi
if ! cmp -s package-lock.json node_modules/installed; then
  say "installing the compiler, the contract library, the test runner and the embedded engine into node_modules"
  retry quietly npm ci --silent --no-audit --no-fund --ignore-scripts
  cp package-lock.json node_modules/installed
fi
