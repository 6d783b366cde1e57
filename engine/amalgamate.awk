# Puts the engine into one C file, for hosts that would rather add two files than a library:
#
#   awk -f engine/amalgamate.awk engine/*.c > makeparallel.c        (beside a copy of makeparallel.h)
#
# Private headers go where they are first included. A name that more than one file has for itself is renamed in each of them, and what a
# file defines for the preprocessor is undefined behind it, so each file means what it means alone. Where that cannot work, it does not
# compile.

function fail(message) {
  print "amalgamate: " message > "/dev/stderr"
  failed = 1
  exit 1
}

# The name that a line at file scope declares for this file alone: a static one, or a type. "" for other lines.
function own_name(line) {
  if (line ~ /^} [a-z_0-9]+;/ || line ~ /^typedef (struct|union|enum) [a-z_0-9]+ [a-z_0-9]+;/) {
    gsub(/^} |^typedef [a-z]+ [a-z_0-9]+ |;.*/, "", line)
    return line
  }
  if (line !~ /^(MP_CHECKED )?static /) return ""
  sub(/[(;=[{].*/, "", line)
  gsub(/[* ]+$/, "", line)
  sub(/.*[* ]/, "", line)
  return line == "struct" ? "" : line
}

function stem(path) {
  sub(/.*\//, "", path)
  sub(/\.[ch]$/, "", path)
  return path
}

function note_names(path, line, name) {
  while ((getline line < path) > 0) {
    name = own_name(line)
    if (name == "" || (name, path) in seen) continue
    seen[name, path] = 1
    owners[name]++
    names_of[path] = names_of[path] " " name
  }
  close(path)
}

# The file with the private headers it includes, each once; `undefs` gets what takes its own definitions back.
function emit(path, line, name, header) {
  if ((getline line < path) < 0) fail("cannot read " path)
  do {
    if (line ~ /^ *# *include "/) {
      header = line
      sub(/^[^"]*"/, "", header)
      sub(/".*/, "", header)
      if (header == "makeparallel.h" || header in included) continue
      included[header] = 1
      emit(folder header)
      continue
    }
    if (path ~ /\.c$/ && line ~ /^ *# *define [A-Za-z_]/) {
      name = line
      sub(/^ *# *define /, "", name)
      sub(/[^A-Za-z0-9_].*/, "", name)
      if (name !~ /^_/ && !((name, path) in defined)) {
        defined[name, path] = 1
        undefs = undefs "#undef " name "\n"
      }
    }
    print line
  } while ((getline line < path) > 0)
  close(path)
}

function emit_source(path, n, i, names) {
  print "\n/* " stem(path) ".c */"
  n = split(names_of[path], names, " ")
  for (i = 1; i <= n; i++)
    if (owners[names[i]] > 1) print "#define " names[i] " " names[i] "_in_" stem(path)
  undefs = ""
  emit(path)
  for (i = 1; i <= n; i++)
    if (owners[names[i]] > 1) print "#undef " names[i]
  printf "%s", undefs
}

BEGIN {
  if (ARGC < 2) fail("no files given")
  folder = ARGV[1]
  sub(/[^\/]*$/, "", folder)
  for (i = 1; i < ARGC; i++) note_names(ARGV[i])
  print "/* The engine of makeparallel in one file, made by engine/amalgamate.awk; its header is makeparallel.h. MIT licence. */"
  print "#if !defined(_GNU_SOURCE)\n#define _GNU_SOURCE\n#endif\n#include \"makeparallel.h\""
  for (i = 1; i < ARGC; i++) emit_source(ARGV[i])
  exit
}

END { exit failed }
