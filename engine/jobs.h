/*
** jobs.h - waiting for work that is no task: fork and join, loops, graphs.
*/
#ifndef MP_JOBS_H
#define MP_JOBS_H

#include "pool.h"

/* Waits for DONE; a worker (self) helps meanwhile. One waiter per word. */
void mp_word_await(mp_pool *pool, mp_worker *self, mp_atomic_u32 *word);

/*
** Counts a piece of work that is no task, like a task that started at once. Errors: SHUTDOWN,
** FORKED.
*/
MP_CHECKED mp_status mp_pool_enter(mp_pool *pool, mp_worker *self);
void mp_pool_leave(mp_pool *pool, mp_worker *self);

#endif
