/*
** wait.h - how a Lua state waits: callbacks run meanwhile, and Ctrl-C is heard.
*/
#ifndef LMP_WAIT_H
#define LMP_WAIT_H

#include "handles/handle.h"
#include "handles/pool.h"

/*
** Waits until one of n tasks is terminal (its index in *index), running callbacks meanwhile; `pool`
** is that of one of them. The tasks are held for as long as code runs that might let go of them.
** NULL entries are skipped. False at the deadline (an absolute lmp_now). Raises on Ctrl-C. owns:
** who waits cancels the task when the wait ends early, so one that runs in place meanwhile ends at
** once.
*/
bool lmp_wait(lua_State *L, lmp_context *context, mp_pool *pool, mp_task *const *tasks, size_t n,
              bool owns, double deadline, size_t *index);
/*
** Waits until a callback was delivered: listens where news of a handle is on its way, and looks at
** the state's other pools now and then. False at the deadline. Raises as above.
*/
bool lmp_wait_mail(lua_State *L, lmp_context *context, double deadline);
/*
** The handle's task has ended: returns when what was registered on the handle before has been
** called. In such a call it returns at once. Raises as above.
*/
void lmp_settle(lua_State *L, const lmp_handle *handle);
/* Sleeps until then, running callbacks meanwhile; needs no pool. Raises as above. */
void lmp_sleep_until(lua_State *L, lmp_context *context, double until);
/* Shuts the pool down, by the engine's rules. Raises as above; what it has begun goes on then. */
void lmp_shut_down(lua_State *L, lmp_pool *pool, uint64_t timeout_ns, mp_shutdown_mode mode,
                   mp_shutdown_report *report);
/*
** Waits until the pool may have room for a task of so many bytes, running callbacks meanwhile.
** False: not by the deadline, or never.
*/
bool lmp_wait_room(lua_State *L, lmp_pool *pool, size_t bytes, double deadline);

#endif
