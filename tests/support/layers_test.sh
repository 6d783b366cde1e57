#!/bin/sh
# Sees layers.lua accept a small folder that keeps the rules and refuse it with each rule broken in turn.
# shellcheck disable=SC2016
set -eu
lua=${LUA:-lua5.4} tool=$PWD/tests/support/layers.lua
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

# A folder of three files on two floors, none of which breaks a rule: `base` below, `left` and `right` above, `left` uses `right`.
fresh() {
  rm -rf house && mkdir -p house/room
  printf '| files |\n|---|\n\n| floor | files | what |\n|---|---|---|\n| 0 | `base` | |\n| 1, shared | `left` `room/` | |\n' >house/README.md
  printf 'int base(void);\n' >house/base.h
  printf '#include "base.h"\nint base(void) { return 1; }\n' >house/base.c
  printf '#include "base.h"\nint right(void);\n' >house/room/right.h
  printf '#include "right.h"\nint right(void) { return base(); }\n' >house/room/right.c
  printf '#include "room/right.h"\nint left(void);\n' >house/left.h
  printf '#include "left.h"\nint left(void) { return right(); }\n' >house/left.c
}

run() { # further arguments of layers.lua
  rm -rf objects
  for source in $(cd house && find . -name '*.c'); do
    mkdir -p "objects/$(dirname "$source")"
    ${CC:-cc} -Ihouse -Ihouse/room -Ihouse/attic -c "house/$source" -o "objects/${source%.c}.o"
  done
  "$lua" "$tool" house objects "$@" >out 2>&1
}

wrong() { echo "layers.lua: $1" >&2; cat out >&2; exit 1; }
accepts() { run "$@" || wrong "refuses what is right"; }
refuses() { # what it must say
  if run; then wrong "says nothing of: $1"; fi
  grep -qF "$1" out || wrong "does not say: $1"
}

fresh
accepts
grep -qx 'house: 2 floors, no circle' out || wrong "does not count the floors"

fresh && echo 'int left(void); int up(void) { return left(); }' >>house/base.c
refuses 'house/base (floor 0) needs what is above it: left (floor 1, shared): left'

fresh && echo '#include "left.h"' >>house/base.c
refuses 'house/base (floor 0) includes what is above it: left (floor 1, shared): house/left.h'

fresh && echo 'int left(void); int back(void) { return left(); }' >>house/room/right.c
refuses '  left -> right: right'
refuses '  right -> left: left'

fresh && sed -i '1i #pragma once' house/*.h house/room/*.h && echo '#include "left.h"' >>house/room/right.h
refuses '  house/left.h -> house/room/right.h: #include'

fresh && echo 'int more(void) { return 2; }' >house/more.c
refuses 'house/more.c has no floor'

fresh && echo 'int more(void);' >house/more.h
refuses 'house/more.h has no floor'

fresh && sed -i 's/`left`/`left` `gone`/' house/README.md
refuses 'there is no file `gone`'

fresh && sed -i 's/`left`/`left` `base`/' house/README.md
refuses '`base` has two floors'

# What a row says may be a circle is one, and no other.
fresh && echo 'int left(void); int back(void) { return left(); }' >>house/room/right.c
sed -i 's/`room\/`/`room\/` (a circle)/' house/README.md
accepts
grep -qx 'house: 2 floors, no circle but left, right' out || wrong "does not tell the circle that is allowed"
echo 'int left(void); int up(void) { return left(); }' >>house/base.c
refuses 'house/base (floor 0) needs what is above it: left (floor 1, shared): left'

# Two rooms: one of them uses the other, and it is the same on each floor.
rooms() {
  fresh && mkdir house/attic
  printf 'int high(void);\n' >house/attic/high.h
  printf '#include "high.h"\nint right(void); int high(void) { return right(); }\n' >house/attic/high.c
  echo '| 2 | `high` | |' >>house/README.md
}

rooms
accepts
grep -qx 'house: 2 rooms, 3 floors, no circle' out || wrong "does not count the rooms"

rooms && echo 'int high(void); int up(void) { return high(); }' >>house/room/right.c
refuses 'house/room/right (floor 1, shared) needs what is above it: attic/high (floor 2): high'

rooms && echo 'int low(void) { return 1; }' >house/attic/low.c && echo 'int low(void); int down(void) { return low(); }' >>house/room/right.c
sed -i 's/| 0 | `base` |/| 0 | `base` `low` |/' house/README.md
refuses '  attic/ -> room/: high -> right'
refuses '  room/ -> attic/: right -> low'

fresh && echo '# A house' >house/README.md && echo 'int left(void); int up(void) { return left(); }' >>house/base.c
refuses 'house/README.md has no table of floors'
accepts optional
grep -qx 'house: no floors yet, circles to cut: 1' out || wrong "does not count the circles"

echo "layers: the rules are seen to hold and to break"
