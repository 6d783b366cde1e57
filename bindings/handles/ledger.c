#include "handles/ledger.h"

#include "bug.h"
#include "handles/handle.h"

/* handles: how many results may be kept too long after a finaliser that failed */
#define ENSURE_EVERY 16

struct lmp_entry {
  mp_task *task; /* NULL: none yet */
  uint32_t next; /* among the free */
  bool used;
  bool seen; /* its handle is alive: only while we look */
};

static int look(lua_State *L);

/* The object whose finaliser runs at the end of the next cycle. */
static void watch_next_cycle(lua_State *L, lmp_context *context) {
  luaL_checkstack(L, 5, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->ledger->watcher);
  lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushlightuserdata(L, context);
  lua_pushcclosure(L, look, 1);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawseti(L, -2, 1);
  lua_pop(L, 1);
}

/*
** Is there such an object? It is gone if its finaliser failed: for lack of memory, or of stack when
** a recursion ran too deep.
*/
static void ensure_watched(lua_State *L, lmp_context *context) {
  luaL_checkstack(L, 2, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->ledger->watcher);
  bool watched = lua_rawgeti(L, -1, 1) != LUA_TNIL;
  lua_pop(L, 2);
  if (!watched) watch_next_cycle(L, context);
}

/* Releases the tasks whose handles are gone. */
static void release_dropped(lua_State *L, lmp_ledger *ledger) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, ledger->handles);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
    ledger->entries[lua_tointeger(L, -1)].seen = true;
  lua_pop(L, 1);
  for (uint32_t i = 1; i <= ledger->used; i++) {
    struct lmp_entry *entry = &ledger->entries[i];
    bool gone = entry->used && !entry->seen && !MP_BUGGY(HANDLES_KEPT);
    entry->seen = false;
    if (!gone) continue;
    mp_task_release(entry->task);
    *entry = (struct lmp_entry){NULL, ledger->free, false, false};
    ledger->free = i;
  }
}

static int look(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  lmp_ledger *ledger = context->ledger;
  if (ledger->entries == NULL) return 0; /* closed */
  release_dropped(L, ledger);
  ensure_watched(L, context);
  return 0;
}

static void grow(lua_State *L, lmp_ledger *ledger) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  uint32_t capacity = ledger->capacity == 0 ? 64 : ledger->capacity * 2;
  struct lmp_entry *entries =
      alloc(ud, ledger->entries, ledger->capacity * sizeof *entries, capacity * sizeof *entries);
  if (entries == NULL) luaL_error(L, "not enough memory");
  ledger->entries = entries;
  ledger->capacity = capacity;
}

void lmp_ledger_open(lua_State *L, lmp_context *context) {
  lmp_ledger *ledger = context->ledger;
  ledger->handles = lmp_new_table(L, "k");
  ledger->watcher = lmp_new_table(L, "v");
  grow(L, ledger);
  watch_next_cycle(L, context);
}

/* Finalisers that run later, of objects older than the core, find handles without a task. */
static void empty_handles(lua_State *L, const lmp_ledger *ledger) {
  if (lua_rawgeti(L, LUA_REGISTRYINDEX, ledger->handles) == LUA_TTABLE)
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
      ((lmp_handle *)lua_touserdata(L, -2))->task = NULL;
  lua_pop(L, 1);
}

void lmp_ledger_close(lua_State *L, lmp_context *context) {
  lmp_ledger *ledger = context->ledger;
  empty_handles(L, ledger);
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  for (uint32_t i = 1; i <= ledger->used; i++) mp_task_release(ledger->entries[i].task);
  alloc(ud, ledger->entries, ledger->capacity * sizeof *ledger->entries, 0);
  ledger->entries = NULL;
  ledger->capacity = ledger->used = ledger->free = 0;
}

uint32_t lmp_ledger_add(lua_State *L, lmp_context *context) {
  lmp_ledger *ledger = context->ledger;
  if (ledger->additions++ % ENSURE_EVERY == 0) ensure_watched(L, context);
  if (ledger->free == 0 && ledger->used + 1 >= ledger->capacity) grow(L, ledger);
  uint32_t i = ledger->free != 0 ? ledger->free : ledger->used + 1;
  lua_rawgeti(L, LUA_REGISTRYINDEX, ledger->handles);
  lua_pushvalue(L, -2);
  lua_pushinteger(L, i);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  if (ledger->free != 0)
    ledger->free = ledger->entries[i].next;
  else
    ledger->used = i;
  assert(i > 0 && i <= ledger->used && i < ledger->capacity);
  ledger->entries[i] = (struct lmp_entry){NULL, 0, true, false};
  return i;
}

void lmp_ledger_hold(lmp_context *context, uint32_t entry, mp_task *task) {
  assert(context->ledger->entries[entry].used && context->ledger->entries[entry].task == NULL);
  context->ledger->entries[entry].task = task;
}
