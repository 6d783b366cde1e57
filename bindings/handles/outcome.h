/*
** outcome.h - how a task ended, for whoever has its handle: what it returned, or an error object
** that says why there is nothing.
*/
#ifndef LMP_OUTCOME_H
#define LMP_OUTCOME_H

#include "handles/handle.h"

/*
** Pushes what the ended task returned, and returns how many values; or -1, with the error object of
** a task that ended otherwise than done, or whose result cannot be rebuilt in this state. name:
** stack index of its name, or 0.
*/
int lmp_push_outcome(lua_State *L, lmp_context *context, mp_task *task, int name);
/* The same for a handle at that stack index, which knows the name. */
int lmp_push_handle_outcome(lua_State *L, lmp_context *context, int handle);
/*
** Calls f(ud, the n values on top), which rebuilds the result of the done task in this state.
** Returns how many values f left in their place, or -1 with the error object there.
*/
int lmp_rebuild(lua_State *L, lmp_context *context, mp_task *task, int name, lua_CFunction f,
                void *ud, int n);
/*
** Pushes the error object of a task that ended otherwise than done. name: stack index of its name,
** or 0.
*/
void lmp_push_task_error(lua_State *L, lmp_context *context, mp_task *task, int name);
/* The same for a handle at that stack index, which knows the name. */
void lmp_push_handle_error(lua_State *L, lmp_context *context, int handle);

#endif
