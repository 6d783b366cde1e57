#include "wait.h"

#include <limits.h>

#include "bug.h"
#include "finish.h"
#include "pick.h"
#include "run.h"
#include "scheduler.h"
#include "seats.h"
#include "spin.h"
#include "stop.h"

#define LOOK_NS ((uint64_t)10000000) /* between two looks at what changes without telling anybody */
/* C stack that what runs on top of a waiter may need; more must be left for it. */
#define STACK_RESERVE ((size_t)512 * 1024)
#define RUNS_MAX 64 /* entries between two looks whether everything is done */
#define SCAN_MAX \
  16 /* a change at one of more tasks wakes whoever waits for them without a search */

/*
** {======================================================
** What is waited for
** =======================================================
*/

typedef struct waiting {
  mp_waiter entry; /* first: concerns() gets it */
  mp_pool *pool;
  const mp_wait_for *what;
  uint64_t deadline, taken; /* taken: mailbox->taken when the wait began */
  size_t *index;
  mp_worker *self; /* the worker of this pool that waits, or NULL */
  mp_parker own;   /* where a thread sleeps that is no worker of this pool */
  /* what may run on this stack: see wait.h */
  bool runs;   /* anything at all */
  bool others; /* more than what is waited for: what has at least this priority */
  int floor;
  uintptr_t group;    /* pieces of this group; 0: none */
  bool dig;           /* its own may lie below tasks that it has queued since it forked them */
  bool seated;        /* there is a seat to give */
  bool gave;          /* it has been given: nothing more runs on this stack */
  bool interruptible; /* a signal handler that has run ends the wait */
  bool unreplaced;    /* nobody could be had for its seat */
  bool rescues;       /* so it would run what is queued, should nobody else run */
  bool in_place;      /* the task that is waited for may run here */
  bool alone;         /* this thread is the last that runs in another pool */
  bool listed;        /* it stands in the waitlist, its marks are set */
} waiting;

static bool has_room(const mp_wait_for *what) {
  return mp_load_relaxed(&what->room->closing) != MP_CLOSING_NOT ||
         mp_admission_has_room(&what->room->admission, what->room_bytes);
}

static bool has_mail(const waiting *w) {
  const mp_mailbox *mailbox = w->what->mailbox;
  /* what ran on this stack meanwhile may have taken the news that is waited for */
  return mp_load_seq(&mailbox->count) != 0 || mp_load_relaxed(&mailbox->taken) != w->taken;
}

static bool is_ready(const waiting *w) {
  const mp_wait_for *what = w->what;
  for (size_t i = 0; i < what->n; i++) {
    if (what->tasks[i] == NULL || !mp_task_is_over(what->tasks[i])) continue;
    *w->index = i;
    return true;
  }
  *w->index = what->n;
  if (what->word != NULL && mp_job_is_done(what->word)) return true;
  if (what->mailbox != NULL && has_mail(w)) return true;
  if (what->room != NULL && has_room(what)) return true;
  return what->check != NULL && what->check(w->pool);
}

static bool is_called_off(const waiting *w) {
  return w->what->stoppable && mp_is_asked(w->pool, w->what->cancellable);
}

/* Only mail is waited for, for ever, and the pool's threads, which might send some, are gone. */
static bool is_forsaken(const waiting *w) {
  const mp_wait_for *what = w->what;
  return what->mailbox != NULL && what->n == 0 && what->room == NULL && w->deadline == MP_FOREVER &&
         mp_load_acquire(&w->pool->ending) == MP_ENDING_OVER;
}

static bool is_over_for_good(const waiting *w) {
  return is_ready(w) || is_called_off(w) || is_forsaken(w);
}

/* In the waitlist: does a change there concern this one? */
static bool concerns(const mp_waiter *entry, const void *key) {
  const mp_wait_for *what = ((const waiting *)entry)->what;
  if (key == (const void *)what->word || key == (const void *)what->mailbox ||
      key == (const void *)what->cancellable)
    return true;
  if (what->room != NULL && key == mp_room_key(what->room)) return true;
  if (what->check != NULL && key == mp_quiet_key(((const waiting *)entry)->pool)) return true;
  if (what->n > SCAN_MAX) return true;
  for (size_t i = 0; i < what->n; i++)
    if (key == (const void *)what->tasks[i]) return true;
  return false;
}

static void mark(mp_task *task) { mp_or_seq(&task->word, MP_FLAG_WAITED); }

/*
** From here on every change that the wait is for is signalled to it: the marks tell whoever makes
** one. Each is set by one atomic change of the word that the other side changes too, or is a
** counter that it reads after its change; so it sees the mark, or the look that follows here sees
** the change.
*/
static void enlist(waiting *w) {
  const mp_wait_for *what = w->what;
  uint32_t pending = MP_JOB_PENDING;
  if (w->listed) return;
  w->listed = true;
  mp_waitlist_join(&w->pool->waitlist, &w->entry);
  for (size_t i = 0; i < what->n; i++)
    if (what->tasks[i] != NULL) mark(what->tasks[i]);
  if (what->word != NULL) (void)mp_cas_acq_rel(what->word, &pending, MP_JOB_WAITED);
  if (what->mailbox != NULL) mp_add_seq(&what->mailbox->awaited, 1);
  if (what->room != NULL) mp_add_seq(&what->room->admission.waiters, 1);
  if (what->check != NULL) mp_add_seq(&w->pool->drainers, 1);
  if (what->cancellable != NULL && !MP_BUGGY(SLEEP_UNSEEN)) mark(what->cancellable);
}

static void delist(waiting *w) {
  const mp_wait_for *what = w->what;
  if (!w->listed) return;
  mp_waitlist_leave(&w->pool->waitlist, &w->entry);
  if (what->mailbox != NULL) mp_sub_seq(&what->mailbox->awaited, 1);
  if (what->room != NULL) mp_sub_seq(&what->room->admission.waiters, 1);
  if (what->check != NULL) mp_sub_seq(&w->pool->drainers, 1);
}

/* }====================================================== */

/*
** {======================================================
** What runs on the waiter's stack
** =======================================================
*/

/* Does its turn on a strand never come, for something on this stack has it? */
static bool stands_behind(const mp_task *task) {
  const mp_strand *strand = mp_task_strand(task);
  if (strand == NULL || mp_task_timeout(task) != 0) return false;
  return mp_task_state(task) == MP_STATE_QUEUED && mp_thread_is_on_strand(strand);
}

/*
** Does all that is waited for lie below, on this very stack, or stand behind it, while nothing else
** can end the wait?
*/
static bool closes_a_circle(const waiting *w) {
  const mp_wait_for *what = w->what;
  if (what->n == 0 || what->mailbox != NULL || w->deadline != MP_FOREVER) return false;
  for (size_t i = 0; i < what->n; i++)
    if (what->tasks[i] != NULL && !mp_thread_is_in_task(what->tasks[i]) &&
        !stands_behind(what->tasks[i]))
      return false;
  return mp_thread_is_inside();
}

/* The lowest priority among the tasks that are waited for. */
static int floor_of(const mp_wait_for *what) {
  int floor = INT_MAX;
  for (size_t i = 0; i < what->n; i++)
    if (what->tasks[i] != NULL && mp_task_priority(what->tasks[i]) < floor)
      floor = mp_task_priority(what->tasks[i]);
  return floor;
}

/*
** Is it one task, and the wait ends with that alone? If anything else could end it, the waiter
** might be needed by what runs on top of it.
*/
static bool needs_the_task(const mp_wait_for *what) {
  size_t n = 0;
  for (size_t i = 0; i < what->n; i++) n += what->tasks[i] != NULL;
  return n == 1 && what->mailbox == NULL && !what->stoppable;
}

static bool has_stack(const waiting *w) { return mp_worker_stack_left(w->self) >= STACK_RESERVE; }

/* The rule, by who waits, for what, and how long. */
static void set_rule(waiting *w) {
  const mp_wait_for *what = w->what;
  const mp_scheduler *scheduler = &w->pool->scheduler;
  bool patient = w->deadline == MP_FOREVER;
  bool owner = w->self != NULL && w->self == scheduler->owner;
  bool inside = mp_thread_is_inside();
  bool for_work = what->n > 0 || what->word != NULL;
  w->interruptible = !what->through_signals && (w->self == NULL || (owner && !inside));
  w->seated = w->self != NULL && !owner && !what->keeps_seat && !w->self->unseated;
  /* the stack below is the same as long as it waits */
  w->runs = w->self != NULL && patient && (for_work || what->everything) && has_stack(w);
  w->in_place = w->runs && needs_the_task(what);
  w->others = w->runs && owner && !inside && what->word == NULL;
  w->floor = what->everything ? INT_MIN : floor_of(what);
  w->dig = what->word != NULL;
  w->group = what->group;
}

/* True: it has run, or been cancelled, here and now. */
static bool run_if_queued(mp_worker *self, mp_task *task) {
  const mp_pool *pool = mp_pool_of(self);
  if (mp_task_state(task) != MP_STATE_QUEUED || task->pool != pool) return false;
  /* its end by the deadline would be heard of only when its body returns */
  if (mp_task_timeout(task) != 0) return false;
  /* as if a worker had found it */
  if (mp_load_relaxed(&pool->closing) >= MP_CLOSING_CANCEL) return mp_cancel(task) != 0;
  mp_task_retain(task);
  bool ran = mp_run_in_place(self, task);
  mp_task_release(task);
  return ran;
}

static bool run_awaited(const waiting *w) {
  if (!w->in_place) return false;
  for (size_t i = 0; i < w->what->n; i++)
    if (w->what->tasks[i] != NULL && run_if_queued(w->self, w->what->tasks[i])) return true;
  return false;
}

/* The pool's threads end: what is left, nobody else may run any more. */
static bool is_closing_time(const waiting *w) {
  return w->runs && mp_load_relaxed(&w->pool->scheduler.stop);
}

static uintptr_t runners_group(const waiting *w) {
  uintptr_t group = w->what->runner != NULL ? mp_load_relaxed(w->what->runner) : 0;
  return group != w->group ? group : 0;
}

/*
** What the job that is waited for has forked itself. Its group is the address of a frame, which
** another may have once the job is done: so it must not be done after the entry was taken.
*/
static mp_entry *help_the_runner(const waiting *w) {
  uintptr_t group = runners_group(w);
  mp_entry *entry = group != 0 ? mp_pick_piece(w->self, group, false) : NULL;
  if (entry == NULL || !mp_job_is_done(w->what->word)) return entry;
  mp_pick_put_back(&w->pool->scheduler, entry);
  return NULL;
}

/* An entry that may run here, or NULL. */
static mp_entry *find_entry(waiting *w) {
  mp_entry *entry = NULL;
  if (w->others) entry = mp_pick_at_least(w->self, w->floor);
  if (entry == NULL && w->group != 0) entry = mp_pick_piece(w->self, w->group, w->dig);
  if (entry == NULL) entry = help_the_runner(w);
  w->dig = false;
  if (entry == NULL && is_closing_time(w)) entry = mp_pick(w->self);
  return entry;
}

static void take_seat_back(waiting *w) {
  if (!w->gave) return;
  assert(!w->seated && w->self != NULL);
  mp_seats_take_back(w->self);
  if (w->rescues) mp_sub_seq(&w->pool->scheduler.seats.rescuers, 1);
  w->rescues = w->unreplaced = w->gave = false;
  w->seated = true;
}

static bool is_wait_over(void *wait) { return is_over_for_good(wait); }

static bool run_one(waiting *w) {
  if (!w->runs || (w->gave && !is_closing_time(w))) return false;
  take_seat_back(w);
  if (run_awaited(w)) return true;
  mp_entry *entry = find_entry(w);
  if (entry == NULL) return false;
  /* a chain or a loop of others' work ends, for this thread, with the wait */
  mp_awaits before = w->self->awaits;
  w->self->awaits = (mp_awaits){NULL, w, w->others ? w->floor : INT_MIN};
  if (w->others && w->what->check == NULL) w->self->awaits.is_over = is_wait_over;
  mp_scheduler_run(w->self, entry);
  w->self->awaits = before;
  return true;
}

/*
** Who waits until everything is done looks seldom whether it is: that means to read what all
** workers write.
*/
static bool run_some(waiting *w) {
  int n = 0, most = w->what->check != NULL ? RUNS_MAX : 1;
  while (n < most && !mp_pool_forked(w->pool) && run_one(w)) n++;
  return n > 0;
}

/* Is there something to run here? It may be gone a moment later. */
static bool has_something(const waiting *w) {
  mp_scheduler *scheduler = &w->pool->scheduler;
  if (!w->runs || w->gave) return false;
  if (w->group != 0 && mp_pick_has_piece(scheduler, w->group)) return true;
  uintptr_t runners = runners_group(w);
  if (runners != 0 && mp_pick_has_piece(scheduler, runners)) return true;
  return w->others && mp_pick_has_at_least(scheduler, w->floor);
}

/* }====================================================== */

/*
** {======================================================
** Looking and sleeping
** =======================================================
*/

/* True: the wait is over, or there is something to run here. */
static bool spin(const waiting *w) {
  if (w->what->check != NULL) return false; /* that is looked at seldom, as above */
  mp_scheduler *scheduler = &w->pool->scheduler;
  mp_spin_budget *budget = w->self != NULL ? &w->self->spin : &scheduler->outside;
  mp_spin spin = mp_spin_begin(scheduler, budget);
  bool found = false, wanted = false;
  uint64_t now;
  do {
    for (int i = 0; i < 16 && !found; i++) {
      mp_pause();
      found = is_ready(w);
    }
    found = found || is_over_for_good(w) || has_something(w);
    now = mp_os_now();
    /* its seat is wanted for other work */
    wanted = !found && w->seated && mp_spin_is_long(&spin, now) && mp_pick_has_work(scheduler);
  } while (!found && !wanted && now < w->deadline && mp_spin_goes_on(&spin, now));
  mp_spin_end(&spin, found);
  return found;
}

/* The look that counts: whoever makes a change from here on sees that somebody sleeps. */
static bool has_come(const waiting *w) { return !MP_BUGGY(SEEN_TOO_LATE) && is_over_for_good(w); }

/* Sleeping in its seat, or as an owner: work wakes it as well. */
static bool wakes_idle(void *ud) {
  waiting *w = ud;
  if (has_come(w)) return true;
  return w->seated ? mp_pick_has_work(&w->pool->scheduler) : has_something(w);
}

static bool wakes_unseated(void *ud) {
  waiting *w = ud;
  return has_come(w) || (is_closing_time(w) && mp_pick_has_work(&w->pool->scheduler));
}

/*
** Memory in use falls without telling anybody; so does the number of those who run, where no thread
** more can be had, until this one is the only one that could, in its pool or in another.
*/
static uint64_t next_look(const waiting *w) {
  const mp_pool *room = w->what->room;
  bool memory = room != NULL && mp_load_relaxed(&room->admission.memory_percent) != 0;
  if (!memory && !w->alone && !w->unreplaced) return w->deadline;
  uint64_t soon = mp_os_deadline(LOOK_NS);
  return soon < w->deadline ? soon : w->deadline;
}

static mp_status sleep_idle(waiting *w) {
  mp_scheduler *scheduler = &w->pool->scheduler;
  mp_bump(&w->self->counters.parks);
  mp_status status =
      mp_park_sleep_unless(&scheduler->park, false, &w->self->parker, next_look(w), wakes_idle, w);
  mp_scheduler_end_search(scheduler);
  return status;
}

static mp_status sleep_unseated(waiting *w) {
  return mp_park_sleep_unless(NULL, false, w->entry.parker, next_look(w), wakes_unseated, w);
}

/*
** Gives away the seat of the worker that this thread is in another pool. Where nobody can be had
** for it and nobody else runs there, this thread does what that pool has: then false, and it keeps
** the seat.
*/
static bool give_outer_seat(waiting *w, mp_worker *outer) {
  bool others_run;
  mp_entry *entry = NULL;
  if (mp_seats_give(outer, &others_run) == MP_OK || others_run) return true;
  w->alone = true;
  if (w->deadline == MP_FOREVER && mp_worker_stack_left(outer) >= STACK_RESERVE)
    entry = mp_pick(outer);
  if (entry == NULL) return true;
  mp_worker *self = mp_self_worker;
  mp_seats_take_back(outer);
  mp_self_worker = outer;
  mp_scheduler_run(outer, entry);
  mp_self_worker = self;
  return false;
}

/*
** There is other work: the seat goes to somebody who may do it. Where nobody can be had for it, and
** nobody else runs, this worker does it, whatever it is, if it has the time and the stack.
*/
static void give_seat(waiting *w) {
  bool others_run;
  mp_status status = mp_seats_give(w->self, &others_run);
  w->gave = true;
  w->seated = false;
  w->unreplaced = status != MP_OK;
  if (status == MP_OK || w->deadline != MP_FOREVER || !has_stack(w)) return;
  w->rescues = true;
  mp_add_seq(&w->pool->scheduler.seats.rescuers, 1);
  if (others_run) return;
  take_seat_back(w);
  mp_entry *entry = mp_pick(w->self);
  if (entry != NULL) mp_scheduler_run(w->self, entry);
}

/*
** It gave its seat away to nobody, for others ran; now nobody does any more, and it may run work.
*/
static bool is_the_last(const waiting *w) {
  const mp_scheduler *scheduler = &w->pool->scheduler;
  return w->rescues && mp_load_relaxed(&scheduler->seats.running) == 0;
}

/*
** Nobody runs what it waits for, nobody could be had to, nobody who waits has the stack to, nor has
** it itself.
*/
static bool is_stranded(const waiting *w) {
  mp_seats *seats = &w->pool->scheduler.seats;
  return w->gave && w->unreplaced && w->deadline == MP_FOREVER && w->what->n > 0 &&
         w->what->mailbox == NULL && !has_stack(w) && mp_load_seq(&seats->running) == 0 &&
         mp_load_seq(&seats->rescuers) == 0;
}

/* Where nobody could be had for its seat, somebody may be now. */
static void try_again(waiting *w) {
  if (w->gave && w->unreplaced && mp_pick_has_work(&w->pool->scheduler))
    mp_seats_refill(&w->pool->scheduler);
}

static mp_status sleep_once(waiting *w) {
  mp_worker *outer = mp_thread_worker();
  if (w->entry.parker == NULL) {
    /* nothing to sleep on could be made; a wait must not fail for that: others use its memory */
    mp_os_moment();
    return MP_OK;
  }
  MP_BUG_GAP(SEEN_TOO_LATE);
  enlist(w);
  if (outer == w->self) outer = NULL;
  if (outer != NULL && !give_outer_seat(w, outer)) return MP_OK;
  bool idle = w->self != NULL && !w->gave && (w->seated || w->runs);
  mp_status status = idle ? sleep_idle(w) : sleep_unseated(w);
  if (outer != NULL) mp_seats_take_back(outer);
  return status;
}

/* }====================================================== */

/* True: *status is the outcome. */
static bool is_decided(const waiting *w, mp_status *status) {
  if (mp_pool_forked(w->pool))
    *status = MP_FORKED;
  else if (is_ready(w))
    *status = MP_OK;
  else if (is_called_off(w))
    *status = MP_CANCELLED;
  else if (is_forsaken(w))
    *status = MP_SHUTDOWN;
  else if (*status == MP_INTERRUPTED && w->interruptible)
    *status = MP_INTERRUPTED;
  else if (w->deadline != MP_FOREVER && mp_os_now() >= w->deadline)
    *status = MP_TIMEOUT;
  else if (is_stranded(w))
    *status = MP_NOTHREAD;
  else
    return false;
  return true;
}

static mp_status wait_through(waiting *w) {
  mp_status status = MP_OK;
  while (!is_decided(w, &status)) {
    status = MP_OK;
    if (run_some(w) || spin(w)) continue;
    if (is_the_last(w)) take_seat_back(w);
    if (w->seated && mp_pick_has_work(&w->pool->scheduler)) {
      give_seat(w);
      continue;
    }
    status = sleep_once(w);
    try_again(w);
  }
  if (status == MP_FORKED) return status; /* all locks may be held */
  delist(w);
  take_seat_back(w);
  return status;
}

mp_status mp_wait_until(mp_pool *pool, const mp_wait_for *what, uint64_t deadline, size_t *index) {
  size_t found = what->n;
  waiting w = {.entry.concerns = concerns, .pool = pool, .what = what, .deadline = deadline};
  w.index = &found;
  if (mp_pool_forked(pool)) return MP_FORKED;
  if (what->mailbox != NULL) w.taken = mp_load_relaxed(&what->mailbox->taken);
  mp_status status = MP_OK;
  if (is_ready(&w)) {
    *index = found;
    return MP_OK;
  }
  if (deadline == 0) return MP_TIMEOUT;
  w.self = mp_pool_self(pool);
  bool enters = w.self == NULL && deadline == MP_FOREVER && what->mailbox == NULL &&
                what->room == NULL &&
                (mp_pool_owner_works(pool) || (what->works && mp_pool_is_owner(pool)));
  mp_stay stay; /* the owner is a worker for as long as it waits, if it works */
  if (enters) {
    mp_owner_enter(&pool->scheduler, &stay);
    w.self = pool->scheduler.owner;
  }
  if (!is_called_off(&w) && closes_a_circle(&w)) {
    status = MP_CYCLE;
  } else {
    if (w.self != NULL)
      w.entry.parker = &w.self->parker;
    else
      w.entry.parker = mp_parker_init(&w.own) == MP_OK ? &w.own : NULL;
    set_rule(&w);
    status = wait_through(&w);
    if (w.entry.parker == &w.own) mp_parker_close(&w.own);
  }
  if (enters) mp_owner_goes(pool, &stay);
  if (status == MP_OK) *index = found;
  return status;
}

/*
** {======================================================
** What hosts call
** =======================================================
*/

static mp_status check_tasks(const mp_pool *pool, mp_task *const *tasks, size_t n,
                             const mp_mailbox *mailbox) {
  if (mailbox != NULL && mailbox->shared != &pool->mailboxes) return MP_FOREIGN;
  for (size_t i = 0; i < n; i++)
    if (tasks[i] != NULL && tasks[i]->pool != pool) return MP_FOREIGN;
  return MP_OK;
}

/* The task that a worker runs, or a piece of: its being asked to stop ends a wait. */
static mp_task *current_task(const mp_worker *worker) {
  return worker != NULL ? mp_frame_task(worker) : NULL;
}

mp_status mp_wait_any(mp_pool *pool, mp_task *const *tasks, size_t n, mp_mailbox *mailbox,
                      uint64_t timeout_ns, size_t *index) {
  const mp_wait_for what = {.tasks = tasks, .n = n, .mailbox = mailbox};
  mp_status status = check_tasks(pool, tasks, n, mailbox);
  return status != MP_OK ? status : mp_wait_until(pool, &what, mp_os_deadline(timeout_ns), index);
}

mp_status mp_wait(mp_task *task, uint64_t timeout_ns) {
  const mp_wait_for what = {.tasks = &task, .n = 1};
  size_t index;
  return mp_wait_until(task->pool, &what, mp_os_deadline(timeout_ns), &index);
}

mp_status mp_worker_wait_any(mp_worker *worker, mp_task *const *tasks, size_t n,
                             mp_mailbox *mailbox, uint64_t timeout_ns, size_t *index) {
  mp_pool *pool = mp_pool_of(worker);
  mp_task *current = current_task(worker);
  const mp_wait_for what = {.tasks = tasks,
                            .n = n,
                            .mailbox = mailbox,
                            .stoppable = current != NULL,
                            .cancellable = current};
  mp_status status = check_tasks(pool, tasks, n, mailbox);
  return status != MP_OK ? status : mp_wait_until(pool, &what, mp_os_deadline(timeout_ns), index);
}

int mp_worker_run(mp_worker *worker, mp_task *task) {
  assert(mp_worker_self() == worker);
  return mp_worker_stack_left(worker) >= STACK_RESERVE && run_if_queued(worker, task);
}

mp_status mp_wait_room(mp_pool *pool, size_t bytes, mp_mailbox *mailbox, uint64_t timeout_ns) {
  mp_status status = check_tasks(pool, NULL, 0, mailbox);
  if (status != MP_OK) return status;
  if (bytes > SIZE_MAX - sizeof(mp_task)) return MP_FULL;
  mp_task *current = current_task(mp_pool_self(pool));
  const mp_wait_for what = {.mailbox = mailbox,
                            .room = pool,
                            .room_bytes = bytes + sizeof(mp_task),
                            .stoppable = current != NULL,
                            .cancellable = current};
  size_t max = mp_load_relaxed(&pool->admission.queue_bytes_max), index;
  if (max != 0 && what.room_bytes > max) return MP_FULL;
  return mp_wait_until(pool, &what, mp_os_deadline(timeout_ns), &index);
}

mp_status mp_worker_sleep(mp_worker *worker, uint64_t duration_ns) {
  const mp_wait_for what = {.stoppable = true,
                            .cancellable = current_task(worker),
                            .keeps_seat = true,
                            .through_signals = true};
  mp_pool *pool = mp_pool_of(worker);
  size_t index;
  if (mp_is_asked(pool, what.cancellable)) return MP_CANCELLED;
  mp_status status = mp_wait_until(pool, &what, mp_os_deadline(duration_ns), &index);
  return status == MP_TIMEOUT ? MP_OK : status;
}

/* }====================================================== */
