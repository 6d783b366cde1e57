/*
** unit.h - what the unit programs share: cmocka, a pool whose memory is accounted for, and a task
** that records what happens to it.
*/
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "atomic.h"
#include "fault_alloc.h"
#include "makeparallel.h"
#include "tally.h"

#define MILLISECOND ((uint64_t)1000000)
#define SECOND (1000 * MILLISECOND)

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* A status compared by name, so that a failure can be read. */
#define assert_status(expression, expected) \
  assert_string_equal(mp_status_text(expression), mp_status_text(expected))
#define assert_ok(expression) assert_status(expression, MP_OK)

/*
** The hang bound of a whole program, generous enough for valgrind. Otherwise time decides nothing.
*/
#define HANG_SECONDS 300
#define unit_main(tests) (alarm(HANG_SECONDS), cmocka_run_group_tests(tests, NULL, NULL))

/*
** World: a pool and the memory it lives in.
*/
typedef struct world {
  fault_alloc memory;
  mp_pool *pool;
} world;

/* The default config, but for the number of workers and the memory. */
mp_pool_config world_config(world *w, unsigned workers);
void world_open(world *w, unsigned workers);
/* Sets the memory up; config->allocator is replaced by it. */
void world_open_with(world *w, mp_pool_config config);
/* Destroys the pool and checks that every byte came back. */
void world_close(world *w);

mp_pool_info world_info(world *w);
/*
** Checks the sums that always hold: finished == done + failed + cancelled + timed_out == submitted,
** nothing waits or runs.
*/
void world_assert_settled(world *w);
/* Waits until nothing is unfinished. */
void world_drain(world *w);

/*
** Probe: a task's argument that counts what happens to the task.
*/
typedef struct probe {
  mp_status outcome;    /* what the body returns */
  tally *entered;       /* raised when the body begins; may be NULL */
  tally *hold;          /* the body waits for 1 here; may be NULL */
  bool until_cancelled; /* the body sleeps until it is asked to stop, then returns `outcome` */
  _Atomic unsigned ran, dropped, told;
  _Atomic uint32_t order; /* the how-manieth to run, from 1, by `sequence` */
  _Atomic uint32_t *sequence;
  _Atomic int told_state;
} probe;

mp_status probe_run(mp_worker *worker, void *arg);
void probe_drop(void *arg);
void probe_done(mp_task *task, mp_state state, void *arg);

/* A description with run and drop set. */
mp_task_desc probe_desc(probe *p);
/* Submits it; the reference is the caller's. */
mp_task *probe_submit(world *w, probe *p);
mp_task *probe_submit_after(world *w, probe *p, mp_task *const *after, size_t n);
void assert_dropped_once(const probe *probes, size_t n);

/* Waits without limit and compares the end. */
void assert_ends(mp_task *task, mp_state state, mp_status status);
/* The same, and gives the reference back. */
void assert_ends_and_release(mp_task *task, mp_state state, mp_status status);

/* Occupies every worker of the pool until blockade_lift. */
typedef struct blockade {
  tally entered, hold;
  unsigned n;
} blockade;

void blockade_raise(blockade *b, world *w, unsigned workers);
void blockade_lift(blockade *b);

/* A body that does nothing. */
mp_status run_nothing(mp_worker *worker, void *arg);

/*
** Submits a task whose body adds to `entered` when it begins, and which times out soon: again if it
** has timed out before that, as on a loaded machine.
*/
void submit_overdue(mp_pool *pool, const mp_task_desc *desc, tally *entered);

#endif
