#include "api/shared.h"

#include <string.h>

#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/value.h"
#include "handles/pool.h"

#define LMP_CACHE "makeparallel.cache"
#define LMP_METER "makeparallel.meter"
#define LMP_GRANT "makeparallel.grant"

typedef struct shared {
  void *object; /* an mp_cache or mp_meter: a reference; NULL: none yet */
} shared;

/* What mp_cache_get gave. */
typedef struct grant {
  mp_cache_value *value; /* a reference, or NULL */
  mp_flight *flight;     /* ours to end, or NULL */
  lmp_context *context;
} grant;

static const lmp_encoding value_encoding = {.root = "result", .direction = "to other states"};

static shared *push_empty(lua_State *L, const char *class) {
  shared *s = lua_newuserdatauv(L, sizeof *s, 0);
  s->object = NULL;
  luaL_setmetatable(L, class);
  return s;
}

/* Writes the object of the userdata at index; an empty one cannot travel. */
static int encode_shared(lua_State *L, lmp_buffer *buffer, const lmp_reference_kind *kind,
                         int index) {
  const shared *s = lua_touserdata(L, index);
  if (s->object == NULL) return 0;
  return lmp_put_reference(buffer, kind, s->object) ? 1 : -1;
}

/* Pushes a userdata of the kind for the attachment that follows, with a reference of its own. */
static void decode_shared(lua_State *L, lmp_decoder *decoder, const lmp_reference_kind *kind) {
  void *object = lmp_take_attachment(L, decoder, kind->tag)->object;
  shared *s = push_empty(L, kind->class);
  kind->retain(object);
  s->object = object;
}

static void *check_shared(lua_State *L, int index, const char *class) {
  const shared *s = luaL_checkudata(L, index, class);
  luaL_argcheck(L, s->object != NULL, index, "it was collected");
  return s->object;
}

static int cache_gc(lua_State *L) {
  shared *s = lua_touserdata(L, 1);
  mp_cache_release(s->object);
  s->object = NULL;
  return 0;
}

static int meter_gc(lua_State *L) {
  shared *s = lua_touserdata(L, 1);
  mp_meter_release(s->object);
  s->object = NULL;
  return 0;
}

/*
** {======================================================
** Cache
** =======================================================
*/

static int encode_cache(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                        bool top);
static void decode_cache(lua_State *L, lmp_decoder *decoder, int depth);
static void retain_cache(void *cache) { mp_cache_retain(cache); }
static void release_cache(void *cache) { mp_cache_release(cache); }

static const lmp_reference_kind cache_kind = {.tag = LMP_SHARED_CACHE,
                                              .class = LMP_CACHE,
                                              .retain = retain_cache,
                                              .release = release_cache,
                                              .encode = encode_cache,
                                              .decode = decode_cache};

static int encode_cache(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                        bool top) {
  (void)context;
  (void)top;
  return encode_shared(L, buffer, &cache_kind, index);
}

static void decode_cache(lua_State *L, lmp_decoder *decoder, int depth) {
  (void)depth;
  decode_shared(L, decoder, &cache_kind);
}

static int grant_end(lua_State *L) {
  grant *g = lua_touserdata(L, 1);
  if (g->value != NULL) mp_cache_value_release(g->value);
  if (g->flight != NULL) {
    assert(g->context->flights->count > 0);
    g->context->flights->count--;
    mp_flight_end(g->flight);
  }
  g->value = NULL;
  g->flight = NULL;
  return 0;
}

static uint64_t optional_size(lua_State *L, int arg) {
  return (uint64_t)luaL_optinteger(L, arg, 0);
}

/* cache_create(entries, bytes or nil, seconds or nil) -> cache */
static int cache_create(lua_State *L) {
  mp_cache_config config = MP_CACHE_CONFIG_INIT;
  mp_cache *cache;
  config.entries_max = optional_size(L, 1);
  config.bytes_max = optional_size(L, 2);
  if (!lua_isnoneornil(L, 3)) {
    double seconds = lmp_to_seconds(L, 3, "ttl");
    config.ttl_ns = seconds < 1e-9 ? 1 : lmp_to_ns(seconds); /* 0 stands for none */
  }
  shared *s = push_empty(L, LMP_CACHE);
  lmp_check(L, mp_cache_create(&config, &cache));
  s->object = cache;
  return 1;
}

/*
** cache_get(cache, key, seconds) -> true and a grant, for cache_values; or false and a grant, to be
** closed when the result was put; or false alone: somebody else computes it, and this state, which
** computes something itself, had better do so, too; or nil: somebody else was not done within so
** many seconds.
*/
static int cache_get(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  mp_cache *cache = check_shared(L, 1, LMP_CACHE);
  size_t size;
  const char *key = luaL_checklstring(L, 2, &size);
  bool may_wait = context->flights->count == 0;
  uint64_t wait_ns = may_wait ? lmp_to_ns(lmp_to_seconds(L, 3, "wait")) : 0;
  grant *g = lua_newuserdatauv(L, sizeof *g, 0);
  *g = (grant){NULL, NULL, context};
  luaL_setmetatable(L, LMP_GRANT);
  mp_status status = mp_cache_get(cache, key, size, wait_ns, &g->value, &g->flight);
  if (status == MP_NOMEM) lmp_check(L, status);
  if (status == MP_OK) {
    if (g->flight != NULL) context->flights->count++;
    lua_pushboolean(L, g->value != NULL);
    lua_insert(L, -2);
    return 2;
  }
  if (status == MP_FORKED || !may_wait)
    lua_pushboolean(L, 0);
  else
    lua_pushnil(L);
  return 1;
}

/* cache_values(grant) -> the values found */
static int cache_values(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  const grant *g = luaL_checkudata(L, 1, LMP_GRANT);
  size_t size;
  luaL_argcheck(L, g->value != NULL, 1, "it holds no value");
  const void *bytes = mp_cache_value_data(g->value, &size);
  const lmp_message view = {
      .pool = context->pools->default_pool == NULL ? NULL : context->pools->default_pool->pool,
      .bytes = (char *)bytes,
      .size = (uint32_t)size};
  return lmp_decode_all(L, context, &view);
}

/* cache_put(cache, key, ...) -> kept? */
static int cache_put(lua_State *L) {
  lmp_context *context = lmp_context_of(L);
  mp_cache *cache = check_shared(L, 1, LMP_CACHE);
  size_t size;
  const char *key = luaL_checklstring(L, 2, &size);
  int n = lua_gettop(L) - 2;
  lua_pushboolean(L, 0);
  if (context->pools->default_pool == NULL && context->pools->was_shut_down) return 1;
  lmp_encode_prepare(L, context);
  lmp_buffer *buffer = lmp_encode_begin(L, context, lmp_default_pool(L, context)->pool);
  bool kept = lmp_encode_values(L, context, buffer, &value_encoding, 3, n);
  if (!kept && buffer->memory) lmp_check(L, MP_NOMEM);
  kept = kept && buffer->message.attachment_count == 0 /* these would die with the message */
         && mp_cache_put(cache, key, size, buffer->message.bytes, buffer->message.size) == MP_OK;
  lmp_buffer_reset(buffer);
  lua_pushboolean(L, kept);
  return 1;
}

static void set_count(lua_State *L, const char *field, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, field);
}

static int cache_info(lua_State *L) {
  mp_cache_info info = MP_CACHE_INFO_INIT;
  mp_cache_get_info(check_shared(L, 1, LMP_CACHE), &info);
  lua_createtable(L, 0, 10);
  set_count(L, "entries", info.entries);
  set_count(L, "bytes", info.bytes);
  set_count(L, "hits", info.hits);
  set_count(L, "misses", info.misses);
  set_count(L, "evicted", info.evicted);
  set_count(L, "expired", info.expired);
  return 1;
}

static int cache_clear(lua_State *L) {
  mp_cache_clear(check_shared(L, 1, LMP_CACHE));
  return 0;
}

/* }====================================================== */

/*
** {======================================================
** Meter
** =======================================================
*/

static int encode_meter(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                        bool top);
static void decode_meter(lua_State *L, lmp_decoder *decoder, int depth);
static void retain_meter(void *meter) { mp_meter_retain(meter); }
static void release_meter(void *meter) { mp_meter_release(meter); }

static const lmp_reference_kind meter_kind = {.tag = LMP_SHARED_METER,
                                              .class = LMP_METER,
                                              .retain = retain_meter,
                                              .release = release_meter,
                                              .encode = encode_meter,
                                              .decode = decode_meter};

static int encode_meter(lua_State *L, lmp_context *context, lmp_buffer *buffer, int index,
                        bool top) {
  (void)context;
  (void)top;
  return encode_shared(L, buffer, &meter_kind, index);
}

static void decode_meter(lua_State *L, lmp_decoder *decoder, int depth) {
  (void)depth;
  decode_shared(L, decoder, &meter_kind);
}

static int meter_create(lua_State *L) {
  mp_meter *meter;
  shared *s = push_empty(L, LMP_METER);
  lmp_check(L, mp_meter_create(NULL, &meter));
  s->object = meter;
  return 1;
}

/* meter_record(meter, started, failed): a call that began at that time has ended */
static int meter_record(lua_State *L) {
  mp_meter *meter = check_shared(L, 1, LMP_METER);
  double seconds = lmp_now() - luaL_checknumber(L, 2);
  mp_meter_record(meter, seconds > 0 ? lmp_to_ns(seconds) : 0, lua_toboolean(L, 3));
  return 0;
}

static int meter_reset(lua_State *L) {
  mp_meter_reset(check_shared(L, 1, LMP_METER));
  return 0;
}

static void set_milliseconds(lua_State *L, const char *field, double ns) {
  lua_pushnumber(L, ns * 1e-6);
  lua_setfield(L, -2, field);
}

/* meter_info(list of meters) -> what they counted in all */
static int meter_info(lua_State *L) {
  mp_meter_sum sum;
  luaL_checktype(L, 1, LUA_TTABLE);
  mp_meter_sum_init(&sum);
  for (lua_Integer i = 1; lua_rawgeti(L, 1, i) != LUA_TNIL; i++) {
    mp_meter_add(check_shared(L, -1, LMP_METER), &sum);
    lua_pop(L, 1);
  }
  uint64_t total = sum.completed + sum.failed;
  lua_createtable(L, 0, 12);
  set_count(L, "total", total);
  set_count(L, "completed", sum.completed);
  set_count(L, "failed", sum.failed);
  set_milliseconds(L, "total_ms", (double)sum.total_ns);
  set_milliseconds(L, "average_ms", total == 0 ? 0 : (double)sum.total_ns / (double)total);
  set_milliseconds(L, "min_ms", total == 0 ? 0 : (double)sum.least_ns);
  set_milliseconds(L, "max_ms", (double)sum.most_ns);
  set_milliseconds(L, "p50_ms", (double)mp_meter_quantile(&sum, 0.5));
  set_milliseconds(L, "p90_ms", (double)mp_meter_quantile(&sum, 0.9));
  set_milliseconds(L, "p99_ms", (double)mp_meter_quantile(&sum, 0.99));
  return 1;
}

/* }====================================================== */

void lmp_open_shared(lua_State *L, lmp_context *context) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg cache_meta[] = {{"__gc", cache_gc}, {NULL, NULL}};
  static const luaL_Reg meter_meta[] = {{"__gc", meter_gc}, {NULL, NULL}};
  static const luaL_Reg grant_meta[] = {{"__gc", grant_end}, {"__close", grant_end}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"cache_create", cache_create},
                                       {"cache_get", cache_get},
                                       {"cache_values", cache_values},
                                       {"cache_put", cache_put},
                                       {"cache_info", cache_info},
                                       {"cache_clear", cache_clear},
                                       {"meter_create", meter_create},
                                       {"meter_record", meter_record},
                                       {"meter_reset", meter_reset},
                                       {"meter_info", meter_info},
                                       {NULL, NULL}};
  lmp_new_class(L, context, LMP_CACHE, cache_meta, none);
  lmp_new_class(L, context, LMP_METER, meter_meta, none);
  lmp_add_reference(L, context, &cache_kind);
  lmp_add_reference(L, context, &meter_kind);
  lmp_new_class(L, context, LMP_GRANT, grant_meta, NULL);
  lmp_set_functions(L, context, functions);
}
