/*
** host.h - what a pool is made from, read from a table of options: its engine's config, and what
** each worker's state is given.
*/
#ifndef LMP_HOST_H
#define LMP_HOST_H

#include "worker/vm.h"

/*
** Reads limits, when_full and full_timeout from the table at stack index `options`; raises for what
** does not fit.
*/
void lmp_limits_read(lua_State *L, lmp_host *host, int options);
/* Raises unless the value at stack index `options` is a table of known options. */
void lmp_host_check_names(lua_State *L, int options);
/* Raises unless their values fit, too. */
void lmp_host_check(lua_State *L, int options);
/*
** Fills a host, zeroed but for open_state, from checked options; returns the config of a pool that
** will free it. Before that it is the caller's.
*/
mp_pool_config lmp_host_prepare(lua_State *L, lmp_host *host, int options);
/* Adds our hooks to a config; those that are there are called beside. */
void lmp_host_hook(lmp_host *host, mp_pool_config *config);
/* The places for workers' states. False: no memory. Never raises. */
bool lmp_host_make_vms(lmp_host *host, const mp_pool_config *config);
/*
** What each new state is given: written before the pool has a Lua task, by the first state that
** uses it; read when a worker's state is made.
*/
void lmp_host_inherit(lua_State *L, lmp_context *context, lmp_host *host, mp_pool *pool,
                      int options);
/* The engine's `closed`; any thread. Never raises. */
void lmp_host_free(void *host);

#endif
