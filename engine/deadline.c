#include "deadline.h"

#include <assert.h>

#include "bug.h"

mp_status mp_deadlines_init(mp_deadlines *d, size_t stack_size) MP_UNCHECKED {
  mp_status status = mp_os_mutex_init(&d->lock);
  if (status != MP_OK) return status;
  if ((status = mp_os_gate_init(&d->gate)) != MP_OK) {
    mp_os_mutex_close(&d->lock);
    return status;
  }
  d->stack_size = stack_size;
  d->tick_at = MP_FOREVER; /* no other thread knows it yet */
  return MP_OK;
}

void mp_deadlines_close(mp_deadlines *d) MP_UNCHECKED {
  assert(!d->runs);
  mp_os_gate_close(&d->gate);
  mp_os_mutex_close(&d->lock);
}

/* Does the next thing that is due, without the lock; false: nothing is, until *next. */
static bool work_locked(mp_deadlines *d, uint64_t *next) MP_HOLDS(d->lock) {
  uint64_t now = mp_os_now();
  mp_deadline *passed = (mp_deadline *)mp_timers_expire(&d->timers, now);
  if (passed != NULL) {
    assert(passed->armed);
    passed->armed = false;
    mp_os_mutex_give(&d->lock);
    d->expired(d->ud, passed);
    mp_os_mutex_take(&d->lock);
    return true;
  }
  if (d->tick_at <= now) {
    d->tick_at = MP_FOREVER;
    mp_os_mutex_give(&d->lock);
    uint64_t again = d->tick(d->ud);
    mp_os_mutex_take(&d->lock);
    if (again < d->tick_at) d->tick_at = again;
    return true;
  }
  *next = mp_timers_next(&d->timers);
  if (d->tick_at < *next) *next = d->tick_at;
  return false;
}

static void *timer_main(void *arg) {
  mp_deadlines *d = arg;
  mp_os_thread_name("mp-timer");
  mp_os_mutex_take(&d->lock);
  d->tag = mp_os_thread_tag();
  while (!d->closing) {
    uint64_t next;
    if (work_locked(d, &next)) continue;
    uint32_t seen = mp_load_relaxed(&d->gate.word);
    mp_os_mutex_give(&d->lock);
    (void)!mp_os_gate_wait(&d->gate, seen, next);
    mp_os_mutex_take(&d->lock);
  }
  d->runs = false;
  mp_os_mutex_give(&d->lock);
  d->ended(d->ud);
  d->gone(d->ud);
  return NULL;
}

static mp_status start_locked(mp_deadlines *d) MP_HOLDS(d->lock) {
  if (d->closing) return MP_SHUTDOWN;
  if (d->started) return MP_OK;
  d->comes(d->ud);
  mp_status status = mp_os_thread_start(&d->thread, d->stack_size, timer_main, d);
  d->started = d->runs = status == MP_OK;
  if (status != MP_OK) d->gone(d->ud);
  return status;
}

mp_status mp_deadlines_start(mp_deadlines *d) {
  mp_os_mutex_take(&d->lock);
  mp_status status = start_locked(d);
  mp_os_mutex_give(&d->lock);
  return status;
}

/* The thread is to look at what it sleeps for: an earlier time has come in. */
static void nudge_locked(mp_deadlines *d) MP_HOLDS(d->lock) { mp_add_relaxed(&d->gate.word, 1); }

/* True: the thread must be woken, behind the lock. */
static bool arm_locked(mp_deadlines *d, mp_deadline *deadline, uint64_t at) MP_HOLDS(d->lock) {
  bool first = at < mp_timers_next(&d->timers) && !MP_BUGGY(TIMER_SLEEPS_ON);
  assert(!deadline->armed);
  deadline->armed = true;
  mp_timers_arm(&d->timers, &deadline->node, at);
  if (first) nudge_locked(d);
  return first;
}

mp_status mp_deadlines_arm(mp_deadlines *d, mp_deadline *deadline, uint64_t at) {
  mp_os_mutex_take(&d->lock);
  mp_status status = start_locked(d);
  bool first = status == MP_OK && arm_locked(d, deadline, at);
  mp_os_mutex_give(&d->lock);
  if (first) mp_os_gate_wake_one(&d->gate);
  return status;
}

void mp_deadlines_bring_forward(mp_deadlines *d, mp_deadline *deadline, uint64_t at) {
  mp_os_mutex_take(&d->lock);
  bool later = !deadline->armed || mp_timers_time(&deadline->node) > at, first = false;
  if (later && deadline->armed) {
    mp_timers_disarm(&d->timers, &deadline->node);
    deadline->armed = false;
  }
  if (later) first = arm_locked(d, deadline, at);
  mp_os_mutex_give(&d->lock);
  if (first) mp_os_gate_wake_one(&d->gate);
}

bool mp_deadlines_disarm(mp_deadlines *d, mp_deadline *deadline) {
  mp_os_mutex_take(&d->lock);
  bool armed = deadline->armed;
  if (armed) {
    mp_timers_disarm(&d->timers, &deadline->node);
    deadline->armed = false;
  }
  mp_os_mutex_give(&d->lock);
  return armed;
}

void mp_deadlines_tick_at(mp_deadlines *d, uint64_t when) {
  mp_os_mutex_take(&d->lock);
  bool sooner = when < d->tick_at && start_locked(d) == MP_OK;
  if (sooner) {
    d->tick_at = when;
    nudge_locked(d);
  }
  mp_os_mutex_give(&d->lock);
  if (sooner) mp_os_gate_wake_one(&d->gate);
}

void mp_deadlines_stop(mp_deadlines *d) {
  mp_os_mutex_take(&d->lock);
  d->closing = true;
  nudge_locked(d);
  mp_os_mutex_give(&d->lock);
  mp_os_gate_wake_one(&d->gate);
}

bool mp_deadlines_stopped(mp_deadlines *d) {
  mp_os_mutex_take(&d->lock);
  bool runs = d->runs && d->tag != mp_os_thread_tag();
  mp_os_mutex_give(&d->lock);
  return !runs;
}

void mp_deadlines_join(mp_deadlines *d) {
  mp_os_mutex_take(&d->lock);
  bool started = d->started, runs = d->runs;
  mp_os_thread thread = d->thread;
  assert(d->closing);
  d->started = false;
  mp_os_mutex_give(&d->lock);
  if (!started) return;
  if (runs)
    mp_os_thread_detach(thread);
  else
    mp_os_thread_join(thread);
}
