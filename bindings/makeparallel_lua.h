/*
** makeparallel_lua.h - Lua in a program of your own: a pool that you made runs Lua tasks beside C
** tasks.
**
** Without this header a lua_State that requires "makeparallel" makes pools of its own. With it:
**
**   mp_lua *lua;                                       // what worker states are made from
**   mp_lua_config lua_config = mp_lua_config_default();
**   mp_pool_config config = mp_pool_config_default();
**   mp_lua_prepare(&lua_config, &config, &lua);        // adds its hooks to the pool's config
**   mp_pool_create(&config, &pool);                    // the pool frees `lua` in its end
**   luaL_requiref(L, "makeparallel.core", luaopen_makeparallel_core, 0);
**   mp_lua_attach(L, pool);                            // require "makeparallel" in L uses this
**                                                      pool
**   ... each frame: mp_poll(pool, budget_ns, 0); mp_lua_poll(L, budget_ns); ...
**   lua_close(L);                                      // detaches; the pool is yours
**   mp_pool_destroy(pool);
**
** Rules that hold for every function
**   - One thread at a time per lua_State, as ever. No Lua error leaves a function here: what was
**     raised is on the stack as the text says.
**   - No signal is taken unless cancel_mode is MP_LUA_CANCEL_SIGNAL.
*/
#ifndef MAKEPARALLEL_LUA_H
#define MAKEPARALLEL_LUA_H

#include <lua.h>

#include "makeparallel.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
** The module's C part, for luaL_requiref or package.preload. The Lua part (`require
** "makeparallel"`) is found by package.path.
*/
MP_API int luaopen_makeparallel_core(lua_State *L);

typedef struct mp_lua mp_lua;

/* How Lua that runs is made to stop when its task is cancelled or its deadline passes. */
typedef enum mp_lua_cancel {
  /* a signal to the worker (config.interrupt_signal) sets a hook: no cost before */
  MP_LUA_CANCEL_SIGNAL,
  MP_LUA_CANCEL_HOOK, /* a count hook is always there: up to twice the time in tight loops */
  /*
  ** not at all: the task must look at mp.cancelled(). One that does not may keep the owner's thread
  ** (owner_works)
  */
  MP_LUA_CANCEL_COOPERATIVE
} mp_lua_cancel;

typedef struct mp_lua_config {
  size_t size; /* sizeof(mp_lua_config) */
  /* default MP_LUA_CANCEL_COOPERATIVE: a library takes no signal unasked */
  mp_lua_cancel cancel_mode;
  /* nonzero (default): the standard libraries are opened in each worker's state */
  int open_libs;
  size_t memory_limit; /* bytes a worker's state may hold; 0: any number */
  /* of worker states, called on the worker's own thread; NULL: malloc */
  lua_Alloc alloc;
  void *alloc_ud;
  /*
  ** Prepares each new worker state: libraries, package.preload, a sandbox. On the worker's thread,
  ** protected: an error it raises fails the task that needed the state. A state is made anew after
  ** a forced cancel or a memory error. May be NULL.
  */
  void (*worker_state)(lua_State *L, mp_worker *worker, void *ud);
  void *ud;
  /* a file to write: which worker ran which Lua task, and when, for ui.perfetto.dev. NULL: none */
  const char *trace;
} mp_lua_config;

MP_API mp_lua_config mp_lua_config_default(void);

/*
** Lets a pool that will be made from *pool_config run Lua tasks: adds to its hooks worker_start,
** worker_stop, worker_interrupt, worker_idle and closed, which go on calling yours. mp_worker_local
** stays what your worker_start returns. One pool for each prepare. The pool owns *lua once
** mp_pool_create has succeeded; if it failed, mp_lua_discard. Errors: INVALID, NOMEM, SYSTEM (the
** file `trace` cannot be written: see errno).
*/
MP_API MP_CHECKED mp_status mp_lua_prepare(const mp_lua_config *config, mp_pool_config *pool_config,
                                           mp_lua **lua);
MP_API void mp_lua_discard(mp_lua *lua); /* NULL is ignored */

/*
** Makes the pool the default one of L, in which the core is open already and no default pool runs.
** Workers inherit package.path, cpath and package.preload from the first state that attaches, and
** follow those of the state that submits a task, where they differ. Any number of states, each on
** its own thread, may attach. It lasts until lua_close or mp_lua_detach; tasks in flight go on,
** their callbacks are dropped.
** Errors: INVALID (the pool is not prepared; L lacks the core or has a default pool), NOMEM,
** SHUTDOWN, FORKED.
*/
MP_API MP_CHECKED mp_status mp_lua_attach(lua_State *L, mp_pool *pool);
MP_API void mp_lua_detach(lua_State *L);

/*
** Delivers callbacks of L's handles as mp.poll does, for up to budget_ns; not inside a callback or
** a coroutine. Returns how many.
*/
MP_API size_t mp_lua_poll(lua_State *L, uint64_t budget_ns);

typedef struct mp_lua_task {
  size_t size;      /* sizeof(mp_lua_task) */
  const char *name; /* for errors and logs; copied. May be NULL */
  int priority;
  uint64_t timeout_ns; /* counted from now; 0: none */
  size_t memory_limit; /* bytes, at least 65,536; 0: none */
} mp_lua_task;

#define MP_LUA_TASK_INIT \
  { sizeof(mp_lua_task), 0, 0, 0, 0 }

/*
** Submits, to L's pool, a function (or its name, "module.fn") with `args` arguments, all on top of
** L's stack, and pops them. Handles among the arguments are dependencies. `options` may be NULL.
** The caller gets a reference; use mp_wait, mp_cancel, mp_task_notify as for any task. On failure
** an error object or text is left in their place. Errors: INVALID (something cannot be sent; there
** is no such function and arguments on the stack: then nothing is popped), and those of mp_submit.
*/
MP_API MP_CHECKED mp_status mp_submit_lua(lua_State *L, int args, const mp_lua_task *options,
                                          mp_task **task);

/*
** Pushes what a done Lua task of L's pool returned: how many values. For one that ended otherwise,
** or whose values cannot be made here, pushes an error object and returns -1. The task must be
** terminal.
*/
MP_API int mp_push_results(lua_State *L, mp_task *task);

#ifdef __cplusplus
}
#endif

#endif
