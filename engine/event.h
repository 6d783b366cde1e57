/*
** event.h - an event count: threads that wait for "something changed", one signal for all of them.
**
**     waiter                        signaller
**     seen = mp_event_seen          make the condition true
**     check the condition           mp_event_signal
**     mp_event_wait(seen)
**
** A signal after `seen` was read makes the wait return at once, so none is lost. Any thread may
** call anything.
*/
#ifndef MP_EVENT_H
#define MP_EVENT_H

#include "atomic.h"
#include "os.h"

typedef struct mp_event {
  mp_os_gate gate;
  _Atomic uint32_t sleepers;
} mp_event;

MP_CHECKED static inline mp_status mp_event_init(mp_event *event) {
  atomic_init(&event->sleepers, 0);
  return mp_os_gate_init(&event->gate);
}

static inline void mp_event_close(mp_event *event) { mp_os_gate_close(&event->gate); }

static inline uint32_t mp_event_seen(mp_event *event) { return mp_load_seq(&event->gate.word); }

/* MP_OK (look again), MP_TIMEOUT or MP_INTERRUPTED. */
MP_CHECKED static inline mp_status mp_event_wait(mp_event *event, uint32_t seen,
                                                 uint64_t deadline) {
  /*
  ** before the kernel compares the word; pairs with the load in signal. That the kernel compares it
  ** after this relies on futex(2) being a full barrier.
  */
  mp_add_seq(&event->sleepers, 1);
  mp_status status = mp_os_gate_wait(&event->gate, seen, deadline);
  mp_sub_seq(&event->sleepers, 1);
  return status;
}

static inline void mp_event_signal(mp_event *event) {
  mp_add_seq(&event->gate.word, 1);
  if (mp_load_seq(&event->sleepers) != 0) mp_os_gate_wake_all(&event->gate);
}

#endif
