/*
** task.h - task objects in Lua: made from functions and options, made anew from each other.
*/
#ifndef LMP_TASK_H
#define LMP_TASK_H

#include "base/context.h"

void lmp_open_task(lua_State *L, lmp_context *context);

#endif
