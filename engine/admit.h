/*
** admit.h - how much a pool takes at a time: tasks that have not ended, tasks and bytes that have
** not left their queue, memory in use.
**
** Any thread may call anything. Nothing here blocks: who is refused waits for room (mp_wait_room)
** and asks again. Counts go up only by compare-and-swap, so that no limit is ever exceeded, not
** even for a moment:
**
**   tasks <= limits.tasks, queue <= limits.queue, queue_bytes <= limits.queue_bytes
**
** Tasks that came while there were no limits are not counted.
*/
#ifndef MP_ADMIT_H
#define MP_ADMIT_H

#include <stdbool.h>

#include "atomic.h"
#include "makeparallel.h"

typedef struct mp_admission {
  /* limits; atomic, written by mp_admission_set. 0: none */
  _Atomic size_t tasks_max, queue_max, queue_bytes_max;
  _Atomic uint32_t memory_percent;
  _Atomic uint32_t on; /* is there any */
  /* atomic counters */
  _Atomic size_t tasks, queue, queue_bytes, tasks_peak;
  _Atomic uint64_t refused;
  _Atomic uint32_t waiters; /* threads in mp_wait_room */
  /* memory is looked at now and then; whoever comes first when it is time does it */
  _Atomic uint64_t memory_due_ns;
  _Atomic uint32_t memory_over;
} mp_admission;

/* Zeroed memory has no limits. Errors: INVALID (more than 100 percent). */
MP_CHECKED mp_status mp_admission_set(mp_admission *admission, const mp_limits *limits);

/*
** n tasks with `bytes` together want in: all or none. *counted: they must leave again. Errors:
** FULL, MEMORY.
*/
MP_CHECKED mp_status mp_admit_counted(mp_admission *admission, size_t n, size_t bytes,
                                      bool *counted);
MP_CHECKED static inline mp_status mp_admit(mp_admission *admission, size_t n, size_t bytes,
                                            bool *counted) {
  *counted = false;
  return mp_load_relaxed(&admission->on) ? mp_admit_counted(admission, n, bytes, counted) : MP_OK;
}
/* Would one of so many bytes be admitted now? A guess. */
bool mp_admission_has_room(mp_admission *admission, size_t bytes);
/* Counted tasks left their queue, or ended. True: somebody waits for room. */
bool mp_admission_leave_queue(mp_admission *admission, size_t n, size_t bytes);
bool mp_admission_end(mp_admission *admission, size_t n);

#endif
