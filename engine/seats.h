/*
** seats.h - how many threads of a pool run at a time.
**
** A worker that waits gives its seat away: a spare thread takes it, or a new one, up to
** workers_extra. When the wait is over it goes on at once; whoever of those that run returns first
** from an entry then becomes a spare. A worker whose task does not return is marked stuck, and its
** seat goes to another likewise. Spares that nobody needs for long end.
**
**     runs  --give--> blocked --take back--> runs --surplus, has returned--> spare --let in--> runs
**     runs  --mark stuck--> stuck --unmark--> runs                             |
**     spare --let in as an extra--> runs what is in the lane --> spare         |
**                                                                              +--unused--> retired
**
** The owner's slot has no seat: nobody can take its place.
*/
#ifndef MP_SEATS_H
#define MP_SEATS_H

#include "worker.h"

/* In a zeroed scheduler whose config, alloc and log are set. Errors: NOMEM, SYSTEM. */
MP_CHECKED mp_status mp_seats_init(mp_scheduler *scheduler);
/* Frees all slots; no thread is left. */
void mp_seats_close(mp_scheduler *scheduler);

/* Creates the owner's slot. Errors: NOMEM, SYSTEM. */
MP_CHECKED mp_status mp_seats_add_owner(mp_scheduler *scheduler);
/*
** Starts one thread more, with a seat of its own. Errors: NOMEM, NOTHREAD, SYSTEM, BUSY (no slot).
*/
MP_CHECKED mp_status mp_seats_add(mp_scheduler *scheduler);

/* Lets all threads begin, and those to come. Before that the last one can be ended again. */
void mp_seats_open(mp_scheduler *scheduler);
void mp_seats_dismiss_last(mp_scheduler *scheduler);

/*
** Bracket a wait of a worker, on its own thread. give: MP_OK if another runs in its place, or
** nobody need to; else why no replacement could be had, and whether any thread runs is in
** *others_run.
*/
MP_CHECKED mp_status mp_seats_give(mp_worker *worker, bool *others_run);
void mp_seats_take_back(mp_worker *worker);

/*
** Lets one more in than the pool has workers, an extra, for what waits in the lane and nothing
** else; at most as many as workers. Any thread, under no lock.
*/
void mp_seats_let_in_extra(mp_scheduler *scheduler);

/* Do more threads run than the pool has workers, extras aside? */
static inline bool mp_seats_surplus(const mp_scheduler *scheduler) {
  const mp_seats *seats = &scheduler->seats;
  return mp_load_relaxed(&seats->running) >
         scheduler->config.workers + mp_load_relaxed(&seats->extras);
}
/*
** On the worker's own thread, with an empty deque, inside nothing: it becomes a spare if it is an
** extra, or there are too many still, and returns when it is let in. False: it has retired, and
** must end.
*/
MP_CHECKED bool mp_seats_become_spare(mp_worker *worker, void (*tidy)(mp_worker *worker));

/*
** Gives the seat of a worker whose task, at `inside`, does not return to another, unless it waits
** anyway: from any thread, while that task is certain to be inside. True if it was not marked
** already; *vacant: a thread must be started for the seat, by mp_seats_fill, under no lock.
*/
bool mp_seats_mark_stuck(mp_worker *worker, const mp_frame *inside, bool *vacant);
/*
** Is a seat empty because nobody could be had for it? Tries again, but not all the time. Any
** thread, under no lock.
*/
void mp_seats_refill(mp_scheduler *scheduler);
/* MP_OK, or why no replacement could be had. */
mp_status mp_seats_fill(mp_scheduler *scheduler);
/* The task has returned after all; on the worker's own thread. */
void mp_seats_unmark_stuck(mp_worker *worker);

/* Lets all spares go, for they are to end; scheduler->stop is set. */
void mp_seats_dismiss_spares(mp_scheduler *scheduler);
/*
** A thread is at its end, but for thread_gone; on that thread. Another may have the slot of one
** that has retired.
*/
void mp_seats_end(mp_worker *worker, bool retired);
/* Joins the threads that have ended and detaches the others; returns how many those are. Once. */
unsigned mp_seats_join(mp_scheduler *scheduler);

#endif
