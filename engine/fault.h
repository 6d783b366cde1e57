/*
** fault.h - what the system may do to us, done on purpose: a test program arms a point, and the
** n-th call there fails.
**
** Nothing of it is in a build without MP_FAULTS (`make faults` has it). With it, whoever links the
** engine brings the functions below (tests/support/faults.c): the engine itself keeps no state for
** it. Memory needs no point: mp_allocator can fail by itself.
*/
#ifndef MP_FAULT_H
#define MP_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, what happens there) */
#define MP_FAULT_MAP(X) \
  X(THREAD, "a thread cannot be created") \
  X(LOCK, "a lock cannot be made") \
  X(GATE, "a gate cannot be made") \
  X(EVENT_FD, "no descriptor is left") \
  X(PAGES, "the system has no pages") \
  X(FORK_GUARD, "no page tells a fork") \
  X(HANDLER, "the signal cannot be caught") \
  X(FENCE, "no thread can fence for all") \
  X(FILE, "/proc and /sys cannot be read") \
  X(SPURIOUS, "a sleep ends for no reason") \
  X(INTERRUPTED, "a signal handler ran in a sleep") \
  X(LATE, "a thread comes back late from its sleep, or starts late") \
  X(SIGNAL, "an interrupt is lost on its way") \
  X(JUMP, "the clock jumps forward") \
  X(STILL, "the clock stands still for a while")

/* clang-format off */
typedef enum mp_fault_point {
#define MP_FAULT_ENUM(name, text) MP_FAULT_##name,
  MP_FAULT_MAP(MP_FAULT_ENUM)
#undef MP_FAULT_ENUM
  MP_FAULT_POINTS
} mp_fault_point;
/* clang-format on */

#if defined(MP_FAULTS)

/*
** Counts a call there; true: it is to fail. At LATE it takes its time and says false. Any thread,
** also in a signal handler.
*/
bool mp_fault(mp_fault_point point);
/* What the clock says instead of `ns`: never less than it said before. */
uint64_t mp_fault_clock(uint64_t ns);

#define MP_FAULT(point) mp_fault(MP_FAULT_##point)

#else

#define MP_FAULT(point) false
#define mp_fault_clock(ns) (ns)

#endif

#endif
