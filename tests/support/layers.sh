#!/bin/sh
# Checks that dependencies point one way: lua/ -> bindings/ -> engine/makeparallel.h -> the rest of engine/. Argument: the built module.
set -u
module=$1
failed=0
bad() { # title, lines found
  [ -n "$2" ] || return 0
  printf '%s\n%s\n' "$1" "$2" >&2
  failed=1
}

bad "the engine includes Lua:" "$(grep -nE '#include.*(lua|lauxlib|lualib)\.h' engine/*.[ch])"
bad "a part of the engine includes what stands above it:" "$(grep -nE '#include "(pool)\.h"' engine/heap.* engine/timers.* engine/deque.h \
  engine/inbox.* engine/park.* engine/mailbox.* engine/log.* engine/store.* engine/os.* engine/alloc.* engine/atomic.h engine/event.h \
  engine/scheduler.* engine/status.c 2>/dev/null)"
bad "the bindings include more of the engine than its public header:" \
  "$(for header in engine/*.h; do name=$(basename "$header"); [ "$name" = makeparallel.h ] || [ "$name" = bug.h ] || grep -n "#include \"$name\"" bindings/*.[ch]; done)"
bad "the bindings touch threads or atomics:" "$(grep -nE 'pthread|stdatomic|_Atomic|__atomic' bindings/*.[ch])"
bad "Lua modules beside init.lua, and compat.lua, which stands on it, load init.lua:" "$(grep -nE 'require *\(?"makeparallel"' lua/makeparallel/*.lua | grep -vE 'meta.lua|compat.lua')"
bad "mutable state at file scope:" \
  "$(grep -nE '^static [^(]*(;|=)' engine/*.c bindings/*.c | grep -vE 'const |_Thread_local|MP_THREAD_LOCAL')"
bad "exported symbols that are neither luaopen_ nor mp_:" \
  "$(nm -D --defined-only "$module" | awk '{print $3}' | grep -vE '^(luaopen_makeparallel|mp_)|^_(init|fini|edata|end|_bss_start)$|^__(asan|tsan|ubsan|sancov)')"
[ "$failed" -eq 0 ] && echo "layers: one way"
exit "$failed"
