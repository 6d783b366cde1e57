/*
** sweep.h - fails each allocation of an operation in turn, for each supplier of memory: once (Lua
** then collects garbage and tries again), twice (so that Lua gives up), and for ever. In a build
** with MP_FAULTS each call to the system instead.
*/
#ifndef UNIT_LUA_SWEEP_H
#define UNIT_LUA_SWEEP_H

#include "support.h"

typedef struct sweep {
  const char *name;
  bool bare;             /* the core is not open yet: the operation does it */
  bool close;            /* memory fails while the state closes, after the operation */
  const char *before;    /* Lua, with memory enough; may be NULL */
  const char *operation; /* Lua, while memory fails: may raise errors of memory, and no other */
  /* Lua, with memory enough again: checks that nothing is lost or damaged; may be NULL */
  const char *after;
} sweep;

/* A cmocka test with the sweep as its initial state. */
void sweep_run(void **state);
/*
** The tests of a program that sweeps, or the one that SWEEP names; prints how many points were
** failed.
*/
int sweep_main(const char *program, const sweep *sweeps, size_t n);

#endif
