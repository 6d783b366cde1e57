/*
** random.h - the random numbers of a worker's state.
**
** A new state of Lua seeds math.random from the time in seconds and its own address, so states made
** one after another get the same numbers: here each has a stream of its own. A seed that a task
** sets is the task's: the next one, or one that runs while it waits, draws from another stream.
*/
#ifndef LMP_RANDOM_H
#define LMP_RANDOM_H

#include "worker/vm.h"

/* The generator's state while another task runs on the same lua_State. */
typedef struct lmp_random {
  bool kept;
  char bytes[64];
} lmp_random;

/* Gives a new state its stream, and guards its math.randomseed, if it has them. May raise. */
void lmp_random_open(lua_State *L, lmp_vm *vm);
/* Pushes the function that seeds the state, whatever became of the global since, or nil. */
void lmp_push_randomseed(lua_State *L, const lmp_vm *vm);

/*
** Around each task; `outer`: another one waits below. They need 5 slots of the stack. Never raise.
*/
void lmp_random_begin_seeded(lua_State *L, lmp_vm *vm, lmp_random *random, bool outer);
void lmp_random_end_seeded(lua_State *L, lmp_vm *vm, const lmp_random *random);
static inline void lmp_random_begin(lua_State *L, lmp_vm *vm, lmp_random *random, bool outer) {
  random->kept = false;
  if (vm->seeded) lmp_random_begin_seeded(L, vm, random, outer);
}
static inline void lmp_random_end(lua_State *L, lmp_vm *vm, const lmp_random *random) {
  if (vm->seeded || random->kept) lmp_random_end_seeded(L, vm, random);
}

#endif
