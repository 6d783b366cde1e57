/*
** A program's own pool that runs Lua tasks: makeparallel_lua.h from the outside, nothing of the
** bindings but that header.
*/
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

#include "makeparallel_lua.h"

/* Under ThreadSanitizer a signal to a thread that computes waits until that blocks. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIGNALS_WAIT 1
#endif
#endif

#define assert_ok(expression) assert_string_equal(mp_status_text(expression), mp_status_text(MP_OK))
#define assert_status(expression, expected) \
  assert_string_equal(mp_status_text(expression), mp_status_text(expected))

/* What the hooks of a program's own saw. */
static _Atomic int started, stopped, closed, states;
static _Atomic long lua_bytes;

static void *on_start(mp_worker *worker, void *ud) {
  (void)worker;
  atomic_fetch_add(&started, 1);
  return ud;
}

static void on_stop(mp_worker *worker, void *local, void *ud) {
  (void)worker;
  assert_ptr_equal(local, ud);
  atomic_fetch_add(&stopped, 1);
}

static void on_closed(void *ud) {
  (void)ud;
  atomic_fetch_add(&closed, 1);
}

static void *counted_alloc(void *ud, void *block, size_t size_old, size_t size_new) {
  (void)ud;
  atomic_fetch_add(&lua_bytes, (long)size_new - (block == NULL ? 0 : (long)size_old));
  if (size_new != 0) return realloc(block, size_new);
  free(block);
  return NULL;
}

static void prepare_state(lua_State *L, mp_worker *worker, void *ud) {
  atomic_fetch_add(&states, 1);
  assert_ptr_equal(mp_worker_local(worker), ud);
  lua_pushinteger(L, 42);
  lua_setglobal(L, "given");
  lua_pushnil(L);
  lua_setglobal(L, "os");
}

static void refuse_state(lua_State *L, mp_worker *worker, void *ud) {
  (void)worker, (void)ud;
  luaL_error(L, "no state today");
}

static int here; /* its address: the program's own ud */

typedef struct program {
  mp_pool *pool;
  lua_State *L;
} program;

static lua_State *open_state(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "makeparallel.core", luaopen_makeparallel_core, 0);
  lua_setglobal(L, "core");
  return L;
}

static void open_program_with(program *p, mp_pool_config config, mp_lua_config lua_config) {
  mp_lua *lua;
  started = stopped = closed = states = 0;
  config.worker_start = on_start;
  config.worker_stop = on_stop;
  config.worker_ud = &here;
  config.closed = on_closed;
  lua_config.ud = &here;
  lua_config.alloc = counted_alloc;
  assert_ok(mp_lua_prepare(&lua_config, &config, &lua));
  assert_ok(mp_pool_create(&config, &p->pool));
  p->L = open_state();
  assert_ok(mp_lua_attach(p->L, p->pool));
  assert_int_equal(lua_gettop(p->L), 0);
}

static void open_program(program *p, void (*worker_state)(lua_State *, mp_worker *, void *)) {
  mp_lua_config lua_config = mp_lua_config_default();
  mp_pool_config config = mp_pool_config_default();
  config.workers = 2;
  lua_config.worker_state = worker_state;
  open_program_with(p, config, lua_config);
}

static void close_program(program *p) {
  lua_close(p->L);
  mp_pool_destroy(p->pool);
  assert_int_equal(closed, 1);
  assert_int_equal(started, stopped);
  assert_int_equal(lua_bytes, 0);
}

static mp_task *submit(lua_State *L, const char *source, int args, const mp_lua_task *options) {
  mp_task *task;
  assert_int_equal(luaL_loadstring(L, source), LUA_OK);
  lua_insert(L, -args - 1);
  assert_ok(mp_submit_lua(L, args, options, &task));
  return task;
}

static void run(lua_State *L, const char *source) {
  if (luaL_dostring(L, source)) fail_msg("%s", lua_tostring(L, -1));
  lua_settop(L, 0);
}

static void test_submit_lua_runs_in_a_prepared_state_and_brings_its_results(void **state) {
  program p;
  (void)state;
  open_program(&p, prepare_state);
  lua_pushinteger(p.L, 5);
  mp_task *task = submit(p.L, "local x = ... return x + given, os == nil, nil", 1, NULL);
  assert_int_equal(lua_gettop(p.L), 0);
  assert_ok(mp_wait(task, MP_FOREVER));
  assert_int_equal(mp_push_results(p.L, task), 3);
  assert_int_equal(lua_tointeger(p.L, -3), 47);
  assert_int_equal(lua_toboolean(p.L, -2), 1);
  assert_int_equal(states, 1);
  mp_task_release(task);
  close_program(&p);
}

static void test_lua_module_uses_the_programs_pool(void **state) {
  program p;
  (void)state;
  open_program(&p, NULL);
  run(p.L, "assert(core.spawn(function() return core == nil end):get()); "
           "assert(core.get_thread_pool_info().workers == 2)");
  run(p.L, "h = core.spawn(string.rep, 'x', 3); h:on_complete(function(s) got = s end)");
  while (mp_lua_poll(p.L, MP_FOREVER) == 0) usleep(100);
  run(p.L, "assert(got == 'xxx')");
  run(p.L,
      "local ok, e = pcall(core.shutdown) assert(not ok and e:find 'belongs to the program', e)");
  run(p.L, "local ok, e = pcall(core.configure, {}) assert(not ok and e:find 'belongs to the "
           "program', e)");
  run(p.L, "local ok, e = pcall(core.set_max_concurrent_tasks, 1) assert(not ok and e:find "
           "'belongs to the program', e)");
  close_program(&p);
}

static void test_failures_are_error_objects(void **state) {
  program p;
  mp_lua_task options = MP_LUA_TASK_INIT;
  mp_task *task;
  (void)state;
  open_program(&p, NULL);
  task = submit(p.L, "error 'on purpose'", 0, NULL);
  assert_ok(mp_wait(task, MP_FOREVER));
  assert_int_equal(mp_push_results(p.L, task), -1);
  assert_int_equal(lua_getfield(p.L, -1, "kind"), LUA_TSTRING);
  assert_string_equal(lua_tostring(p.L, -1), "error");
  mp_task_release(task);
  lua_settop(p.L, 0);

  options.memory_limit = 1 << 20;
  task = submit(p.L, "return #('x'):rep(1 << 24)", 0, &options);
  assert_ok(mp_wait(task, MP_FOREVER));
  assert_int_equal(mp_push_results(p.L, task), -1);
  lua_getfield(p.L, -1, "kind");
  assert_string_equal(lua_tostring(p.L, -1), "memory");
  mp_task_release(task);
  lua_settop(p.L, 0);

  options = (mp_lua_task)MP_LUA_TASK_INIT;
  options.timeout_ns = 1000000;
  task = submit(p.L, "local core = require 'makeparallel.core' while not core.cancelled() do end",
                0, &options);
  assert_ok(mp_wait(task, MP_FOREVER));
  assert_int_equal(mp_task_state(task), MP_STATE_TIMED_OUT);
  assert_int_equal(mp_push_results(p.L, task), -1);
  mp_task_release(task);
  close_program(&p);
}

static void test_what_cannot_be_sent_is_refused_with_its_text(void **state) {
  program p;
  mp_task *task = NULL;
  (void)state;
  open_program(&p, NULL);
  assert_int_equal(luaL_loadstring(p.L, "return ..."), LUA_OK);
  lua_newuserdatauv(p.L, 1, 0);
  assert_status(mp_submit_lua(p.L, 1, NULL, &task), MP_INVALID);
  assert_int_equal(lua_gettop(p.L), 1);
  assert_non_null(strstr(lua_tostring(p.L, 1), "args[1] (userdata) cannot be sent to a worker"));
  lua_settop(p.L, 0);
  lua_pushinteger(p.L, 5);
  assert_status(mp_submit_lua(p.L, 0, NULL, &task), MP_INVALID);
  assert_non_null(strstr(lua_tostring(p.L, 1), "function or module name expected, got number"));
  assert_null(task);
  close_program(&p);
}

static void test_refused_call_leaves_its_text_in_place_of_function_and_arguments(void **state) {
  program p;
  mp_task *task = NULL;
  mp_lua_task options = MP_LUA_TASK_INIT;
  (void)state;
  lua_State *bare = luaL_newstate();
  lua_pushliteral(bare, "below");
  for (int i = 0; i < 3; i++) lua_pushinteger(bare, i);
  assert_status(mp_submit_lua(bare, 2, NULL, &task), MP_INVALID);
  assert_int_equal(lua_gettop(bare), 2);
  assert_string_equal(lua_tostring(bare, 2), "makeparallel is not open in this state");
  assert_status(mp_submit_lua(bare, 2, NULL, &task), MP_INVALID); /* no function below them */
  assert_status(mp_submit_lua(bare, -1, NULL, &task), MP_INVALID);
  assert_int_equal(lua_gettop(bare), 2);
  lua_close(bare);
  open_program(&p, NULL);
  options.size--;
  lua_pushinteger(p.L, 5);
  assert_status(mp_submit_lua(p.L, 0, &options, &task), MP_INVALID);
  assert_int_equal(lua_gettop(p.L), 1);
  assert_string_equal(lua_tostring(p.L, 1), "the options have another size");
  assert_null(task);
  close_program(&p);
}

static void test_state_that_cannot_be_prepared_fails_the_task(void **state) {
  program p;
  (void)state;
  open_program(&p, refuse_state);
  mp_task *task = submit(p.L, "return 1", 0, NULL);
  assert_ok(mp_wait(task, MP_FOREVER));
  assert_int_equal(mp_push_results(p.L, task), -1);
  lua_getfield(p.L, -1, "message");
  assert_non_null(strstr(lua_tostring(p.L, -1), "no state today"));
  mp_task_release(task);
  close_program(&p);
}

static mp_status add_one(mp_worker *worker, void *arg) {
  assert_ptr_equal(mp_worker_local(worker), &here);
  atomic_fetch_add((_Atomic int *)arg, 1);
  return MP_OK;
}

static void test_tasks_in_c_run_beside(void **state) {
  program p;
  _Atomic int count = 0;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  (void)state;
  open_program(&p, NULL);
  desc.run = add_one;
  desc.arg = &count;
  for (int i = 0; i < 100; i++) {
    assert_ok(mp_submit(p.pool, &desc, NULL));
    mp_task_release(submit(p.L, "return 1", 0, NULL));
  }
  assert_ok(mp_pool_drain(p.pool, MP_FOREVER));
  assert_int_equal(count, 100);
  close_program(&p);
}

static mp_status wait_for_flag(mp_worker *worker, void *arg) {
  (void)worker;
  while (!atomic_load((_Atomic bool *)arg)) usleep(1000);
  return MP_OK;
}

/* The program's own thread, at work while it waits, runs a script that never ends. */
static void stop_on_the_owner(mp_lua_cancel mode) {
  program p;
  _Atomic bool over = false;
  mp_lua_config lua_config = mp_lua_config_default();
  mp_pool_config config = mp_pool_config_default();
  mp_task_desc desc = MP_TASK_DESC_INIT;
  mp_lua_task options = MP_LUA_TASK_INIT;
  mp_task *blocker;
  lua_config.cancel_mode = mode;
  config.workers = 1;
  config.owner_works = 1;
  open_program_with(&p, config, lua_config);
  desc.run = wait_for_flag;
  desc.arg = (void *)&over;
  assert_ok(mp_submit(p.pool, &desc, &blocker));
  while (mp_task_state(blocker) != MP_STATE_RUNNING) usleep(100);
  options.timeout_ns = 20000000;
  mp_task *task = submit(p.L, "while true do end", 0, &options);
  assert_ok(mp_wait(task, MP_FOREVER));
  assert_int_equal(mp_push_results(p.L, task), -1);
  lua_getfield(p.L, -1, "kind");
  assert_string_equal(lua_tostring(p.L, -1), "timeout");
  atomic_store(&over, true);
  assert_ok(mp_wait(blocker, MP_FOREVER));
  mp_task_release(task);
  mp_task_release(blocker);
  close_program(&p);
}

static void test_script_that_loops_is_stopped_on_the_owner_too(void **state) {
  (void)state;
  stop_on_the_owner(MP_LUA_CANCEL_HOOK);
#if !defined(SIGNALS_WAIT)
  stop_on_the_owner(MP_LUA_CANCEL_SIGNAL);
#endif
}

static void test_two_states_share_a_pool(void **state) {
  program p;
  (void)state;
  open_program(&p, NULL);
  lua_State *other = open_state();
  assert_ok(mp_lua_attach(other, p.pool));
  run(p.L, "h = core.spawn(function() return 'first' end); h:on_complete(function(s) got = s end)");
  run(other,
      "h = core.spawn(function() return 'second' end); h:on_complete(function(s) got = s end)");
  run(p.L, "h:wait() while core.next_mail() do end assert(got == 'first')");
  run(other, "h:wait() while core.next_mail() do end assert(got == 'second')");
  /* is dropped with the state */
  run(other, "core.spawn(function() core = nil end):on_complete(print)");
  lua_close(other);
  run(p.L, "assert(core.spawn(math.abs, -1):get() == 1)");
  close_program(&p);
}

/* One of two threads that attach, each with a state of its own, at the same moment. */
typedef struct side {
  mp_pool *pool;
  pthread_barrier_t *begin;
  bool works;
} side;

static void *attach_beside(void *arg) {
  side *s = arg;
  lua_State *L = open_state();
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (int i = 0; i < 50; i++) {
    lua_pushfstring(L, "m%d", i);
    lua_pushcfunction(L, luaopen_math);
    lua_rawset(L, 1);
  }
  pthread_barrier_wait(s->begin);
  s->works =
      mp_lua_attach(L, s->pool) == MP_OK &&
      luaL_dostring(L, "assert(core.spawn(function() return require 'm7' ~= nil end):get())") ==
          LUA_OK;
  lua_close(L);
  return NULL;
}

static void test_two_states_attach_at_once(void **state) {
  (void)state;
  for (int round = 0; round < 30; round++) {
    pthread_barrier_t begin;
    pthread_t threads[2];
    mp_lua *lua;
    mp_pool *pool;
    mp_lua_config lua_config = mp_lua_config_default();
    mp_pool_config config = mp_pool_config_default();
    config.workers = 1;
    assert_ok(mp_lua_prepare(&lua_config, &config, &lua));
    assert_ok(mp_pool_create(&config, &pool));
    pthread_barrier_init(&begin, NULL, 2);
    side sides[2] = {{pool, &begin, false}, {pool, &begin, false}};
    for (int i = 0; i < 2; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, attach_beside, &sides[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_true(sides[0].works && sides[1].works);
    pthread_barrier_destroy(&begin);
    mp_pool_destroy(pool);
  }
}

static void test_states_with_paths_of_their_own_are_followed_by_turns(void **state) {
  program p;
  (void)state;
  open_program(&p, NULL);
  lua_State *other = open_state();
  run(other, "package.path = '/other/?.lua'\n"
             "package.preload.theirs = function() return {f = function() return 'theirs' end} end");
  assert_ok(mp_lua_attach(other, p.pool));
  for (int i = 0; i < 3; i++) {
    run(p.L, "assert(core.spawn(function() return package.path end):get() == package.path)");
    run(other, "assert(core.spawn(function() return package.path end):get() == '/other/?.lua')\n"
               "assert(core.spawn('theirs.f'):get() == 'theirs')");
  }
  lua_close(other);
  close_program(&p);
}

static void test_detach_and_attach_again(void **state) {
  program p;
  (void)state;
  open_program(&p, NULL);
  run(p.L, "core.spawn(math.abs, -1):get()");
  mp_lua_detach(p.L);
  mp_lua_detach(p.L);
  assert_ok(mp_lua_attach(p.L, p.pool));
  run(p.L, "assert(core.spawn(math.abs, -1):get() == 1)");
  close_program(&p);
}

static void test_attach_refuses_what_does_not_fit(void **state) {
  program p;
  mp_pool *plain;
  mp_pool_config config = mp_pool_config_default();
  (void)state;
  config.workers = 1;
  assert_ok(mp_pool_create(&config, &plain));
  open_program(&p, NULL);
  assert_status(mp_lua_attach(p.L, p.pool), MP_INVALID); /* is attached */
  lua_State *bare = luaL_newstate();
  assert_status(mp_lua_attach(bare, p.pool), MP_INVALID); /* has no core */
  lua_close(bare);
  lua_State *other = open_state();
  assert_status(mp_lua_attach(other, plain), MP_INVALID); /* is not prepared */
  assert_ok(mp_pool_shutdown(p.pool, MP_FOREVER, MP_SHUTDOWN_FINISH, NULL));
  assert_status(mp_lua_attach(other, p.pool), MP_SHUTDOWN);
  lua_close(other);
  mp_pool_destroy(plain);
  close_program(&p);
}

static void test_discard_and_configs_of_another_size(void **state) {
  mp_lua_config lua_config = mp_lua_config_default();
  mp_pool_config config = mp_pool_config_default();
  mp_lua *lua = NULL;
  (void)state;
  lua_config.size--;
  assert_status(mp_lua_prepare(&lua_config, &config, &lua), MP_INVALID);
  lua_config.size++;
  lua_config.cancel_mode = (mp_lua_cancel)7;
  assert_status(mp_lua_prepare(&lua_config, &config, &lua), MP_INVALID);
  assert_null(lua);
  lua_config.cancel_mode = MP_LUA_CANCEL_HOOK;
  assert_ok(mp_lua_prepare(&lua_config, &config, &lua));
  mp_lua_discard(lua);
  mp_lua_discard(NULL);
}

static void test_trace_has_the_programs_lua_tasks(void **state) {
  char path[] = "/tmp/makeparallel-XXXXXX", text[2000] = "";
  mp_lua_task options = MP_LUA_TASK_INIT;
  mp_lua_config lua_config = mp_lua_config_default();
  mp_pool_config config = mp_pool_config_default();
  mp_lua *lua = NULL;
  program p;
  (void)state;
  lua_config.trace = "/nowhere/at/all.json";
  assert_status(mp_lua_prepare(&lua_config, &config, &lua), MP_SYSTEM);
  assert_null(lua);
  int fd = mkstemp(path);
  lua_config.trace = path;
  options.name = "seen";
  open_program_with(&p, config, lua_config);
  mp_task *task = submit(p.L, "return 1", 0, &options);
  assert_ok(mp_wait(task, MP_FOREVER));
  mp_task_release(task);
  close_program(&p);
  assert_true(read(fd, text, sizeof text - 1) > 0);
  assert_non_null(strstr(text, "\"name\":\"seen\""));
  assert_string_equal(text + strlen(text) - 3, "\n]\n");
  close(fd);
  unlink(path);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_submit_lua_runs_in_a_prepared_state_and_brings_its_results),
      cmocka_unit_test(test_lua_module_uses_the_programs_pool),
      cmocka_unit_test(test_failures_are_error_objects),
      cmocka_unit_test(test_what_cannot_be_sent_is_refused_with_its_text),
      cmocka_unit_test(test_refused_call_leaves_its_text_in_place_of_function_and_arguments),
      cmocka_unit_test(test_state_that_cannot_be_prepared_fails_the_task),
      cmocka_unit_test(test_tasks_in_c_run_beside),
      cmocka_unit_test(test_script_that_loops_is_stopped_on_the_owner_too),
      cmocka_unit_test(test_two_states_share_a_pool),
      cmocka_unit_test(test_two_states_attach_at_once),
      cmocka_unit_test(test_states_with_paths_of_their_own_are_followed_by_turns),
      cmocka_unit_test(test_detach_and_attach_again),
      cmocka_unit_test(test_attach_refuses_what_does_not_fit),
      cmocka_unit_test(test_discard_and_configs_of_another_size),
      cmocka_unit_test(test_trace_has_the_programs_lua_tasks),
  };
  alarm(300);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
