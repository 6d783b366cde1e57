#include "worker/interrupt.h"

#include "base/compat.h"
#include "base/error.h"
#include "bug.h"
#include "worker/guards.h"
#include "worker/payload.h"

#define LIMIT_LOOK_EVERY 100000 /* between two looks at the clock, between two tasks */
#define LOOK_EVERY 1000         /* instructions between two looks of the permanent hook */
/* how long a task that is told to go may spend in __close before it is told again, and again */
#define CLEANUP_NS ((uint64_t)20 * 1000000)
#define CLEANUP_LOOK_EVERY 20000 /* instructions between two looks whether that is over */
/* so many instructions, calls and returns of our Lua module go on when a task is told to go */
#define POSTPONE_MAX 10000
/* beyond its memory limit a task that is told to go may still need this much to do so */
#define LIMIT_SLACK ((size_t)64 << 10)

/* its address: registry key of {[stop] = error object}, made while there is memory */
static const char errors_key;

/*
** {======================================================
** The hook
** =======================================================
*/

/* Does what runs in place, on top of a task that waits, end with that? A piece of it does. */
static bool ends_with(const lmp_run *run, const lmp_run *outer) {
  const lmp_payload *payload = run->payload;
  return outer->owns_inner ||
         (payload->kind == LMP_CHUNK && payload->dependencies == (uint32_t)mp_task_id(outer->task));
}

bool lmp_must_stop(const lmp_vm *vm) {
  const lmp_run *run = vm->run;
  if (run == NULL) return vm->overran;
  if (run->stop != LMP_GOES_ON) return true;
  if (vm->host->cancel_mode == LMP_CANCEL_COOPERATIVE) return false;
  if (mp_worker_cancelled(run->worker)) return true;
  for (; run->outer != NULL && ends_with(run, run->outer); run = run->outer)
    if (mp_task_cancel_requested(run->outer->task)) return true;
  return false;
}

static int raise(lua_State *L, lmp_stop why) {
  assert(why != LMP_GOES_ON);
  lua_checkstack(L, 3);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &errors_key);
  lua_rawgeti(L, -1, why);
  return lua_error(L);
}

int lmp_raise_cancelled(lua_State *L, lmp_run *run) {
  run->saw_cancel = true;
  return lmp_must_stop(run->vm) ? lmp_raise_stop(L) : raise(L, LMP_STOPS_CANCELLED);
}

static void on_hook(lua_State *L, lua_Debug *ar);

static void arm(lua_State *L, int instructions) {
  lua_sethook(L, on_hook,
              instructions == 1 ? LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT : LUA_MASKCOUNT,
              instructions);
}

bool lmp_is_interrupted(lua_State *L) { return lua_gethook(L) == on_hook; }

void lmp_interrupt_disarm(lmp_vm *vm, lua_State *L) {
  if (vm->host->cancel_mode == LMP_CANCEL_HOOK || MP_BUGGY(HOOK_FROM_START))
    arm(L, LOOK_EVERY);
  else
    lua_sethook(L, vm->hook.function, vm->hook.mask, vm->hook.count);
}

/* The first time what it has open may close; after that it is told at each instruction. */
static void told(lua_State *L, lmp_run *run) {
  if (run->raised++ == 0) run->raised_ns = mp_now();
  arm(L, run->raised == 1 ? CLEANUP_LOOK_EVERY : 1);
}

/* A wait may have told the task: what it has open has as long to close as after the hook. */
int lmp_raise_stop(lua_State *L) {
  lmp_run *run = lmp_vm_of(L)->run;
  if (run == NULL) { /* between two tasks */
    arm(L, 1);
    return raise(L, LMP_STOPS_CANCELLED);
  }
  if (run->stop == LMP_GOES_ON) run->stop = LMP_STOPS_CANCELLED;
  if (run->raised == 0) told(L, run);
  return raise(L, run->stop);
}

static bool is_cleaning_up(const lmp_run *run) {
  return run != NULL && run->raised == 1 && mp_now() - run->raised_ns < CLEANUP_NS;
}

/* Is the Lua code that runs a part of our Lua module? Functions in C count to whoever called. */
static bool is_in_module(lua_State *L, lua_Debug *ar) {
  for (int level = 1; lua_getinfo(L, "S", ar) != 0 && *ar->what == 'C'; level++)
    if (!lua_getstack(L, level, ar)) return false;
  return lmp_is_of_module(ar->source);
}

/*
** Our Lua module is told where it waits, or in the program's code that it calls: a piece that it
** has just submitted is then where it will be cancelled from.
*/
static bool waits_for_module(lua_State *L, lmp_run *run, lua_Debug *ar) {
  if (run->postponed >= POSTPONE_MAX || !is_in_module(L, ar)) return false;
  run->postponed++;
  arm(L, 1);
  return true;
}

static void on_hook(lua_State *L, lua_Debug *ar) {
  lmp_vm *vm = lmp_vm_of(L);
  if (vm->run == NULL && vm->between_until != 0) {
    vm->overran = vm->overran || mp_now() > vm->between_until;
    if (vm->overran) lmp_raise_stop(L);
    return;
  }
  if (!lmp_must_stop(vm)) { /* the permanent hook, or one for a task that is out already */
    if (vm->host->cancel_mode != LMP_CANCEL_HOOK) lmp_interrupt_disarm(vm, L);
    return;
  }
  if (is_cleaning_up(vm->run) || waits_for_module(L, vm->run, ar)) return;
  told(L, vm->run);
  lmp_raise_stop(L);
}

/*
** No interrupt comes between two tasks: so what runs there looks itself whether its time is over.
*/
static void limit(const lmp_vm *vm, lua_State *L) {
  if (vm->host->cancel_mode == LMP_CANCEL_SIGNAL) arm(L, LIMIT_LOOK_EVERY);
}

void lmp_interrupt_limit(lmp_vm *vm, lua_State *L) {
  vm->current = L;
  limit(vm, L);
}

void lmp_interrupt(mp_worker *worker, void *local, void *ud) {
  const lmp_host *host = ud;
  lmp_vm *vm = lmp_vm_of_worker(worker);
  lua_State *L = vm->current;
  if (L == NULL) { /* a task in C */
    if (host->outer.worker_interrupt != NULL)
      host->outer.worker_interrupt(worker, local, host->outer.worker_ud);
    return;
  }
  if (!is_cleaning_up(vm->run)) arm(L, 1);
}

void lmp_interrupt_for_memory(lmp_vm *vm) {
  vm->refused = 0;
  if (vm->run == NULL || vm->run->stop != LMP_GOES_ON || MP_BUGGY(LIMIT_FORGIVES)) return;
  vm->run->stop = LMP_STOPS_MEMORY;
  if (vm->current != NULL) arm(vm->current, 1);
  vm->ceiling += LIMIT_SLACK;
}

bool lmp_vm_caught(lmp_vm *vm) {
  if (vm->refused != 0) lmp_interrupt_for_memory(vm); /* luaL_Buffer asks but once */
  return lmp_must_stop(vm);
}

lua_State *lmp_interrupt_enter(lmp_vm *vm, lua_State *L) {
  lua_State *before = vm->current;
  vm->current = L;
  if (vm->between_until != 0) limit(vm, L);
  return before;
}

void lmp_interrupt_leave(lmp_vm *vm, lua_State *L, lua_State *before) {
  vm->current = before; /* first: from here on no interrupt means L */
  if (lua_gethook(L) == on_hook || MP_BUGGY(HOOK_FROM_START)) lmp_interrupt_disarm(vm, L);
}

/* }====================================================== */

/*
** {======================================================
** Functions that catch errors, as Lua's own but for an end that cannot be caught
** =======================================================
*/

static int finish_pcall(lua_State *L, int status, lua_KContext extra) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)extra;
  if (lmp_vm_caught(lmp_vm_of(L))) return lmp_raise_stop(L);
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

static int guarded_pcall(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 1); /* stack: true, function, arguments */
  return finish_pcall(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall), 0);
}

/* Is the task that runs told to go? */
static int is_stopping(lua_State *L) {
  lua_pushboolean(L, lmp_must_stop(lmp_vm_of(L)));
  return 1;
}

/*
** A message handler in Lua could go on for ever, out of reach of the hook that raised: it is not
** called for an end. A tail call leaves it at the level of the stack where it is without us.
*/
static const char guard_handler[] = "local is_stopping = ...\n"
                                    "return function(handler)\n"
                                    "  return function(...)\n"
                                    "    if is_stopping() then return ... end\n"
                                    "    return handler(...)\n"
                                    "  end\n"
                                    "end\n";

/* Pushes the function that guards a handler. */
static void push_handler_guard(lua_State *L) {
  if (luaL_loadbufferx(L, guard_handler, sizeof guard_handler - 1, "=(xpcall)", "t") != LUA_OK)
    lua_error(L);
  lua_pushcfunction(L, is_stopping);
  lua_call(L, 1, 1);
}

/* Second upvalue: what guards a handler */
static int guarded_xpcall(lua_State *L) {
  enum { FUNCTION = 1, HANDLER = 2 };
  luaL_checktype(L, HANDLER, LUA_TFUNCTION);
  if (!lua_iscfunction(L, HANDLER)) {
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, HANDLER);
    lua_call(L, 1, 1);
    lua_replace(L, HANDLER);
  }
  lua_pushboolean(L, 1);
  lua_pushvalue(L, FUNCTION);
  lua_rotate(L, HANDLER + 1, 2); /* stack: function, handler, true, function, arguments */
  return finish_pcall(
      L, lua_pcallk(L, lua_gettop(L) - 4, LUA_MULTRET, HANDLER, HANDLER, finish_pcall), HANDLER);
}

/* load with a reader calls it, and catches its errors. */
static int guarded_load(lua_State *L) {
  int n = lmp_call_original(L);
  if (lua_isnil(L, -n) && lmp_vm_caught(lmp_vm_of(L))) return lmp_raise_stop(L);
  return n;
}

int lmp_close_coroutine(lua_State *L, lua_State *co) {
  lmp_vm *vm = lmp_vm_of(L);
  lua_State *before = lmp_interrupt_enter(vm, co);
  if (lmp_must_stop(vm)) arm(co, is_cleaning_up(vm->run) ? CLEANUP_LOOK_EVERY : 1);
  int status = lmp_closethread(co, L);
  lmp_interrupt_leave(vm, co, before);
  return status;
}

/*
** Resumes co with the n values on top of L, which co becomes the running coroutine for. Returns how
** many values came back, or -1 with the error on top of L.
*/
int lmp_resume(lua_State *L, lua_State *co, int n) {
  lmp_vm *vm = lmp_vm_of(L);
  int results;
  assert(n >= 0 && lua_gettop(L) >= n);
  if (!lua_checkstack(co, n)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, n);
  lua_State *before = lmp_interrupt_enter(vm, MP_BUGGY(COROUTINE_UNSEEN) ? L : co);
  int status = lua_resume(co, L, n, &results);
  lmp_interrupt_leave(vm, co, before);
  if (status != LUA_OK && status != LUA_YIELD) {
    if (lmp_vm_caught(vm)) {
      if (lua_status(co) > LUA_YIELD)
        (void)lmp_close_coroutine(L, co); /* it died; nobody else will */
      lmp_raise_stop(L);
    }
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, results);
  return results;
}

static lua_State *check_coroutine(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTHREAD);
  return lua_tothread(L, 1);
}

static int guarded_resume(lua_State *L) {
  lua_State *co = check_coroutine(L);
  int n = lmp_resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, n >= 0);
  if (n < 0) n = 1;
  lua_insert(L, -n - 1);
  return n + 1;
}

/* What coroutine.wrap returned is called. Upvalue: the coroutine */
static int call_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int n = lmp_resume(L, co, lua_gettop(L));
  if (n >= 0) return n;
  int status = lua_status(co);
  /* The coroutine died of the error: its variables are closed, which may raise another. */
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_State *before = lmp_interrupt_enter(lmp_vm_of(L), co);
    status = lmp_closethread(co, L);
    lmp_interrupt_leave(lmp_vm_of(L), co, before);
    if (lmp_vm_caught(lmp_vm_of(L))) return lmp_raise_stop(L);
    if (status != LUA_OK) lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int guarded_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, call_wrapped, 1);
  return 1;
}

static bool is_active(lua_State *co) {
  lua_Debug level;
  return lua_status(co) == LUA_OK && lua_getstack(co, 0, &level) != 0;
}

/*
** coroutine.close runs __close on the coroutine. One that is active is refused, or in Lua 5.5
** closes itself where it runs: then the call does not return, but the one that resumed it does.
*/
static int guarded_close(lua_State *L) {
  lmp_vm *vm = lmp_vm_of(L);
  lua_State *co = lua_tothread(L, 1);
  if (co == NULL || is_active(co)) return lmp_call_original(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_State *before = lmp_interrupt_enter(vm, co);
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  lmp_interrupt_leave(vm, co, before);
  if (lmp_vm_caught(vm)) return lmp_raise_stop(L);
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* }====================================================== */

static void push_error_objects(lua_State *L) {
  lua_createtable(L, LMP_STOPS_MEMORY, 0);
  lmp_push_error(L, "cancelled", "the task was cancelled");
  lua_rawseti(L, -2, LMP_STOPS_CANCELLED);
  lmp_push_error(L, "memory", "%s", LMP_OVER_LIMIT);
  lua_rawseti(L, -2, LMP_STOPS_MEMORY);
}

/*
** Replaces the field of the library, where there is such, by a function with the original as its
** upvalue. "": the globals
*/
static void replace(lua_State *L, const char *library, const char *field, lua_CFunction function) {
  lua_pushglobaltable(L);
  if (*library != '\0') lua_getfield(L, -1, library);
  if (lua_istable(L, -1) && lua_getfield(L, -1, field) == LUA_TFUNCTION) {
    bool handles = function == guarded_xpcall;
    if (handles) push_handler_guard(L);
    lua_pushcclosure(L, function, handles ? 2 : 1);
    lua_setfield(L, -2, field);
  }
}

void lmp_interrupt_open(lua_State *L, lmp_vm *vm) {
  push_error_objects(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &errors_key);
  assert(lmp_vm_of(L) == vm);
  static const struct {
    const char *library, *field;
    lua_CFunction function;
  } guards[] = {{"", "pcall", guarded_pcall},        {"", "xpcall", guarded_xpcall},
                {"", "load", guarded_load},          {"coroutine", "resume", guarded_resume},
                {"coroutine", "wrap", guarded_wrap}, {"coroutine", "close", guarded_close}};
  int top = lua_gettop(L);
  for (size_t i = 0; i < sizeof guards / sizeof guards[0]; i++) {
    replace(L, guards[i].library, guards[i].field, guards[i].function);
    lua_settop(L, top);
  }
  if (vm->host->cancel_mode == LMP_CANCEL_HOOK) arm(L, LOOK_EVERY);
}
