/*
** log.h - the function `log` of the core: a line of the program's own.
*/
#ifndef LMP_LOG_H
#define LMP_LOG_H

#include "base/context.h"

void lmp_open_log(lua_State *L, lmp_context *context);

#endif
