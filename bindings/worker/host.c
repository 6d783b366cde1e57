#include "worker/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "codec/encode.h"
#include "codec/refusal.h"
#include "worker/inherit.h"
#include "worker/interrupt.h"
#include "worker/unseen.h"

#define TASKS_MAX ((lua_Integer)1 << 40)

static const char *const option_names[] = {"workers",
                                           "stack_size",
                                           "setup",
                                           "preload",
                                           "isolate",
                                           "log",
                                           "cancel_mode",
                                           "worker_memory_limit",
                                           "max_concurrent_tasks",
                                           "max_queue",
                                           "max_queue_bytes",
                                           "memory_limit_percent",
                                           "when_full",
                                           "full_timeout",
                                           "trace",
                                           NULL};

mp_lua_config mp_lua_config_default(void) {
  mp_lua_config config;
  memset(&config, 0, sizeof config);
  config.size = sizeof config;
  config.cancel_mode = MP_LUA_CANCEL_COOPERATIVE;
  config.open_libs = 1;
  return config;
}

static void free_heritage(lmp_heritage *heritage) {
  if (heritage == NULL) return;
  lmp_message_free(heritage->search);
  lmp_message_free(heritage->setup);
  free(heritage);
}

void lmp_host_free(void *ud) { /* the engine's `closed`: any thread */
  lmp_host *host = ud;
  lmp_trace_close(host->trace);
  if (host->outer.closed != NULL) host->outer.closed(host->outer.closed_ud);
  free_heritage(host->heritage);
  for (size_t i = 0; i < host->vm_count; i++) lmp_book_free(host->vms[i].book);
  lmp_book_free(host->book);
  free(host->vms);
  free(host);
}

static void push_preload_names(lua_State *L, int options) {
  LMP_HEIGHT(base, L);
  if (lua_getfield(L, options, "preload") == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
  }
  if (!lua_istable(L, -1))
    luaL_error(L, "preload must be a list of module names, got %s", luaL_typename(L, -1));
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, -1); i++) {
    if (lua_rawgeti(L, -1, i) != LUA_TSTRING)
      luaL_error(L, "preload must be a list of module names, got %s in it", luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  assert(lua_gettop(L) == base + 1);
}

/* Workers may need the message to the pool's last moment: it must not keep the pool alive. */
static lmp_message *take_weak(lua_State *L, lmp_buffer *buffer) {
  lmp_message *message = lmp_encode_take(buffer);
  mp_status status = message == NULL ? MP_NOMEM : lmp_message_weaken(message);
  if (status != MP_OK) lmp_message_free(message);
  lmp_check(L, status);
  return message;
}

/* What lmp_host_inherit is at: what the pool's memory holds must not be left to the collector. */
typedef struct draft {
  lmp_context *context;
  mp_pool *pool;
  lmp_heritage *heritage;
} draft;

/* stack: draft, options */
static int write_heritage(lua_State *L) {
  static const lmp_encoding how = {.root = "setup", .direction = "to a worker", .unnumbered = 2};
  const draft *d = lua_touserdata(L, 1);
  lmp_heritage *h = d->heritage;
  h->search = take_weak(L, lmp_inherit_write(L, d->context, d->pool, &h->search_mark));
  push_preload_names(L, 2);
  lua_getfield(L, 2, "setup");
  assert(lua_gettop(L) == 4);
  lmp_buffer *buffer = lmp_encode_begin(L, d->context, d->pool);
  if (!lmp_encode_values(L, d->context, buffer, &how, 3, 2)) {
    lmp_push_refusal(L, buffer, how.direction);
    lua_error(L);
  }
  h->setup = take_weak(L, buffer);
  return 0;
}

void lmp_host_inherit(lua_State *L, lmp_context *context, lmp_host *host, mp_pool *pool,
                      int options) {
  if (lmp_heritage_of(pool) != NULL) return; /* it is the first state's that came */
  luaL_checkstack(L, 3, NULL);
  draft d = {context, pool, calloc(1, sizeof *d.heritage)};
  if (d.heritage == NULL) lmp_check(L, MP_NOMEM);
  lua_pushcfunction(L, write_heritage);
  lua_pushlightuserdata(L, &d);
  lua_pushvalue(L, options);
  int status = lua_pcall(L, 2, 0, 0);
  if (status == LUA_OK && mp_pool_keep(pool, d.heritage) == d.heritage)
    host->heritage = d.heritage;
  else
    free_heritage(d.heritage); /* an attempt that failed, or another state was faster */
  if (status != LUA_OK) lua_error(L);
}

void lmp_limits_read(lua_State *L, lmp_host *host, int options) {
  static const char *const when[] = {"block", "error", "caller", NULL};
  host->limits.tasks =
      (size_t)lmp_option_integer(L, options, "max_concurrent_tasks", 1, TASKS_MAX, 0);
  host->limits.queue = (size_t)lmp_option_integer(L, options, "max_queue", 1, TASKS_MAX, 0);
  host->limits.queue_bytes =
      (size_t)lmp_option_integer(L, options, "max_queue_bytes", 1024, TASKS_MAX, 0);
  host->limits.memory_percent =
      (unsigned)lmp_option_integer(L, options, "memory_limit_percent", 1, 100, 0);
  host->when_full = (lmp_when_full)lmp_option_choice(L, options, "when_full", when, LMP_FULL_BLOCK);
  host->full_timeout = lua_getfield(L, options, "full_timeout") == LUA_TNIL
                           ? -1
                           : lmp_to_seconds(L, -1, "full_timeout");
  lua_pop(L, 1);
}

static lmp_isolate option_isolate(lua_State *L, int options) {
  static const char *const names[] = {"none", "env", "state", NULL};
  return (lmp_isolate)lmp_option_choice(L, options, "isolate", names, LMP_ISOLATE_NONE);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIGNALS_WAIT 1 /* ThreadSanitizer delivers none to a thread that only computes */
#endif
#endif

static lmp_cancel_mode option_cancel_mode(lua_State *L, int options) {
  static const char *const names[] = {"signal", "hook", "cooperative", NULL};
  lmp_cancel_mode mode =
      (lmp_cancel_mode)lmp_option_choice(L, options, "cancel_mode", names, LMP_CANCEL_SIGNAL);
#if defined(SIGNALS_WAIT)
  if (mode == LMP_CANCEL_SIGNAL) mode = LMP_CANCEL_HOOK;
#endif
  return mode;
}

static size_t option_worker_memory(lua_State *L, int options) {
  lua_Integer limit =
      lmp_option_integer(L, options, "worker_memory_limit", 1 << 20, (lua_Integer)1 << 40, 0);
  return limit == 0 ? SIZE_MAX : (size_t)limit;
}

/*
** The option (false: off), else the environment's MAKEPARALLEL_LOG, else errors. A function stays
** on top.
*/
static void read_log(lua_State *L, int options, lmp_log *log) {
  const char *text = getenv("MAKEPARALLEL_LOG");
  int type = lua_getfield(L, options, "log");
  if (type == LUA_TFUNCTION) {
    if (text == NULL || !lmp_log_parse(log, text)) (void)!lmp_log_parse(log, "debug");
    return;
  }
  if (type == LUA_TNIL && text != NULL && !lmp_log_parse(log, text)) {
    lua_warning(L, "makeparallel: MAKEPARALLEL_LOG is neither a level nor area=level,...", 0);
    text = NULL;
  }
  if (type == LUA_TNIL && text != NULL) return;
  if (type == LUA_TNIL) text = "error";
  if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1)) text = "off";
  if (type == LUA_TSTRING) text = lua_tostring(L, -1);
  bool valid =
      type == LUA_TNIL || type == LUA_TSTRING || (type == LUA_TBOOLEAN && !lua_toboolean(L, -1));
  if (!valid || !lmp_log_parse(log, text))
    luaL_error(L,
               "log must be a function, false, a level (off, error, warn, info, debug, trace) or "
               "area=level,..., got %s",
               luaL_tolstring(L, -1, NULL));
}

static void option_log(lua_State *L, int options, lmp_log *log) {
  log->function = LUA_NOREF;
  log->highest = MP_LOG_OFF;
  read_log(L, options, log);
  if (lua_isfunction(L, -1))
    log->function = luaL_ref(L, LUA_REGISTRYINDEX);
  else
    lua_pop(L, 1);
}

/* The file's name, or NULL. The options keep it. */
static const char *option_trace(lua_State *L, int options) {
  if (lua_getfield(L, options, "trace") != LUA_TNIL && lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "trace must be the name of a file to write, got %s", luaL_typename(L, -1));
  const char *path = lua_tostring(L, -1);
  lua_pop(L, 1);
  return path;
}

static unsigned option_workers(lua_State *L, int options) {
  return (unsigned)lmp_option_integer(L, options, "workers", 1, MP_WORKERS_MAX, 0);
}

static size_t option_stack(lua_State *L, int options) {
  return (size_t)lmp_option_integer(L, options, "stack_size", 1 << 20, 1 << 30, 0);
}

void lmp_host_check_names(lua_State *L, int options) {
  luaL_checktype(L, options, LUA_TTABLE);
  lmp_check_option_names(L, options, option_names);
}

void lmp_host_check(lua_State *L, int options) {
  lmp_host none;
  lmp_log log;
  lmp_host_check_names(L, options);
  option_workers(L, options);
  option_stack(L, options);
  option_isolate(L, options);
  option_cancel_mode(L, options);
  option_worker_memory(L, options);
  option_trace(L, options);
  lmp_limits_read(L, &none, options);
  read_log(L, options, &log);
  if (lua_getfield(L, options, "setup") != LUA_TNIL) lmp_check_callable(L, -1, "setup");
  push_preload_names(L, options);
  assert(lua_gettop(L) >= options);
  lua_settop(L, options);
}

void lmp_host_hook(lmp_host *host, mp_pool_config *config) {
  assert(host->open_state != NULL && host->vms != NULL);
  host->outer = *config;
  config->worker_start = lmp_vm_start;
  config->worker_stop = lmp_vm_stop;
  if (host->cancel_mode == LMP_CANCEL_SIGNAL) config->worker_interrupt = lmp_interrupt;
  config->worker_idle = lmp_vm_idle;
  config->worker_mail = lmp_vm_mail;
  config->worker_ud = config->closed_ud = host;
  config->closed = lmp_host_free;
  lmp_unseen_hook(host, config);
}

bool lmp_host_make_vms(lmp_host *host, const mp_pool_config *config) {
  /*
  ** one for each thread there may ever be, and one for the owner, who may have to run a task itself
  */
  size_t n = (config->workers == 0 ? mp_cores() : config->workers) + config->workers_extra + 1;
  host->vms = calloc(n, sizeof *host->vms);
  if (host->vms != NULL) host->vm_count = n;
  return host->vms != NULL;
}

mp_pool_config lmp_host_prepare(lua_State *L, lmp_host *host, int options) {
  mp_pool_config config = mp_pool_config_default();
  host->lua = mp_lua_config_default();
  host->log.function = LUA_NOREF;
  config.workers = option_workers(L, options);
  config.stack_size = option_stack(L, options);
  host->isolate = option_isolate(L, options);
  host->cancel_mode = option_cancel_mode(L, options);
  host->memory_limit = option_worker_memory(L, options);
  lmp_limits_read(L, host, options);
  option_log(L, options, &host->log);
  const char *path = option_trace(L, options);
  if (path != NULL) host->trace = lmp_trace_open(path);
  if (path != NULL && host->trace == NULL)
    luaL_error(L, "trace: cannot write to %s: %s", path, strerror(errno));
  if (!lmp_host_make_vms(host, &config)) lmp_check(L, MP_NOMEM);
  config.limits = host->limits;
  config.caller_runs = host->when_full == LMP_FULL_CALLER;
  config.log = lmp_log_line;
  config.log_ud = &host->log;
  config.log_level = host->log.highest;
  lmp_host_hook(host, &config);
  return config;
}
