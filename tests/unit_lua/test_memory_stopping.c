/*
** Limits, cancelling, deadlines and shutting down, with each allocation refused in turn. What stops
** code must not need memory to do so.
*/
#include "sweep.h"

/*
** begin(f, ...) -> a handle of what runs now; it is stopped afterwards, should the operation have
** failed to.
*/
#define BEGIN \
  "begun = {false}\n" \
  "begin = function(f, ...)\n" \
  "  begun[1] = core.spawn(f, ...)\n" \
  "  while begun[1]:status() ~= 'running' and not begun[1]:is_ready() do end\n" \
  "  return begun[1]\n" \
  "end\n"
#define STOP "if begun[1] then begun[1]:cancel() end; core.set_max_concurrent_tasks(nil)\n"
/* Long enough to be stopped; it ends all the same where interrupts get lost. */
#define LOOP BEGIN "loop = function() for _ = 1, 3e7 do end end\n"
#define SLEEP BEGIN "sleep = function(s) require('makeparallel.core').sleep(s) return s end\n"
/* From now on there is room for one. What came before is not counted. */
#define ONE "core.set_max_concurrent_tasks(1)\n"
#define WARM "f = function(...) return ... end; core.spawn(f):get()\n"
/* A handle, or why there is none. */
#define TAKEN "taken = function(h, why) if not h then error(why, 0) end return h end\n"
/* The outcome must be of that kind; one that is not says why. */
#define ENDS \
  "ends = function(kind, h) local ok, e = h:pget(); if ok or e.kind ~= kind then error(ok and " \
  "'no error' or e, 0) end end\n"

static const sweep sweeps[] = {
    {.name = "configure_limits",
     .operation = "core.configure{workers = 1, max_concurrent_tasks = 2, max_queue = 3, "
                  "max_queue_bytes = 100000, memory_limit_percent = 100,\n"
                  "  when_full = 'error', full_timeout = 0.01, worker_memory_limit = 1 << 24, "
                  "cancel_mode = 'hook'}"},
    {.name = "set_limits",
     .before = "core.configure{workers = 1}\n" WARM,
     .operation = "core.set_max_concurrent_tasks(5); core.configure_memory_limit(100)",
     .after = "core.set_max_concurrent_tasks(nil); core.configure_memory_limit(nil)"},
    {.name = "full_blocks",
     .before = "core.configure{workers = 1, full_timeout = 1e8}\n" WARM ONE SLEEP TAKEN,
     .operation =
         "local a = taken(core.spawn(sleep, 0.0005)); assert(taken(core.spawn(f, 2)):get() == 2)"},
    {.name = "full_calls_back_meanwhile",
     .before = "core.configure{workers = 1, full_timeout = 1e8}; n = 0\n" WARM ONE SLEEP TAKEN
               "task = core.parallel(sleep, {on_complete = function() n = n + 1 end, on_error = "
               "function() n = n + 1 end})\n",
     .operation = "for _ = 1, 3 do taken(task(0.0005)) end; while core.next_mail() do end",
     .after = "while core.next_mail() do end; assert(n <= 3); if succeeded then assert(n + "
              "core.get_thread_pool_info().callback_errors >= 3) end"},
    {.name = "full_says_so",
     .before = "core.configure{workers = 1, full_timeout = 0}\n" WARM ONE SLEEP,
     .operation = "begin(sleep, 1e8)\n"
                  "local h, why = core.spawn(f)\n"
                  "if h then begun[1]:get() end\n" /* room, because that one has failed */
                  "if h or why ~= 'queue full' then error(why or 'taken', 0) end",
     .after = STOP},
    {.name = "full_raises",
     .before = "core.configure{workers = 1, max_queue = 1, when_full = 'error'}\n" WARM SLEEP,
     .operation = "begin(sleep, 1e8); core.spawn(f)\n"
                  "local ok, e = pcall(core.spawn, f)\n"
                  "if ok then begun[1]:get() end\n"
                  "if not tostring(e):find('queue full') then error(e, 0) end",
     .after = STOP "while core.get_thread_pool_info().queue > 0 do end"},
    {.name = "full_runs_in_the_caller",
     .before = "core.configure{workers = 1, when_full = 'caller'}\n" WARM ONE SLEEP,
     .operation = "begin(sleep, 1e8); assert(core.spawn(f, 7):get() == 7)",
     .after = STOP},
    {.name = "task_memory_limit",
     .before = "core.configure{workers = 1}\n" WARM ENDS
               "task = core.parallel(function() return #('x'):rep(1 << 22) end, {memory_limit = 1 "
               "<< 20})",
     .operation = "ends('memory', task())"},
    {.name = "worker_memory_limit",
     .before = "core.configure{workers = 1, worker_memory_limit = 1 << 21}\n" WARM ENDS
               /* else Lua's buffers may stay half made */
               "core.spawn(function() return #('x'):rep(10000) end):get()\n"
               "greedy = function() local e; for _ = 1, 50 do e = select(2, pcall(string.rep, 'x', "
               "1 << 22)) end error(e, 0) end",
     .operation = "ends('memory', core.spawn(greedy))"},
    {.name = "cancel_by_signal",
     .before = "core.configure{workers = 1}\n" WARM LOOP,
     .operation = "local h = begin(loop); assert(h:cancel() or h:is_ready())",
     .after = STOP},
    {.name = "cancel_by_hook",
     .before = "core.configure{workers = 1, cancel_mode = 'hook'}\n" WARM LOOP,
     .operation = "local h = begin(loop); assert(h:cancel() or h:is_ready())",
     .after = STOP},
    {.name = "cancel_cooperatively",
     .before = "core.configure{workers = 1, cancel_mode = 'cooperative'}\n" WARM SLEEP,
     .operation = "local h = begin(sleep, 1e8); assert(h:cancel(30) or h:is_ready())",
     .after = STOP},
    {.name = "cancel_what_catches",
     .before = "core.configure{workers = 1}\n" WARM LOOP "swallow = function()\n"
               "  local function spin() for _ = 1, 1000 do end end\n"
               "  while true do\n"
               "    pcall(spin); xpcall(spin, function() end)\n"
               "    coroutine.resume(coroutine.create(spin)); pcall(coroutine.wrap(spin))\n"
               "    load(function() spin() end)\n"
               "  end\n"
               "end\n",
     .operation = "local h = begin(swallow); h:cancel(30); assert(h:is_ready())",
     .after = STOP},
    {.name = "catching",
     .before = "core.configure{workers = 1}\n" WARM "catch = function()\n"
               "  local out = {pcall(error, 1), xpcall(error, function(e) return e end, 2), "
               "pcall(function() return 3 end)}\n"
               "  local co = coroutine.create(function(x) local y <close> = setmetatable({}, "
               "{__close = function() end}); coroutine.yield(x) end)\n"
               "  out[#out + 1] = select(2, coroutine.resume(co, 4)); coroutine.close(co)\n"
               "  out[#out + 1] = coroutine.wrap(function(x) return x end)(5)\n"
               "  out[#out + 1] = assert(load('return 6'))()\n"
               "  return #out\n"
               "end\n",
     .operation = "assert(core.spawn(catch):get() == 7)"},
    {.name = "deadline",
     .before = "core.configure{workers = 1}\n" WARM LOOP ENDS
               "task = core.parallel(loop, {timeout = 0.001})",
     .operation = "ends('timeout', task())"},
    {.name = "replaced_state",
     .before = "core.configure{workers = 1, isolate = 'state'}\n" WARM,
     .operation = "assert(core.spawn(f, 1):get() == 1)"},
    {.name = "shut_down_what_runs",
     .before = "core.configure{workers = 2}\n" WARM SLEEP LOOP,
     .operation = "local h, i = begin(loop), core.spawn(sleep, 1e8); core.shutdown{timeout = "
                  "0.001}; assert(h:is_ready() and i:is_ready()); core.reset_shutdown()",
     .after = "core.shutdown{timeout = 0}; core.reset_shutdown()"},
    {.name = "close_what_runs",
     .close = true,
     .before = "core.configure{workers = 2}\n" WARM SLEEP LOOP,
     .operation = "begin(loop); core.spawn(sleep, 1e8)"},
};

int main(void) { return sweep_main("stopping", sweeps, LENGTH(sweeps)); }
