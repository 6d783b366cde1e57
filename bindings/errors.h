/*
** errors.h - how a task failed, on its way from the worker to who asks.
*/
#ifndef LMP_ERRORS_H
#define LMP_ERRORS_H

#include "base/error.h"
#include "value.h"

#define LMP_MESSAGE_MAX (64 * 1024) /* a longer error message is cut, with a mark */

/*
** Inside a worker's protected call: encodes the error value on top of the stack as a failure. name:
** the task's, or NULL. False: no memory.
*/
bool lmp_encode_failure(lua_State *L, lmp_context *context, lmp_buffer *buffer, const char *kind,
                        const char *name, bool with_traceback);
/* A message handler that keeps the traceback for lmp_encode_failure and leaves the value alone. */
int lmp_keep_traceback(lua_State *L);

/* Pushes the traceback it kept last, or nil. */
void lmp_push_traceback(lua_State *L);

/*
** Error value on top: pushes its text for people, with a note where globals are missed, cut at
** LMP_MESSAGE_MAX.
*/
void lmp_push_error_text(lua_State *L);

/*
** Pushes the error object of a task that ended otherwise than done. name: stack index of its name,
** or 0.
*/
void lmp_push_task_error(lua_State *L, lmp_context *context, mp_task *task, int name);

#endif
