#include "worker/fail.h"

#include <string.h>

#include "base/error.h"
#include "codec/encode.h"
#include "codec/failure.h"
#include "worker/interrupt.h"
#include "worker/payload.h"

void lmp_fail(lua_State *L, lmp_run *run, const char *kind, bool with_traceback) {
  lmp_context *context = run->vm->context;
  lmp_buffer *buffer = lmp_encode_begin(L, context, mp_worker_pool(run->worker));
  assert(run->result == NULL);
  run->status = MP_FAILED;
  if (lmp_encode_failure(L, context, buffer, kind, run->name, "", with_traceback))
    run->result = lmp_encode_take(buffer);
}

/* The error that a cancelled task ended with, passed on by one that had waited for it? */
static bool is_cancel_passed_on(lua_State *L) {
  LMP_HEIGHT(base, L);
  bool is = false;
  if (lua_istable(L, -1) && lua_getmetatable(L, -1)) {
    luaL_getmetatable(L, LMP_ERROR);
    if (lua_rawequal(L, -1, -2)) {
      lua_pushliteral(L, "kind");
      is = lua_rawget(L, -4) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "cancelled") == 0;
      lua_pop(L, 1);
    }
    lua_pop(L, 2);
  }
  assert(lua_gettop(L) == base);
  return is;
}

void lmp_fail_run(lua_State *L, lmp_run *run, int status) {
  lmp_vm *vm = run->vm;
  if (status == LUA_ERRMEM || status == LUA_ERRERR) vm->damaged = true;
  (void)lmp_vm_caught(vm);
  vm->ceiling = SIZE_MAX;                       /* the failure takes some memory, too */
  if (run->stop == LMP_STOPS_CANCELLED) return; /* a cancelled task has no result */
  if (run->stop == LMP_STOPS_MEMORY) {
    lmp_interrupt_disarm(vm, L);
    lua_pushliteral(L, LMP_OVER_LIMIT);
  }
  run->payload->quiet = is_cancel_passed_on(L);
  lmp_fail(L, run, status == LUA_ERRMEM || run->stop == LMP_STOPS_MEMORY ? "memory" : "error",
           true);
}

bool lmp_was_cancelled(const lmp_run *run) {
  return run->stop == LMP_STOPS_CANCELLED || (run->saw_cancel && mp_worker_cancelled(run->worker));
}

static int fail_protected(lua_State *L) { /* stack: run, error value */
  lmp_run *run = lua_touserdata(L, 1);
  if (run->stop == LMP_STOPS_MEMORY) lua_pushliteral(L, LMP_OVER_LIMIT);
  lmp_fail(L, run, run->stop == LMP_STOPS_MEMORY ? "memory" : "error", false);
  return 0;
}

void lmp_fail_outside(lua_State *L, lmp_run *run, int status) {
  assert(status != LUA_OK);
  LMP_HEIGHT(base, L);
  run->status = MP_FAILED;
  run->name = NULL; /* the name was on the stack that the error has unwound */
  (void)lmp_vm_caught(run->vm);
  if (status == LUA_ERRMEM) run->vm->damaged = true;
  /* A task that failed without a result counts as one that failed for lack of memory. */
  if (status == LUA_ERRMEM && run->stop == LMP_GOES_ON) return;
  lua_pushcfunction(L, fail_protected);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, run);
  lua_insert(L, -2);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) lua_pop(L, 1);
  assert(lua_gettop(L) == base - 1);
}
