/*
** failure.h - how a call failed, on its way out of the worker: the error's text for people, its
** traceback, and both in a message of LMP_FAILURE_VALUES values.
*/
#ifndef LMP_FAILURE_H
#define LMP_FAILURE_H

#include "codec/buffer.h"

#define LMP_MESSAGE_MAX (64 * 1024) /* a longer error message is cut, with a mark */

/*
** Inside a worker's protected call: encodes the error value on top of the stack as a failure. name:
** the task's, or NULL; prefix: what comes before its text. False: no memory.
*/
bool lmp_encode_failure(lua_State *L, lmp_context *context, lmp_buffer *buffer, const char *kind,
                        const char *name, const char *prefix, bool with_traceback);
/* A failure that is nothing but a text, written without Lua. NULL: no memory. Never raises. */
lmp_message *lmp_plain_failure(mp_pool *pool, const char *kind, const char *text);
/* A message handler that keeps the traceback for lmp_encode_failure and leaves the value alone. */
int lmp_keep_traceback(lua_State *L);
/* The error that it kept one of is done with. Needs a slot of the stack. */
void lmp_forget_traceback(lua_State *L);
/* Pushes the traceback it kept last, or nil. */
void lmp_push_traceback(lua_State *L);
/*
** Error value on top: pushes its text for people, with a note where globals are missed, cut at
** LMP_MESSAGE_MAX.
*/
void lmp_push_error_text(lua_State *L);
/*
** Copies text and task's name (or "") of a failure that this process has encoded, each cut to its
** size. Any thread.
*/
void lmp_read_failure(const lmp_message *failure, char *text, size_t text_size, char *name,
                      size_t name_size);

#endif
