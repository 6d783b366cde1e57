#!/bin/sh
# Changes the C sources in one place at a time and says which test noticed: run.sh OUT FILE...
#
# Environment: N, SEED, JOBS, SECONDS_MAX (a test that takes longer has noticed), ONLY="FILE:LINE[:FROM[:TO]] ..." instead of
# places chosen at random, ORDERS=1 for the orders of atomics alone. Nothing in the tree is touched: OUT/0 is a copy of it that
# stays as it is, OUT/1 ... are those of the jobs. Tests run until the first one fails, likely ones first: those whose names are
# closest to the file's, then unit tests, stress programs of the engine, specs. A test that also
# fails in OUT/0 ends everything.
set -u
lua=${LUA:-lua5.4} limit=${SECONDS_MAX:-10}
tool=$PWD/tests/mutants/mutants.lua

# What takes seconds each and is about the end of processes, the command line, documents, benchmarks or the package.
slow='p15_the_end_of_the_process|command|docs|bench|package|meta'
# What a change of the engine need not be tried on: it is about Lua alone.
above='retry|adapters|progress|context|compat|refusals|functions|options|timers|counter|errors'
slow_programs='promise_14|promise_22|promise_04|roundtrips|joins'

# build COPY TARGET...: says what went wrong in COPY/build.log
build() {
  dir=$1
  shift
  make -s --no-print-directory -C "$dir" BUILD=build OPT=-O1 WARN=-w EXTRA_CFLAGS= "$@" >"$dir/build.log" 2>&1 </dev/null
}

# The names of tests below tests/, the likely ones for this source file first.
tests_for() {
  skip=$slow
  case $1 in engine/*) skip="$slow|$above" ;; esac
  {
    case $1 in engine/*) ls tests/unit/*.c ;; esac
    ls tests/unit_lua/test_*.c
    case $1 in engine/*) find tests/stress -name '*.c' | LC_ALL=C sort | grep -vE "/($slow_programs)" ;; esac
    find tests/spec -maxdepth 1 -name '*_spec.lua' | grep -vE "/($skip)_spec" | LC_ALL=C sort
    find tests/spec/contract -name '*_spec.lua' | grep -vE "/($skip)_spec" | LC_ALL=C sort
  } | sed 's,^tests/,,; s,\.c$,,' | awk -v stem="$(basename "$1" .c)" '
    # How many letters in a row the names have in common; fewer than four are chance.
    function common(a, b,  i, n, best) {
      for (i = 1; i <= length(a); i++)
        for (n = 4; i + n - 1 <= length(a); n++) if (index(b, substr(a, i, n)) && n > best) best = n
      return best + 0
    }
    { print 99 - common(stem, $0), NR, $0 }' | sort -k1,1n -k2,2n | awk '{ print $3 }'
}

# run_test COPY TEST: how it was noticed, or nothing. All that the test has started ends with it: it is in one group of processes.
run_test() {
  (
    cd "$1" || exit 1
    # shellcheck disable=SC3045
    ulimit -v 16000000 # a change may ask for memory without end
    case $2 in
      spec/*)
        set -- make -s --no-print-directory BUILD=build OPT=-O1 WARN=-w EXTRA_CFLAGS= SPEC_SECONDS="--foreground 0" "SPEC=tests/$2" spec
        ;;
      *) set -- "build/tests/$2" 2 1 1 ;;
    esac
    SWEEP_STRIDE=97 timeout -s KILL "$limit" "$@" </dev/null &
    wait "$!"
    status=$?
    kill -KILL -- "-$!" 2>/dev/null
    exit "$status"
  ) >"$1/test.log" 2>&1
  case $? in
    0) ;;
    137) echo hangs ;;
    13[0-9]) echo crashes ;;
    *) echo fails ;;
  esac
}

# A test that has noticed for the first time must pass where nothing was changed.
passes_unchanged() {
  mkdir "$out/passes.$(echo "$1" | tr / .)" 2>/dev/null || return 0
  cp -al "$out/0" "$2/unchanged" && [ -z "$(run_test "$2/unchanged" "$1")" ]
  passed=$?
  rm -rf "$2/unchanged"
  return "$passed"
}

programs_of() { # FILE: what is linked for it
  tests_for "$1" | sed -n 's,^\(unit\|unit_lua\|stress\)/,build/tests/&,p'
}

# True: clang has nothing to say about the locks in this file, as in `make lint`.
locks_right() {
  clang -fsyntax-only -std=c11 -Wno-everything -Werror=thread-safety "$1" >/dev/null 2>&1
}

# verdict COPY FILE: what became of a change
verdict() {
  copy=$1 file=$2 object=build/${2%.c}.o
  build "$copy" "$object" || { echo "does not compile"; return; }
  cmp -s "$copy/$object" "$out/0/$object" && { echo "the same code"; return; }
  case $file in
    engine/*) if locks_right "$out/0/$file" && ! locks_right "$copy/$file"; then echo "noticed by make lint (locks)"; return; fi ;;
  esac
  # shellcheck disable=SC2046
  build "$copy" lib module $(programs_of "$file") || { echo "does not compile"; return; }
  for test in $(tests_for "$file"); do
    [ ! -e "$out/stop" ] || { echo "not known: stopped"; return; }
    how=$(run_test "$copy" "$test")
    [ -n "$how" ] || continue
    if ! passes_unchanged "$test" "$copy"; then
      echo "$test fails in a copy without a change" >&2
      touch "$out/stop"
    fi
    echo "noticed by $test ($how)"
    return
  done
  echo "NOT NOTICED"
}

# Takes changes from the list until there are none.
job() { # NUMBER
  copy=$out/$1 number=0
  while IFS='	' read -r file line offset length from to; do
    number=$((number + 1))
    [ ! -e "$out/stop" ] || return
    mkdir "$out/taken.$number" 2>/dev/null || continue
    begun=$(date +%s)
    "$lua" "$tool" apply "$file" "$copy/$file" "$offset" "$length" "$to"
    result=$(verdict "$copy" "$file")
    cp "$file" "$copy/$file"
    [ "$to" = '(void)0' ] && change="$from dropped" || change="$from -> $to"
    line=$(printf '%s:%s: %s: %s, %s s' "$file" "$line" "$change" "$result" "$(($(date +%s) - begun))")
    [ "$result" != "NOT NOTICED" ] || line=$line$(printf '\n      '; sed -n "$(echo "$line" | cut -d: -f2)s/^ *//p" "$file")
    echo "$line"
    echo "$result" >>"$out/results"
  done <"$out/list"
}

out=$PWD/$1
shift
rm -rf "$out"
mkdir -p "$out/0"
if [ -n "${ONLY:-}" ]; then
  "$lua" "$tool" at "$ONLY" "$@" >"$out/list" || exit 1
else
  "$lua" "$tool" list "${N:-40}" "${SEED:-1}" "$@" >"$out/list" || exit 1
fi
count=$(wc -l <"$out/list")
[ "$count" -gt 0 ] || { echo "there is nothing to change" >&2; exit 1; }
jobs=${JOBS:-2}
[ "$jobs" -le "$count" ] || jobs=$count

tar -cf - --exclude ./build --exclude ./.git . | tar -xf - -C "$out/0"
# shellcheck disable=SC2046
build "$out/0" -j2 lib module build/tests/process.so $({ programs_of engine/x.c; programs_of bindings/x.c; } | sort -u) || {
  cat "$out/0/build.log" >&2
  exit 1
}
for i in $(seq "$jobs"); do cp -a "$out/0" "$out/$i"; done
# The jobs do not hear an interrupt themselves: each looks before every test.
trap 'touch "$out/stop"; exit 130' INT TERM
for i in $(seq "$jobs"); do job "$i" & done
wait
[ ! -e "$out/stop" ] || exit 1
echo "$count changes, SEED=${SEED:-1}: $(sed 's/ by .*//' "$out/results" | sort | uniq -c | awk '{ n = $1; $1 = ""; printf "%s%d%s", sep, n, $0; sep = ", " }')"
