/*
** handle.h - a handle: a userdata that stands for a task, of which the ledger holds a reference as
** long as the handle lives.
*/
#ifndef LMP_HANDLE_H
#define LMP_HANDLE_H

#include "base/context.h"

#define LMP_HANDLE "makeparallel.handle" /* the metatable's name in the registry */

/* The handles of a state. Its context's own. */
struct lmp_handles {
  lmp_class class; /* LMP_HANDLE */
  /* registry reference: [light userdata handle] = handle: those with something to call */
  int watched;
};

typedef struct lmp_handle {
  mp_task *task; /* NULL while it is being made */
  lmp_context *context;
  uint32_t entry;  /* in the ledger */
  bool watched;    /* news of the task's end is on its way to this state */
  bool follows;    /* so is its progress */
  bool keeps_pool; /* the object of its pool is among its user values */
  bool lost;       /* on_complete was to be called, but the result cannot be rebuilt here */
} lmp_handle;

/* User values of a handle. */
enum {
  /* a table: [event] = list of functions, metadata, pool; or the pool alone; or nil */
  LMP_HANDLE_EXTRA = 1,
  LMP_HANDLE_NAME = 2 /* a string, or nil */
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

/* What can be waited for with callbacks. */
typedef enum lmp_event { LMP_ON_COMPLETE = 1, LMP_ON_ERROR, LMP_ON_PROGRESS, LMP_ON_END } lmp_event;

/*
** The handle at `index` is kept while news of it is on its way; and no longer. Forgetting never
** raises.
*/
void lmp_keep_handle(lua_State *L, lmp_handle *handle, int index);
void lmp_forget_handle(lua_State *L, lmp_handle *handle);
/* No news will come through the pool any more: what listens is dropped. Never raises. */
void lmp_forget_pool(lua_State *L, lmp_context *context, const mp_pool *pool);

/* Handles can be made from now on, and travel. Their metatable is there. */
void lmp_handles_begin(lua_State *L, lmp_context *context);

#endif
