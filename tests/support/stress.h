/*
** stress.h - what the stress programs share: their arguments, repeatable random numbers, a verdict.
**
** Each is called as `program [threads] [scale] [seed]` and prints one line that says what it did
** and with which seed. Time decides nothing: a program that hangs is ended by an alarm.
*/
#ifndef STRESS_H
#define STRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "atomic.h"
#include "fault_alloc.h"
#include "makeparallel.h"

typedef struct stress {
  const char *name;
  unsigned threads;
  size_t scale; /* 1: a second or so */
  uint64_t seed;
  fault_alloc memory;
} stress;

void stress_begin(stress *s, int argc, char **argv);
/* For a program that runs longer than a hang may take: it is alive. */
void stress_goes_on(void);
/* Prints the line; `format` says what was done. Returns the exit status. */
int stress_end(stress *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ends the program with the place and the seed when something that must hold does not. */
#define CHECK(s, condition) \
  do { \
    if (!(condition)) stress_fail(s, __FILE__, __LINE__, #condition); \
  } while (0)
_Noreturn void stress_fail(const stress *s, const char *file, int line, const char *what);

/* A pool whose memory is accounted for; `config` may be changed before. */
mp_pool_config stress_config(stress *s);
mp_pool *stress_pool(stress *s, const mp_pool_config *config);
/* Destroys it and checks that all memory came back. */
void stress_pool_end(stress *s, mp_pool *pool);
mp_pool_info stress_info(mp_pool *pool);
/* Waits until all is settled and checks the sums. */
mp_pool_info stress_settle(stress *s, mp_pool *pool);

/* splitmix64 (Steele, Lea, Flood 2014): one state per thread, equal seeds give equal numbers. */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
static inline uint32_t random_below(uint64_t *state, uint32_t n) {
  return (uint32_t)(next_random(state) % n);
}

#endif
