#!/bin/sh
# Checks the models: run.sh OUT MODEL... Each must hold as it is written, and each of its seeded bugs must be caught.
#
# A model names its runs in lines `** check: KIND FLAGS`: KIND safety looks for assertions that fail and states that nobody leaves,
# `progress` for cycles without progress, under weak fairness. A bug is whatever `BUG_...` the model mentions, and is caught when one of
# the runs fails: of those behind whose flags it is named (`** check: KIND FLAGS : BUG...`), or of all if it is named behind none. A search
# that was not exhaustive counts for nothing.
set -eu

# run_one DIR MODEL KIND FLAGS OPTIMISE: builds the verifier, runs it; prints "errors states"
run_one() {
  mkdir -p "$1"
  case $3 in
    safety) compile="-DSAFETY" search="" ;;
    progress) compile="-DNP -DNFAIR=4" search="-l -f" ;;
    *) echo "$2: no such kind of check: $3" >&2; return 1 ;;
  esac
  # shellcheck disable=SC2086
  (cd "$1" && spin $4 -a "$2" >spin.log 2>&1 && ${CC:-cc} $5 -w $compile -DCOLLAPSE -DVECTORSZ=2048 -o pan pan.c &&
    timeout 100 ./pan -m1000000 $search >pan.log 2>&1) || { cat "$1"/*.log >&2; return 1; }
  if grep -q "search depth too small\|out of memory\|Search not completed" "$1/pan.log"; then
    grep -q "errors: 0" "$1/pan.log" && { echo "$2 $4: the search was not exhaustive" >&2; return 1; }
  fi
  sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$1/pan.log" | tr '\n' ' '
  awk '/ states, stored/ { printf "%d\n", $1 }' "$1/pan.log"
}

# checks_of MODEL [BUG]: those to be run, without what they catch
checks_of() {
  if [ -n "${2:-}" ] && grep -q "^\*\* check: .* : \(.* \)*$2\( .*\)*\$" "$1"; then
    grep "^\*\* check: .* : \(.* \)*$2\( .*\)*\$" "$1"
  else
    grep '^\*\* check: ' "$1"
  fi | sed 's/^\*\* check: //; s/ *: .*//'
}
bugs_of() { { cat "$1"; sed -n 's/^#include "\(.*\)"$/\1/p' "$1" | while read -r part; do cat "$(dirname "$1")/$part"; done; } |
  grep -o 'BUG_[A-Z_]*' | sort -u; }

# job OUT MODEL [BUG]: one line of outcome
job() {
  name=$(basename "$2" .pml) bug=${3:-} n=0
  checks_of "$2" "$bug" >"$1/$name.$bug.checks"
  total=0 optimise=-O1
  [ -z "$bug" ] || optimise=-O0 # it is found soon: compiling would take longer than searching
  while read -r kind flags; do
    n=$((n + 1))
    result=$(run_one "$1/$name.$bug.$n" "$2" "$kind" "$flags ${bug:+-D$bug}" "$optimise") || exit 1
    errors=${result% *} states=${result#* }
    if [ -n "$bug" ]; then
      [ "$errors" -eq 0 ] || { echo "$name: $bug caught"; exit 0; }
    elif [ "$errors" -ne 0 ]; then
      echo "$name: does not hold ($kind $flags); replay: cd $1/$name.$bug.$n && spin -t -k $name.pml.trail -p $flags $2" >&2
      exit 1
    fi
    total=$((total + states))
  done <"$1/$name.$bug.checks"
  [ "$n" -gt 0 ] || { echo "$name: no check" >&2; exit 1; }
  [ -z "$bug" ] || { echo "$name: $bug is NOT caught" >&2; exit 1; }
  echo "$name: holds ($n runs, $total states)"
}

if [ "$1" = job ]; then
  shift
  job "$@"
  exit
fi

out=$1
shift
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
for model in "$@"; do
  model=$(cd "$(dirname "$model")" && pwd)/$(basename "$model")
  echo "$out $model"
  for bug in $(bugs_of "$model"); do echo "$out $model $bug"; done
done >"$out/jobs"
xargs -P "$(nproc)" -L 1 sh "$0" job <"$out/jobs" >"$out/results" || failed=1
grep holds "$out/results" | sort
echo "$(grep -c caught "$out/results") seeded bugs caught"
exit "${failed:-0}"
