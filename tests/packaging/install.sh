#!/bin/sh
# Installs into an empty folder and uses what is there as a stranger would: with pkg-config, with CMake, from C++, and from Lua for a user
# without rights; then uninstalls. Run in the top folder by `make check-install`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
clients=$PWD/tests/packaging/clients
host=$PWD/examples/embed/smallest.c
bad() { echo "check-install: $*" >&2; exit 1; }
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; bad "failed: $*"; }; }
list() { (cd "$1" && find . ! -type d | LC_ALL=C sort); }

quietly $MAKE install PREFIX="$prefix"
quietly $MAKE install PREFIX=/usr DESTDIR="$work/stage"
list "$prefix" >"$work/in_prefix"
list "$work/stage/usr" | diff "$work/in_prefix" - || bad "DESTDIR holds other files than PREFIX"
! grep -rlF "$work" "$work/stage/usr/lib/pkgconfig" "$work/stage/usr/lib/cmake" "$work/stage/usr/bin" || bad "DESTDIR is written into files"
[ "$(find "$work/stage" ! -type d ! -path '*/usr/*')" = "" ] || bad "files outside of PREFIX"

exported=$(nm -D --defined-only "$prefix/lib/libmakeparallel.so" | awk '{print $3}')
stray=$(printf '%s\n' "$exported" | grep -v '^mp_' || true)
[ -z "$stray" ] || bad "the shared library exports $stray"
printf '%s\n' "$exported" | grep -q '^mp_os_' && bad "the shared library exports the engine's own functions"
soname=$(readelf -d "$prefix/lib/libmakeparallel.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ -e "$prefix/lib/$soname" ] || bad "no file has the name $soname"

# Everything below sees only the installed files.
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib"
strict="-Wall -Wextra -Werror"
gcc -std=c11 -pedantic $strict "$clients/client.c" -o "$work/shared" $(pkg-config --cflags --libs makeparallel)
readelf -d "$work/shared" | grep -q "NEEDED.*\[$soname\]" || bad "a client does not ask for $soname"
"$work/shared" | grep -q '^42$' || bad "the client with pkg-config"
gcc -std=c11 -pedantic $strict "$clients/client.c" -o "$work/static" $(pkg-config --cflags makeparallel) \
  "$(pkg-config --variable=libdir makeparallel)/libmakeparallel.a" $(pkg-config --static --libs-only-other makeparallel)
env -u LD_LIBRARY_PATH "$work/static" | grep -q '^42$' || bad "the static client"
for cxx in g++ clang++; do
  $cxx -std=c++17 -pedantic $strict tests/ports/header.cpp -o "$work/cxx" $(pkg-config --cflags --libs makeparallel)
  "$work/cxx" || bad "the client in C++ by $cxx"
done
host_says() { [ "$("$1")" = "42 on a worker" ]; }
gcc -std=c11 -pedantic $strict "$host" -o "$work/host" $(pkg-config --cflags --libs makeparallel_lua lua5.4)
host_says "$work/host" || bad "the host of Lua with pkg-config"
echo "installed: pkg-config, static, C++17, a host of Lua"

quietly cmake -S "$clients" -B "$work/cmake" -DHOST="$host" -DCMAKE_PREFIX_PATH="$prefix"
quietly cmake --build "$work/cmake"
for client in shared static; do
  env -u LD_LIBRARY_PATH "$work/cmake/$client" | grep -q '^42$' || bad "the $client client with CMake"
done
for client in host host_static; do
  host_says "$work/cmake/$client" || bad "the $client with CMake"
done
mv "$prefix" "$work/moved" # what CMake gets does not depend on where it was installed
quietly cmake -S "$clients" -B "$work/cmake_moved" -DHOST="$host" -DCMAKE_PREFIX_PATH="$work/moved"
quietly cmake --build "$work/cmake_moved"
mv "$work/moved" "$prefix"
for version in 0.1 "$(pkg-config --modversion makeparallel)"; do
  quietly cmake -S "$clients" -B "$work/cmake_version" -DHOST="$host" -DCMAKE_PREFIX_PATH="$prefix" -DWANTED="$version"
done
for version in 0.0 0.2 1.0; do
  ! cmake -S "$clients" -B "$work/cmake_other" -DHOST="$host" -DCMAKE_PREFIX_PATH="$prefix" -DWANTED="$version" >/dev/null 2>&1 || bad "CMake takes it for $version"
done
echo "installed: CMake"

# From another folder, with lua5.4 alone, as somebody who owns nothing here.
cat >"$work/user.sh" <<'USER'
set -eu
cd /
export LUA_PATH="$1/share/lua/5.4/?.lua;$1/share/lua/5.4/?/init.lua" LUA_CPATH="$1/lib/lua/5.4/?.so"
[ "$(lua5.4 -e 'print(require("makeparallel").map(math.sqrt, { 4, 49 })[2])')" = 7.0 ]
unset LUA_PATH LUA_CPATH # the command knows where its module is
[ "$(echo text | "$1/bin/makeparallel" map string.upper)" = TEXT ]
"$1/bin/makeparallel" doctor >/dev/null
USER
chmod 755 "$work"
if [ "$(id -u)" -eq 0 ]; then
  runuser -u nobody -- sh "$work/user.sh" "$prefix" || bad "the Lua module for a user without rights"
else
  sh "$work/user.sh" "$prefix" || bad "the Lua module"
fi
echo "installed: the Lua module and the command"

touch "$prefix/lib/lua/5.4/others.so"
quietly $MAKE uninstall PREFIX="$prefix"
[ "$(list "$prefix")" = ./lib/lua/5.4/others.so ] || bad "after uninstall there is: $(list "$prefix")"
[ -z "$(find "$prefix" -name '*makeparallel*')" ] || bad "folders are left after uninstall"
quietly $MAKE uninstall PREFIX=/usr DESTDIR="$work/stage"
[ -z "$(list "$work/stage")" ] || bad "uninstall with DESTDIR leaves files"
echo "uninstalled"
