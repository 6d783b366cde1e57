#!/bin/sh
# Builds each seeded bug and runs the tests that are to find it: run.sh OUT [BUG...]. Prints which did; fails if none did.
#
# A bug's build is a copy of one without, in which the files that mention it are compiled again. What a bug makes hang is ended: a test
# that takes longer than SECONDS has found it. ALL=1 tries all of a bug's tests.
set -u
limit=${SECONDS_MAX:-60}
list=tests/bugs/bugs.txt

# run_part BUILD PART: a test program or a spec
run_part() {
  case $2 in
    spec/*) make -s --no-print-directory BUILD="$1" SPEC_SECONDS="$limit" SPEC="tests/$2" spec ;;
    unit_lua/*) SWEEP_STRIDE=97 timeout "$limit" "$1/tests/$2" ;;
    *) timeout "$limit" "$1/tests/$2" 2 1 1 ;;
  esac >"$1/${2##*/}.log" 2>&1
}

# targets_of BUILD PART...: what must be built for them
targets_of() {
  build=$1
  shift
  for part in "$@"; do
    case $part in
      spec/*) echo "$build/lua/makeparallel/core.so" "$build/tests/process.so" ;;
      *) echo "$build/tests/$part" ;;
    esac
  done
}

build() { # BUILD FLAGS PART...
  flags=$2
  # shellcheck disable=SC2046
  make -s --no-print-directory BUILD="$1" OPT=-O1 EXTRA_CFLAGS="$flags" $(dir=$1; shift 2; targets_of "$dir" "$@") >"$1.log" 2>&1 || {
    cat "$1.log" >&2
    return 1
  }
}

number_of() { sed -n "s/^  X(\([0-9]*\), $1, .*/\1/p" engine/bug.h; }

# One bug, against a copy of OUT/none.
job() { # OUT BUG
  dir=$1/$2
  parts=$(awk -v bug="$2" '$1 == bug { $1 = ""; print }' $list)
  rm -rf "$dir"
  cp -a "$1/none" "$dir"
  # what depends on a file that mentions it is out of date
  for file in $(grep -l "MP_BUGGY($2)" engine/*.[ch] bindings/*.[ch]); do
    for depends in $(cd "$dir" && grep -rlE --include='*.d' "(^|[ /])$file( |$)" .); do touch -d @0 "$dir/${depends%.d}.o"; done
  done
  # shellcheck disable=SC2086
  build "$dir" "-DMP_BUG=$(number_of "$2")" $parts || exit 1
  found=
  for part in $parts; do
    run_part "$dir" "$part"
    case $? in
      0) continue ;;
      124 | 142) how=hangs ;;
      13[0-9]) how=crashes ;;
      *) how=fails ;;
    esac
    found="$found $part ($how)"
    [ -n "${ALL:-}" ] || break
  done
  printf '%-24s%s\n' "$2" "${found:- NOT FOUND by $parts}"
  [ -n "$found" ] || exit 1
  [ -n "${KEEP:-}" ] || rm -rf "$dir"
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
  grep -q "^$bug " $list || { echo "$list: nothing for $bug" >&2; exit 1; }
done
bugs=${*:-$all}
parts=$(for bug in $bugs; do awk -v bug="$bug" '$1 == bug { for (i = 2; i <= NF; i++) print $i }' $list; done | sort -u)
mkdir -p "$out"
# shellcheck disable=SC2086
build "$out/none" "" $parts || exit 1
for part in $parts; do
  run_part "$out/none" "$part" || { echo "$part fails without a bug:" >&2; cat "$out/none/${part##*/}.log" >&2; exit 1; }
done
failed=0
for bug in $bugs; do echo "$out $bug"; done | xargs -P "${JOBS:-$(nproc)}" -L 1 sh "$0" job || failed=1
[ "$failed" -ne 0 ] || echo "$(echo "$bugs" | wc -w) seeded bugs, each found"
exit "$failed"
