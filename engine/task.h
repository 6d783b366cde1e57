/*
** task.h - one task: its state, references, successors, result, progress. When it moves is decided
** above: finish.c, stop.c, run.c, submit.c.
**
** The state word holds the state and its flags, and is only changed by compare-and-swap or
** fetch-or:
**
**   waiting -> queued -> running -> done | failed | cancelled | timed out
**      |          |                              ^
**      +----------+------ cancel, deadline, failed dependency, shutdown
**
** Whoever moves it to a terminal state finishes the task (mp_finish); everybody else drops
** what they hold.
**
** References: one for the engine from submit on, one per handle, one per message, timer and thread
** that works on it. The engine's reference belongs to the join counter until that reaches zero,
** then to the queue, then to the worker. If it is the only one, whoever holds it has the task to
** itself (exclusive) and changes it without locked instructions: nobody else can find it, but
** through the frame of the worker that runs it (stop.h).
**
** A task is two cache lines. What most tasks do without stands behind it, in mp_extra, or in memory
** of its own.
*/
#ifndef MP_TASK_H
#define MP_TASK_H

#include <stdbool.h>

#include "bug.h"
#include "parts.h"

/* The word: an mp_state and flags. */
#define MP_STATE_MASK 7u
#define MP_FLAG_WAITED 8u  /* somebody waits: whoever ends the task, or cancels it, signals */
#define MP_FLAG_CANCEL 16u /* asked to stop */
#define MP_FLAG_EXTRA 32u  /* constant: there is an mp_extra */
#define MP_FLAG_CAUSE 64u  /* it has failed with a dependency, its cause */
#define MP_FLAG_SEEN 128u  /* its failure, if it comes to that, is nothing to tell unasked */

/* A link of a task's successor list. Lives in the successor (tasks) or in a message (notices). */
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
  /* its mailbox has delivered the end: progress still on its way there is dropped */
  _Atomic bool told;
};

/* Made with the first report or subscriber. */
typedef struct mp_progress_state {
  _Atomic double now;
  mp_progress_target *_Atomic targets;
} mp_progress_state;

/* mp_task.own */
enum {
  MP_OWN_ARG = 1,   /* drop(arg) is still due */
  MP_OWN_DONE = 2,  /* `done` wants arg: drop only with the task */
  MP_OWN_POOL = 4,  /* holds a reference to the pool */
  MP_OWN_RESULT = 8 /* by.result is set */
};

/* mp_extra.counted */
enum {
  MP_COUNTED_TASK = 1, /* it has not ended */
  MP_COUNTED_NEWS = 2, /* its `done` has not been called */
  MP_COUNTED_QUEUE = 4 /* it has not started, nor ended */
};

/*
** Behind a task with a priority, a deadline, a strand, timing, `done`, an argument inside, limits,
** or more than MP_LINKS_INLINE dependencies.
*/
typedef struct mp_extra {
  _Atomic uint64_t started_ns, ended_ns;
  _Atomic uint32_t counted; /* atomic: MP_COUNTED_...; while any is left, it counts in the limits */
  /* constant after submit */
  bool places;           /* there is an mp_places */
  uint64_t timeout_ns;   /* 0: none */
  uint64_t submitted_ns; /* 0 without MP_TASK_TIMED */
  mp_task_done *done;
  size_t bytes;   /* what it counts for in the pool's limits; 0: nothing */
  size_t size;    /* of the allocation, argument included */
  mp_link *links; /* in place of by.links, or NULL */
  uint32_t link_count;
  int priority;
} mp_extra;

/* And behind that, with a priority, a deadline or a strand. */
typedef struct mp_places {
  mp_deadline deadline; /* first: mp_task_of_deadline */
  mp_order order;       /* while queued */
  mp_strand *strand;    /* constant: on which its body is called first; a reference, or NULL */
} mp_places;

struct mp_task {
  union {
    mp_entry entry; /* while queued; `next` also while an ended task waits to be finished */
    struct {
      void (*run_)(mp_worker *worker, mp_entry *entry);
      mp_entry *next_;
      /*
      ** With MP_FLAG_CAUSE, the dependency that failed: a reference. It lies where entry.prev does,
      ** for such a task was never queued.
      */
      mp_task *_Atomic cause;
    } never;
  } as;
  union {
    mp_link links[MP_LINKS_INLINE]; /* while waiting: its entries in its dependencies' lists */
    struct {
      void *value;
      mp_task_drop *drop;
    } result; /* the thread that runs it, until it is terminal; then constant */
  } by;
  /* atomic */
  _Atomic uint32_t word;
  _Atomic uint32_t references;
  _Atomic uint32_t joins; /* dependencies unfinished, + 1 while it is being linked */
  uint16_t number;        /* the store's */
  /* MP_OWN_...; changed only by the thread that runs it, and whoever ends or frees it */
  uint8_t own;
  /* an mp_status: why it failed; the thread that runs it, until it is terminal; then constant */
  uint8_t status;
  mp_link *_Atomic successors;
  mp_progress_state *_Atomic progress;
  /* constant after submit */
  mp_pool *pool;
  mp_task_run *run;
  mp_task_drop *drop;
  void *arg;
  _Alignas(8) uint64_t id; /* and so what lies behind */
};

_Static_assert(sizeof(void *) != 8 || sizeof(mp_task) == 128, "two cache lines");

#define mp_task_of_entry(entry) ((mp_task *)(entry))
static inline mp_task *mp_task_of_deadline(mp_deadline *deadline) {
  return (mp_task *)(void *)((mp_extra *)(void *)deadline - 1) - 1;
}

static inline mp_state mp_word_state(uint32_t word) { return (mp_state)(word & MP_STATE_MASK); }

/* acquire: then its result is there */
static inline bool mp_task_is_over(const mp_task *task) {
  return mp_state_is_terminal(mp_word_state(mp_load_acquire(&task->word)));
}

static inline mp_extra *mp_task_extra(const mp_task *task) {
  return mp_load_relaxed(&task->word) & MP_FLAG_EXTRA ? (mp_extra *)(task + 1) : NULL;
}

static inline mp_places *mp_task_places(const mp_task *task) {
  return (mp_places *)(mp_task_extra(task) + 1);
}

static inline mp_strand *mp_task_strand(const mp_task *task) {
  const mp_extra *extra = mp_task_extra(task);
  return extra != NULL && extra->places ? mp_task_places(task)->strand : NULL;
}

/*
** For whoever holds the engine's reference. acquire: pairs with mp_task_release by those who held
** the others
*/
static inline bool mp_task_is_exclusive(const mp_task *task) {
  return mp_load_acquire(&task->references) == 1;
}

/*
** Tasks live in blocks of three sizes: bare, with mp_extra and a small argument, and with all.
** Larger ones are allocated each.
*/
MP_CHECKED mp_status mp_task_open_stores(mp_pool *pool);
void mp_task_close_stores(mp_pool *pool); /* every task is freed, every list flushed */
void mp_task_flush(mp_pool *pool, mp_task_lists *local);
void mp_task_trim(mp_pool *pool); /* memory that no task is in goes back */

/* Numbers for tasks, each once; threads with a list take several at a time. */
uint64_t mp_task_new_id(mp_pool *pool, mp_task_lists *local);
/*
** A task in state waiting with one reference (the engine's) and joins 1, that counts for `bytes` in
** the limits. NULL: out of memory.
*/
MP_CHECKED mp_task *mp_task_create(mp_pool *pool, const mp_task_desc *desc, size_t bytes,
                                   mp_task_lists *local);

/*
** Tasks like one another, one after the other: if they fit into blocks, their memory is certain
** from the beginning.
*/
typedef struct mp_task_reservation {
  mp_pool *pool;
  size_t bytes;
  mp_store *store; /* NULL: each is allocated when it is created, and that may fail */
  size_t promised; /* of them, not fetched yet */
  unsigned at, count;
  void *block[MP_STORE_BATCH];
} mp_task_reservation;
/* False: out of memory. `desc` as in mp_task_create. */
MP_CHECKED bool mp_task_reservation_open(mp_task_reservation *reservation, mp_pool *pool,
                                         const mp_task_desc *desc, size_t bytes, size_t n);
MP_CHECKED mp_task *mp_task_reservation_create(mp_task_reservation *reservation,
                                               const mp_task_desc *desc);
/* Gives back what was not used. */
void mp_task_reservation_close(mp_task_reservation *reservation);

/*
** mp_task_release in two steps. True: it was the last reference, and the caller ends the task's
** life.
*/
MP_CHECKED bool mp_task_drop_reference(mp_task *task);
void mp_task_end_life(mp_task *task);
/* May that call the host? */
static inline bool mp_task_end_calls_host(const mp_task *task) {
  uint32_t word = mp_load_relaxed(&task->word);
  mp_state state = mp_word_state(word);
  bool unseen = task->pool->config.task_unseen != NULL &&
                (state == MP_STATE_FAILED || state == MP_STATE_TIMED_OUT);
  return (task->own & (MP_OWN_ARG | MP_OWN_RESULT)) != 0 || unseen || word & MP_FLAG_CAUSE;
}

/* Somebody knows how the task ended, or does not want to. */
void mp_task_see(mp_task *task);

/* Frees a task that was never submitted; arg stays the caller's. */
void mp_task_discard(mp_task *task, mp_task_lists *local);

static inline bool mp_task_move(mp_task *task, mp_state from, mp_state to, bool exclusive,
                                uint32_t *before) {
  const uint32_t kept = MP_BUGGY(FLAGS_LOST) ? MP_FLAG_EXTRA : ~MP_STATE_MASK;
  *before = mp_load_relaxed(&task->word);
  do {
    if (mp_word_state(*before) != from) return false;
    MP_BUG_GAP(EXCLUSIVE_GUESSED);
    if (exclusive) return mp_store_relaxed(&task->word, (*before & kept) | to), true;
  } while (!mp_cas_acq_rel(&task->word, before, (*before & kept) | to));
  return true;
}

/* waiting -> queued; false if it was ended meanwhile. */
MP_CHECKED static inline bool mp_task_queue(mp_task *task) {
  uint32_t before;
  return mp_task_move(task, MP_STATE_WAITING, MP_STATE_QUEUED, mp_task_is_exclusive(task), &before);
}

/*
** queued -> running; false likewise, or if somebody else runs it. *asked: it was asked to stop just
** before.
*/
MP_CHECKED static inline bool mp_task_start(mp_task *task, bool exclusive, bool *asked) {
  uint32_t before;
  if (!mp_task_move(task, MP_STATE_QUEUED, MP_STATE_RUNNING, exclusive, &before)) return false;
  *asked = (before & MP_FLAG_CANCEL) != 0;
  return true;
}

/*
** To a terminal state; true for the one caller who did it, with the word as it was in *before.
** unstarted: not if it runs. `flags` are set in the same moment: with MP_FLAG_CANCEL its body is
** asked to stop no sooner than the end can be seen, and no later.
*/
MP_CHECKED bool mp_task_end(mp_task *task, mp_state state, bool unstarted, uint32_t flags,
                            uint32_t *before);
/* Fails a task that waits for `parent`, which has ended otherwise than done; true as above. */
MP_CHECKED bool mp_task_fail_with(mp_task *task, mp_task *parent);
/*
** Its word as it was before that. Who waits for it has left the flag in it by now, or will see its
** end.
*/
static inline uint32_t mp_task_word_before_fail(const mp_task *task) {
  return (mp_load_relaxed(&task->word) & ~MP_STATE_MASK) | MP_STATE_WAITING;
}
/* The same for whoever has it to itself. */
MP_CHECKED static inline bool mp_task_end_exclusive(mp_task *task, mp_state state,
                                                    uint32_t *before) {
  *before = mp_load_relaxed(&task->word);
  if (mp_state_is_terminal(mp_word_state(*before))) return false;
  /* pairs with mp_task_state, of who gets it from a notice */
  mp_store_release(&task->word, (*before & ~MP_STATE_MASK) | state);
  return true;
}

/* A part of what it counts for is over; once for each part, or more often. */
void mp_task_leave_limits_counted(mp_task *task, uint32_t part);
static inline void mp_task_leave_limits(mp_task *task, uint32_t part) {
  const mp_extra *extra = mp_task_extra(task);
  if (extra != NULL && extra->bytes != 0) mp_task_leave_limits_counted(task, part);
}

/* Adds to the successor list; false when it is closed: the task is terminal. */
MP_CHECKED bool mp_task_link(mp_task *task, mp_link *link);
/* Closes the list and returns it, oldest entry first. Once, by whoever ended the task. */
static inline mp_link *mp_task_close_links(mp_task *task, bool exclusive) {
  mp_link *newest = exclusive ? mp_load_relaxed(&task->successors)
                              : mp_swap_acq_rel(&task->successors, MP_LINKS_CLOSED),
          *oldest = NULL;
  /* pairs with mp_task_link, of who gets the task from a notice */
  if (exclusive) mp_store_release(&task->successors, MP_LINKS_CLOSED);
  while (newest != NULL) {
    mp_link *next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  return oldest;
}

/* Frees arg if that is still due. */
static inline void mp_task_drop_arg(mp_task *task) {
  if (!(task->own & MP_OWN_ARG)) return;
  if (!MP_BUGGY(DROP_TWICE)) task->own &= (uint8_t)~MP_OWN_ARG;
  task->drop(task->arg);
}

/* The same for the result. */
static inline void mp_task_drop_result(mp_task *task) {
  if (!(task->own & MP_OWN_RESULT)) return;
  task->own &= (uint8_t)~MP_OWN_RESULT;
  if (task->by.result.drop != NULL) task->by.result.drop(task->by.result.value);
}

/* The notice for desc->done, allocated before the task can start. */
MP_CHECKED mp_status mp_notice_create(mp_task *task, mp_mailbox *mailbox, mp_notify *notify,
                                      void *ud, mp_notice **notice);
void mp_notice_free(mp_notice *notice);
/* Posts; takes a reference to the task for it. */
void mp_notice_post(mp_notice *notice, mp_task *task);

#endif
