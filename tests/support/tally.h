/*
** tally.h - a count that threads raise and others wait for: how tests order threads without looking
** at a clock.
*/
#ifndef TALLY_H
#define TALLY_H

#include <pthread.h>

typedef struct tally {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned count; /* guarded by lock */
} tally;

#define TALLY_INIT \
  { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

static inline void tally_add(tally *t) {
  pthread_mutex_lock(&t->lock);
  t->count++;
  pthread_cond_broadcast(&t->changed);
  pthread_mutex_unlock(&t->lock);
}

/* Blocks until the count is at least `count`. */
static inline void tally_await(tally *t, unsigned count) {
  pthread_mutex_lock(&t->lock);
  while (t->count < count) pthread_cond_wait(&t->changed, &t->lock);
  pthread_mutex_unlock(&t->lock);
}

static inline unsigned tally_read(tally *t) {
  pthread_mutex_lock(&t->lock);
  unsigned count = t->count;
  pthread_mutex_unlock(&t->lock);
  return count;
}

#endif
