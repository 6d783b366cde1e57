/*
** lmp.h - what the rooms above base/ share.
*/
#ifndef LMP_H
#define LMP_H

#include "base/context.h"
#include "makeparallel_lua.h"

typedef struct lmp_pool lmp_pool;

/* Metatables, by name in the registry. */
#define LMP_HANDLE "makeparallel.handle"
#define LMP_TASK "makeparallel.task"
#define LMP_POOL "makeparallel.pool"

/* A pool object: a userdata with metatable LMP_POOL. */
struct lmp_pool {
  mp_pool *pool; /* NULL: closed */
  /* where this state's callbacks arrive; in a worker's view made when first needed */
  mp_mailbox *mailbox;
  lmp_context *context;
  lmp_pool *next, *prev; /* in context->pools */
  struct lmp_host *host; /* what its workers' states are made from */
  /*
  ** a worker's view of its pool, or the pool of a program that embeds Lua: not this state's to shut
  ** down
  */
  bool borrowed;
};

/*
** Makes the state's context and metatables; `vm` is the worker it belongs to, or NULL. Once per
** state.
*/
lmp_context *lmp_context_create(lua_State *L, lmp_vm *vm);

/* Each file's part: metatables once per state, functions into the table on top. */
void lmp_open_handle(lua_State *L, lmp_context *context);
void lmp_open_events(lua_State *L, lmp_context *context);
void lmp_open_map(lua_State *L, lmp_context *context);
void lmp_open_pool(lua_State *L, lmp_context *context);
void lmp_open_intask(lua_State *L, lmp_context *context);
void lmp_open_limits(lua_State *L, lmp_context *context);

/*
** {======================================================
** poolobject.c
** =======================================================
*/

/* The default pool's object, made and started on first use. Raises when it is shut down. */
lmp_pool *lmp_default_pool(lua_State *L, lmp_context *context);
/* The open pool object at `index`; nil or false: the default one. Raises when it is shut down. */
lmp_pool *lmp_to_pool(lua_State *L, lmp_context *context, int index);
/* This state's mailbox in that pool. */
mp_mailbox *lmp_mailbox(lua_State *L, lmp_pool *pool);
/* The pool object of this state for an engine pool; NULL if it has none. */
lmp_pool *lmp_pool_find(lmp_context *context, const mp_pool *pool);
/* Makes the borrowed pool the default one of this state. */
lmp_pool *lmp_adopt_pool(lua_State *L, lmp_context *context, mp_pool *pool, struct lmp_host *host);
/* Lets go of the default pool: shuts it down, unless it is borrowed. */
void lmp_close_default(lua_State *L, lmp_context *context);
/* Raises if the state's default pool is not its own to configure. */
void lmp_check_own_pool(lua_State *L, lmp_context *context);
/* Pushes that object, or nil. */
void lmp_push_pool(lua_State *L, lmp_context *context, const mp_pool *pool);

/* }====================================================== */

#endif
