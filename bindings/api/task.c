/*
** task.c - a task: a function with options, which submits when called. A table, so that it travels
** like any other value:
**   {function, name or false, priority, timeout in seconds or 0, flags, pool or false, memory limit
**   in KiB or 0}
** What must not travel (callbacks, `after`, metadata) is kept beside it, in
** context->tasks->options.
*/
#include "api/task.h"

#include "base/options.h"
#include "codec/encode.h"
#include "codec/function.h"
#include "codec/refusal.h"
#include "handles/events.h"
#include "handles/room.h"
#include "handles/submit.h"

enum {
  TASK_FUNCTION = 1,
  TASK_NAME,
  TASK_PRIORITY,
  TASK_TIMEOUT,
  TASK_FLAGS,
  TASK_POOL,
  TASK_MEMORY
};

enum {
  FLAG_UNTIMED = 1, /* parallel_fast: no clock is read */
  /* parallel_with_deps: the dependencies' values in a table are the first argument */
  FLAG_TABLE = 2,
  FLAG_PRIORITY = 4, /* parallel_priority: the priority comes as first argument of each call */
  FLAG_OPTIONS = 8,  /* there is something in context->tasks->options */
  FLAG_FIELDS = 16   /* fields 3, 4, 6 and 7 may be set */
};

static const char *const option_names[] = {"name",        "timeout",      "priority",    "after",
                                           "on_complete", "on_error",     "on_progress", "metadata",
                                           "pool",        "memory_limit", "retry",       NULL};
static const char *const kept_names[] = {"after", "on_complete", "on_error", "on_progress",
                                         "metadata"};

/*
** {======================================================
** Making
** =======================================================
*/

static bool can_run(lua_State *L, int arg) {
  int type = lua_type(L, arg);
  if (type == LUA_TFUNCTION || type == LUA_TSTRING || luaL_testudata(L, arg, LMP_SOURCE) != NULL)
    return true;
  if (luaL_getmetafield(L, arg, "__call") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

static void check_function(lua_State *L, int arg) {
  if (can_run(L, arg)) return;
  luaL_error(L, "bad argument #%d to '%s' (function or module name expected, got %s)", arg,
             lua_tostring(L, lua_upvalueindex(2)), luaL_typename(L, arg));
}

static void check_after(lua_State *L, int value) {
  if (lua_isnil(L, value) || lmp_to_task(L, value) != NULL) return;
  if (!lua_istable(L, value))
    luaL_error(L, "after must be a list of handles, got %s", luaL_typename(L, value));
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, value); i++) {
    lua_rawgeti(L, value, i);
    if (lmp_to_task(L, -1) == NULL)
      luaL_error(L, "after must be a list of handles, got %s in it", luaL_typename(L, -1));
    lua_pop(L, 1);
  }
}

/* Options that stay: checked, and copied into a table beside the task (on top of the stack). */
static bool keep_options(lua_State *L, lmp_context *context, int options) {
  int task = lua_gettop(L), kept = task + 1;
  bool any = false;
  lua_newtable(L);
  /* those of the task this one is made from stay below */
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->tasks->options);
  for (size_t i = 0; i < sizeof kept_names / sizeof kept_names[0]; i++) {
    lua_getfield(L, options, kept_names[i]);
    if (!lua_isnil(L, -1)) {
      if (i == 0)
        check_after(L, lua_gettop(L));
      else if (i < 4)
        lmp_check_callable(L, -1, kept_names[i]);
      else if (!lua_istable(L, -1))
        luaL_error(L, "metadata must be a table, got %s", luaL_typename(L, -1));
      any = true;
    }
    lua_setfield(L, kept, kept_names[i]);
  }
  if (any) {
    lua_pushvalue(L, task);
    lua_pushvalue(L, kept);
    lua_rawset(L, kept + 1);
  }
  lua_settop(L, task);
  return any;
}

static void set_integer(lua_State *L, int field, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_rawseti(L, -2, field);
}

/*
** The function is wrapped before it is sent; how, lua/makeparallel/retry.lua knows. Stack: task,
** what the option said; the latter is popped.
*/
static void wrap_in_retry(lua_State *L) {
  int task = lua_gettop(L) - 1;
  lua_getglobal(L, "require");
  lua_pushliteral(L, "makeparallel.retry");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "option");
  lua_rawgeti(L, task, TASK_FUNCTION);
  lua_pushvalue(L, task + 1);
  lua_call(L, 2, 2); /* the wrapped function, or nil and why not */
  if (lua_isnil(L, -2)) luaL_error(L, "%s", lua_tostring(L, -1));
  lua_pop(L, 1);
  lua_rawseti(L, task, TASK_FUNCTION);
  lua_settop(L, task);
}

/* Writes the options of the table at `options` into the task on top. */
static void apply_options(lua_State *L, lmp_context *context, int options, int flags) {
  lmp_check_option_names(L, options, option_names);
  if (lua_getfield(L, options, "name") != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TSTRING)
      luaL_error(L, "name must be a string, got %s", luaL_typename(L, -1));
    lua_rawseti(L, -2, TASK_NAME);
  } else {
    lua_pop(L, 1);
  }
  if (lua_getfield(L, options, "timeout") != LUA_TNIL) {
    double seconds = lmp_to_seconds(L, -1, "timeout");
    lua_pushnumber(L, seconds < 1e-9 ? 1e-9 : seconds); /* 0 stands for none */
    lua_rawseti(L, -3, TASK_TIMEOUT);
  }
  lua_pop(L, 1);
  if (lua_getfield(L, options, "pool") != LUA_TNIL) {
    lmp_to_pool(L, context, -1);
    lua_rawseti(L, -2, TASK_POOL);
  } else {
    lua_pop(L, 1);
  }
  lua_getfield(L, options, "priority");
  if (!lua_isnil(L, -1)) {
    lua_pushinteger(L, lmp_option_integer(L, options, "priority", INT32_MIN, INT32_MAX, 0));
    lua_rawseti(L, -3, TASK_PRIORITY);
  }
  lua_pop(L, 1);
  lua_Integer memory =
      lmp_option_integer(L, options, "memory_limit", 1 << 16, (lua_Integer)1 << 40, 0);
  if (memory != 0) set_integer(L, TASK_MEMORY, (memory + 1023) >> 10);
  if (lua_getfield(L, options, "retry") != LUA_TNIL)
    wrap_in_retry(L);
  else
    lua_pop(L, 1);
  if (keep_options(L, context, options)) flags |= FLAG_OPTIONS;
  set_integer(L, TASK_FLAGS, flags | FLAG_FIELDS);
}

static void push_task(lua_State *L, const lmp_context *context, int function) {
  lua_createtable(L, TASK_MEMORY, 0);
  lua_pushvalue(L, function);
  lua_rawseti(L, -2, TASK_FUNCTION);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, TASK_NAME);
  set_integer(L, TASK_PRIORITY, 0);
  lua_pushnumber(L, 0);
  lua_rawseti(L, -2, TASK_TIMEOUT);
  set_integer(L, TASK_FLAGS, 0);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, TASK_POOL);
  set_integer(L, TASK_MEMORY, 0);
  lmp_set_class(L, &context->tasks->class);
}

/* stack: function, options */
static int make(lua_State *L, int flags) {
  lmp_context *context = lmp_context_of(L);
  check_function(L, 1);
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  push_task(L, context, 1);
  if (lua_isnil(L, 2))
    set_integer(L, TASK_FLAGS, flags);
  else
    apply_options(L, context, 2, flags);
  return 1;
}

static int parallel(lua_State *L) { return make(L, 0); }
static int parallel_fast(lua_State *L) { return make(L, FLAG_UNTIMED); }
static int parallel_with_deps(lua_State *L) { return make(L, FLAG_TABLE); }
static int parallel_priority(lua_State *L) { return make(L, FLAG_PRIORITY); }

/* Made by us: a table with our metatable. */
static bool is_task(lua_State *L, const lmp_context *context, int arg) {
  return lua_istable(L, arg) && lmp_has_class(L, arg, &context->tasks->class);
}

static void check_task(lua_State *L, const lmp_context *context, int arg) {
  if (!is_task(L, context, arg)) luaL_typeerror(L, arg, "task");
}

/*
** function_of(value) -> what runs when the value is called in a worker: a task's function, else
** itself; nil: it cannot be called
*/
static int function_of(lua_State *L) {
  luaL_checkany(L, 1);
  if (is_task(L, lmp_context_of(L), 1))
    lua_rawgeti(L, 1, TASK_FUNCTION);
  else if (can_run(L, 1))
    lua_pushvalue(L, 1);
  else
    lua_pushnil(L);
  return 1;
}

static void push_copy(lua_State *L, const lmp_context *context, int task) {
  lua_createtable(L, TASK_MEMORY, 0);
  for (int i = 1; i <= TASK_MEMORY; i++) {
    lua_rawgeti(L, task, i);
    lua_rawseti(L, -2, i);
  }
  lmp_set_class(L, &context->tasks->class);
}

/* task:with(options) -> another task, with these options beside or in place of its own */
static int task_with(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  check_task(L, context, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lmp_check_option_names(L, 2, option_names);
  push_copy(L, context, 1); /* 3: the new task */
  lua_newtable(L);          /* 4: its own options, then the given ones */
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->tasks->options);
  lua_pushvalue(L, 1);
  for (int from = lua_rawget(L, 5) == LUA_TTABLE ? 6 : 2;; from = 2) {
    lmp_copy_fields(L, from, 4);
    if (from == 2) break;
  }
  lua_rawgeti(L, 1, TASK_FLAGS);
  int flags = (int)lua_tointeger(L, -1) & ~FLAG_OPTIONS;
  lua_pushvalue(L, 3);
  apply_options(L, context, 4, flags);
  return 1;
}

/*
** rework(task, function or nil, seconds or nil, pool or nil) -> a copy that runs the function
** instead, whose timeout is at most so many seconds, and which goes to that pool unless it has one
** of its own. For the Lua modules, which have checked what they give.
*/
static int rework(lua_State *L) {
  enum { TASK = 1, FUNCTION, SECONDS, POOL, COPY };
  lmp_context *context = lmp_context_of(L);
  check_task(L, context, TASK);
  lua_settop(L, POOL);
  push_copy(L, context, TASK);
  if (!lua_isnil(L, FUNCTION)) {
    lua_pushvalue(L, FUNCTION);
    lua_rawseti(L, COPY, TASK_FUNCTION);
  }
  lua_rawgeti(L, TASK, TASK_TIMEOUT);
  double own = lua_tonumber(L, -1), seconds = lua_tonumber(L, SECONDS);
  if (!lua_isnil(L, SECONDS) && (own == 0 || seconds < own)) {
    lua_pushnumber(L, seconds < 1e-9 ? 1e-9 : seconds);
    lua_rawseti(L, COPY, TASK_TIMEOUT);
  }
  lua_rawgeti(L, TASK, TASK_POOL);
  if (!lua_toboolean(L, -1) && !lua_isnil(L, POOL)) {
    lua_pushvalue(L, POOL);
    lua_rawseti(L, COPY, TASK_POOL);
  }
  lua_rawgeti(L, TASK, TASK_FLAGS);
  lua_pushinteger(L, lua_tointeger(L, -1) | FLAG_FIELDS);
  lua_rawseti(L, COPY, TASK_FLAGS);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->tasks->options);
  lua_pushvalue(L, COPY);
  lua_pushvalue(L, TASK);
  lua_rawget(L, -3);
  lua_rawset(L, -3);
  lua_settop(L, COPY);
  return 1;
}

static int is_task_of_ours(lua_State *L) {
  lua_pushboolean(L, is_task(L, lmp_context_of(L), 1));
  return 1;
}

static int task_tostring(lua_State *L) {
  check_task(L, lmp_context_of(L), 1);
  lua_rawgeti(L, 1, TASK_NAME);
  if (lua_type(L, -1) == LUA_TSTRING)
    lua_pushfstring(L, "task '%s'", lua_tostring(L, -1));
  else
    lua_pushfstring(L, "task: %p", lua_topointer(L, 1));
  return 1;
}

/* }====================================================== */

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
  lmp_buffer *buffer = lmp_encode_begin(L, context, c->pool->pool);
  if (!lmp_encode_values(L, context, buffer, &c->how, first, last - first + 1))
    lmp_raise_refusal(L, buffer, c->how.direction);
  lmp_new_handle(L, context, first);
  int handle = lua_gettop(L);
  bool listens = kept != 0 && apply_kept(L, kept, handle);
  mp_status status = lmp_submit(L, c->pool, buffer, &c->payload, &c->desc, handle, listens);
  int n = lmp_push_full(L, c->pool, status);
  return n == 0 ? 1 : n;
}

/* What the flags say is set. */
static void read_fields(lua_State *L, lmp_context *context, call *c) {
  lua_rawgeti(L, 1, TASK_PRIORITY);
  lua_rawgeti(L, 1, TASK_TIMEOUT);
  lua_rawgeti(L, 1, TASK_MEMORY);
  lua_rawgeti(L, 1, TASK_POOL);
  c->pool = lmp_to_pool(L, context, -1);
  c->payload.memory_kib = (uint32_t)lua_tointeger(L, -2) & INT32_MAX;
  c->desc.timeout_ns = (uint64_t)(lua_tonumber(L, -3) * 1e9);
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

static void push_kept(lua_State *L, const lmp_context *context) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->tasks->options);
  lua_pushvalue(L, 1);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

/* Reads the task; pushes its kept options or nil, its name or nil, its function. */
static void read_task(lua_State *L, lmp_context *context, call *c) {
  lua_rawgeti(L, 1, TASK_FLAGS);
  int flags = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  c->desc.flags = flags & FLAG_UNTIMED ? 0 : MP_TASK_TIMED;
  c->payload.dependencies = flags & FLAG_TABLE ? 0 : LMP_NO_TABLE;
  if (flags & FLAG_FIELDS)
    read_fields(L, context, c);
  else
    c->pool = lmp_default_pool(L, context);
  if (flags & FLAG_PRIORITY) read_priority(L, c);
  if (flags & FLAG_OPTIONS)
    push_kept(L, context);
  else
    lua_pushnil(L);
  if (lua_rawgeti(L, 1, TASK_NAME) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  lua_rawgeti(L, 1, TASK_FUNCTION);
}

/*
** task(...) -> handle. Stack: task, arguments; later: task, kept options, name, function,
** dependencies, arguments, ...
*/
static int task_call(lua_State *L) {
  enum { KEPT = 2, FIRST = 3, DEPENDENCIES = 5 };
  lmp_context *context = lmp_context_of(L);
  call c = {.desc = MP_TASK_DESC_INIT, .how = argument_encoding, .payload = {.kind = LMP_CALL}};
  check_task(L, context, 1);
  luaL_checkstack(L, 24, NULL);
  read_task(L, context, &c);
  lua_rotate(L, KEPT, 3);
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

/* spawn(function, ...) -> handle */
static int spawn(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  call c = {.desc = MP_TASK_DESC_INIT,
            .how = argument_encoding,
            .payload = {.kind = LMP_CALL, .dependencies = LMP_NO_TABLE}};
  check_function(L, 1);
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
  if (!can_run(L, first))
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

/* task:call(...): submits and waits */
static int task_call_and_wait(lua_State *L) {
  if (task_call(L) != 1) return luaL_error(L, "%s", lua_tostring(L, -1)); /* nil, why */
  lua_getfield(L, -1, "get");
  lua_insert(L, -2);
  int base = lua_gettop(L) - 2;
  lua_call(L, 1, LUA_MULTRET);
  return lua_gettop(L) - base;
}

/* }====================================================== */

void lmp_open_task(lua_State *L, lmp_context *context) {
  static const luaL_Reg meta[] = {
      {"__call", task_call}, {"__tostring", task_tostring}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"with", task_with}, {"call", task_call_and_wait}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"function_of", function_of}, {"rework", rework}, {"is_task", is_task_of_ours}, {NULL, NULL}};
  static const struct {
    const char *name;
    lua_CFunction function;
  } makers[] = {{"parallel", parallel},
                {"parallel_fast", parallel_fast},
                {"parallel_with_deps", parallel_with_deps},
                {"parallel_priority", parallel_priority},
                {"spawn", spawn}};
  lmp_new_class(L, context, LMP_TASK, meta, methods);
  context->tasks->class = lmp_keep_class(L, LMP_TASK);
  context->tasks->options = lmp_new_table(L, "k");
  lmp_add_class(L, context, LMP_TASK);
  lmp_set_functions(L, context, functions);
  for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
    lua_pushlightuserdata(L, context);
    lua_pushstring(L, makers[i].name); /* for the text of errors */
    lua_pushcclosure(L, makers[i].function, 2);
    lua_setfield(L, -2, makers[i].name);
  }
}
