#!/bin/sh
# Counts asserts in a thousand lines of C for each folder named: those that run, and apart from them those of the compiler.
set -eu
for folder in "$@"; do
  find "$folder" -name '*.[ch]' -exec cat {} + | awk -v folder="$folder" '
    /^ *#/ || /^\*\*/ || /^ *\/\*/ { next } # the definition of such a macro and what is said about it
    { fixed += gsub(/[Ss]tatic_assert *\(/, ""); asserts += gsub(/[Aa]ssert *\(/, "") + gsub(/ASSERT *\(/, "") }
    END { printf "%-9s %5d lines, %3d asserts: %.1f a thousand; %d static_asserts\n", folder, NR, asserts, 1000 * asserts / NR, fixed }'
done
