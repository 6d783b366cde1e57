/*
** intask.h - what a task can ask and tell while it runs: progress, was it cancelled, sleep, who am
** I.
*/
#ifndef LMP_INTASK_H
#define LMP_INTASK_H

#include "base/context.h"

void lmp_open_intask(lua_State *L, lmp_context *context);

#endif
