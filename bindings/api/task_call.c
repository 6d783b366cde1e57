#include "api/task_call.h"

#include "api/task_object.h"
#include "base/error.h"
#include "codec/encode.h"
#include "codec/refusal.h"
#include "handles/events.h"
#include "handles/room.h"
#include "handles/submit.h"
#include "worker/unseen.h"

/*
** {======================================================
** Submitting
** =======================================================
*/

static const lmp_encoding argument_encoding = {
    .root = "args", .direction = "to a worker", .unnumbered = 2, .dependencies = true};

typedef struct call {
  lmp_pool *pool;
  mp_task_desc desc;
  lmp_encoding how;
  lmp_payload payload;
} call;

/*
** The task's kept options (a table at `kept`) for the handle of a call; true if anything listens.
*/
static bool apply_kept(lua_State *L, int kept, int handle) {
  static const char *const names[] = {"on_complete", "on_error", "on_progress"};
  static const lmp_event events[] = {LMP_ON_COMPLETE, LMP_ON_ERROR, LMP_ON_PROGRESS};
  LMP_HEIGHT(base, L);
  bool listens = false;
  for (int i = 0; i < 3; i++) {
    if (lua_getfield(L, kept, names[i]) != LUA_TNIL) {
      lmp_listen_add(L, handle, events[i], lua_gettop(L));
      listens = true;
    }
    lua_pop(L, 1);
  }
  if (lua_getfield(L, kept, "metadata") == LUA_TTABLE) {
    lmp_push_extra(L, handle);
    luaL_getsubtable(L, -1, "metadata");
    lmp_copy_fields(L, lua_gettop(L) - 2, lua_gettop(L));
    lua_pop(L, 2);
  }
  lua_pop(L, 1);
  assert(lua_gettop(L) == base);
  return listens;
}

/*
** Order only: the tasks of the list (or one handle) on top become desc.after. Pushes the block that
** holds them.
*/
static void after_tasks(lua_State *L, mp_task_desc *desc) {
  int after = lua_gettop(L);
  bool list = lua_istable(L, after);
  size_t n = list ? lua_rawlen(L, after) : 1;
  mp_task **tasks = lua_newuserdatauv(L, n * sizeof *tasks, 0);
  for (size_t i = 0; i < n; i++) {
    if (list) lua_rawgeti(L, after, (lua_Integer)i + 1);
    tasks[i] = lmp_to_task(L, list ? -1 : after);
    if (tasks[i] == NULL) luaL_error(L, "after must be a list of handles");
    if (list) lua_pop(L, 1);
  }
  desc->after = tasks;
  desc->after_count = n;
}

/*
** For parallel_with_deps: the handles of the list (or one handle) at `after` go among the values,
** from stack index `at` on.
*/
static void insert_dependencies(lua_State *L, call *c, int after, int at) {
  int n = 1;
  if (lua_istable(L, after)) {
    n = (int)lua_rawlen(L, after);
    luaL_checkstack(L, n + 8, "too many dependencies");
    for (int i = 1; i <= n; i++) lua_rawgeti(L, after, i);
  } else {
    lua_pushvalue(L, after);
  }
  lua_rotate(L, at, n);
  c->payload.dependencies = (uint32_t)n;
  c->how.unnumbered += n;
}

/*
** Submits the values from `first` to `last`: name, function, dependencies, arguments; kept: their
** index or 0. Pushes the handle, or nil and why the pool would not have it; returns how many
** values.
*/
static int submit(lua_State *L, lmp_context *context, call *c, int first, int last, int kept) {
  assert(first > 0 && last <= lua_gettop(L) && last - first + 1 >= c->how.unnumbered);
  if (c->pool->pool == NULL) lmp_check_open(L, MP_SHUTDOWN, NULL); /* closed by a finaliser */
  if (!c->pool->borrowed || (context->vm != NULL && c->pool->host == context->vm->host))
    c->payload.place = lmp_place_here(L, c->pool->host, c->pool->borrowed ? context->vm : NULL);
  lmp_buffer *buffer = lmp_submit_begin(L, c->pool);
  if (!lmp_encode_values(L, context, buffer, &c->how, first, last - first + 1))
    lmp_raise_refusal(L, buffer, c->how.direction);
  lmp_new_handle(L, context, first);
  int handle = lua_gettop(L);
  bool listens = kept != 0 && apply_kept(L, kept, handle);
  return lmp_submit(L, context, buffer, &c->payload, &c->desc, handle, listens, LMP_NEVER);
}

/* }====================================================== */

/*
** {======================================================
** Calling a task
** =======================================================
*/

/* What the flags say is set. */
static void read_fields(lua_State *L, lmp_context *context, call *c) {
  lua_rawgeti(L, 1, LMP_TASK_PRIORITY);
  lua_rawgeti(L, 1, LMP_TASK_TIMEOUT);
  lua_rawgeti(L, 1, LMP_TASK_MEMORY);
  lua_rawgeti(L, 1, LMP_TASK_POOL);
  c->pool = lmp_to_pool(L, context, -1);
  c->payload.memory_kib = (uint32_t)lua_tointeger(L, -2) & INT32_MAX;
  c->desc.timeout_ns = lmp_to_ns(lua_tonumber(L, -3));
  c->desc.priority = (int)lua_tointeger(L, -4);
  lua_pop(L, 4);
}

/* Takes the priority from among the arguments. */
static void read_priority(lua_State *L, call *c) {
  lua_Integer priority = luaL_checkinteger(L, 2);
  luaL_argcheck(L, priority >= INT32_MIN && priority <= INT32_MAX, 2, "priority out of range");
  c->desc.priority = (int)priority;
  lua_remove(L, 2);
}

/* Reads the task; pushes its kept options or nil, its name or nil, its function. */
static void read_task(lua_State *L, lmp_context *context, call *c) {
  lua_rawgeti(L, 1, LMP_TASK_FLAGS);
  int flags = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  c->desc.flags = flags & LMP_FLAG_UNTIMED ? 0 : MP_TASK_TIMED;
  c->payload.dependencies = flags & LMP_FLAG_TABLE ? 0 : LMP_NO_TABLE;
  if (flags & LMP_FLAG_FIELDS)
    read_fields(L, context, c);
  else
    c->pool = lmp_default_pool(L, context);
  if (flags & LMP_FLAG_PRIORITY) read_priority(L, c);
  if (flags & LMP_FLAG_OPTIONS)
    lmp_push_kept(L, context);
  else
    lua_pushnil(L);
  if (lua_rawgeti(L, 1, LMP_TASK_NAME) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  lua_rawgeti(L, 1, LMP_TASK_FUNCTION);
}

/*
** task(...) -> handle. Stack: task, arguments; later: task, kept options, name, function,
** dependencies, arguments, ...
*/
int lmp_task_call(lua_State *L) {
  enum { KEPT = 2, FIRST = 3, DEPENDENCIES = 5 };
  lmp_context *context = lmp_context_of(L);
  call c = {.desc = MP_TASK_DESC_INIT, .how = argument_encoding, .payload = {.kind = LMP_CALL}};
  lmp_check_task(L, context, 1);
  luaL_checkstack(L, 24, NULL);
  read_task(L, context, &c);
  lua_rotate(L, KEPT, 3);
  assert(lua_gettop(L) >= DEPENDENCIES - 1);
  int last = lua_gettop(L), kept = lua_istable(L, KEPT) ? KEPT : 0;
  if (kept != 0 && lua_getfield(L, KEPT, "after") != LUA_TNIL) {
    if (c.payload.dependencies == LMP_NO_TABLE) {
      after_tasks(L, &c.desc);
    } else {
      lua_replace(L, 1); /* the task itself is not needed any more */
      insert_dependencies(L, &c, 1, DEPENDENCIES);
      last = lua_gettop(L);
    }
  }
  return submit(L, context, &c, FIRST, last, kept);
}

/* task:call(...): submits and waits */
int lmp_task_call_and_wait(lua_State *L) {
  if (lmp_task_call(L) != 1) return luaL_error(L, "%s", lua_tostring(L, -1)); /* nil, why */
  lua_getfield(L, -1, "get");
  lua_insert(L, -2);
  int base = lua_gettop(L) - 2;
  lua_call(L, 1, LUA_MULTRET);
  return lua_gettop(L) - base;
}

/* }====================================================== */

/*
** {======================================================
** Without a task
** =======================================================
*/

/* lmp_spawn(function or task, ...) -> handle */
int lmp_spawn(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  if (lmp_is_task(L, context, 1)) return lmp_task_call(L);
  call c = {.desc = MP_TASK_DESC_INIT,
            .how = argument_encoding,
            .payload = {.kind = LMP_CALL, .dependencies = LMP_NO_TABLE}};
  lmp_check_function(L, 1);
  c.pool = lmp_default_pool(L, context);
  c.desc.flags = MP_TASK_TIMED;
  lua_pushnil(L);
  lua_insert(L, 1);
  return submit(L, context, &c, 1, lua_gettop(L), 0);
}

mp_status lmp_submit_values(lua_State *L, lmp_context *context, const mp_lua_task *options,
                            int first, mp_task **task) {
  call c = {.desc = MP_TASK_DESC_INIT,
            .how = argument_encoding,
            .payload = {.kind = LMP_CALL, .dependencies = LMP_NO_TABLE}};
  if (!lmp_can_run(L, first))
    luaL_error(L, "function or module name expected, got %s", luaL_typename(L, first));
  c.pool = lmp_default_pool(L, context);
  c.desc.flags = MP_TASK_TIMED;
  c.desc.priority = options->priority;
  c.desc.timeout_ns = options->timeout_ns;
  c.payload.memory_kib =
      (uint32_t)((options->memory_limit >> 10) + (options->memory_limit % 1024 != 0)) & INT32_MAX;
  lua_pushstring(L, options->name); /* nil for NULL */
  lua_insert(L, first);
  if (submit(L, context, &c, first, lua_gettop(L), 0) != 1) return MP_FULL;
  *task = lmp_to_task(L, -1);
  mp_task_retain(*task);
  return MP_OK;
}

/* }====================================================== */
