/*
** room.h - how much a pool takes at a time, and what becomes of a submission that finds it full.
*/
#ifndef LMP_ROOM_H
#define LMP_ROOM_H

#include "handles/pool.h"

/*
** Submits; a full pool is waited for if its options say so, with callbacks meanwhile: no longer
** than the task's timeout, which counts from here, nor than until `latest` (lmp_now; LMP_NEVER).
** FULL, MEMORY: it stayed full. Never raises: when the wait itself was interrupted, *raised is set
** and the error is on top. Needs 8 slots of the stack; whoever calls it clears them when it is done
** with the pool, which is kept there. *keeper: NULL, or what keeps the pool's memory, which a
** callback may have closed: it is released behind what the description refers to.
*/
mp_status lmp_submit_waiting(lua_State *L, lmp_pool *pool, mp_task_desc *desc, double latest,
                             mp_task **task, mp_bytes **keeper, bool *raised);
/*
** The results of a call whose submission failed so: nil and why (when_full = "block"), or raises.
*/
int lmp_push_full(lua_State *L, const lmp_pool *pool, mp_status status);

#endif
