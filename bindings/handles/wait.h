/*
** wait.h - how a Lua state waits: callbacks run meanwhile, and Ctrl-C is heard.
*/
#ifndef LMP_WAIT_H
#define LMP_WAIT_H

#include "handles/pool.h"

/*
** Waits until one of n tasks of `pool` is terminal (its index in *index) or, with for_mail, until a
** callback was delivered (then n), running callbacks meanwhile. False at the deadline (an absolute
** lmp_now). Raises on Ctrl-C.
*/
bool lmp_wait(lua_State *L, lmp_context *context, mp_pool *pool, mp_task *const *tasks, size_t n,
              bool for_mail, double deadline, size_t *index);
/*
** Waits until the pool may have room for a task of so many bytes, running callbacks meanwhile.
** False: not by the deadline, or never.
*/
bool lmp_wait_room(lua_State *L, lmp_pool *pool, size_t bytes, double deadline);

#endif
