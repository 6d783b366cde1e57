/*
** pool.h - pools as Lua objects: started on first use, found by their engine pool, let go of by
** call or by garbage collection.
*/
#ifndef LMP_POOL_H
#define LMP_POOL_H

#include "base/context.h"

#define LMP_POOL "makeparallel.pool" /* the metatable's name in the registry */
/* what is left of tasks that were asked to stop when their pool goes has so long */
#define LMP_CLOSE_NS ((uint64_t)400000000)

typedef struct lmp_pool lmp_pool;

/* A pool object: a userdata with metatable LMP_POOL. */
struct lmp_pool {
  mp_pool *pool; /* NULL: closed */
  /* where this state's callbacks arrive; in a worker's view made when first needed */
  mp_mailbox *mailbox;
  lmp_context *context;
  lmp_pool *next, *prev; /* in context->pools->first */
  struct lmp_host *host; /* what its workers' states are made from */
  /*
  ** a worker's view of its pool, or the pool of a program that embeds Lua: not this state's to shut
  ** down
  */
  bool borrowed;
  size_t bytes_felt;   /* of mp_pool_bytes: what this state's collector has been told of */
  unsigned calls_felt; /* submissions since then */
};

/* The pools of a state. Its context's own. */
typedef struct lmp_pools {
  lmp_pool *first;        /* of every open pool object of this state */
  lmp_pool *default_pool; /* anchored in the registry, or NULL until first use */
  bool was_shut_down;     /* the default pool is gone until reset_shutdown */
  int options;            /* registry reference: a table, what configure was given */
  int objects; /* registry reference: [light userdata pool object] = itself, weak values */
  /* how a worker's state of a pool that is started here makes its context; may raise */
  lmp_context *(*open_state)(lua_State *L, lmp_vm *vm);
} lmp_pools;

/*
** Starts a pool from the table of options at that stack index and pushes its object. Options are
** checked in full before anything is started.
*/
lmp_pool *lmp_start_pool(lua_State *L, lmp_context *context, int options);
/* The default pool's object, made and started on first use. Raises when it is shut down. */
lmp_pool *lmp_default_pool(lua_State *L, lmp_context *context);
/* An open pool of the state, the default one if that is open; NULL: none is. Never raises. */
lmp_pool *lmp_open_pool_of(const lmp_context *context);
/* The open pool object at `index`; nil or false: the default one. Raises when it is shut down. */
lmp_pool *lmp_to_pool(lua_State *L, lmp_context *context, int index);
/* This state's mailbox in that pool. */
mp_mailbox *lmp_mailbox(lua_State *L, lmp_pool *pool);
/* The pool object of this state for an engine pool; NULL if it has none. */
lmp_pool *lmp_pool_find(lmp_context *context, const mp_pool *pool);
/* Makes the borrowed pool the default one of this state. */
lmp_pool *lmp_adopt_pool(lua_State *L, lmp_context *context, mp_pool *pool, struct lmp_host *host);
/* The state is closed: what its pools have to say from here on goes to stderr. */
void lmp_close_logs(lmp_context *context);
/* Lets go of the default pool: shuts it down, unless it is borrowed. */
void lmp_close_default(lua_State *L, lmp_context *context);
/* Raises if the state's default pool is not its own to configure. */
void lmp_check_own_pool(lua_State *L, lmp_context *context);
/*
** Lets the state's collector feel how the pool's memory has grown: the results of handles that are
** garbage are a part of it. May run finalisers.
*/
void lmp_feel_memory(lua_State *L, lmp_pool *pool);
/* Pushes that object, or nil. */
void lmp_push_pool(lua_State *L, lmp_context *context, const mp_pool *pool);
/*
** The pool object is not collected from now on as long as the handle at stack index `handle` lives,
** or until lmp_free_pool: whoever has a handle will ask for its result. The default one never is.
*/
void lmp_keep_pool(lua_State *L, int handle, const lmp_pool *pool);
/* The handle's task has ended, and its owner knows. Never raises; needs 3 slots of the stack. */
void lmp_free_pool(lua_State *L, int handle);
/*
** __gc of a pool object: shuts the pool down and lets go of it, once. Callbacks that were not
** delivered are not called any more. Never raises.
*/
int lmp_pool_gc(lua_State *L);

/* Pools can be made from now on, and travel. Their metatable is there. */
void lmp_pools_begin(lua_State *L, lmp_context *context);

#endif
