/*
** fault_alloc.h - an mp_allocator for tests: counts what is out, checks the sizes it is told, fails
** on demand.
**
** Any thread may call anything; it holds a lock of its own. Misuse is counted, not fatal: tests
** look at it when all is over.
*/
#ifndef FAULT_ALLOC_H
#define FAULT_ALLOC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "makeparallel.h"

typedef struct fault_alloc {
  pthread_mutex_t lock;
  /* guarded by lock */
  size_t live_bytes, live_blocks;
  size_t wrong_sizes; /* frees and resizes that named another size than was asked for */
  size_t calls;       /* allocations asked for since it was armed */
  size_t fail_at;     /* which of them fails, from 1; 0: none */
  bool lasting;       /* and all after it */
  size_t failures;    /* since it was armed */
} fault_alloc;

#define FAULT_ALLOC_INIT \
  { PTHREAD_MUTEX_INITIALIZER, 0, 0, 0, 0, 0, false, 0 }

mp_allocator fault_allocator(fault_alloc *memory);

/* From now on the nth allocation fails; with `lasting` every later one too. */
void fault_arm(fault_alloc *memory, size_t nth, bool lasting);
/* Back to normal; returns how many allocations failed. */
size_t fault_disarm(fault_alloc *memory);

size_t fault_live_bytes(fault_alloc *memory);
/* Nothing out, and every size was right. */
bool fault_is_clean(fault_alloc *memory);

#endif
