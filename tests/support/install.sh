#!/bin/sh
# Installs the Debian packages named as arguments that are not there yet; says what it would need on other systems.
# --lean first: without what they recommend.
set -eu
missing=""
options=""
if [ "${1:-}" = --lean ]; then
  options=--no-install-recommends
  shift
fi
if command -v dpkg-query >/dev/null 2>&1; then
  for package in "$@"; do
    case "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)" in
      *"install ok installed"*) ;;
      *) missing="$missing $package" ;;
    esac
  done
else
  echo "This is not a Debian system. Please install with your package manager what corresponds to: $*" >&2
  echo "(a C11 compiler, make, Lua 5.4 with headers; for the tests also clang, busted, luacheck and cmocka)" >&2
  exit 0
fi
[ -n "$missing" ] || exit 0
echo "Installing:$missing"
sudo=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || { echo "Not root and no sudo; run as root: apt-get install$missing" >&2; exit 1; }
  sudo=sudo
fi
# shellcheck disable=SC2086
if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $options $missing >/dev/null 2>&1; then
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $options $missing >/dev/null
fi
