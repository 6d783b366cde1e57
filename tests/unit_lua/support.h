/*
** support.h - what the programs of tests/unit_lua share: a Lua state with the core opened in it,
** whose memory, its workers' memory and the engine's memory are counted and fail on demand.
**
** The programs are linked with --wrap for lua_newstate (workers' states), mp_pool_create (the
** engine's allocator) and calloc (the bindings' own blocks): the pools that the bindings make live
** in the laboratory that is open. One laboratory is open at a time.
*/
#ifndef UNIT_LUA_SUPPORT_H
#define UNIT_LUA_SUPPORT_H

#include "unit.h"
#include "handles/pool.h"
#include "makeparallel_lua.h"

/* Whose memory. */
typedef enum domain { OWNER, WORKERS, ENGINE, HOST, DOMAINS } domain;

/*
** The requests from number `first` to number `last` since arming are refused. Requests that free
** are not counted.
*/
typedef struct supply {
  fault_alloc blocks;            /* unused by WORKERS and HOST: their blocks are malloc's */
  _Atomic size_t first, last;    /* first == 0: none is refused */
  _Atomic size_t asked, refused; /* since arming */
  _Atomic size_t live;           /* blocks out, of WORKERS */
} supply;

typedef struct lab {
  lua_State *L;
  supply memory[DOMAINS];
} lab;

/* A state with the standard libraries and nothing else. */
void lab_open_bare(lab *l);
/* The same with the core in the global `core`, and what support.c lists as tools. */
void lab_open(lab *l);
/* Closes the state and checks that every byte of every domain came back. */
void lab_close(lab *l);

/* Runs Lua source, which must not raise. */
void lab_run(lab *l, const char *source);
/* Runs Lua source, which must raise; the error's text must hold `part`. */
void lab_run_raises(lab *l, const char *source, const char *part);

void lab_arm(lab *l, domain d, size_t first, size_t last);
/* Nothing is refused any more; returns how many requests were. */
size_t lab_disarm(lab *l, domain d);

/* The context of the state, and the default pool's. */
lmp_context *lab_context(lua_State *L);
mp_pool *lab_pool(lua_State *L);

/* A test whose body is Lua: opens a laboratory, runs the source, closes it. */
#define LUA_TEST(name, source) \
  static void name(void **state) { \
    lab l; \
    (void)state; \
    lab_open(&l); \
    lab_run(&l, source); \
    lab_close(&l); \
  }

/* A text written beforehand is shown if the program is killed by its alarm. */
void lab_watch(unsigned seconds, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
