/*
** errors.h - how a task failed, on its way from the worker to who asks.
*/
#ifndef LMP_ERRORS_H
#define LMP_ERRORS_H

#include "base/error.h"
#include "codec/failure.h"

/*
** Pushes the error object of a task that ended otherwise than done. name: stack index of its name,
** or 0.
*/
void lmp_push_task_error(lua_State *L, lmp_context *context, mp_task *task, int name);

#endif
