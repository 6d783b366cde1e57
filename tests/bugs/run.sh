#!/bin/sh
# Builds each seeded bug and runs the tests that are to find it: run.sh OUT [BUG...]. Prints which did; fails if none did.
#
# A bug's build is a copy of one without, in which the files that mention it are compiled again. What a bug makes hang is ended: a test
# that takes longer than SECONDS_MAX has found it. A test may ask for a sanitizer: `address:stress/looks`. ALL=1 tries all of a bug's tests.
set -u
limit=${SECONDS_MAX:-30}
list=tests/bugs/bugs.txt

path_of() { echo "${1#*:}"; }
kind_of() { case $1 in *:*) echo "${1%%:*}" ;; *) echo plain ;; esac; }

# run_part BUILD PART: a test program or a spec
run_part() {
  path=$(path_of "$2")
  case $path in
    spec/*) make -s --no-print-directory BUILD="$1" SPEC_SECONDS="$limit" SPEC="tests/$path" spec ;;
    unit_lua/*) SWEEP_STRIDE=97 timeout "$limit" "$1/tests/$path" ;;
    *) timeout "$limit" "$1/tests/$path" 2 1 1 ;;
  esac >"$1/${path##*/}.log" 2>&1
}

# build BUILD KIND FLAGS PART...: what those of its parts need that are of this kind
build() {
  dir=$1 kind=$2 flags=$3 targets= sanitizer=
  shift 3
  for part in "$@"; do
    [ "$(kind_of "$part")" = "$kind" ] || continue
    case $(path_of "$part") in
      spec/*) targets="$targets $dir/lua/makeparallel/core.so $dir/tests/process.so" ;;
      *) targets="$targets $dir/tests/$(path_of "$part")" ;;
    esac
  done
  [ -n "$targets" ] || return 0
  [ "$kind" = plain ] || sanitizer="CC=clang SAN=$kind"
  # shellcheck disable=SC2086
  make -s --no-print-directory BUILD="$dir" OPT=-O1 EXTRA_CFLAGS="$flags" $sanitizer $targets >"$dir.log" 2>&1 || {
    cat "$dir.log" >&2
    return 1
  }
}

number_of() { sed -n "s/^  X(\([0-9]*\), $1, .*/\1/p" engine/bug.h; }
parts_of() { awk -v bug="$1" '$1 == bug { $1 = ""; print }' $list; }

# A bug's build: a copy of OUT/none.KIND in which whatever depends on a file that mentions it is out of date.
copy() { # OUT KIND BUG PART...
  copy=$1/$3.$2
  rm -rf "$copy"
  cp -a "$1/none.$2" "$copy"
  for file in $(grep -l "MP_BUGGY($3)" engine/*.[ch] bindings/*/*.[ch]); do
    for depends in $(cd "$copy" && grep -rlE --include='*.d' "(^|[ /])$file( |$)" .); do touch -d @0 "$copy/${depends%.d}.o"; done
  done
  kind=$2 flags="-DMP_BUG=$(number_of "$3")"
  shift 3
  build "$copy" "$kind" "$flags" "$@"
}

job() { # OUT BUG
  out=$1 bug=$2 found=
  parts=$(parts_of "$bug")
  for kind in $(for part in $parts; do kind_of "$part"; done | sort -u); do
    # shellcheck disable=SC2086
    copy "$out" "$kind" "$bug" $parts || exit 1
  done
  for part in $parts; do
    run_part "$out/$bug.$(kind_of "$part")" "$part"
    case $? in
      0) continue ;;
      124 | 142) how=hangs ;;
      13[0-9]) how=crashes ;;
      *) how=fails ;;
    esac
    found="$found $part ($how)"
    [ -n "${ALL:-}" ] || break
  done
  printf '%-24s%s\n' "$bug" "${found:- NOT FOUND by$parts}"
  [ -n "$found" ] || exit 1
  [ -n "${KEEP:-}" ] || rm -rf "$out/$bug".*
}

if [ "$1" = job ]; then
  shift
  job "$@"
  exit
fi

out=$1
shift
all=$(sed -n 's/^  X([0-9]*, \([A-Z_]*\), .*/\1/p' engine/bug.h)
for bug in $all; do
  [ -n "$(parts_of "$bug")" ] || { echo "$list: nothing for $bug" >&2; exit 1; }
done
bugs=${*:-$all}
# shellcheck disable=SC2046
parts=$(for bug in $bugs; do echo $(parts_of "$bug") | tr ' ' '\n'; done | sort -u)
mkdir -p "$out"
for kind in $(for part in $parts; do kind_of "$part"; done | sort -u); do
  # shellcheck disable=SC2086
  build "$out/none.$kind" "$kind" "" $parts || exit 1
done
for part in $parts; do
  run_part "$out/none.$(kind_of "$part")" "$part" || {
    echo "$part fails without a bug:" >&2
    cat "$out/none.$(kind_of "$part")/$(basename "$part").log" >&2
    exit 1
  }
done
failed=0
for bug in $bugs; do echo "$out $bug"; done | xargs -P "${JOBS:-$(nproc)}" -L 1 sh "$0" job || failed=1
[ "$failed" -ne 0 ] || echo "$(echo "$bugs" | wc -w) seeded bugs, each found"
exit "$failed"
