/*
** Keys, caches and meters, with each allocation refused in turn.
*/
#include "sweep.h"

static const sweep sweeps[] = {
    {.name = "key",
     .before = "data = {1, 2.5, 'x', true, {a = {b = {}}, c = 1, [1.5] = print}, ('y'):rep(1000), "
               "setmetatable({}, {})}; data[8] = data",
     .operation = "assert(core.key(false, data, nil, data) == core.key(false, data, nil, data))\n"
                  "assert(select(2, core.key(false, {[{}] = 1})):find 'key of another')"},
    {.name = "shared_key",
     .before = "mt = core.class('named', {}); core.spawn(print):get(); f = function() end",
     .operation = "assert(core.key(true, string.rep, setmetatable({1}, mt)))\n"
                  "assert(not core.key(true, f))",
     .after =
         "assert(core.key(true, setmetatable({1}, mt)) == core.key(true, setmetatable({1}, mt)))"},
    {.name = "cache",
     .before = "c = core.cache_create(100); core.spawn(print):get()",
     .operation = "local found, flight = core.cache_get(c, 'k', 0)\n"
                  "assert(found == false and flight)\n"
                  "do local f <close> = flight; assert(core.cache_put(c, 'k', 1, nil, {2})) end\n"
                  "local hit, grant = core.cache_get(c, 'k', 0)\n"
                  "assert(hit)\n"
                  "local a, b, t = core.cache_values(grant)\n"
                  "assert(a == 1 and b == nil and t[1] == 2)\n"
                  "assert(not core.cache_put(c, 'f', io.stdout))\n"
                  "assert(core.cache_info(c).entries == 1)\n"
                  "core.cache_clear(c)",
     .after =
         "collectgarbage(); core.cache_clear(c)\n"
         /* no flight was lost */
         "local found, flight = core.cache_get(c, 'k', 0); assert(found == false and flight)\n"
         "local again, busy = core.cache_get(c, 'k', 0); assert(again == false and busy == nil)\n"
         "local f <close> = flight"},
    {.name = "send_shared",
     .before = "c, m = core.cache_create(1), core.meter_create(); core.spawn(print):get()\n"
               "f = function(c, m)\n"
               "  local core = require 'makeparallel.core'\n"
               "  core.cache_put(c, 'k', 5); core.meter_record(m, core.now(), false)\n"
               "  return c, m\n"
               "end",
     .operation = "local c2, m2 = core.spawn(f, c, m):get()\n"
                  "local hit, grant = core.cache_get(c2, 'k', 0); assert(hit and "
                  "core.cache_values(grant) == 5)\n"
                  "assert(core.meter_info{m2, m}.total == 2)\n"
                  "core.meter_reset(m2)",
     .after = "core.meter_reset(m)"},
    {.name = "make_shared", .operation = "core.cache_create(1, 1000, 5); core.meter_create()"},
    {.name = "rework",
     .before = "t = core.parallel(print, {name = 'n', timeout = 50, on_complete = print}); "
               "core.spawn(print):get()",
     .operation = "assert(core.rework(t, function() return 7 end, 5, nil)():get() == 7)"},
    {.name = "pause_and_log",
     .before = "core.spawn(print):get()",
     .operation = "core.pause(0); core.log('debug', 'area', 'text')"},
};

int main(void) { return sweep_main("shared", sweeps, LENGTH(sweeps)); }
