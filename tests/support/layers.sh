#!/bin/sh
# Checks that dependencies point one way: lua/ -> bindings/ -> engine/makeparallel.h -> the rest of engine/, and inside the last
# two as layers.lua says. Arguments: the built module, the folder of the build.
set -u
module=$1 build=$2
failed=0
bad() { # title, lines found
  [ -n "$2" ] || return 0
  printf '%s\n%s\n' "$1" "$2" >&2
  failed=1
}

bad "the engine includes Lua:" "$(grep -nE '#include.*(lua|lauxlib|lualib)\.h' engine/*.[ch])"
bad "the engine beside os.* and os_*.* touches pthreads:" "$(grep -n 'pthread_' engine/*.[ch] | grep -vE '^engine/os(_[a-z0-9]+)?\.[ch]:')"
bad "the bindings include more of the engine than its public header:" \
  "$(for header in engine/*.h; do name=$(basename "$header"); [ "$name" = makeparallel.h ] || [ "$name" = bug.h ] || grep -rn --include="*.[ch]" "#include \"$name\"" bindings; done)"
bad "the bindings touch threads or atomics:" "$(grep -rnE --include='*.[ch]' 'pthread|stdatomic|_Atomic|__atomic' bindings)"
bad "Lua modules beside init.lua, and compat.lua, which stands on it, load init.lua:" "$(grep -nE 'require *\(?"makeparallel"' lua/makeparallel/*.lua | grep -vE 'meta.lua|compat.lua')"
bad "mutable state at file scope:" \
  "$(grep -rnE --include='*.c' '^static [^(]*(;|=)' engine bindings | grep -vE 'const |_Thread_local|MP_THREAD_LOCAL')"
bad "exported symbols that are neither luaopen_ nor mp_:" \
  "$(nm -D --defined-only "$module" | awk '{print $3}' | grep -vE '^(luaopen_makeparallel|mp_)|^_(init|fini|edata|end|_bss_start)$|^__(asan|tsan|ubsan|sancov)')"
"${LUA:-lua5.4}" tests/support/layers.lua engine "$build/engine" || failed=1
"${LUA:-lua5.4}" tests/support/layers.lua bindings "$build/bindings" || failed=1
[ "$failed" -eq 0 ] && echo "layers: one way"
exit "$failed"
