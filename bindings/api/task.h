/*
** task.h - a task as a Lua object: a function with options, which submits when called.
*/
#ifndef LMP_TASK_H
#define LMP_TASK_H

#include "base/context.h"
#include "makeparallel_lua.h"

#define LMP_TASK "makeparallel.task" /* the metatable's name in the registry */

/* The task objects of a state. Its context's own. */
struct lmp_tasks {
  lmp_class class; /* LMP_TASK */
  int options;     /* registry reference: [task] = options that do not travel, weak keys */
};

/*
** Submits the function and arguments from stack index `first` on, for a program in C; *task is a
** reference. May raise.
*/
mp_status lmp_submit_values(lua_State *L, lmp_context *context, const mp_lua_task *options,
                            int first, mp_task **task);
void lmp_open_task(lua_State *L, lmp_context *context);

#endif
