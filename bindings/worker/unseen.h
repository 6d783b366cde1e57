/*
** unseen.h - a task that failed, and nobody looked: one line in the log that names the task and the
** place in the program that started it.
*/
#ifndef LMP_UNSEEN_H
#define LMP_UNSEEN_H

#include "worker/vm.h"

/* The host's pool is about to have such lines; `config` is its config. */
void lmp_unseen_hook(lmp_host *host, mp_pool_config *config);

/*
** Where the program is now, a number for a payload: the line of Lua that called the running C
** function. `vm`: the state's worker, which is one of the host's; NULL: the state is the one that
** owns the pool. 0: unknown, or nobody wants to know.
*/
uint32_t lmp_place_here(lua_State *L, lmp_host *host, lmp_vm *vm);

/* The places that one state has met. */
void lmp_book_free(struct lmp_book *book); /* NULL is ignored */

#endif
