#!/bin/sh
# The rock, without a network: lint, make, pack, install of the packed one, the command, and for a user without rights. Leaves the tree of the
# installed rock in the folder given, for the specs to run against. Run in the top folder.
set -eu
tree=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rocks="luarocks --lua-version=5.4"
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; echo "failed: $*" >&2; exit 1; }; }

mkdir "$work/src" "$work/home" "$work/elsewhere"
cp -r LICENSE README.md engine bindings lua rockspec "$work/src" # luarocks builds where the sources are
rm -rf "$tree"

for spec in rockspec/*.rockspec; do
  (cd "$work/src" && quietly $rocks lint "$spec")
done
for spec in rockspec/*.rockspec; do
  name=$(basename "$spec" .rockspec)
  (cd "$work/src" && quietly $rocks make --tree "$work/$name" "$spec")
  (cd "$work" && quietly $rocks --tree "$work/$name" pack makeparallel "${name#makeparallel-}")
  rm -rf "$tree"
  quietly $rocks --tree "$tree" install "$work/$name".*.rock
  "$tree/bin/makeparallel" doctor >"$work/log" || { cat "$work/log" >&2; exit 1; }
  echo "rock: $name made, packed, installed"
done

# As somebody who may write nowhere but at home, from another folder.
cat >"$work/local.sh" <<'LOCAL'
set -eu
export HOME=$1/home
cd "$1/src"
luarocks --lua-version=5.4 make --local rockspec/makeparallel-scm-1.rockspec >"$1/home/log" 2>&1 || { cat "$1/home/log" >&2; exit 1; }
eval "$(luarocks --lua-version=5.4 path --local)"
cd "$1/elsewhere"
[ "$(lua5.4 -e 'print(require("makeparallel").spawn(math.sqrt, 49):get())')" = 7.0 ]
[ "$(echo text | makeparallel map string.upper)" = TEXT ]
LOCAL
if [ "$(id -u)" -eq 0 ]; then
  chmod 755 "$work"
  chown -R nobody "$work/src" "$work/home"
  runuser -u nobody -- sh "$work/local.sh" "$work"
else
  sh "$work/local.sh" "$work"
fi
echo "rock: --local without rights"
