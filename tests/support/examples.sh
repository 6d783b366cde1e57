#!/bin/sh
# Runs each example on small input and checks what it prints. Arguments: the Lua interpreter, the folder of those built from C.
set -eu
lua=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir "$folder/texts"
printf 'one two Two three three THREE\n' >"$folder/texts/a.txt"
printf 'two three\n' >"$folder/texts/it'\''s b.txt"
printf 'bin\000ary one\n' >"$folder/texts/binary"
"$lua" examples/wordcount.lua "$folder/texts" >"$folder/out"
for line in '8 words, 3 different' '4  three' '3  two' '1  one' "$folder/texts/binary (binary)" 'both results are the same'; do
  grep -qF "$line" "$folder/out" || { echo "wordcount.lua does not print: $line" >&2; cat "$folder/out" >&2; exit 1; }
done
echo "wordcount.lua: ok"

"$lua" examples/mandelbrot.lua 64 "$folder/picture.ppm" >/dev/null
"$lua" - "$folder/picture.ppm" <<'LUA'
local text = assert(io.open(arg[1], "rb")):read "a"
assert(text:sub(1, 13) == "P6\n64 48\n255\n", "header")
assert(#text == 13 + 64 * 48 * 3, "size")
local centre = 13 + (24 * 64 + 38) * 3
assert(text:sub(centre + 1, centre + 3) == "\0\0\0", "a point inside the set is black")
assert(text:sub(14, 16) ~= "\0\0\0", "the corner is not")
LUA
echo "mandelbrot.lua: ok"

"$2/frame" | grep -q "energy is finite, level loaded" || { echo "frame.c: wrong output" >&2; exit 1; }
echo "frame.c: ok"

[ "$("$2/embed/smallest")" = "42 on a worker" ] || { echo "embed/smallest.c: wrong output" >&2; exit 1; }
echo "embed/smallest.c: ok"

"$2/embed/game" 30 >"$folder/out"
for line in '24 assets in C, 24 in Lua, 1 script stopped, energy finite' 'shut down: 0 workers stuck'; do
  grep -qF "$line" "$folder/out" || { echo "embed/game.c does not print: $line" >&2; cat "$folder/out" >&2; exit 1; }
done
echo "embed/game.c: ok"
