/*
** Everything the core does, with each of its allocations refused in turn.
*/
#include "sweep.h"

/* What worker functions are made of in most of these. */
#define POINT_CLASS \
  "point = {__mp_pack = function(p) return {p.x} end}; point.__mp_unpack = function(v) return " \
  "setmetatable({x = v[1]}, point) end\n" \
  "core.class('point', point)\n"

static const sweep sweeps[] = {
    {.name = "open_module", .bare = true, .operation = "core = open_core()"},
    {.name = "open_module_then_collect",
     .bare = true,
     .operation = "core = open_core()",
     .after = "for _ = 1, 4 do collectgarbage() end"},
    {.name = "make_pool",
     .operation = "p = core.pool{workers = 1, preload = {'string'}, setup = function() return 1 "
                  "end, log = print, isolate = 'env'}",
     .after = "collectgarbage(); p = nil; core.poll(); collectgarbage()"},
    {.name = "make_pool_poll_at_once",
     .operation = "p = core.pool{workers = 1}",
     .after = "core.poll(); collectgarbage('step'); core.poll()"},
    {.name = "configure",
     .operation = "core.configure{workers = 1, stack_size = 1 << 20, setup = print}"},
    {.name = "copy_scalars",
     .before = "copy(1)",
     .operation = "copy(nil, true, 1, 1 << 20, 1 << 40, 1.5, 'abc', ('x'):rep(2000))"},
    {.name = "copy_tables",
     .before = "copy(1); local a = {}; data = {a, a, x = {y = a}, z = {1, 2, 3}}; for i = 1, 40 do "
               "data[#data + 1] = {i, data[i]} end",
     .operation =
         "local c = copy(data, data); assert(c[1] == c[2] and c[3][1] == 1 and c[44] == nil)"},
    {.name = "copy_functions",
     .before = "copy(1); local n = 1; local function f() n = n + 1; return n, f end; fs = {f, "
               "function() return n end}",
     .operation = "local g = copy(fs); assert(g[1]() == 2 and g[2]() == 2)"},
    {.name = "copy_imports",
     .operation =
         "local f, m = copy(string.format, math); assert(f == string.format and m == math)",
     .after = "local f, m = copy(string.format, math); assert(f == string.format and m == math); "
              "assert(copy(print) == print)"},
    {.name = "copy_objects",
     .before = POINT_CLASS "copy(1)",
     .operation = "local p = setmetatable({x = 5}, point); local a, b = copy(p, {p}); assert(a == "
                  "b[1] and a.x == 5)"},
    {.name = "copy_source_and_handle",
     .before = "source = core.source('return ...'); handle = core.spawn(function() return 7 end); "
               "handle:get()",
     .operation = "local f, t = copy(source, {handle}); assert(f(3) == 3 and t[1]:get() == 7)"},
    {.name = "refuse",
     .before = "copy(1)",
     .operation = "local ok, e = pcall(copy, {a = {b = io.stdout}})\n"
                  "assert(not ok); if not e:find('args[1].a.b', 1, true) then error(e, 0) end"},
    {.name = "first_spawn",
     .operation = "assert(core.spawn(function(...) return ... end, 1, 'x', {}):get() == 1)"},
    {.name = "spawn_after_the_path_has_changed",
     .before = "f = function() return package.path, require 'swept'.n end\n"
               "core.spawn(string.rep, 'x', 2):get()\n"
               "package.preload.swept = function() return {n = 5} end\n"
               "package.path = package.path .. ';/nowhere/?.lua'\n",
     .operation = "local path, n = core.spawn(f):get(); assert(path == package.path and n == 5)",
     .after = "local path, n = core.spawn(f):get(); assert(path == package.path and n == 5)"},
    {.name = "spawn_by_name",
     .before = "package.preload.swept = function() return {f = function() return 5 end} end",
     .operation = "assert(core.spawn('swept.f'):get() == 5 and core.named('swept.f')() == 5)",
     .after = "assert(core.spawn('swept.f'):get() == 5 and core.named('swept.f')() == 5)"},
    {.name = "spawn_and_get",
     .before = "f = function(...) return {n = select('#', ...), ...} end; core.spawn(f):get()",
     .operation = "local h = core.spawn(f, 1, 'x', {2}, ('y'):rep(1000)); assert(h:get().n == 4)"},
    {.name = "spawn_and_pget",
     .before = "f = function(...) return {n = select('#', ...), ...} end; core.spawn(f):get()",
     .operation = "local h = core.spawn(f, 1)\n"
                  "local ok, r = h:pget()\n"
                  "if ok then assert(r.n == 1) else error(r, 0) end\n"},
    {.name = "handle_as_argument",
     .before = "f = function(x) return x * 2 end; core.spawn(f, 1):get()",
     .operation = "local a = core.spawn(f, 1)\n"
                  "local b = core.spawn(f, a)\n"
                  "assert(core.spawn(f, b):get() == 8)\n"},
    {.name = "many_handles_as_arguments",
     .before = "f = function(...) return select('#', ...) end\n"
               "hs = {}; for i = 1, 12 do hs[i] = core.spawn(f, i) end",
     .operation = "assert(core.spawn(f, table.unpack(hs)):get() == 12)"},
    {.name = "dependencies",
     .before =
         "f = function(d, x) return d.n + x end; g = function() return 1 end; core.spawn(g):get()",
     .operation = "local after = {core.spawn(g), core.spawn(g)}\n"
                  "assert(core.parallel_with_deps(f, {after = after})(40):get() == 42)\n"
                  "assert(core.parallel(g, {after = after[1], name = 'n', timeout = 60, priority = "
                  "3})():get() == 1)\n"},
    {.name = "failures",
     .before = "f = function(x) error(x) end",
     .operation = "for _, x in ipairs{'text', {1}, 5} do\n"
                  "  local ok, e = core.spawn(f, x):pget()\n"
                  "  assert(not ok)\n"
                  "  if e.kind ~= 'error' then error(e, 0) end\n"
                  "end\n"},
    {.name = "failed_dependency",
     .before = "f = function() error('first') end; g = function() end",
     .operation = "local ok, e = core.spawn(g, core.spawn(f)):pget()\n"
                  "assert(not ok)\n"
                  "if e.kind ~= 'dependency' then error(e, 0) end\n"
                  "if e.cause.kind ~= 'error' then error(e.cause, 0) end\n"},
    {.name = "unsendable_result",
     .before = "f = function() return {io.stdout} end",
     .operation = "local ok, e = core.spawn(f):pget()\n"
                  "if e.kind ~= 'send' then error(e, 0) end\n"},
    {.name = "callbacks",
     .before =
         "ended, told = 0, 0\n"
         "f = function(x) core.report_progress(0.5, 'half'); if x then error(x) end return 1 end\n"
         "core.spawn(function() return core end):get()\n"
         "task = core.parallel(f, {on_complete = function() ended = ended + 1 end, on_error = "
         "function() ended = ended + 1 end,\n"
         "  on_progress = function() told = told + 1 end, metadata = {a = 1}})\n",
     .operation = "h1 = task()\n"
                  "h2 = task('bad')\n"
                  "while core.next_mail() do end\n",
     .after = "while core.next_mail() do end\n"
              "local errors = core.get_thread_pool_info().callback_errors\n"
              "local h = task(); while core.next_mail() do end\n"
              "assert(ended <= 3 and ended >= 1)\n"
              "if succeeded then assert(ended + errors >= 3, ended) end\n"},
    {.name = "late_callbacks",
     .before = "n = 0; h = core.spawn(function() return 1 end); h:get()",
     .operation = "h:on_complete(function() n = n + 1 end); h:on_complete(function() n = n + 1; "
                  "h:on_complete(function() n = n + 1 end) end); while core.next_mail() do end",
     .after = "while core.next_mail() do end; assert(n <= 3); if succeeded then assert(n >= 2 or "
              "core.get_thread_pool_info().callback_errors > 0) end"},
    {.name = "await",
     .before = "f = function(x) return x end; core.spawn(f, 1):get()",
     .operation = "local co = coroutine.wrap(function() return core.spawn(f, 5):await() end)\n"
                  "co(); while core.next_mail() do end\n",
     .after = "while core.next_mail() do end"},
    {.name = "map",
     .before = "f = function(x) if x == 3 then error('three') end return {x} end\n"
               "list = {}; for i = 1, 20 do list[i] = i end; core.spawn(f, 1):get()",
     .operation = "local h, refusal = core.map_chunk(f, list, 1, 20, 7, 'none', 'chunk', 0, nil)\n"
                  "if not h then error(refusal, 0) end\n"
                  "h:wait()\n"
                  "local results, errors = {}, {}\n"
                  "local ok, e = core.collect_chunk(h, results, 1, errors)\n"
                  "if not ok then error(e, 0) end\n"
                  "assert(results[20][1] == 20)\n"
                  "if not errors[1].message:find('three') then error(errors[1].message, 0) end\n"},
    {.name = "nested_tasks",
     .before = "f = function(n)\n"
               "  local core = require 'makeparallel.core'\n"
               "  local h = core.spawn(function() return 1 end)\n"
               "  local got = 0\n"
               "  h:on_complete(function(x) got = x end)\n"
               "  return h:get()\n"
               "end\n",
     .operation = "assert(core.spawn(f, 1):get() == 1)"},
    {.name = "wait_any",
     .before =
         "f = function(x) return x end; hs = {}; for i = 1, 20 do hs[i] = core.spawn(f, i) end",
     .operation = "assert(core.wait_any(hs, 20)); core.sleep(0); core.spawn(f, 1):cancel(1)"},
    {.name = "log",
     .before = "lines = 0; p = core.pool{workers = 1, log = function() lines = lines + 1 end}\n"
               "task = core.parallel(function() end, {pool = p})\n",
     .operation = "task():get(); p:shutdown(); core.poll()"},
    {.name = "tostring_and_info",
     .before = "h = core.spawn(print); t = core.parallel(print, {name = 'n'}); e = "
               "core.new_error('error', 'm')",
     .operation = "for _, v in ipairs{h, t, e} do assert(#tostring(v) > 0) end; "
                  "core.get_thread_pool_info(); h:elapsed(); h:set_metadata('k', 1)"},
    {.name = "shut_down",
     .before = "f = function() end; core.spawn(f):get(); core.spawn(f)",
     .operation = "core.shutdown{timeout = 10}; core.reset_shutdown()",
     .after = "core.shutdown(); core.reset_shutdown()"},
    {.name = "close",
     .close = true,
     .before = "f = function() end; h = core.spawn(f); p = core.pool{workers = 1}; "
               "core.parallel(f, {pool = p, on_complete = print})()",
     .operation = "core.spawn(f)"},
};

int main(void) { return sweep_main("memory", sweeps, LENGTH(sweeps)); }
