#include "worker/inherit.h"

#include <stdlib.h>
#include <string.h>

#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/names.h"
#include "codec/search.h"

/* Places in search->kept, after those of search.c. */
enum { GIVEN_PATH = 10, GIVEN_CPATH, GIVEN_LOADERS, NOTES };

#define NOTE "makeparallel.note" /* the metatable's name in the registry */

/* What a state has written for the workers of a pool: a userdata, kept by its pool. */
typedef struct note {
  mp_bytes *bytes; /* a head, then a message; NULL: it is not written yet */
  uint32_t count;  /* of what the message refers to */
  lmp_attachment attachments[];
} note;

typedef struct head {
  lua_Unsigned mark;
  lua_Unsigned count; /* so many attachments before the note are the message's */
} head;

static void retain_bytes(void *bytes) { mp_bytes_retain(bytes); }
static void release_bytes(void *bytes) { mp_bytes_release(bytes); }

/* Attachments that no byte of a message refers to. */
static const lmp_reference_kind note_kind = {
    .tag = LMP_UNNUMBERED, .retain = retain_bytes, .release = release_bytes};
/* A C function of package.preload: the function, then its name. */
static const lmp_reference_kind loader_kind = {
    .tag = LMP_UNNUMBERED, .retain = retain_bytes, .release = release_bytes};

static head head_of(const mp_bytes *bytes) {
  head h;
  size_t size;
  memcpy(&h, mp_bytes_data(bytes, &size), sizeof h);
  assert(size > sizeof h);
  return h;
}

static void push_kept(lua_State *L, const lmp_context *context, lua_Integer place) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->search->kept);
  lua_rawgeti(L, -1, place);
  lua_remove(L, -2);
}

static void keep(lua_State *L, const lmp_context *context, lua_Integer place) { /* top, popped */
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->search->kept);
  lua_insert(L, -2);
  lua_rawseti(L, -2, place);
  lua_pop(L, 1);
}

/*
** {======================================================
** Writing
** =======================================================
*/

/* A worker passes on what it was given, unless its own code has changed something since. */
static bool passes_given(const lmp_context *context) {
  return context->vm != NULL && context->search->mark == context->search->settled;
}

static lua_Unsigned passed_mark(const lmp_context *context) {
  return passes_given(context) ? context->search->given : context->search->mark;
}

/* Can the Lua function on top be made elsewhere? If not, that is remembered. */
static bool travels(lua_State *L, lmp_context *context, mp_pool *pool) {
  static const lmp_encoding how = {.root = "preload", .direction = "to a worker"};
  lmp_buffer *buffer = lmp_encode_begin(L, context, pool);
  bool can = lmp_encode_values(L, context, buffer, &how, lua_gettop(L), 1);
  if (buffer->memory) lmp_check(L, MP_NOMEM);
  can = can && buffer->imports == 0;
  lmp_buffer_reset(buffer);
  if (can) return true;
  lua_pushvalue(L, -1);
  lmp_preload_stays(L, context);
  lmp_doubt_names(context);
  return false;
}

/* Pushes path, cpath, home, then name and function of what Lua functions there are to load by. */
static void push_values(lua_State *L, lmp_context *context, mp_pool *pool, int loaders) {
  bool given = passes_given(context);
  if (given) {
    push_kept(L, context, GIVEN_PATH);
    push_kept(L, context, GIVEN_CPATH);
  } else {
    lmp_push_path(L, context, "path");
    lmp_push_path(L, context, "cpath");
  }
  lmp_push_home(L, context);
  lua_pushnil(L);
  while (lua_next(L, loaders)) { /* stack: ..., name, function */
    luaL_checkstack(L, 20, "too many functions in package.preload");
    if (lua_type(L, -2) == LUA_TSTRING && lua_isfunction(L, -1) && !lua_iscfunction(L, -1) &&
        travels(L, context, pool))
      lua_pushvalue(L, -2);
    else
      lua_pop(L, 1);
  }
}

/* The C function on top, whose name is below, if it is one that needs nothing of its state. */
static void attach_loader(lua_State *L, mp_pool *pool, lmp_buffer *buffer) {
  lua_CFunction function = lua_tocfunction(L, -1);
  if (function == NULL || lua_getupvalue(L, -1, 1) != NULL || lua_type(L, -2) != LUA_TSTRING)
    return;
  size_t size;
  const char *name = lua_tolstring(L, -2, &size);
  luaL_Buffer text;
  char *at = luaL_buffinitsize(L, &text, sizeof function + size + 1);
  memcpy(at, &function, sizeof function);
  memcpy(at + sizeof function, name, size + 1);
  luaL_pushresultsize(&text, sizeof function + size + 1);
  mp_bytes *bytes;
  uint32_t number;
  lmp_check(L, mp_bytes_create(pool, lua_tostring(L, -1), lua_rawlen(L, -1), &bytes));
  (void)!lmp_attach(buffer, &loader_kind, bytes, &number);
  mp_bytes_release(bytes);
}

/* Writes what this state passes on into a scratch buffer. */
static lmp_buffer *write_all(lua_State *L, lmp_context *context, mp_pool *pool) {
  static const lmp_encoding how = {.root = "preload", .direction = "to a worker"};
  int top = lua_gettop(L), loaders = top + 1;
  luaL_checkstack(L, 20, NULL);
  if (passes_given(context))
    push_kept(L, context, GIVEN_LOADERS);
  else
    lmp_push_preload(L, context);
  push_values(L, context, pool, loaders);
  lmp_buffer *buffer = lmp_encode_begin(L, context, pool);
  if (!lmp_encode_values(L, context, buffer, &how, loaders + 1, lua_gettop(L) - loaders))
    lmp_check(L, MP_NOMEM); /* each of them could travel */
  lua_settop(L, loaders);
  lua_pushnil(L);
  while (lua_next(L, loaders)) {
    attach_loader(L, pool, buffer);
    lua_settop(L, loaders + 1);
  }
  if (buffer->memory) lmp_check(L, MP_NOMEM);
  lua_settop(L, top);
  return buffer;
}

lmp_buffer *lmp_inherit_write(lua_State *L, lmp_context *context, mp_pool *pool,
                              lua_Unsigned *mark) {
  if (lmp_search_look(L, context)) lmp_doubt_names(context);
  *mark = passed_mark(context);
  return write_all(L, context, pool);
}

static int note_gc(lua_State *L) {
  note *n = lua_touserdata(L, 1);
  if (n->bytes != NULL) mp_bytes_release(n->bytes);
  for (uint32_t i = 0; i < n->count; i++) n->attachments[i].kind->release(n->attachments[i].object);
  n->bytes = NULL;
  n->count = 0;
  return 0;
}

/* Pushes an empty note. */
static note *push_note(lua_State *L, uint32_t count) {
  note *n = lua_newuserdatauv(L, sizeof *n + count * sizeof *n->attachments, 0);
  n->bytes = NULL;
  n->count = 0;
  if (luaL_newmetatable(L, NOTE)) {
    lua_pushcfunction(L, note_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return n;
}

static void make_note(lua_State *L, lmp_context *context, mp_pool *pool) {
  LMP_HEIGHT(base, L);
  lmp_buffer *buffer = write_all(L, context, pool);
  lmp_message *m = &buffer->message;
  const head h = {passed_mark(context), m->attachment_count};
  note *n = push_note(L, m->attachment_count);
  lua_pushlstring(L, (const char *)&h, sizeof h);
  lua_pushlstring(L, m->bytes, m->size);
  lua_concat(L, 2);
  lmp_check(L, mp_bytes_create(pool, lua_tostring(L, -1), lua_rawlen(L, -1), &n->bytes));
  lua_pop(L, 1);
  n->count = m->attachment_count; /* the references move */
  if (n->count > 0) memcpy(n->attachments, m->attachments, n->count * sizeof *n->attachments);
  m->attachment_count = 0;
  lmp_buffer_reset(buffer);
  push_kept(L, context, NOTES);
  if (!lua_istable(L, -1)) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    keep(L, context, NOTES);
  }
  lua_insert(L, -2);
  lua_rawsetp(L, -2, pool);
  lua_pop(L, 1);
  assert(lua_gettop(L) == base);
}

/* The note with this mark for the pool, or NULL. The context keeps it. */
static const note *find_note(lua_State *L, const lmp_context *context, const mp_pool *pool,
                             lua_Unsigned mark) {
  const note *n = NULL;
  push_kept(L, context, NOTES);
  if (lua_istable(L, -1)) {
    lua_rawgetp(L, -1, pool);
    n = lua_touserdata(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return n != NULL && head_of(n->bytes).mark == mark ? n : NULL;
}

void lmp_inherit_forget(lua_State *L, lmp_context *context, const mp_pool *pool) {
  int top = lua_gettop(L);
  push_kept(L, context, NOTES);
  if (lua_istable(L, -1) && lua_rawgetp(L, -1, pool) != LUA_TNIL) { /* no new field: no memory */
    lua_pushnil(L);
    lua_rawsetp(L, top + 1, pool);
  }
  lua_settop(L, top);
}

bool lmp_inherit_look(lua_State *L, lmp_context *context, lua_Unsigned given) {
  if (lmp_search_look(L, context)) lmp_doubt_names(context);
  return passed_mark(context) != given;
}

void lmp_inherit_make(lua_State *L, lmp_context *context, mp_pool *pool) {
  luaL_checkstack(L, 6, NULL);
  if (find_note(L, context, pool, passed_mark(context)) == NULL) make_note(L, context, pool);
}

void lmp_inherit_attach(lua_State *L, lmp_context *context, lua_Unsigned given,
                        lmp_buffer *buffer) {
  mp_pool *pool = buffer->message.pool;
  if (passed_mark(context) == given) return;
  lmp_inherit_make(L, context, pool); /* for code that ran meanwhile may have changed something */
  const note *n = find_note(L, context, pool, passed_mark(context));
  if (n == NULL) return;
  uint32_t number;
  bool ok = true;
  for (uint32_t i = 0; i < n->count && ok; i++)
    ok = lmp_attach(buffer, n->attachments[i].kind, n->attachments[i].object, &number);
  if (!ok || !lmp_attach(buffer, &note_kind, n->bytes, &number)) lmp_check(L, MP_NOMEM);
}

/* }====================================================== */

/*
** {======================================================
** Being given
** =======================================================
*/

/* The first place of `given` in `path`, or NULL. An empty one is a part of nothing but itself. */
static const char *part_of(const char *path, const char *given) {
  if (given == NULL || (*given == '\0' && *path != '\0')) return NULL;
  return strstr(path, given);
}

/* The value on top, popped, takes the place of what was given before in path or cpath. */
static void set_path(lua_State *L, lmp_context *context, const char *which, lua_Integer place) {
  int value = lua_gettop(L);
  lua_pushvalue(L, value);
  lmp_push_path(L, context, which);
  push_kept(L, context, place); /* stack: value, value, path, what was given before */
  const char *path = lua_tostring(L, -2), *given = lua_tostring(L, -1);
  const char *part = part_of(path, given);
  bool known = given == NULL || part != NULL;
  if (part != NULL) {
    lua_pushlstring(L, path, (size_t)(part - path));
    lua_pushvalue(L, value);
    lua_pushstring(L, part + strlen(given));
    lua_concat(L, 3);
    lua_replace(L, value + 1);
  }
  lua_settop(L, value + 1);
  if (known) lmp_set_path(L, context, which);
  lua_settop(L, value);
  keep(L, context, place);
}

/*
** The function on top is the loader of that name, both popped. What another one, given before, has
** loaded is not what `require` is to find now. Stack from `preload` on: preload, what was given
** before, what is given now, package.loaded.
*/
static void set_loader(lua_State *L, int preload) {
  int function = lua_gettop(L);
  lua_Unsigned mark = lmp_loader_mark(L);
  lua_pushvalue(L, function - 1); /* the name, twice */
  lua_pushvalue(L, function - 1);
  if (lua_rawget(L, preload + 1) == LUA_TFUNCTION && lmp_loader_mark(L) != mark) {
    lua_pushvalue(L, function - 1);
    lua_pushnil(L);
    lua_rawset(L, preload + 3);
  }
  lua_settop(L, function);
  lua_pushvalue(L, function - 1);
  lua_pushvalue(L, function);
  lua_rawset(L, preload + 2);
  lua_rawset(L, preload);
}

/*
** The loaders that were given before and are not now go, with what they have loaded. Stack as
** above.
*/
static void remove_loaders(lua_State *L, int preload) {
  for (lua_pushnil(L); lua_next(L, preload + 1); lua_settop(L, preload + 4)) {
    int name = preload + 4; /* and the function above it */
    lua_pushvalue(L, name);
    if (lua_rawget(L, preload + 2) != LUA_TNIL) continue;
    lua_pushvalue(L, name);
    lua_rawget(L, preload);
    bool own = !lua_rawequal(L, -1, name + 1); /* the worker's own code has set another */
    if (own) continue;
    for (int table = preload; table <= preload + 3; table += 3) {
      lua_pushvalue(L, name);
      lua_pushnil(L);
      lua_rawset(L, table);
    }
  }
}

static void set_loaders(lua_State *L, lmp_context *context, const lmp_message *m, int first,
                        int last) {
  lmp_push_preload(L, context);
  int preload = lua_gettop(L);
  push_kept(L, context, GIVEN_LOADERS);
  if (!lua_istable(L, -1)) {
    lua_pop(L, 1);
    lua_newtable(L);
  }
  lua_newtable(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->names->loaded);
  for (int i = first; i < last; i += 2) {
    lua_pushvalue(L, i);
    lua_pushvalue(L, i + 1);
    set_loader(L, preload);
  }
  for (uint32_t i = 0; i < m->attachment_count; i++) {
    lua_CFunction function;
    size_t size;
    if (m->attachments[i].kind != &loader_kind) continue;
    const char *data = mp_bytes_data(m->attachments[i].object, &size);
    memcpy(&function, data, sizeof function);
    lua_pushstring(L, data + sizeof function);
    lua_pushcfunction(L, function);
    set_loader(L, preload);
  }
  assert(lua_gettop(L) == preload + 3);
  remove_loaders(L, preload);
  lua_pop(L, 1);
  keep(L, context, GIVEN_LOADERS);
  lua_pop(L, 2);
}

/* The state is given what the message holds. */
static void take(lua_State *L, lmp_context *context, const lmp_message *m, lua_Unsigned mark) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 20, NULL);
  int n = lmp_decode_all(L, context, m), first = lua_gettop(L) - n + 1;
  assert(n >= 3 && n % 2 == 1);
  luaL_checkstack(L, 20, NULL);
  lua_pushvalue(L, first);
  set_path(L, context, "path", GIVEN_PATH);
  lua_pushvalue(L, first + 1);
  set_path(L, context, "cpath", GIVEN_CPATH);
  lua_pushvalue(L, first + 2);
  lmp_search_home(L, context);
  set_loaders(L, context, m, first + 3, first + n);
  context->search->given = mark;
  lmp_inherit_settle(L, context);
  lua_settop(L, top);
}

void lmp_inherit_begin(lua_State *L, lmp_vm *vm) {
  const lmp_heritage *heritage = lmp_heritage_of(mp_worker_pool(vm->worker));
  take(L, vm->context, heritage->search, heritage->search_mark);
}

void lmp_inherit_settle(lua_State *L, lmp_context *context) {
  if (lmp_search_look(L, context)) lmp_doubt_names(context);
  context->search->settled = context->search->mark;
}

/* The note at the end of a message, or NULL. */
static const mp_bytes *note_of(const lmp_message *message) {
  uint32_t n = message->attachment_count;
  return n > 0 && message->attachments[n - 1].kind == &note_kind
             ? message->attachments[n - 1].object
             : NULL;
}

void lmp_inherit_follow(lua_State *L, lmp_vm *vm, const lmp_message *message) {
  const mp_bytes *bytes = note_of(message);
  if (bytes == NULL) {
    const lmp_heritage *heritage = lmp_heritage_of(mp_worker_pool(vm->worker));
    if (vm->context->search->given != heritage->search_mark) lmp_inherit_begin(L, vm);
    return;
  }
  const head h = head_of(bytes);
  if (vm->context->search->given == h.mark) return;
  assert(h.count < message->attachment_count);
  size_t size;
  char *data = (char *)(uintptr_t)mp_bytes_data(bytes, &size);
  const lmp_message view = {.pool = message->pool,
                            .bytes = data + sizeof h,
                            .size = (uint32_t)(size - sizeof h),
                            .attachments =
                                message->attachments + message->attachment_count - 1 - h.count,
                            .attachment_count = (uint32_t)h.count};
  take(L, vm->context, &view, h.mark);
}

/* }====================================================== */
