#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/refusal.h"

static char watched[256];
/* the open one: the wrapped functions have no other way to know it */
static lab *current;
static _Atomic(lua_Alloc) worker_allocator; /* what the bindings gave to lua_newstate */

/*
** {======================================================
** Memory
** =======================================================
*/

static bool refuses(supply *s) {
  size_t n = atomic_fetch_add(&s->asked, 1) + 1, first = atomic_load(&s->first);
  if (first == 0 || n < first || n > atomic_load(&s->last)) return false;
  atomic_fetch_add(&s->refused, 1);
  return true;
}

static void *counted_realloc(void *ud, void *block, size_t size_old, size_t size_new) {
  supply *s = ud;
  mp_allocator hook = fault_allocator(&s->blocks);
  if (size_new == 0 && block == NULL) return NULL;
  if (size_new != 0 && refuses(s)) return NULL;
  return hook.realloc(hook.ud, block, size_old, size_new);
}

static void *worker_realloc(void *ud, void *block, size_t size_old, size_t size_new) {
  supply *s = &current->memory[WORKERS];
  if (size_new > (size_t)1 << 30) return NULL; /* sanitizers end the process rather than refuse */
  if (size_new != 0 && refuses(s)) return NULL;
  void *grown = atomic_load(&worker_allocator)(ud, block, size_old, size_new);
  if (block == NULL && grown != NULL) atomic_fetch_add(&s->live, 1);
  if (block != NULL && size_new == 0) atomic_fetch_sub(&s->live, 1);
  return grown;
}

lua_State *__real_lua_newstate(lua_Alloc allocator, void *ud);
lua_State *__wrap_lua_newstate(lua_Alloc allocator, void *ud);
lua_State *__wrap_lua_newstate(lua_Alloc allocator, void *ud) {
  atomic_store(&worker_allocator, allocator);
  return __real_lua_newstate(worker_realloc, ud);
}

mp_status __real_mp_pool_create(const mp_pool_config *config, mp_pool **pool);
mp_status __wrap_mp_pool_create(const mp_pool_config *config, mp_pool **pool);
mp_status __wrap_mp_pool_create(const mp_pool_config *config, mp_pool **pool) {
  mp_pool_config counted = *config;
  counted.allocator = (mp_allocator){counted_realloc, &current->memory[ENGINE]};
  return __real_mp_pool_create(&counted, pool);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size) {
  return current != NULL && refuses(&current->memory[HOST]) ? NULL : __real_calloc(n, size);
}

void lab_arm(lab *l, domain d, size_t first, size_t last) {
  supply *s = &l->memory[d];
  atomic_store(&s->asked, 0);
  atomic_store(&s->refused, 0);
  atomic_store(&s->last, last);
  atomic_store(&s->first, first);
}

size_t lab_disarm(lab *l, domain d) {
  atomic_store(&l->memory[d].first, 0);
  return atomic_load(&l->memory[d].refused);
}

/* }====================================================== */

/*
** {======================================================
** Tools for the snippets
** =======================================================
*/

lmp_context *lab_context(lua_State *L) {
  lua_getglobal(L, "core");
  lua_getfield(L, -1, "pool");
  assert_non_null(lua_getupvalue(L, -1, 1));
  lmp_context *context = lua_touserdata(L, -1);
  lua_pop(L, 3);
  return context;
}

mp_pool *lab_pool(lua_State *L) {
  lua_settop(L, lua_gettop(L));
  return lmp_default_pool(L, lab_context(L))->pool;
}

static int message_gc(lua_State *L) {
  lmp_message **message = lua_touserdata(L, 1);
  lmp_message_free(*message);
  *message = NULL;
  return 0;
}

static lmp_message **push_message(lua_State *L) {
  lmp_message **message = lua_newuserdatauv(L, sizeof *message, 0);
  *message = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, message_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return message;
}

/* Arguments 1..n as a message, which a userdata on top owns. */
static lmp_message *encode_arguments(lua_State *L, int n) {
  static const lmp_encoding how = {.root = "args", .direction = "to a worker"};
  lmp_context *context = lab_context(L);
  mp_pool *pool = lab_pool(L);
  lua_settop(L, n);
  lmp_message **message = push_message(L);
  lmp_buffer *buffer = lmp_encode_begin(L, context, pool);
  if (!lmp_encode_values(L, context, buffer, &how, 1, n))
    lmp_raise_refusal(L, buffer, how.direction);
  *message = lmp_encode_take(buffer);
  if (*message == NULL) lmp_check(L, MP_NOMEM);
  return *message;
}

/* copy(...) -> what the other side would get */
static int copy(lua_State *L) {
  lmp_message *message = encode_arguments(L, lua_gettop(L));
  return lmp_decode_all(L, lab_context(L), message);
}

/* encode(...) -> bytes, attachments */
static int encode(lua_State *L) {
  lmp_message *message = encode_arguments(L, lua_gettop(L));
  lua_pushlstring(L, message->bytes, message->size);
  lua_pushinteger(L, message->attachment_count);
  return 2;
}

static int decode_string(lua_State *L, bool inert) {
  lmp_decoder decoder;
  uint32_t count;
  size_t size;
  lmp_message message = {0};
  message.bytes = (char *)luaL_checklstring(L, 1, &size);
  message.size = (uint32_t)size;
  lmp_decode_begin(L, lab_context(L), &message, &decoder, &count);
  decoder.inert = inert;
  luaL_checkstack(L, (int)count + 2, "too many values");
  for (uint32_t i = 0; i < count; i++) lmp_decode_value(L, &decoder);
  lmp_decode_end(L, &decoder);
  return (int)count;
}

/* decode(bytes) and inspect(bytes): a message without attachments; inspect loads no module */
static int decode(lua_State *L) { return decode_string(L, false); }
static int inspect(lua_State *L) { return decode_string(L, true); }

/* raises(part, f, ...): f raises an error whose text holds `part`; returns the error */
static const char tools_in_lua[] =
    "function raises(part, f, ...)\n"
    "  local ok, err = pcall(f, ...)\n"
    "  if ok then error('no error; expected: ' .. part, 2) end\n"
    "  local text = tostring(err)\n"
    "  if not text:find(part, 1, true) then error(('error %q does not hold %q'):format(text, "
    "part), 2) end\n"
    "  return err\n"
    "end\n"
    "function same(got, expected)\n"
    "  if got ~= expected or math.type(got) ~= math.type(expected) then\n"
    "    error(('got %s (%s), expected %s (%s)'):format(got, math.type(got) or type(got), "
    "expected, math.type(expected) or type(expected)), 2)\n"
    "  end\n"
    "end\n";

static void open_tools(lab *l) {
  static const luaL_Reg tools[] = {
      {"copy", copy}, {"encode", encode}, {"decode", decode}, {"inspect", inspect}, {NULL, NULL}};
  lua_pushglobaltable(l->L);
  luaL_setfuncs(l->L, tools, 0);
  lua_pop(l->L, 1);
  lab_run(l, tools_in_lua);
}

/* }====================================================== */

/*
** {======================================================
** The laboratory
** =======================================================
*/

static int panic(lua_State *L) {
  fail_msg("an error outside every protected call: %s", lua_tostring(L, -1));
  return 0;
}

void lab_open_bare(lab *l) {
  memset(l, 0, sizeof *l);
  for (int d = 0; d < DOMAINS; d++) l->memory[d].blocks = (fault_alloc)FAULT_ALLOC_INIT;
  current = l;
  l->L = __real_lua_newstate(counted_realloc, &l->memory[OWNER]);
  assert_non_null(l->L);
  lua_atpanic(l->L, panic);
  luaL_openlibs(l->L);
}

void lab_open(lab *l) {
  lab_open_bare(l);
  luaL_requiref(l->L, "makeparallel.core", luaopen_makeparallel_core, 0);
  lua_setglobal(l->L, "core");
  open_tools(l);
}

static void assert_all_came_back(const char *whose, supply *s) {
  size_t bytes = fault_live_bytes(&s->blocks);
  if (bytes != 0 || !fault_is_clean(&s->blocks))
    fail_msg("%zu bytes of %s leak or were freed by a wrong size: %s", bytes, whose, watched);
}

void lab_close(lab *l) {
  lua_close(l->L);
  /* a worker that a shutdown has left behind holds the pool until its task returns */
  for (int i = 0; i < 5000 && !fault_is_clean(&l->memory[ENGINE].blocks); i++) usleep(1000);
  current = NULL;
  assert_all_came_back("the owner's state", &l->memory[OWNER]);
  assert_all_came_back("the engine", &l->memory[ENGINE]);
  assert_int_equal(atomic_load(&l->memory[WORKERS].live), 0);
}

static int add_traceback(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

static int run(lab *l, const char *source) {
  lua_settop(l->L, 0);
  lua_pushcfunction(l->L, add_traceback);
  if (luaL_loadbufferx(l->L, source, strlen(source), "=snippet", "t") != LUA_OK)
    fail_msg("%s", lua_tostring(l->L, -1));
  return lua_pcall(l->L, 0, 0, 1);
}

void lab_run(lab *l, const char *source) {
  if (run(l, source) != LUA_OK) fail_msg("%s", lua_tostring(l->L, -1));
  lua_settop(l->L, 0);
}

void lab_run_raises(lab *l, const char *source, const char *part) {
  assert_int_not_equal(run(l, source), LUA_OK);
  const char *text = lua_tostring(l->L, -1);
  if (strstr(text, part) == NULL) fail_msg("error '%s' does not hold '%s'", text, part);
  lua_settop(l->L, 0);
}

static void on_alarm(int signal) {
  static const char head[] = "\nhangs in: ";
  (void)signal;
  if (write(2, head, sizeof head - 1) < 0 || write(2, watched, strlen(watched)) < 0) _exit(3);
  _exit(2);
}

void lab_watch(unsigned seconds, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(watched, sizeof watched, format, args);
  va_end(args);
  signal(SIGALRM, on_alarm);
  alarm(seconds);
}

/* }====================================================== */
