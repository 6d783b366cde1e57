/*
** jobs.h - work that is no task: a visit, by which a thread outside of any task gets something done
** on workers.
*/
#ifndef MP_JOBS_H
#define MP_JOBS_H

#include "task.h"

typedef struct mp_visit mp_visit;

/*
** Runs in a frame. visit NULL: on the stack of whoever needs it, and all is done when it returns.
** Else on a worker for whom another thread waits until visit->done is completed, by the body or by
** whoever is left with the work when the body has returned, so that it keeps no worker.
*/
typedef void mp_visit_body(mp_worker *worker, void *arg, mp_visit *visit);

struct mp_visit {
  mp_entry entry; /* first: what is queued */
  mp_visit_body *body;
  void *arg;
  bool refused; /* written before `done` */
  mp_atomic_u32 done;
};

/*
** Calls body, and returns when all is done: at once on a worker, or in the slot of an owner that
** works; else on a worker. From inside a task it belongs to that task; otherwise the pool waits for
** it before it is quiet. Errors: SHUTDOWN (it was not called), FORKED.
*/
MP_CHECKED mp_status mp_visit_worker(mp_pool *pool, mp_visit_body *body, void *arg);

/* As in mp_pool.refuse: a visit, or an invitation to a loop. */
bool mp_refuse_job(mp_pool *pool, mp_entry *entry);

#endif
