/*
** scheduler.h - workers that find entries and run them: their loop, their beginning and their end.
*/
#ifndef MP_SCHEDULER_H
#define MP_SCHEDULER_H

#include "worker.h"

/*
** Starts the threads, which begin when mp_scheduler_begin says so. With fewer than asked for, but
** at least one, it succeeds; *fewer is then why. Errors: NOMEM, NOTHREAD, SYSTEM.
*/
MP_CHECKED mp_status mp_scheduler_init(mp_scheduler *scheduler, mp_alloc *alloc, mp_log *log,
                                       const mp_scheduler_config *config, mp_status *fewer);
/* Between the two: ends the last of several threads again. False: there is but one. */
bool mp_scheduler_dismiss_one(mp_scheduler *scheduler);
void mp_scheduler_begin(mp_scheduler *scheduler);

/* Tells the threads to end when they have returned from what they run. Any thread. */
void mp_scheduler_stop(mp_scheduler *scheduler);
/* worker_stop of the owner's slot, once; on the owner, or when nobody else is left. */
void mp_scheduler_stop_owner(mp_scheduler *scheduler);
/* Frees everything; only with no thread and no entry left. */
void mp_scheduler_close(mp_scheduler *scheduler);

/* A mailbox that was created on the worker has messages now. Any thread. */
void mp_scheduler_tell_mail(mp_worker *worker);

/* Runs one entry and the continuations it leaves. On the worker's own thread. */
void mp_scheduler_run(mp_worker *worker, mp_entry *entry);

/* The worker stops counting as one that searches; wakes another if there is more to find. */
void mp_scheduler_end_search(mp_scheduler *scheduler);

#endif
