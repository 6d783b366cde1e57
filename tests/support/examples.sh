#!/bin/sh
# Runs each example on small input and checks what it prints. Arguments: the Lua interpreter, the folder of those built from C.
set -eu
lua=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

times='[0-9.]+ s, [0-9]+ workers [0-9.]+ s: [0-9.]+ times as fast$'
mkdir "$folder/texts"
printf 'one two Two three three THREE\n' >"$folder/texts/a.txt"
printf 'two three\n' >"$folder/texts/it'\''s b.txt"
printf 'bin\000ary one\n' >"$folder/texts/binary"
"$lua" examples/wordcount.lua "$folder/texts" >"$folder/out"
for line in '8 words, 3 different' '4  three' '3  two' '1  one' "$folder/texts/binary (binary)" 'both results are the same' ' times as fast'; do
  grep -qF "$line" "$folder/out" || { echo "wordcount.lua does not print: $line" >&2; cat "$folder/out" >&2; exit 1; }
done
echo "wordcount.lua: ok"

"$lua" examples/mandelbrot.lua 64 "$folder/picture.ppm" >"$folder/out"
grep -qE "$times" "$folder/out" || { echo "mandelbrot.lua does not print its times" >&2; exit 1; }
"$lua" - "$folder/picture.ppm" <<'LUA'
local text = assert(io.open(arg[1], "rb")):read "a"
assert(text:sub(1, 13) == "P6\n64 48\n255\n", "header")
assert(#text == 13 + 64 * 48 * 3, "size")
local centre = 13 + (24 * 64 + 38) * 3
assert(text:sub(centre + 1, centre + 3) == "\0\0\0", "a point inside the set is black")
assert(text:sub(14, 16) ~= "\0\0\0", "the corner is not")
LUA
echo "mandelbrot.lua: ok"

# Runs an example; every further argument is a pattern that one of its lines must match.
prints() { # command, pattern...
  command=$1
  shift
  $lua $command >"$folder/out" 2>"$folder/err" || { echo "$command failed" >&2; cat "$folder/out" "$folder/err" >&2; exit 1; }
  for pattern in "$@"; do
    grep -qE "$pattern" "$folder/out" || { echo "$command does not print: $pattern" >&2; cat "$folder/out" >&2; exit 1; }
  done
  name=${command#examples/}
  echo "${name%% *}: ok"
}

printf '%s\n' '10.0.0.1 - - [t] "GET /a HTTP/1.1" 200 6000 "x"' 'no request' '10.0.0.2 - - [t] "GET /b HTTP/1.1" 500 1 "x"' >"$folder/log"
prints "examples/loggrep.lua $folder/log" '^1: slow 10.0.0.1 /a 6000 ms' '^3: failed 10.0.0.2 /b 1 ms' '^2 of 3 lines' '^both results are the same$' "$times"
prints "examples/montecarlo.lua 200000 7" '^1 workers: pi = 3.1[34]' '^the same digits at any number of workers$' "$times"
prints "examples/testrunner.lua" '^FAIL file 9: adds$' '1 \+ 1 is not 3' '^16 passed, 1 failed$' "$times"
prints "examples/etl.lua 500" '^loaded north: 500 rows, [0-9.]+ sold, best is item[0-9]+$' '^extracted south at attempt 3$' \
  "^failed: clean west: row 250: quantity 'n/a' is no number$" '^skipped: summarise west$' '^both results are the same$' "$times"
prints "examples/etl.lua --dot" '^digraph' '"clean west" -> "summarise west";$'
prints "examples/progress.lua 0.4" '^4 parts done' '^the doomed one: cancelled at less than 50 %$' '^one after the other [0-9.]+ s, side by side [0-9.]+ s$'
grep -qE '^parts: 100%  4/4' "$folder/err" || { echo "progress.lua does not show its progress" >&2; cat "$folder/err" >&2; exit 1; }
if "$lua" -e 'require "luv"' 2>/dev/null; then
  prints "examples/httpserver.lua --test" '^50 light requests, [1-9][0-9]* of them while' '^6 heavy ones: one after the other [0-9.]+ s' '^all answers are right$'
else
  echo "httpserver.lua: not run, luv is missing"
fi

"$2/frame" | grep -q "energy is finite, level loaded" || { echo "frame.c: wrong output" >&2; exit 1; }
echo "frame.c: ok"

[ "$("$2/sessions")" = "10001 tasks done, the balance is 10000" ] || { echo "sessions.c: wrong output" >&2; exit 1; }
echo "sessions.c: ok"

[ "$("$2/embed/smallest")" = "42 on a worker" ] || { echo "embed/smallest.c: wrong output" >&2; exit 1; }
echo "embed/smallest.c: ok"

"$2/embed/game" 30 >"$folder/out"
for line in '24 assets in C, 24 in Lua, 1 script stopped, energy finite' 'shut down: 0 workers stuck'; do
  grep -qF "$line" "$folder/out" || { echo "embed/game.c does not print: $line" >&2; cat "$folder/out" >&2; exit 1; }
done
echo "embed/game.c: ok"
