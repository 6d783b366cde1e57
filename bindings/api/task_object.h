/*
** task_object.h - a task as Lua has it: a function with options, which submits when called. A
** table, so that it travels like any other value:
**
**   {function, name or false, priority, timeout in seconds or 0, flags, pool or false, memory limit
**   in KiB or 0}
**
** What must not travel (callbacks, `after`, metadata) is kept beside it, in
** context->tasks->options.
*/
#ifndef LMP_TASK_OBJECT_H
#define LMP_TASK_OBJECT_H

#include "base/context.h"

#define LMP_TASK "makeparallel.task" /* the metatable's name in the registry */

/* The task objects of a state. Its context's own. */
struct lmp_tasks {
  lmp_class class; /* LMP_TASK */
  int options;     /* registry reference: [task] = options that do not travel, weak keys */
};

enum {
  LMP_TASK_FUNCTION = 1,
  LMP_TASK_NAME,
  LMP_TASK_PRIORITY,
  LMP_TASK_TIMEOUT,
  LMP_TASK_FLAGS,
  LMP_TASK_POOL,
  LMP_TASK_MEMORY
};

enum {
  LMP_FLAG_UNTIMED = 1, /* parallel_fast: no clock is read */
  /* parallel_with_deps: the dependencies' values in a table are the first argument */
  LMP_FLAG_TABLE = 2,
  LMP_FLAG_PRIORITY = 4, /* parallel_priority: the priority comes as first argument of each call */
  LMP_FLAG_OPTIONS = 8,  /* there is something in context->tasks->options */
  LMP_FLAG_FIELDS = 16   /* fields 3, 4, 6 and 7 may be set */
};

/* The names of a task's options; NULL ends them. */
extern const char *const lmp_task_options[];

/* Can the value be what a task runs: a function, a name, a source, what has __call? */
bool lmp_can_run(lua_State *L, int arg);
/* Raises unless it can, naming the function of the core in upvalue 2. */
void lmp_check_function(lua_State *L, int arg);
/* Was it made by us: is it a table with our metatable? */
bool lmp_is_task(lua_State *L, const lmp_context *context, int arg);
/* Raises unless it is. */
void lmp_check_task(lua_State *L, const lmp_context *context, int arg);

/* Pushes a task without options for the function at stack index `function`. */
void lmp_push_task(lua_State *L, const lmp_context *context, int function);
/* Pushes a copy of the task at that stack index, without its kept options. */
void lmp_copy_task(lua_State *L, const lmp_context *context, int task);
/* Writes the options of the table at `options` into the task on top, and the flags. */
void lmp_apply_options(lua_State *L, lmp_context *context, int options, int flags);
/* Pushes the options kept beside the task at stack index 1, or nil. */
void lmp_push_kept(lua_State *L, const lmp_context *context);

#endif
