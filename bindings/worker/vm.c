#include "worker/vm.h"

#include <stdlib.h>
#include <string.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "base/compat.h"
#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/failure.h"
#include "worker/guards.h"
#include "worker/inherit.h"
#include "worker/hooks.h"
#include "worker/interrupt.h"
#include "worker/random.h"

/*
** {======================================================
** Memory
** =======================================================
*/

/* so much must have been freed before it pays to ask malloc for it */
#define TRIM_FROM ((size_t)1 << 20)

/* After a refusal Lua collects all garbage and asks again: the second refusal is final. */
static void refuse(lmp_vm *vm, size_t size) {
  if (vm->refused == size)
    lmp_interrupt_for_memory(vm);
  else
    vm->refused = size;
}

static void *resize(const lmp_vm *vm, void *block, size_t size_old, size_t size_new) {
  const mp_lua_config *lua = &vm->host->lua;
  if (lua->alloc != NULL) return lua->alloc(lua->alloc_ud, block, size_old, size_new);
  if (size_new != 0) return realloc(block, size_new);
  free(block);
  return NULL;
}

/* Counts what the state holds, and keeps it below the ceiling. */
static void *vm_alloc(void *ud, void *block, size_t size_old, size_t size_new) {
  lmp_vm *vm = ud;
  if (block == NULL) size_old = 0;
  if (size_new == 0) {
    (void)resize(vm, block, size_old, 0);
    assert(size_old <= vm->bytes);
    vm->bytes -= size_old;
    return NULL;
  }
  if (size_new > size_old &&
      (vm->bytes > vm->ceiling || size_new - size_old > vm->ceiling - vm->bytes)) {
    refuse(vm, size_new);
    return NULL;
  }
  void *grown = resize(vm, block, size_old, size_new);
  if (grown == NULL) return NULL;
  vm->bytes += size_new - size_old;
  if (vm->bytes > vm->peak) vm->peak = vm->bytes;
  if (size_new == vm->refused) vm->refused = 0;
  return grown;
}

static int collect_step(lua_State *L) {
  lua_pushboolean(L, lua_gc(L, LUA_GCSTEP, 0));
  return 1;
}

/* Collects a step; true: there is more to do. */
static bool collect(lmp_vm *vm) {
  lua_State *L = vm->L;
  if (L == NULL) return false;
  lua_pushcfunction(L, collect_step);
  bool over = lua_pcall(L, 0, 1, 0) != LUA_OK || lua_toboolean(L, -1);
  lua_pop(L, 1);
  if (!over) return true;
#if defined(__GLIBC__)
  if (vm->peak - vm->bytes > TRIM_FROM) malloc_trim(0);
#endif
  vm->peak = vm->bytes;
  return false;
}

int lmp_vm_idle(mp_worker *worker, void *local, void *ud) {
  const lmp_host *host = ud;
  bool more = collect(lmp_vm_of_worker(worker));
  if (host->outer.worker_idle != NULL &&
      host->outer.worker_idle(worker, local, host->outer.worker_ud))
    more = true;
  return more;
}

/* }====================================================== */

/*
** {======================================================
** Between two tasks
** =======================================================
*/

/* how long callbacks may keep a worker that others wait for */
#define BETWEEN_NS ((uint64_t)2 * 1000000000)

void lmp_vm_mail(mp_worker *worker, void *local, void *ud) {
  const lmp_host *host = ud;
  lmp_vm *vm = lmp_vm_of_worker(worker);
  if (vm->L != NULL) {
    vm->between_until = mp_now() + BETWEEN_NS;
    lmp_interrupt_limit(vm, vm->L);
    vm->between_tasks(vm->L, vm->context);
    lmp_interrupt_leave(vm, vm->L, NULL);
    vm->between_until = 0;
    if (vm->overran) {
      mp_pool_log(mp_worker_pool(worker), MP_LOG_ERROR, "callback",
                  "callbacks between two tasks took more than %d s and were ended",
                  (int)(BETWEEN_NS / 1000000000));
      lmp_vm_close(vm);
    }
  }
  if (host->outer.worker_mail != NULL)
    host->outer.worker_mail(worker, local, host->outer.worker_ud);
}

/* }====================================================== */

/*
** {======================================================
** Life
** =======================================================
*/

void *lmp_vm_start(mp_worker *worker, void *ud) {
  lmp_host *host = ud;
  lmp_vm *vm = lmp_vm_of_worker(worker);
  vm->host = host;
  vm->worker = worker;
  vm->room = SIZE_MAX;
  if (host->trace != NULL) lmp_trace_thread(host->trace, worker);
  return host->outer.worker_start != NULL ? host->outer.worker_start(worker, host->outer.worker_ud)
                                          : NULL;
}

void lmp_vm_stop(mp_worker *worker, void *local, void *ud) {
  const lmp_host *host = ud;
  lmp_vm_close(lmp_vm_of_worker(worker));
  if (host->outer.worker_stop != NULL)
    host->outer.worker_stop(worker, local, host->outer.worker_ud);
}

/* Its finalisers run, and may do anything: they belong to no task. */
void lmp_vm_close(lmp_vm *vm) {
  lua_State *L = vm->L;
  lmp_run *run = vm->run;
  vm->L = NULL;
  vm->context = NULL;
  vm->current = NULL;
  vm->run = NULL;
  vm->damaged = false;
  memset(&vm->hook, 0, sizeof vm->hook);
  if (L != NULL) {
    vm->closing++;
    lua_close(L);
    vm->closing--;
  }
  vm->run = run;
}

void lmp_vm_set_aside(lmp_vm *vm, lmp_vm *waiting) {
  *waiting = *vm;
  vm->current = NULL; /* first: from here on an interrupt means what comes */
  vm->L = NULL;
  vm->context = NULL;
  vm->depth = vm->thread_count = 0;
  memset(&vm->hook, 0, sizeof vm->hook);
  if (waiting->ceiling != SIZE_MAX)
    vm->room = waiting->ceiling > waiting->bytes ? waiting->ceiling - waiting->bytes : 0;
}

void lmp_vm_put_back(lmp_vm *vm, const lmp_vm *waiting) {
  assert(vm->L == NULL && vm->run == waiting->run);
  struct lmp_book *book = vm->book;
  uint64_t streams = vm->streams;
  *vm = *waiting;
  vm->book = book;
  vm->streams = streams;
}

/* stack: modules, setup */
static void set_up(lua_State *L) {
  assert(lua_gettop(L) >= 2 && lua_istable(L, -2));
  lua_Integer n = luaL_len(L, -2);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_getglobal(L, "require");
    lua_geti(L, -3, i);
    lua_call(L, 1, 0);
  }
  if (!lua_isnil(L, -1)) lua_call(L, 0, 0);
}

void lmp_vm_prepare_deeper(lua_State *L, lmp_vm *vm) {
  if (vm->depth <= vm->thread_count) return;
  assert(vm->depth == vm->thread_count + 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->threads);
  lua_State *deeper = lua_newthread(L);
  if (vm->hook.function != NULL) lmp_hook_restore(deeper, vm);
  lua_rawseti(L, -2, vm->depth);
  lua_pop(L, 1);
  vm->thread_count = vm->depth;
}

/* The hook that setup has left is the coroutines' for its tasks, too. */
static void settle_hook(lua_State *L, lmp_vm *vm) {
  lmp_hook_settle(L, vm);
  if (vm->hook.function == NULL) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->threads);
  for (int i = 1; i <= vm->thread_count; i++) {
    lua_rawgeti(L, -1, i);
    lmp_hook_restore(lua_tothread(L, -1), vm);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/*
** Modules and `setup` are the host's code, which may wait for tasks: these run on coroutines, as
** below any task that waits. An error leaves the vm as it is then, for the state goes.
*/
static void set_up_protected(lua_State *L, lmp_vm *vm) {
  vm->depth = 1;
  lmp_vm_prepare_deeper(L, vm);
  (void)lmp_interrupt_enter(vm, L);
  lmp_inherit_begin(L, vm);
  lmp_decode_all(L, vm->context, lmp_heritage_of(mp_worker_pool(vm->worker))->setup);
  set_up(L);
  lmp_inherit_settle(L, vm->context);
  lmp_interrupt_leave(vm, L, NULL);
  settle_hook(L, vm);
  assert(vm->depth == 1);
  vm->depth = 0;
}

static int open_protected(lua_State *L) {
  lmp_vm *vm = lua_touserdata(L, 1);
  const mp_lua_config *lua = &vm->host->lua;
  lmp_guard_warnings(L, vm);
  if (lua->open_libs) luaL_openlibs(L);
  if (lua->worker_state != NULL) lua->worker_state(L, vm->worker, lua->ud);
  lua_settop(L, 1);
  lmp_guard_libraries(L, vm);
  lmp_random_open(L, vm);
  assert(lua_gettop(L) == 1);
  vm->context = vm->host->open_state(L, vm);
  assert(lua_gettop(L) == 1 && vm->context->vm == vm && vm->between_tasks != NULL);
  lmp_interrupt_open(L, vm);
  lmp_hook_open(L);
  lua_newtable(L);
  vm->threads = luaL_ref(L, LUA_REGISTRYINDEX);
  if (lmp_heritage_of(mp_worker_pool(vm->worker)) != NULL) set_up_protected(L, vm);
  if (vm->damaged) return luaL_error(L, "a task that it waited for was made to go");
  return 0;
}

/* How the making of a state failed, on its way into a message. */
typedef struct opening {
  lmp_vm *vm;
  const char *kind;
  lmp_message *failure;
} opening;

/* stack: opening, error value */
static int write_failure(lua_State *L) {
  static const char prefix[] = "cannot set up a worker: ";
  opening *o = lua_touserdata(L, 1);
  mp_pool *pool = mp_worker_pool(o->vm->worker);
  if (o->vm->context == NULL) { /* it did not even come to that */
    lua_pushstring(L, prefix);
    lua_insert(L, 2);
    lmp_push_error_text(L);
    lua_remove(L, -2);
    lua_concat(L, 2);
    o->failure = lmp_plain_failure(pool, o->kind, lua_tostring(L, -1));
    return 0;
  }
  lmp_buffer *buffer = lmp_encode_begin(L, o->vm->context, pool);
  if (lmp_encode_failure(L, o->vm->context, buffer, o->kind, NULL, prefix, true))
    o->failure = lmp_encode_take(buffer);
  return 0;
}

/* The failure for the error value on top. NULL: no memory, or the task is cancelled. */
static lmp_message *opening_failure(lmp_vm *vm, int status) {
  lua_State *L = vm->L;
  (void)lmp_vm_caught(vm);
  lmp_stop stop = vm->run == NULL ? LMP_GOES_ON : vm->run->stop;
  bool over_limit = stop == LMP_STOPS_MEMORY;
  opening o = {vm, status == LUA_ERRMEM || over_limit ? "memory" : "error", NULL};
  vm->ceiling = SIZE_MAX;                       /* the failure takes some memory, too */
  if (stop == LMP_STOPS_CANCELLED) return NULL; /* a cancelled task has none */
  if (over_limit) {
    lmp_interrupt_disarm(vm, L);
    lua_pop(L, 1);
    lua_pushstring(L, LMP_OVER_LIMIT);
  }
  lua_pushcfunction(L, write_failure);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, &o);
  lua_insert(L, -2);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) lua_pop(L, 1);
  return o.failure;
}

bool lmp_vm_open(lmp_vm *vm, lmp_message **failure) {
  if (vm->L != NULL) return true;
  vm->bytes = vm->peak = vm->refused = 0;
  vm->depth = vm->thread_count = 0;
  vm->damaged = vm->seeded = vm->overran = false;
  vm->ceiling = vm->host->memory_limit < vm->room ? vm->host->memory_limit : vm->room;
  vm->L = lmp_newstate(vm_alloc, vm);
  if (vm->L == NULL) {
    *failure = lmp_plain_failure(mp_worker_pool(vm->worker), "memory",
                                 "not enough memory for a worker's Lua state");
    return false;
  }
  *(lmp_vm **)lua_getextraspace(vm->L) = vm; /* coroutines inherit it */
  lua_pushcfunction(vm->L, lmp_keep_traceback);
  lua_pushcfunction(vm->L, open_protected);
  lua_pushlightuserdata(vm->L, vm);
  int status = lua_pcall(vm->L, 1, 0, 1);
  if (status == LUA_OK) {
    lua_settop(vm->L, 0);
    return true;
  }
  *failure = opening_failure(vm, status);
  lmp_vm_close(vm);
  return false;
}

/* }====================================================== */
