/*
** actor.h - who waits for whom in tests/stress/waits.c, and what must hold of it.
**
** An actor takes random steps: the body of a task, a job, a piece, a node, a thread outside. Steps
** submit units, which are tasks that act in turn.
*/
#ifndef ACTOR_H
#define ACTOR_H

#include <pthread.h>

#include "stress.h"
#include "watchdog.h"

#define UNITS 400      /* tasks of a case, at most */
#define RANKS 7        /* ranks of tasks; who is no task is above them all */
#define PLACES 8       /* handles on the board of each rank */
#define PARTS 12       /* jobs, pieces or nodes of one step, at most */
#define DEPTH 4        /* of steps within steps of one task, at most */
#define THREADS 3      /* of each kind outside, at most */
#define CHILDREN 6     /* tasks of one step, at most */
#define SOON_NS 300000 /* waits with a limit take so long at most */

/* Places in life.pool; who is a worker of neither pool has no place there. */
enum { POOLS = 2, INNER, OUTSIDE };

typedef struct life life;

/* What one task does, and what has become of it. */
typedef struct unit {
  life *life;
  uint64_t seed;
  unsigned pool, rank;
  unsigned first, last; /* the units that it may submit */
  _Atomic unsigned accepted, started, returned, dropped;
  _Atomic unsigned listened, told; /* a notify was asked for; it was called */
  _Atomic unsigned results, results_dropped;
  uint64_t value; /* plain: what its end publishes */
} unit;

typedef struct place {
  pthread_mutex_t lock;
  mp_task *task; /* guarded by lock, as all here; a reference, or NULL */
  unit *unit;
} place;

struct life {
  stress *st;
  /* constant */
  uint64_t seed;
  unsigned pools;
  mp_pool *pool[POOLS];
  mp_mailbox *mail[POOLS]; /* anybody sends there; it keeps the pool's memory, too */
  bool tight;              /* threads may run out */
  bool calm;               /* nothing fails, is cancelled or late, and nobody shuts down early */
  bool limited[POOLS];
  char text[200];
  place board[RANKS][PLACES];
  _Atomic bool closing[POOLS];
  _Atomic unsigned acting; /* bodies, pieces and nodes that are inside */
  _Atomic unsigned started, stopped, closed, interrupts, forks;
  _Atomic size_t sent, delivered, asked, told;
  unit units[UNITS];
};

/* Who takes steps: the body of a task, a part of it on whichever worker, or a thread outside. */
typedef struct actor {
  life *l;
  mp_worker *worker; /* NULL: a thread outside */
  unsigned pool;     /* the worker's: its place in life.pool, or INNER, or OUTSIDE */
  mp_pool *inner;    /* if INNER: a pool that some step has made for itself */
  mp_task *task;     /* for which it acts, or NULL */
  unsigned rank;     /* it waits for lower ones only */
  unsigned depth;
  unsigned first, last; /* the units that it may submit */
  uint64_t random;
  unsigned ran; /* plain: a part counts how often it has run, and who joins it reads that */
} actor;

static inline bool chance(actor *a, unsigned of) { return random_below(&a->random, of) == 0; }
static inline unsigned below(actor *a, unsigned n) { return random_below(&a->random, n); }
/* For a wait that has a limit. */
static inline uint64_t some_time(actor *a) { return chance(a, 4) ? 0 : below(a, SOON_NS); }
static inline bool is_closing(const life *l, unsigned pool) {
  return mp_load_seq(&l->closing[pool]);
}
/* A signal ends only the waits of who is no worker of the pool. */
static inline bool is_outside(const actor *a, unsigned pool) {
  return a->worker == NULL || a->pool != pool;
}

/* Takes a few random steps (steps.c). */
void act(actor *a);

/* The first pool, or the second; in a tight case none goes back from the second. */
unsigned any_pool(actor *a);
void check_worker(const actor *a);
/* The end of a task that somebody has waited for. */
void check_end(const life *l, const mp_task *task, const unit *u);
/* How a loop or a graph in this pool has ended. */
void check_whole(const actor *a, unsigned pool, mp_status status);

/*
** Divides half of what an actor may do among jobs, pieces or nodes, which run in this pool; each is
** then run once or more often by some worker.
*/
void divide(actor *a, actor *parts, unsigned n, unsigned pool);
void run_part(mp_worker *worker, actor *part);
void check_parts(const actor *a, const actor *parts, unsigned n, unsigned runs, bool all);

/* A reference to somebody's task of a lower rank than `rank`, or NULL. */
mp_task *get_from_board(actor *a, unsigned rank, unit **u);
void clear_board(life *l);

mp_task_desc describe(actor *a, unit *u);
/* Submits up to CHILDREN; returns how many, where tasks[i] is NULL if it was refused. */
size_t submit_some(actor *a, unsigned pool, mp_mailbox *mailbox, mp_task **tasks, unit **units);
/* The same at once, without `after`. */
size_t submit_batch(actor *a, unsigned pool, mp_task **tasks, unit **units);
void await_room(actor *a, unsigned pool);
/* Waits for one of them in some way, perhaps in vain; *index: which has ended, or n. */
void wait_somehow(actor *a, unsigned pool, mp_task **tasks, size_t n, uint64_t timeout_ns,
                  size_t *index);
/*
** Until all have ended, in the order in which they do. Now and then it leaves one alone, but not
** where nobody else might run that.
*/
void await_all(actor *a, unsigned pool, mp_task **tasks, unit **units, size_t n);
/* What comes now is delivered; some of what is delivered acts for whoever polls. */
void poll_and_act(actor *a, mp_mailbox *mailbox);

#endif
