/*
** loop.h - what an event loop needs: poll, next_mail, wait_mail, fd.
*/
#ifndef LMP_LOOP_H
#define LMP_LOOP_H

#include "base/context.h"

void lmp_open_loop(lua_State *L, lmp_context *context);

#endif
