#include "worker/run.h"

#include <string.h>

#include "base/error.h"
#include "bug.h"
#include "codec/decode.h"
#include "codec/failure.h"
#include "codec/function.h"
#include "codec/value.h"
#include "worker/call.h"
#include "worker/chunk.h"
#include "worker/fail.h"
#include "worker/inherit.h"
#include "worker/hooks.h"
#include "worker/interrupt.h"
#include "worker/payload.h"
#include "worker/random.h"

/* A fresh environment that reads through to the globals. */
static void push_environment(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 2);
  lua_pushglobaltable(L);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, LMP_GLOBALS);
  lua_setfield(L, -2, "__name");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "_G");
}

/* Pushes a list of the coroutines that the task has started with mp.go and that have not ended. */
static void push_routines(lua_State *L, const lmp_run *run) {
  lua_newtable(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, run->world);
  if (lua_getfield(L, -1, "routines") == LUA_TTABLE) {
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
      lua_pushvalue(L, -2);
      lua_rawseti(L, -6, (lua_Integer)lua_rawlen(L, -6) + 1);
    }
  }
  lua_pop(L, 2);
}

/* Nobody is left who could ask why one of them failed in the end. */
static void tell_unclosed(const lmp_run *run, lua_State *co) {
  const char *why = luaL_typename(co, -1);
  if (lua_istable(co, -1) && lua_checkstack(co, 2)) { /* an error object of ours, most likely */
    lua_pushliteral(co, "message");
    lua_rawget(co, -2);
  }
  if (lua_type(co, -1) == LUA_TSTRING) why = lua_tostring(co, -1);
  mp_pool_log(mp_worker_pool(run->worker), MP_LOG_ERROR, "go",
              "a coroutine failed as it was closed with its task: %.*s", (int)strcspn(why, "\r\n"),
              why);
}

/* What the task has started ends with it, and closes its variables. */
static void close_routines(lua_State *L, const lmp_run *run) {
  luaL_checkstack(L, 8, NULL);
  push_routines(L, run);
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, -1); i++) {
    lua_rawgeti(L, -1, i);
    lua_State *co = lua_tothread(L, -1);
    if (lua_status(co) == LUA_YIELD && lmp_close_coroutine(L, co) != LUA_OK &&
        (!lmp_must_stop(run->vm) || run->stop == LMP_STOPS_MEMORY))
      tell_unclosed(run, co);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* The message handler of tasks. */
static int on_error(lua_State *L) {
  lmp_hook_off(L, lmp_vm_of(L));
  return lmp_keep_traceback(L);
}

static int run_protected(lua_State *L) {
  lmp_run *run = lua_touserdata(L, 1);
  lmp_vm *vm = run->vm;
  lmp_decoder decoder;
  uint32_t count;
  lmp_vm_prepare_deeper(L, vm);
  lua_pushcfunction(L, on_error);
  int handler = lua_gettop(L);
  lmp_inherit_follow(L, vm, &run->message);
  lmp_decode_begin(L, vm->context, &run->message, &decoder, &count);
  if (vm->host->isolate == LMP_ISOLATE_ENV) {
    push_environment(L);
    decoder.env = lua_gettop(L);
  }
  if (run->payload->kind == LMP_CHUNK)
    lmp_run_chunk(L, run, &decoder, count, handler);
  else
    lmp_run_call(L, run, &decoder, count, handler);
  if (run->world != LUA_NOREF) close_routines(L, run);
  return 0;
}

static lua_State *state_for(lmp_vm *vm) {
  if (vm->depth == 0) return vm->L;
  /* The stack of the main coroutine lies idle while a task waits on it. */
  lua_State *outer = vm->L;
  if (!lua_checkstack(outer, 4)) return NULL;
  lua_rawgeti(outer, LUA_REGISTRYINDEX, vm->threads);
  lua_rawgeti(outer, -1, vm->depth);
  lua_State *L = lua_tothread(outer, -1);
  lua_pop(outer, 2);
  return L;
}

/* What the state may grow to while the task runs; tasks that it waits for run within its limit. */
static size_t ceiling_for(const lmp_vm *vm, const lmp_payload *payload) {
  size_t limit = (size_t)payload->memory_kib << 10;
  if (MP_BUGGY(LIMIT_FROM_ZERO) && limit != 0) return limit;
  return limit == 0 || limit > vm->ceiling - vm->bytes || vm->bytes > vm->ceiling
             ? vm->ceiling
             : vm->bytes + limit;
}

static void run_on(lua_State *L, lmp_run *run) {
  lmp_vm *vm = run->vm;
  int top = lua_gettop(L);
  size_t ceiling = vm->ceiling;
  bool outer_hook = vm->hook.changed;
  run->outer = vm->run;
  vm->run = run;
  vm->hook.changed = false;
  vm->depth++;
  vm->ceiling = ceiling_for(vm, run->payload);
  int status = LUA_ERRMEM;
  if (lua_checkstack(L, 8)) {
    lmp_random random;
    lmp_random_begin(L, vm, &random, run->outer != NULL);
    lua_State *before = lmp_interrupt_enter(vm, L);
    lua_pushcfunction(L, run_protected);
    lua_pushlightuserdata(L, run);
    status = lua_pcall(L, 1, 0, 0);
    lmp_interrupt_leave(vm, L, before);
    if (vm->hook.changed) lmp_hook_restore(L, vm);
    vm->hook.changed = outer_hook;
    lmp_random_end(L, vm, &random);
  }
  vm->ceiling = SIZE_MAX;
  /* An interrupt may have come outside of the function's own call, too. */
  if (lmp_was_cancelled(run))
    run->status = MP_CANCELLED;
  else if (status != LUA_OK)
    lmp_fail_outside(L, run, status);
  if (run->stop != LMP_GOES_ON && !MP_BUGGY(STATE_KEPT)) vm->damaged = true;
  assert(vm->run == run && vm->depth > 0 && lua_gettop(L) >= top);
  vm->depth--;
  vm->run = run->outer;
  luaL_unref(L, LUA_REGISTRYINDEX, run->world);
  vm->ceiling = ceiling;
  lua_settop(L, top);
}

/*
** Where the result holds a handle of its own task, that holds no reference any more: the task owns
** the result, and a reference would keep both for ever.
*/
static void borrow_own_task(lmp_message *result, mp_task *task) {
  for (uint32_t i = 0; i < result->attachment_count; i++) {
    lmp_attachment *a = &result->attachments[i];
    if (a->object != task || MP_BUGGY(OWN_TASK_KEPT)) continue;
    assert(a->kind->borrowed != NULL);
    a->kind = a->kind->borrowed;
    mp_task_release(task);
  }
}

/* No task is on the state now: one that may be damaged goes. */
static void after_task(lmp_vm *vm, const lmp_run *run) {
  assert(vm->depth == 0 && vm->run == run->outer);
  if (!vm->damaged && vm->host->isolate != LMP_ISOLATE_STATE) return;
  /* Finalisers may take long, or wait for a child process: the task ends before they run. */
  if (run->status == MP_CANCELLED && !mp_state_is_terminal(mp_task_state(run->task)))
    mp_cancel_now(run->task);
  lmp_vm_close(vm);
}

static mp_status run_task(lmp_vm *vm, mp_worker *worker, lmp_payload *payload, lmp_span *span) {
  lmp_run run = {.vm = vm,
                 .worker = worker,
                 .task = mp_worker_task(worker),
                 .payload = payload,
                 .message = lmp_payload_message(payload),
                 .world = LUA_NOREF,
                 .span = span};
  lmp_message *failure = NULL;
  lua_State *L = NULL;
  bool new = vm->L == NULL;
  /* What prepares the state is a part of its first task, and is stopped with it. */
  run.outer = vm->run;
  if (new) vm->run = &run;
  bool opened = lmp_vm_open(vm, &failure);
  vm->run = run.outer;
  if (opened) {
    L = state_for(vm);
    if (L == NULL) return MP_NOMEM;
    run_on(L, &run);
  } else if (lmp_was_cancelled(&run)) {
    run.status = MP_CANCELLED;
    if (failure != NULL) lmp_message_free(failure);
  } else {
    run.status = MP_FAILED;
    run.result = failure;
  }
  if (run.result != NULL) {
    borrow_own_task(run.result, run.task);
    mp_worker_set_result(worker, run.result,
                         run.result == &run.payload->message ? NULL : lmp_message_free);
  }
  if (vm->depth == 0 && L != NULL) after_task(vm, &run);
  return run.status;
}

/*
** A task that shares its state with no other runs while one waits, or while the state is closed: on
** a state of its own.
*/
static mp_status run_apart(lmp_vm *vm, mp_worker *worker, lmp_payload *payload, lmp_span *span) {
  lmp_vm waiting;
  lmp_vm_set_aside(vm, &waiting);
  mp_status status = run_task(vm, worker, payload, span);
  lmp_vm_put_back(vm, &waiting);
  return status;
}

mp_status lmp_run_task(mp_worker *worker, void *arg) {
  lmp_vm *vm = lmp_vm_of_worker(worker);
  const lmp_trace *trace = vm->host->trace;
  lmp_span span;
  bool apart = vm->closing > 0 || (vm->depth > 0 && vm->host->isolate == LMP_ISOLATE_STATE);
  mp_status (*run)(lmp_vm *, mp_worker *, lmp_payload *, lmp_span *) = apart ? run_apart : run_task;
  if (trace == NULL) return run(vm, worker, arg, NULL);
  lmp_trace_begin(&span);
  mp_status status = run(vm, worker, arg, &span);
  lmp_trace_end(trace, &span, worker, mp_worker_task(worker), status);
  return status;
}
