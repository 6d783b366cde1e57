#include "faults.h"

#include <stdatomic.h>
#include <time.h>

#define JUMP_NS ((uint64_t)100 * 1000000000) /* a hundred seconds at a time */
#define STILL_NS ((uint64_t)3 * 1000000)
#define LATE_NS 2000000L

static _Atomic size_t calls, fail_at, failures; /* fail_at == 0: nothing is armed */
static _Atomic int armed;
static _Atomic bool goes_on;
/* the clock's: sum of its jumps; the last it said; on the true clock */
static _Atomic uint64_t jumped, said, still_until;

void faults_arm(mp_fault_point point, size_t nth, bool lasting) {
  atomic_store(&fail_at, 0);
  atomic_store(&calls, 0);
  atomic_store(&failures, 0);
  atomic_store(&armed, (int)point);
  atomic_store(&goes_on, lasting);
  atomic_store(&fail_at, nth);
}

size_t faults_disarm(void) {
  atomic_store(&fail_at, 0);
  atomic_store(&still_until, 0);
  return atomic_load(&failures);
}

bool mp_fault(mp_fault_point point) {
  size_t at = atomic_load(&fail_at);
  if (at == 0 || atomic_load(&armed) != (int)point) return false;
  size_t n = atomic_fetch_add(&calls, 1) + 1;
  if (n < at || (n > at && !atomic_load(&goes_on))) return false;
  atomic_fetch_add(&failures, 1);
  if (point != MP_FAULT_LATE) return true;
  nanosleep(&(struct timespec){0, LATE_NS}, NULL);
  return false;
}

uint64_t mp_fault_clock(uint64_t ns) {
  uint64_t before = atomic_load(&said), now = before;
  if (mp_fault(MP_FAULT_JUMP)) atomic_fetch_add(&jumped, JUMP_NS);
  if (before == 0 || ns >= atomic_load(&still_until)) {
    now = ns + atomic_load(&jumped);
    if (mp_fault(MP_FAULT_STILL)) atomic_store(&still_until, ns + STILL_NS);
  }
  while (before < now && !atomic_compare_exchange_weak(&said, &before, now)) continue;
  return before < now ? now : before;
}

const char *fault_text(mp_fault_point point) {
  static const char *const texts[] = {
#define FAULT_TEXT(name, text) text,
      MP_FAULT_MAP(FAULT_TEXT)
#undef FAULT_TEXT
  };
  return texts[point];
}

const char *fault_name(mp_fault_point point) {
  static const char *const names[] = {
#define FAULT_NAME(name, text) #name,
      MP_FAULT_MAP(FAULT_NAME)
#undef FAULT_NAME
  };
  return names[point];
}
