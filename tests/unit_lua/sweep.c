#include "sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINT_SECONDS 60 /* a point that takes longer hangs */
#define POINTS_MAX 20000

static size_t points; /* failed so far, by the whole program */

#if defined(MP_FAULTS) /* this build fails the system instead of memory: see engine/fault.h */

#include "faults.h"

#define SOURCES MP_FAULT_POINTS
static const size_t lengths[] = {1, SIZE_MAX / 2};
static const char *source_name(size_t source) { return fault_text((mp_fault_point)source); }
static size_t next_point(size_t n) { return fault_next(n); }
static void arm(lab *l, size_t source, size_t first, size_t last) {
  (void)l;
  faults_arm((mp_fault_point)source, first, last > first);
}
static size_t disarm(lab *l, size_t source) { return (void)l, (void)source, faults_disarm(); }

#else

#define SOURCES DOMAINS
static const size_t lengths[] = {1, 2, SIZE_MAX / 2};
static const char *source_name(size_t source) {
  static const char *const names[] = {"the owner's state", "workers' states", "the engine",
                                      "calloc"};
  return names[source];
}
static void arm(lab *l, size_t source, size_t first, size_t last) {
  lab_arm(l, (domain)source, first, last);
}
static size_t disarm(lab *l, size_t source) { return lab_disarm(l, (domain)source); }

/* Sweeps are long under sanitizers: SWEEP_STRIDE=7 tries every seventh point. */
static size_t next_point(size_t n) {
  const char *text = getenv("SWEEP_STRIDE");
  size_t stride = text == NULL ? 1 : strtoul(text, NULL, 10);
  return n + (stride == 0 ? 1 : stride);
}

#endif

static int open_core(lua_State *L) {
  luaL_requiref(L, "makeparallel.core", luaopen_makeparallel_core, 0);
  return 1;
}

/*
** Every task the default pool took has ended, it still takes one, and the state can still do what
** it could.
*/
static const char still_works[] =
    "local h = core.spawn(function(a) return a + 1 end, 41)\n"
    "assert(h:get(30) == 42)\n"
    "core.poll()\n"
    "local info\n"
    "local deadline = os.time() + 30\n"
    "repeat info = core.get_thread_pool_info() until info.finished == info.submitted or os.time() "
    "> deadline\n"
    "assert(info.finished == info.submitted, 'a task is lost')\n"
    "assert(info.done + info.failed + info.cancelled + info.timed_out == info.finished)\n";

/* An error that says what was refused, as a string or as one of our objects. */
static bool is_about_that(lua_State *L, int status) {
  static const char *const parts[] = {
    "not enough memory",
    "stack overflow",
    "cannot create a thread",
#if defined(MP_FAULTS)
    "the operating system refused a resource",
    "invalid argument",
    "timed out",
    "queue full",
#endif
  };
  if (status == LUA_ERRMEM) return true;
  const char *text = luaL_tolstring(L, -1, NULL);
  for (size_t i = 0; i < LENGTH(parts); i++)
    if (strstr(text, parts[i]) != NULL) return true;
  return false;
}

static void load(lab *l, const sweep *s) {
  lua_settop(l->L, 0);
  if (luaL_loadbufferx(l->L, s->operation, strlen(s->operation), "=operation", "t") != LUA_OK)
    fail_msg("%s", lua_tostring(l->L, -1));
}

static void open_lab(lab *l, const sweep *s) {
  if (s->bare)
    lab_open_bare(l);
  else
    lab_open(l);
  lua_pushcfunction(l->L, open_core);
  lua_setglobal(l->L, "open_core");
  if (s->before != NULL) lab_run(l, s->before);
}

/* One point; false if the operation ended without reaching it. */
static bool try_point(const sweep *s, size_t source, size_t n, size_t length) {
  lab l;
  lab_watch(POINT_SECONDS, "%s, %s, point %zu, %zu refused", s->name, source_name(source), n,
            length);
  open_lab(&l, s);
  load(&l, s);
  size_t last = length > SIZE_MAX - n ? SIZE_MAX : n + length - 1;
  lua_gc(l.L, LUA_GCCOLLECT);
  /* Lua drops a finalizer that it lacks the memory to call, and with it what the object held */
  lua_gc(l.L, LUA_GCSTOP);
  arm(&l, source, n, last);
  int status = lua_pcall(l.L, 0, 0, 0);
  lua_gc(l.L, LUA_GCRESTART);
  if (s->close) {
    lab_close(&l);
    return disarm(&l, source) > 0;
  }
  size_t refused = disarm(&l, source);
  if (status != LUA_OK && !is_about_that(l.L, status))
    fail_msg("%s, %s, point %zu, %zu refused: %s", s->name, source_name(source), n, length,
             luaL_tolstring(l.L, -1, NULL));
  if (status != LUA_OK && refused == 0)
    fail_msg("%s: fails with memory enough: %s", s->name, luaL_tolstring(l.L, -1, NULL));
  lua_settop(l.L, 0);
  lua_pushboolean(l.L, status == LUA_OK);
  lua_setglobal(l.L, "succeeded");
  if (s->bare) lab_run(&l, "core = open_core()");
  if (s->after != NULL) lab_run(&l, s->after);
  lab_run(&l, still_works);
  lab_close(&l);
  return refused > 0;
}

void sweep_run(void **state) {
  const sweep *s = *state;
  for (size_t source = 0; source < SOURCES; source++) {
    for (size_t i = 0; i < LENGTH(lengths); i++) {
      size_t n = 1;
      for (; n < POINTS_MAX && try_point(s, source, n, lengths[i]); n = next_point(n)) points++;
      assert_true(n < POINTS_MAX);
    }
  }
}

int sweep_main(const char *program, const sweep *sweeps, size_t n) {
  struct CMUnitTest tests[40] = {{NULL, NULL, NULL, NULL, NULL}};
  assert_true(n <= LENGTH(tests));
  for (size_t i = 0; i < n; i++)
    tests[i] = (struct CMUnitTest){sweeps[i].name, sweep_run, NULL, NULL, (void *)&sweeps[i]};
  cmocka_set_test_filter(getenv("SWEEP"));
  int failed = _cmocka_run_group_tests(program, tests, n, NULL, NULL);
  printf("swept: %zu points of failure\n", points);
  return failed;
}
