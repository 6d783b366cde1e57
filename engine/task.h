/*
** task.h - one task: its state, references, successors, result, progress. Who decides when it moves is pool.c.
**
** The state word holds the state and its flags, and is only changed by compare-and-swap or fetch-or:
**
**   waiting -> queued -> running -> done | failed | cancelled | timed out
**      |          |                              ^
**      +----------+------ cancel, deadline, failed dependency, shutdown
**
** Whoever moves it to a terminal state finishes the task (mp_pool_finish); everybody else drops what they hold.
**
** References: one for the engine from submit on, one per handle, one per message, timer and thread that works on it.
** The engine's reference belongs to the join counter until that reaches zero, then to the queue, then to the worker.
*/
#ifndef MP_TASK_H
#define MP_TASK_H

#include <stdbool.h>

#include "inbox.h"
#include "mailbox.h"
#include "makeparallel.h"
#include "store.h"

#define MP_WORD_STATE 7u     /* mask: an mp_state */
#define MP_WORD_WAITED 8u    /* somebody waits: whoever ends the task signals the pool's event */
#define MP_WORD_CANCEL 16u   /* asked to stop */

/* An entry of a task's successor list. Lives in the successor (tasks) or in a message (notices). */
typedef struct mp_link mp_link;
struct mp_link {
  mp_link *next;
  uintptr_t target; /* an mp_task, or an mp_notice + 1 */
};
#define MP_LINKS_CLOSED ((mp_link *)1)
#define MP_LINKS_INLINE 2

/* News of a task's end on its way to a mailbox. */
typedef struct mp_notice {
  mp_message message;
  mp_link link;
  mp_mailbox *mailbox; /* a reference */
  mp_task *task;       /* a reference, once posted */
  mp_notify *notify;   /* NULL: call the task's own `done` */
  void *ud;
} mp_notice;

/* A subscriber to a task's progress; the list only grows, and is freed with the task. */
typedef struct mp_progress_target mp_progress_target;
struct mp_progress_target {
  mp_progress_target *next;
  mp_mailbox *mailbox; /* a reference */
  mp_progress *progress;
  void *ud;
  _Atomic bool told;   /* its mailbox has delivered the end: progress still on its way there is dropped */
};

enum { /* mp_task.own */
  MP_OWN_ARG = 1,   /* drop(arg) is still due */
  MP_OWN_DONE = 2,  /* `done` wants arg: drop only with the task */
  MP_OWN_POOL = 4   /* holds a reference to the pool */
};

typedef struct mp_timing {
  mp_heap_node timer;    /* guarded by pool->timer_lock */
  bool armed;            /* guarded by pool->timer_lock */
  uint64_t timeout_ns;   /* constant; 0: none */
  uint64_t submitted_ns; /* constant; 0 without MP_TASK_TIMED */
  _Atomic uint64_t started_ns, ended_ns;
} mp_timing;

struct mp_task {
  union {
    mp_ordered_job ordered; /* while queued */
    struct {
      mp_job job_;
      mp_link links[MP_LINKS_INLINE]; /* while waiting: its entries in its dependencies' lists */
    } waiting;
  } as;
  /* atomic */
  _Atomic uint32_t word;
  _Atomic uint32_t references;
  _Atomic uint32_t joins; /* dependencies unfinished, + 1 while it is being linked */
  int priority;
  mp_link *_Atomic successors;
  _Atomic double progress;
  mp_task *_Atomic cause;
  mp_progress_target *_Atomic progress_targets;
  /* constant after submit */
  mp_pool *pool;
  mp_task_run *run;
  mp_task_drop *drop;
  mp_task_done *done;
  void *arg;
  mp_link *links; /* the inline ones or an allocation */
  uint32_t link_count;
  uint32_t size; /* of the allocation, arg included */
  uint64_t id;
  size_t bytes;      /* what it counts for in the pool's limits; 0: nothing */
  _Atomic uint32_t counted; /* atomic: it counts among the pool's tasks still */
  mp_timing *timing; /* behind the task, or NULL: neither a timeout nor MP_TASK_TIMED */
  /* the thread that runs it, until it is terminal; then constant */
  void *result;
  mp_task_drop *result_drop;
  mp_status status; /* why it failed */
  uint32_t own;     /* MP_OWN_...; changed only by whoever ends it or frees it */
};

#define mp_task_of_job(job) ((mp_task *)(job))
#define mp_task_of_timer(node) ((mp_task *)(node) - 1) /* a timing begins with its timer and lies right behind its task */

static inline mp_state mp_word_state(uint32_t word) { return (mp_state)(word & MP_WORD_STATE); }

/* Tasks live in blocks of two sizes: bare, and with timing and a small argument. Larger ones are allocated each. */
MP_CHECKED mp_status mp_task_open_stores(mp_pool *pool);
void mp_task_close_stores(mp_pool *pool); /* every task is freed, every list flushed */
void mp_task_flush(mp_pool *pool, mp_task_lists *local);
void mp_task_trim(mp_pool *pool); /* memory that no task is in goes back */

/* A task in state waiting with one reference (the engine's) and joins 1. NULL: out of memory. */
MP_CHECKED mp_task *mp_task_create(mp_pool *pool, const mp_task_desc *desc, mp_task_lists *local);
/* Frees a task that was never submitted; arg stays the caller's. */
void mp_task_discard(mp_task *task, mp_task_lists *local);

/* waiting -> queued; false if it was ended meanwhile. */
MP_CHECKED bool mp_task_queue(mp_task *task);
/* queued -> running; false likewise, or if somebody else runs it. *asked: it was asked to stop just before. */
MP_CHECKED bool mp_task_start(mp_task *task, bool *asked);
/* To a terminal state; true for the one caller who did it, with the word as it was in *before. `unstarted`: not if it runs. */
MP_CHECKED bool mp_task_end(mp_task *task, mp_state state, bool unstarted, uint32_t *before);

/* Adds to the successor list; false when it is closed: the task is terminal. */
MP_CHECKED bool mp_task_link(mp_task *task, mp_link *link);
/* Closes the list and returns it, oldest entry first. Once, by whoever ended the task. */
mp_link *mp_task_close_links(mp_task *task);

/* Frees arg if that is still due. */
void mp_task_drop_arg(mp_task *task);

/* The notice for desc->done, allocated before the task can start. */
MP_CHECKED mp_status mp_notice_create(mp_task *task, mp_mailbox *mailbox, mp_notify *notify, void *ud, mp_notice **notice);
void mp_notice_free(mp_notice *notice);
/* Posts; takes a reference to the task for it. */
void mp_notice_post(mp_notice *notice, mp_task *task);

#endif
