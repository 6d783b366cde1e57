#include "support.h"

#define QUICK "local quick = function(...) return ... end\n"
#define SLOW "local slow = function(s) require('makeparallel.core').sleep(s) return s end\n"

LUA_TEST(test_get_every_time_gives_equal_values,
         QUICK "local h = core.spawn(quick, 1, nil, {x = 2}, nil)\n"
               "for _ = 1, 3 do\n"
               "  local got = table.pack(h:get())\n"
               "  assert(got.n == 4 and got[1] == 1 and got[3].x == 2)\n"
               "end\n"
               "local a, b = h:get(), h:get(); assert(a == b)\n"
               "assert(select(3, h:get()) ~= select(3, h:get()))\n")

LUA_TEST(test_get_before_the_end_times_out_without_consuming,
         SLOW "local h = core.spawn(slow, 0.05)\n"
              "local e = raises('is not finished after 0.0', h.get, h, 0)\n"
              "assert(e.kind == 'timeout' and e.task_id == h:id())\n"
              "local ok, e2 = h:pget(0.001); assert(ok == false and e2.kind == 'timeout')\n"
              "assert(h:try_get() == false and h:wait(0) == false)\n"
              "assert(h:wait(10) == true and h:get() == 0.05)\n"
              "assert(h:is_ready() and h:status() == 'done' and not h:is_cancelled())\n")

LUA_TEST(test_get_of_a_failed_task_raises_its_error_every_time,
         "local h = core.spawn(function() error({code = 7}) end)\n"
         "for _ = 1, 2 do\n"
         "  local ok, e = pcall(h.get, h)\n"
         "  assert(not ok and e.kind == 'error' and e.value.code == 7 and e.task_id == h:id())\n"
         "end\n"
         "local ok, e = h:pget(); assert(ok == false and e.value.code == 7)\n"
         "raises('', h.try_get, h)\n"
         "assert(h:status() == 'failed')\n")

LUA_TEST(
    test_timeouts_that_are_no_time_are_refused, QUICK
    "local h = core.spawn(quick)\n"
    "for _, bad in ipairs{-1, 0/0, math.huge, 1e300, '5', {}, true} do\n"
    "  raises('timeout must be a finite number of seconds from 0 to 1e9, got', h.get, h, bad)\n"
    "  raises('timeout must be a finite', h.pget, h, bad)\n"
    "  raises('timeout must be a finite', h.wait, h, bad)\n"
    "  raises('grace must be a finite', h.cancel, h, bad)\n"
    "end\n"
    "h:get()\n")

LUA_TEST(
    test_cancel_tells_the_outcome, SLOW
    "core.configure{workers = 1}\n"
    "local running = core.spawn(slow, 30)\n"
    "while running:status() ~= 'running' do end\n"
    "local queued = core.spawn(slow, 0)\n"
    "assert(queued:cancel() == true and queued:is_cancelled() and queued:status() == 'cancelled')\n"
    "local ok, e = queued:pget(); assert(not ok and e.kind == 'cancelled')\n"
    "assert(running:cancel(20) == true and running:status() == 'cancelled')\n"
    "local done = core.spawn(slow, 0); done:get()\n"
    "assert(done:cancel() == false and done:cancel(1) == false and done:status() == 'done')\n")

LUA_TEST(test_close_of_a_handle_cancels_and_waits,
         SLOW "local kept\n"
              "do local h <close> = core.spawn(slow, 30); kept = h end\n"
              "assert(kept:status() == 'cancelled')\n")

LUA_TEST(test_a_handle_says_who_it_is, QUICK
         "local h = core.parallel(quick, {name = 'load', timeout = 100})(1); h:get()\n"
         "assert(h:name() == 'load' and h:timeout() == 100.0)\n"
         "same(tostring(h), \"handle of task 'load' (done)\")\n"
         "local anonymous = core.spawn(quick); anonymous:get()\n"
         "assert(anonymous:name() == nil and anonymous:timeout() == nil)\n"
         "same(tostring(anonymous), 'handle of task #' .. anonymous:id() .. ' (done)')\n"
         "local all, queued, run = h:elapsed(); assert(math.abs(all - queued - run) < 1e-6 and all "
         ">= 0)\n"
         "assert(core.is_handle(h) and not core.is_handle(1) and not core.is_handle(io.stdout))\n"
         "assert(h == copy({h})[1] and h ~= anonymous)\n")

LUA_TEST(test_metadata_stays_with_the_handle, QUICK
         "local h = core.parallel(quick, {metadata = {a = 1}})(); h:get()\n"
         "assert(h:get_metadata('a') == 1 and h:metadata().a == 1)\n"
         "assert(h:set_metadata('b', {}) == h and type(h:get_metadata('b')) == 'table')\n"
         "raises('a key expected', h.set_metadata, h)\n"
         "local other = core.spawn(quick); assert(next(other:metadata()) == nil); other:get()\n")

LUA_TEST(test_methods_on_something_else_are_refused,
         "local methods = {'get', 'pget', 'try_get', 'wait', 'await', 'is_ready', 'status', "
         "'cancel', 'on_complete'}\n"
         "local h = core.spawn(function() end); h:get()\n"
         "for _, name in ipairs(methods) do raises('bad argument #1', h[name], io.stdout) end\n"
         "assert(getmetatable(h) == false)\n")

/* A finaliser may be the last to use a handle: what it can reach must be alive. */
LUA_TEST(
    test_handle_in_a_finalizer_still_works, QUICK
    "core.spawn(quick):get()\n"
    "local seen = {}\n"
    "for i = 1, 50 do\n"
    "  setmetatable({h = core.spawn(quick, i)}, {__gc = function(o) seen[#seen + 1] = o.h end})\n"
    "end\n"
    "collectgarbage(); collectgarbage(); collectgarbage()\n"
    "assert(#seen >= 49)\n"
    "local sum = 0\n"
    "for _, h in ipairs(seen) do sum = sum + h:get() end\n"
    "assert(sum >= 1275 - 50)\n")

/* The same when the state closes: objects made before the core was opened are finalised last. */
static void test_handle_in_a_finalizer_at_close_is_refused_or_works(void **state) {
  lab l;
  (void)state;
  lab_open_bare(&l);
  lab_run(&l, "early = setmetatable({}, {__gc = function(o) pcall(o.h.get, o.h); pcall(o.h.status, "
              "o.h); pcall(tostring, o.h); pcall(o.h.name, o.h) end})");
  luaL_requiref(l.L, "makeparallel.core", luaopen_makeparallel_core, 0);
  lua_setglobal(l.L, "core");
  lab_run(&l, "early.h = core.spawn(function() return ('x'):rep(5000) end); early.h:wait()");
  lab_close(&l);
}

LUA_TEST(test_dropped_handles_give_their_tasks_back,
         QUICK "local big = function(n) return ('x'):rep(n) end\n"
               "core.spawn(big, 1):get(); collectgarbage(); collectgarbage()\n"
               "local before = core.get_thread_pool_info().bytes\n"
               "for _ = 1, 200 do core.spawn(big, 100000):get() end\n"
               "collectgarbage(); collectgarbage(); collectgarbage()\n"
               "local after = core.get_thread_pool_info().bytes\n"
               "assert(after - before < 1000000, after - before)\n")

/* The laboratory checks that nothing stays. */
LUA_TEST(test_a_task_may_return_its_own_handle,
         "local h = core.spawn(function() local own = require('makeparallel.core').current(); "
         "return own, {own} end)\n"
         "local own, list = h:get()\n"
         "assert(own == h and list[1] == h and own:id() == h:id())\n")

LUA_TEST(test_wait_any_finds_one_that_has_ended,
         SLOW "local hs = {core.spawn(slow, 20), core.spawn(slow, 0)}\n"
              "same(core.wait_any(hs, 2), 2)\n"
              "same(core.wait_any({false, hs[2]}, 2), 2)\n"
              "assert(core.wait_any({hs[1]}, 1, core.now() + 0.01) == nil)\n"
              "assert(core.wait_any({}, 0) == nil)\n"
              "raises('bad count', core.wait_any, {}, -1)\n"
              "raises('handle expected', core.wait_any, {1}, 1)\n"
              "for i = 3, 40 do hs[i] = core.spawn(slow, 0) end\n"
              "assert(core.wait_any(hs, 40) > 1)\n"
              "hs[1]:cancel(20)\n")

LUA_TEST(test_await_in_a_coroutine_yields_until_the_end,
         SLOW "local got, order = nil, {}\n"
              "local co = coroutine.wrap(function() got = core.spawn(slow, 0.02):await(); "
              "order[#order + 1] = 'await' end)\n"
              "co(); order[#order + 1] = 'main'\n"
              "while core.next_mail() do end\n"
              "assert(got == 0.02 and order[1] == 'main' and order[2] == 'await')\n"
              "assert(core.spawn(slow, 0):await() == 0)\n"
              "local failed\n"
              "coroutine.wrap(function() local ok, e = pcall(function() return core.spawn(error, "
              "'no'):await() end); failed = e end)()\n"
              "while core.next_mail() do end; assert(failed.kind == 'error')\n")

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_get_every_time_gives_equal_values),
      cmocka_unit_test(test_get_before_the_end_times_out_without_consuming),
      cmocka_unit_test(test_get_of_a_failed_task_raises_its_error_every_time),
      cmocka_unit_test(test_timeouts_that_are_no_time_are_refused),
      cmocka_unit_test(test_cancel_tells_the_outcome),
      cmocka_unit_test(test_close_of_a_handle_cancels_and_waits),
      cmocka_unit_test(test_a_handle_says_who_it_is),
      cmocka_unit_test(test_metadata_stays_with_the_handle),
      cmocka_unit_test(test_methods_on_something_else_are_refused),
      cmocka_unit_test(test_handle_in_a_finalizer_still_works),
      cmocka_unit_test(test_handle_in_a_finalizer_at_close_is_refused_or_works),
      cmocka_unit_test(test_dropped_handles_give_their_tasks_back),
      cmocka_unit_test(test_a_task_may_return_its_own_handle),
      cmocka_unit_test(test_wait_any_finds_one_that_has_ended),
      cmocka_unit_test(test_await_in_a_coroutine_yields_until_the_end),
  };
  return unit_main(tests);
}
