/*
** handle.h - a handle: a userdata that stands for a task, of which the ledger holds a reference as
** long as the handle lives.
*/
#ifndef LMP_HANDLE_H
#define LMP_HANDLE_H

#include "lmp.h"

typedef struct lmp_handle {
  mp_task *task; /* NULL while it is being made */
  lmp_context *context;
  uint32_t entry; /* in the ledger */
  bool watched;   /* news of the task's end is on its way to this state */
  bool follows;   /* so is its progress */
} lmp_handle;

/* User values of a handle. */
enum {
  LMP_HANDLE_EXTRA = 1, /* a table, or nil: [event] = list of functions, metadata, pool */
  LMP_HANDLE_NAME = 2   /* a string, or nil */
};

/* Pushes a handle without a task. name: stack index of its name or nil; 0: none. */
lmp_handle *lmp_new_handle(lua_State *L, lmp_context *context, int name);
/* Gives the handle its task; the caller's reference becomes its. Never raises. */
void lmp_handle_set(lmp_handle *handle, mp_task *task);
/* Pushes a handle for the task; takes a reference of its own. */
void lmp_push_handle(lua_State *L, lmp_context *context, mp_task *task, int name);
/* The task of the handle at `index`, or NULL if the value is no handle. */
mp_task *lmp_to_task(lua_State *L, int index);
/* The same for an argument of a function of the core; raises if it is none. */
lmp_handle *lmp_check_handle(lua_State *L, int index);
/* Pushes the handle's extra table, made if there is none. */
void lmp_push_extra(lua_State *L, int handle);

/* Pushes what the done task returned: returns how many values. */
int lmp_push_results(lua_State *L, lmp_context *context, mp_task *task);
/* Pushes the error object of a task that ended otherwise. handle: stack index, for its name. */
void lmp_push_handle_error(lua_State *L, lmp_context *context, int handle);

/* What can be waited for with callbacks. */
typedef enum lmp_event { LMP_ON_COMPLETE = 1, LMP_ON_ERROR, LMP_ON_PROGRESS, LMP_ON_END } lmp_event;

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

/* No news will come through the pool any more: what listens is dropped. Never raises. */
void lmp_forget_pool(lua_State *L, lmp_context *context, const mp_pool *pool);

/*
** Delivers what waits in all mailboxes of this state, for up to budget_ns; returns how many. left
** may be NULL.
*/
lua_Integer lmp_poll(lua_State *L, lmp_context *context, uint64_t budget_ns, lua_Integer *left);
/* The same between two tasks of a worker: never raises. */
void lmp_poll_idle(lua_State *L, lmp_context *context);
/*
** Waits until one of n tasks of `pool` is terminal (its index in *index) or, with for_mail, until a
** callback was delivered (then n), running callbacks meanwhile. False at the deadline (an absolute
** lmp_now). Raises on Ctrl-C.
*/
bool lmp_wait(lua_State *L, lmp_context *context, mp_pool *pool, mp_task *const *tasks, size_t n,
              bool for_mail, double deadline, size_t *index);
/*
** Waits until the pool may have room for a task of so many bytes, running callbacks meanwhile.
** False: not by the deadline, or never.
*/
bool lmp_wait_room(lua_State *L, lmp_pool *pool, size_t bytes, double deadline);

#endif
