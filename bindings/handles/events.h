/*
** events.h - callbacks: always on the state that asked for them, while it polls, each in a
** protected call of its own.
*/
#ifndef LMP_EVENTS_H
#define LMP_EVENTS_H

#include "handles/handle.h"
#include "handles/pool.h"

/* What was delivered to a state. Its context's own. */
struct lmp_events {
  lua_Integer callback_errors; /* callbacks that raised, so far */
  lua_Integer delivered;       /* messages so far */
  /*
  ** registry reference, once there is one: a list of what there is to tell of ended tasks whose
  ** pool is gone, and brings no news: the next poll tells it
  */
  int late;
  lua_Integer late_first, late_count; /* what is in it: from the first one on */
};

/*
** Calls the function at stack index `function` when it happens: on this state, while it polls, once
** (progress: each time).
*/
void lmp_on(lua_State *L, lmp_context *context, int handle, lmp_event event, int function);

/*
** The same before the handle's task is submitted as `desc`: lmp_listen_add any number of functions,
** then lmp_listen_begin, so that not even the first report is missed; after a submission that
** failed lmp_listen_undo.
*/
void lmp_listen_add(lua_State *L, int handle, lmp_event event, int function);
void lmp_listen_begin(lua_State *L, int handle, lmp_pool *pool, mp_task_desc *desc);
void lmp_listen_undo(lua_State *L, int handle);

/*
** Delivers what waits in all mailboxes of this state, for up to budget_ns; returns how many. left
** may be NULL.
*/
lua_Integer lmp_poll(lua_State *L, lmp_context *context, uint64_t budget_ns, lua_Integer *left);
/* The same between two tasks of a worker: never raises. */
void lmp_poll_idle(lua_State *L, lmp_context *context);

#endif
