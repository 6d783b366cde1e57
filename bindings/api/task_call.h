/*
** task_call.h - a call of a task becomes a task of the engine: function and arguments are encoded
** and submitted, a handle comes back.
*/
#ifndef LMP_TASK_CALL_H
#define LMP_TASK_CALL_H

#include "base/context.h"
#include "makeparallel_lua.h"

/* task(...) -> handle, or nil and why the pool would not have it */
int lmp_task_call(lua_State *L);
/* task:call(...) -> what it returned: submits and waits */
int lmp_task_call_and_wait(lua_State *L);
/* spawn(function, ...) -> handle */
int lmp_spawn(lua_State *L);
/*
** Submits the function and arguments from stack index `first` on, for a program in C; *task is a
** reference. May raise.
*/
mp_status lmp_submit_values(lua_State *L, lmp_context *context, const mp_lua_task *options,
                            int first, mp_task **task);

#endif
