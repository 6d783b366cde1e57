/*
** outcome.h - how a task ended, for whoever has its handle: what it returned, or an error object
** that says why there is nothing.
*/
#ifndef LMP_OUTCOME_H
#define LMP_OUTCOME_H

#include "handles/handle.h"

/* Pushes what the done task returned: returns how many values. */
int lmp_push_results(lua_State *L, lmp_context *context, mp_task *task);
/*
** Pushes the error object of a task that ended otherwise than done. name: stack index of its name,
** or 0.
*/
void lmp_push_task_error(lua_State *L, lmp_context *context, mp_task *task, int name);
/* The same for a handle at that stack index, which knows the name. */
void lmp_push_handle_error(lua_State *L, lmp_context *context, int handle);

#endif
