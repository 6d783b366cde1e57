/*
** errors.h - failures as Lua error objects: {kind, message, value, traceback, task, task_id,
** elapsed, cause}.
*/
#ifndef LMP_ERRORS_H
#define LMP_ERRORS_H

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
/* Pushes a new error object with kind and message (formatted as lua_pushfstring). */
void lmp_push_error(lua_State *L, const char *kind, const char *format, ...);
/* Turns the six values of a failure on top of the stack into one error object. */
void lmp_make_error(lua_State *L);
#define LMP_FAILURE_VALUES 6

#endif
