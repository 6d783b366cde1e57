/*
** context.h - the context of a lua_State that loaded the module, on which everything that the
** bindings keep hangs; and the tools with which every room handles its state.
**
** The bindings see the engine's public header and Lua, and hold no lock, thread or atomic of their
** own. Every function here may raise a Lua error unless it says otherwise, so nothing that must be
** freed is held across a call unless a userdata owns it.
*/
#ifndef LMP_CONTEXT_H
#define LMP_CONTEXT_H

#include <assert.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "makeparallel.h"

/*
** An int of that name: the height of the stack at this place, for asserts further down. It is there
** only where asserts are.
*/
#if defined(NDEBUG)
#define LMP_HEIGHT(name, L) ((void)0)
#else
#define LMP_HEIGHT(name, L) const int name = lua_gettop(L)
#endif

typedef struct lmp_context lmp_context;
typedef struct lmp_vm lmp_vm;

/* A metatable that many calls ask for: no name to look up. */
typedef struct lmp_class {
  const void *address; /* of the metatable */
  int reference;       /* to it, in the registry */
} lmp_class;

/*
** One per lua_State that loaded the module: a userdata in the registry, upvalue 1 of every function
** of the core. Only that state's thread touches it. What a room keeps for a state is a struct of
** its own, which that room's files alone look into unless the struct says otherwise; all live as
** long as the context.
*/
struct lmp_context {
  lua_State *main;    /* LUA_RIDX_MAINTHREAD, never the coroutine that happened to call */
  lmp_vm *vm;         /* the worker this state belongs to, or NULL; constant */
  lua_State *polling; /* the coroutine that delivers callbacks right now, or NULL */
  int classes;        /* registry reference: [name] = metatable and [metatable] = name (names.c) */
  struct lmp_references *references; /* codec/reference.h */
  struct lmp_search *search;         /* codec/search.h */
  struct lmp_names *names;           /* codec/names.h */
  struct lmp_codes *codes;           /* codec/function.h */
  struct lmp_scratch *scratch;       /* codec/encode.h */
  struct lmp_ledger *ledger;         /* handles/ledger.h */
  struct lmp_handles *handles;       /* handles/handle.h */
  struct lmp_pools *pools;           /* handles/pool.h */
  struct lmp_events *events;         /* handles/events.h */
  struct lmp_tasks *tasks;           /* api/task_object.h */
  struct lmp_flights *flights;       /* api/shared.h */
};

/*
** {======================================================
** The context
** =======================================================
*/

/*
** Begins a zeroed context, a userdata on top of the stack, and pops it. The registry keeps it as
** long as the state lives, also where opening fails later on and the next attempt begins another:
** what was made until then refers to it.
*/
void lmp_context_begin(lua_State *L, lmp_context *context);
/* All is open: it is the state's context. Once per state. */
void lmp_context_end(lua_State *L, lmp_context *context);
/* The state's context, or NULL before that. Never raises, but needs a slot of the stack. */
lmp_context *lmp_context_get(lua_State *L);
/* The context of a function of the core that runs. */
static inline lmp_context *lmp_context_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

/* }====================================================== */

/*
** {======================================================
** Tables, functions, metatables
** =======================================================
*/

/* A new table's registry reference; mode: "k", "v" or NULL, as __mode. */
int lmp_new_table(lua_State *L, const char *mode);
/* Copies what lua_next gives of the table at `from` into the one at `to`. */
void lmp_copy_fields(lua_State *L, int from, int to);
/* Sets functions with the context as their upvalue into the table on top. */
void lmp_set_functions(lua_State *L, lmp_context *context, const luaL_Reg *functions);
/*
** Creates a metatable: metamethods, and methods under __index (which may be NULL). `__metatable` is
** false.
*/
void lmp_new_class(lua_State *L, lmp_context *context, const char *name,
                   const luaL_Reg *metamethods, const luaL_Reg *methods);
/* Lets a metatable of ours travel by its name. */
void lmp_add_class(lua_State *L, lmp_context *context, const char *name);
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

/* }====================================================== */

/*
** {======================================================
** What the engine says, and time
** =======================================================
*/

/* Raises for anything but MP_OK. */
void lmp_check(lua_State *L, mp_status status);
/* "waiting" "queued" "running" "done" "failed" "cancelled" "timeout" */
const char *lmp_state_name(mp_state state);

#define LMP_NEVER 1e300 /* a deadline that does not come */
#define LMP_SECONDS_MAX 1e9

/* Monotonic seconds. Never raises. */
double lmp_now(void);
/* Seconds as the engine counts; more than LMP_SECONDS_MAX is for ever. Never raises. */
uint64_t lmp_to_ns(double seconds);
/* What the engine counts, in seconds: those that lmp_to_ns was given, exactly. Never raises. */
double lmp_from_ns(uint64_t ns);
/* A finite number of seconds from 0 to 1e9 at stack index; raises otherwise, naming it. */
double lmp_to_seconds(lua_State *L, int index, const char *name);
/* The deadline for the timeout that argument `arg` gives; nil: none. */
double lmp_check_deadline(lua_State *L, int arg);

/* }====================================================== */

#endif
