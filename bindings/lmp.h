/*
** lmp.h - what the bindings share: the context of a lua_State, its pools, and who is who in the
** registry.
**
** The bindings see the engine's public header and Lua, and hold no lock, thread or atomic of their
** own. Every function here may raise a Lua error unless it says otherwise, so nothing that must be
** freed is held across a call unless a userdata owns it.
*/
#ifndef LMP_H
#define LMP_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "makeparallel_lua.h"

typedef struct lmp_context lmp_context;
typedef struct lmp_pool lmp_pool;
typedef struct lmp_vm lmp_vm;
typedef struct lmp_buffer lmp_buffer;

/* Metatables, by name in the registry. */
#define LMP_HANDLE "makeparallel.handle"
#define LMP_TASK "makeparallel.task"
#define LMP_POOL "makeparallel.pool"
#define LMP_CODE "makeparallel.code"
#define LMP_SOURCE "makeparallel.source"
#define LMP_ERROR "makeparallel.error"

/* A metatable that many calls ask for: no name to look up. */
typedef struct lmp_class {
  const void *address; /* of the metatable */
  int reference;       /* to it, in the registry */
} lmp_class;

/*
** One per lua_State that loaded the module: a userdata in the registry, upvalue 1 of every function
** of the core. Only that state's thread touches it.
*/
struct lmp_context {
  lua_State *main;    /* LUA_RIDX_MAINTHREAD, never the coroutine that happened to call */
  lmp_vm *vm;         /* the worker this state belongs to, or NULL */
  lmp_pool *pools;    /* every open pool object of this state */
  lmp_pool *pool;     /* the default one, anchored in the registry, or NULL until first use */
  lua_State *polling; /* the coroutine that delivers callbacks right now, or NULL */
  lua_Integer callback_errors;
  lua_Integer delivered; /* messages so far */
  /* registry references */
  int watched;         /* [light userdata handle] = handle: those with something to call */
  int code_of;         /* [function] = code userdata, weak keys */
  int code_by_content; /* [dump] = code userdata, weak values */
  /* [id of the bytes, or source text] = function made of it here, weak values */
  int loaded_code;
  int classes;             /* [name] = metatable and [metatable] = name */
  int names;               /* [i] = {module, field} for the i-th entry of `known` */
  int task_options;        /* [task] = options that do not travel, weak keys */
  int pool_options;        /* what configure was given */
  int pool_objects;        /* [light userdata pool object] = itself, weak values */
  struct lmp_known *known; /* values found in package.loaded, by address; owned, freed by __gc */
  size_t known_capacity, known_count;
  /* of what package.loaded held when `known` was made; 0: it is not, or not whole */
  lua_Integer loaded_mark;
  struct lmp_ledger *ledger; /* tasks of the handles; owned */
  lmp_class handles, tasks;  /* LMP_HANDLE, LMP_TASK */
  lmp_buffer *scratch;       /* the encoder's; owned, freed by __gc. NULL inside __mp_pack */
  /* registry reference: nil, or a list of what __mp_pack returned for the message at work */
  int packed;
  lua_Integer packed_count;
  int flights;        /* results of caches that this state computes now (shared.c) */
  bool was_shut_down; /* the default pool is gone until reset_shutdown */
};

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
** {======================================================
** module.c
** =======================================================
*/

/*
** Makes the state's context and metatables; `vm` is the worker it belongs to, or NULL. Once per
** state.
*/
lmp_context *lmp_context_create(lua_State *L, lmp_vm *vm);
/* The state's context, or NULL without one. Never raises, but needs a slot of the stack. */
lmp_context *lmp_context_get(lua_State *L);
/* Sets functions with the context as their upvalue into the table on top. */
void lmp_set_functions(lua_State *L, lmp_context *context, const luaL_Reg *functions);
/*
** Creates a metatable: metamethods, and methods under __index (which may be NULL). `__metatable` is
** false.
*/
void lmp_new_class(lua_State *L, lmp_context *context, const char *name,
                   const luaL_Reg *metamethods, const luaL_Reg *methods);
static inline lmp_context *lmp_context_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}
/* A new table's registry reference; mode: "k", "v" or NULL, as __mode. */
int lmp_new_table(lua_State *L, const char *mode);
/* The metatable of that name, which stays in the registry for good. */
lmp_class lmp_keep_class(lua_State *L, const char *name);
/* Is it the metatable of the value at index? Needs a slot of the stack. */
static inline bool lmp_has_class(lua_State *L, int index, const lmp_class *class) {
  if (!lua_getmetatable(L, index)) return false;
  bool has = lua_topointer(L, -1) == class->address;
  lua_pop(L, 1);
  return has;
}
/* Gives it to the value on top. */
static inline void lmp_set_class(lua_State *L, const lmp_class *class) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, class->reference);
  lua_setmetatable(L, -2);
}

/* Lets a metatable of ours travel by its name. */
void lmp_add_class(lua_State *L, lmp_context *context, const char *name);
/* Copies what lua_next gives of the table at `from` into the one at `to`. */
void lmp_copy_fields(lua_State *L, int from, int to);
/* Raises for anything but MP_OK. */
void lmp_check(lua_State *L, mp_status status);
/* Monotonic seconds. */
double lmp_now(void);
#define LMP_NEVER 1e300 /* a deadline that does not come */
#define LMP_SECONDS_MAX 1e9
uint64_t lmp_to_ns(double seconds);
/* A finite number of seconds from 0 to 1e9 at stack index; raises otherwise, naming it. */
double lmp_to_seconds(lua_State *L, int index, const char *name);
/* The deadline for the timeout that argument `arg` gives; nil: none. */
double lmp_check_deadline(lua_State *L, int arg);

/* }====================================================== */

/* Each file's part: metatables once per state, functions into the table on top. */
void lmp_open_errors(lua_State *L, lmp_context *context);
void lmp_open_function(lua_State *L, lmp_context *context);
void lmp_open_names(lua_State *L, lmp_context *context);
void lmp_open_handle(lua_State *L, lmp_context *context);
void lmp_open_events(lua_State *L, lmp_context *context);
void lmp_open_task(lua_State *L, lmp_context *context);
void lmp_open_map(lua_State *L, lmp_context *context);
void lmp_open_pool(lua_State *L, lmp_context *context);
void lmp_open_intask(lua_State *L, lmp_context *context);
void lmp_open_options(lua_State *L, lmp_context *context);
void lmp_open_logging(lua_State *L, lmp_context *context);
void lmp_open_key(lua_State *L, lmp_context *context);
void lmp_open_shared(lua_State *L, lmp_context *context);
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
