/*
** task.h - a task as a Lua object: a function with options, which submits when called.
*/
#ifndef LMP_TASK_H
#define LMP_TASK_H

#include "lmp.h"

/*
** Submits the function and arguments from stack index `first` on, for a program in C; *task is a
** reference. May raise.
*/
mp_status lmp_submit_values(lua_State *L, lmp_context *context, const mp_lua_task *options,
                            int first, mp_task **task);
void lmp_open_task(lua_State *L, lmp_context *context);

#endif
