/*
** jobs.h - work that is no task: a visit, by which a thread outside of any task gets something done
** on a worker.
*/
#ifndef MP_JOBS_H
#define MP_JOBS_H

#include "task.h"

/*
** Calls body(worker, arg) with a frame, and returns when it has returned: at once on a worker, or
** in the slot of an owner that works; else on a worker, for whom the caller waits. From inside a
** task it belongs to that task; otherwise the pool waits for it before it is quiet. Errors:
** SHUTDOWN (it was not called), FORKED.
*/
MP_CHECKED mp_status mp_visit(mp_pool *pool, void (*body)(mp_worker *worker, void *arg), void *arg);

/* As in mp_pool.refuse. */
bool mp_refuse_visit(mp_pool *pool, mp_entry *entry);

#endif
