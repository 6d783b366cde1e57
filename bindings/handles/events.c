#include "handles/events.h"

#include <string.h>

#include "base/error.h"
#include "bug.h"
#include "handles/outcome.h"
#include "worker/interrupt.h"

/*
** {======================================================
** Calling
** =======================================================
*/

static int keep_traceback_text(lua_State *L) { /* message handler: the text, for the log */
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

/*
** The error of a callback of the handle at `object` is on top: it is logged in one line, counted,
** and stops nothing.
*/
static void count_error(lua_State *L, const lmp_handle *handle, int object) {
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "(no error text)";
  const char *traceback = strstr(text, "\nstack traceback:");
  size_t size = traceback == NULL ? strlen(text) : (size_t)(traceback - text);
  mp_pool *pool = mp_task_pool(handle->task);
  handle->context->events->callback_errors++;
  if (lua_getiuservalue(L, object, LMP_HANDLE_NAME) == LUA_TSTRING)
    lua_pushfstring(L, "task '%s'", lua_tostring(L, -1));
  else
    lua_pushfstring(L, "task #%I", (LUAI_UACINT)mp_task_id(handle->task));
  lua_pushlstring(L, text, size);
  luaL_gsub(L, lua_tostring(L, -1), "\n", " ");
  mp_pool_log(pool, MP_LOG_ERROR, "callback", "error in a callback of %s: %s", lua_tostring(L, -3),
              lua_tostring(L, -1));
  if (traceback != NULL) mp_pool_log(pool, MP_LOG_DEBUG, "callback", "%s", traceback + 1);
  lua_pop(L, 5);
}

/*
** The task that waits here ends, and its callbacks with it: that is no error of theirs. The wait
** will raise.
*/
static bool is_told_to_go(const lmp_context *context) {
  return context->vm != NULL && lmp_must_stop(context->vm);
}

/* An event of call_end: on_complete where nothing listens to on_error. */
#define COMPLETE_ALONE (LMP_ON_END + 1)

/*
** stack: handle, function, event. A result that cannot be rebuilt is for on_error; where nothing
** listens to that, it is an error of on_complete.
*/
static int call_end(lua_State *L) {
  lmp_handle *handle = lua_touserdata(L, 1);
  int event = (int)lua_tointeger(L, 3), n = 1;
  lua_settop(L, 2);
  if (event == LMP_ON_END) {
    lua_pushvalue(L, 1);
  } else {
    n = lmp_push_handle_outcome(L, handle->context, 1);
    if (n < 0 && event == COMPLETE_ALONE) return lua_error(L);
    if (n < 0 && event == LMP_ON_COMPLETE) handle->lost = true;
    if ((event == LMP_ON_ERROR) != (n < 0)) return 0; /* not its turn */
    if (n < 0) n = 1;
  }
  lua_pushvalue(L, 2); /* the function below its arguments; a helper table may lie between */
  lua_insert(L, -n - 1);
  lua_call(L, n, 0);
  return 0;
}

/*
** Calls each function of the list at `list` through `call` with (what lies at `first`, function,
** event). `object`: the handle's.
*/
static void call_each(lua_State *L, const lmp_handle *handle, int first, int object, int list,
                      lua_CFunction call, int event) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, list);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_pushcfunction(L, keep_traceback_text);
    lua_pushcfunction(L, call);
    lua_pushvalue(L, first);
    lua_rawgeti(L, list, i);
    lua_pushinteger(L, event);
    int status = lua_pcall(L, 3, 0, -5);
    if (status != LUA_OK && is_told_to_go(handle->context)) {
      lua_pop(L, 2);
      return;
    }
    if (status != LUA_OK) count_error(L, handle, object);
    lua_pop(L, 1);
  }
}

/*
** stack: light userdata handle. What was registered is taken off first: a callback may register
** more.
*/
static int deliver_end(lua_State *L) {
  lmp_handle *handle = lua_touserdata(L, 1);
  lmp_context *context = handle->context;
  bool done = mp_task_state(handle->task) == MP_STATE_DONE;
  luaL_checkstack(L, 12, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->handles->watched);
  lua_rawgetp(L, 2, handle); /* 3: the handle */
  lua_pushnil(L);
  lua_rawsetp(L, 2, handle);
  handle->watched = handle->follows = false;
  lmp_free_pool(L, 3);
  lua_getiuservalue(L, 3, LMP_HANDLE_EXTRA);
  lua_rawgeti(L, 4, LMP_ON_COMPLETE); /* 5 */
  lua_rawgeti(L, 4, LMP_ON_ERROR);    /* 6 */
  lua_rawgeti(L, 4, LMP_ON_END);      /* 7 */
  for (int event = LMP_ON_COMPLETE; event <= LMP_ON_END && !MP_BUGGY(CALLED_AGAIN); event++) {
    lua_pushnil(L);
    lua_rawseti(L, 4, event);
  }
  handle->lost = false;
  if (done && lua_istable(L, 5))
    call_each(L, handle, 3, 3, 5, call_end, lua_istable(L, 6) ? LMP_ON_COMPLETE : COMPLETE_ALONE);
  if ((!done || handle->lost) && lua_istable(L, 6))
    call_each(L, handle, 3, 3, 6, call_end, LMP_ON_ERROR);
  if (lua_istable(L, 7)) call_each(L, handle, 3, 3, 7, call_end, LMP_ON_END);
  return 0;
}

typedef struct progress_news {
  lmp_handle *handle;
  double progress;
  const char *note;
  size_t note_length;
} progress_news;

/* stack: light userdata progress_news, function, event */
static int call_progress(lua_State *L) {
  const progress_news *news = lua_touserdata(L, 1);
  lua_settop(L, 2);
  lua_pushnumber(L, news->progress);
  if (news->note != NULL) lua_pushlstring(L, news->note, news->note_length);
  lua_call(L, news->note != NULL ? 2 : 1, 0);
  return 0;
}

/* stack: light userdata progress_news */
static int deliver_progress(lua_State *L) {
  const progress_news *news = lua_touserdata(L, 1);
  luaL_checkstack(L, 12, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, news->handle->context->handles->watched);
  if (lua_rawgetp(L, 2, news->handle) == LUA_TNIL) return 0;
  lua_getiuservalue(L, 3, LMP_HANDLE_EXTRA);
  if (lua_rawgeti(L, 4, LMP_ON_PROGRESS) == LUA_TTABLE)
    call_each(L, news->handle, 1, 3, 5, call_progress, LMP_ON_PROGRESS);
  return 0;
}

/* What there is to tell of a task that nobody listened to before: a table of these. */
enum {
  LATE_HANDLE = 1,
  LATE_FUNCTION, /* for what was reported last; nil: the end */
  LATE_PROGRESS,
  LATE_FOLLOWS /* true: news that is on its way may tell the function, too, until the end is told */
};

/* Pushes one; function: its stack index, or 0. */
static void push_late(lua_State *L, int handle, int function) {
  const lmp_handle *of = lua_touserdata(L, handle);
  lua_createtable(L, LATE_FOLLOWS, 0);
  lua_pushvalue(L, handle);
  lua_rawseti(L, -2, LATE_HANDLE);
  if (function == 0) return;
  lua_pushvalue(L, function);
  lua_rawseti(L, -2, LATE_FUNCTION);
  lua_pushnumber(L, mp_task_progress(of->task));
  lua_rawseti(L, -2, LATE_PROGRESS);
  lua_pushboolean(L, of->follows);
  lua_rawseti(L, -2, LATE_FOLLOWS);
}

/* stack: what push_late pushed */
static int deliver_late(lua_State *L) {
  luaL_checkstack(L, 12, NULL);
  lua_rawgeti(L, 1, LATE_HANDLE); /* 2 */
  lmp_handle *handle = lua_touserdata(L, 2);
  if (lua_rawgeti(L, 1, LATE_FUNCTION) == LUA_TNIL) {
    lua_pushcfunction(L, deliver_end);
    lua_pushlightuserdata(L, handle);
    lua_call(L, 1, 0);
    return 0;
  }
  lua_rawgeti(L, 1, LATE_FOLLOWS);
  if (lua_toboolean(L, -1) && !handle->watched) return 0;
  lua_pop(L, 1);
  lua_rawgeti(L, 1, LATE_PROGRESS);
  progress_news news = {handle, lua_tonumber(L, -1), NULL, 0};
  lua_pop(L, 1);
  lua_createtable(L, 1, 0); /* 4: a list of the function */
  lua_insert(L, 3);
  lua_rawseti(L, 3, 1);
  lua_pushlightuserdata(L, &news); /* 4 */
  call_each(L, handle, 4, 2, 3, call_progress, LMP_ON_PROGRESS);
  return 0;
}

/* }====================================================== */

/*
** {======================================================
** News of ended tasks that no pool brings any more
** =======================================================
*/

/* The next poll calls what the handle at `index` was given; its progress: the function there. */
static void add_late(lua_State *L, lmp_context *context, int index, int progress) {
  struct lmp_events *events = context->events;
  if (events->late == 0) events->late = lmp_new_table(L, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, events->late);
  push_late(L, index, progress);
  if (events->late_count == 0) events->late_first = 1;
  lua_rawseti(L, -2, events->late_first + events->late_count);
  events->late_count++;
  lua_pop(L, 1);
}

static void listen_late(lua_State *L, lmp_context *context, int index, lmp_event event,
                        int function) {
  lmp_handle *handle = lua_touserdata(L, index);
  luaL_checkstack(L, 8, NULL);
  if (event == LMP_ON_PROGRESS) {
    if (mp_task_progress(handle->task) > 0) add_late(L, context, index, function);
    return;
  }
  lmp_listen_add(L, index, event, function);
  if (handle->watched) return;
  add_late(L, context, index, 0);
  lmp_keep_handle(L, handle, index);
}

/* Delivers those that are there now; lmp_poll has left stack for it. Returns how many. */
static lua_Integer poll_late(lua_State *L, lmp_context *context) {
  struct lmp_events *events = context->events;
  lua_Integer n = events->late_count;
  int top = lua_gettop(L);
  for (lua_Integer i = 0; i < n && events->late_count > 0; i++) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, events->late);
    lua_rawgeti(L, -1, events->late_first);
    lua_rawgeti(L, -1, LATE_HANDLE); /* stack: list, late, handle */
    lmp_handle *handle = lua_touserdata(L, -1);
    lua_pushnil(L);
    lua_rawseti(L, -4, events->late_first);
    events->late_first++;
    events->late_count--;
    lua_pushcfunction(L, deliver_late);
    lua_pushvalue(L, -3);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
      events->callback_errors++;
      lmp_forget_handle(L, handle); /* nothing may wait for it for ever */
    }
    lua_settop(L, top);
  }
  return n;
}

/* }====================================================== */

/*
** {======================================================
** News from the engine
** =======================================================
*/

/* Calls deliver(ud) on the state that polls; lmp_poll has left stack for it. False: it failed. */
static bool run_delivery(lmp_context *context, lua_CFunction deliver, void *ud) {
  lua_State *L = context->polling;
  assert(L != NULL); /* it polls: the engine delivers to nobody else */
  lua_pushcfunction(L, deliver);
  lua_pushlightuserdata(L, ud);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return true;
  if (!is_told_to_go(context)) context->events->callback_errors++;
  lua_pop(L, 1);
  return false;
}

static void on_end(mp_task *task, mp_state state, void *ud) {
  lmp_handle *handle = ud;
  (void)state;
  if (task == NULL) return; /* the mailbox is closed, this state is going */
  /* If there is no memory to call back, nothing may wait for the callback for ever. */
  if (!run_delivery(handle->context, deliver_end, handle))
    lmp_forget_handle(handle->context->polling, handle);
}

static void on_progress(mp_task *task, double progress, const char *note, size_t note_length,
                        void *ud) {
  lmp_handle *handle = ud;
  progress_news news = {handle, progress, note, note_length};
  if (task != NULL) run_delivery(handle->context, deliver_progress, &news);
}

/* stack: light userdata registry reference */
static int deliver_reference(lua_State *L) {
  int reference = *(const int *)lua_touserdata(L, 1);
  lua_pushcfunction(L, deliver_late);
  lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
  luaL_unref(L, LUA_REGISTRYINDEX, reference);
  lua_call(L, 1, 0);
  return 0;
}

static void on_late(void *ud, const void *data, size_t size) {
  int reference;
  assert(size == sizeof reference);
  memcpy(&reference, data, size);
  (void)run_delivery(ud, deliver_reference, &reference);
}

/* The mailbox for news of the task. Code of the program's may have closed the pool meanwhile. */
static mp_mailbox *open_mailbox(lua_State *L, const lmp_handle *handle) {
  lmp_pool *pool = lmp_pool_find(handle->context, mp_task_pool(handle->task));
  if (pool == NULL) lmp_check_open(L, MP_SHUTDOWN, NULL);
  return lmp_mailbox(L, pool);
}

/* The function at index will be called with what was reported last. A full mailbox drops it. */
static void send_late(lua_State *L, int index, int function) {
  const lmp_handle *handle = lua_touserdata(L, index);
  if (!(mp_task_progress(handle->task) > 0)) return;
  push_late(L, index, function);
  int reference = luaL_ref(L, LUA_REGISTRYINDEX);
  const lmp_pool *pool = lmp_pool_find(handle->context, mp_task_pool(handle->task));
  mp_status status = MP_SHUTDOWN;
  if (pool != NULL && pool->mailbox != NULL)
    status = mp_mailbox_send(pool->mailbox, on_late, handle->context, &reference, sizeof reference);
  if (status != MP_OK) luaL_unref(L, LUA_REGISTRYINDEX, reference);
}

static void watch(lua_State *L, int index, lmp_handle *handle) {
  if (handle->watched) return;
  lmp_keep_handle(L, handle, index);
  const lmp_pool *pool = lmp_pool_find(handle->context, mp_task_pool(handle->task));
  mp_status status = MP_SHUTDOWN;
  if (pool != NULL && pool->mailbox != NULL)
    status = mp_task_notify(handle->task, pool->mailbox, on_end, handle);
  if (status != MP_OK) lmp_forget_handle(L, handle);
  lmp_check(L, status);
}

void lmp_listen_add(lua_State *L, int index, lmp_event event, int function) {
  LMP_HEIGHT(base, L);
  luaL_checkstack(L, 8, NULL);
  lmp_push_extra(L, index);
  if (lua_rawgeti(L, -1, event) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, event);
  }
  lua_pushvalue(L, function);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 2);
  assert(lua_gettop(L) == base);
}

void lmp_listen_begin(lua_State *L, int index, lmp_pool *pool, mp_task_desc *desc) {
  lmp_handle *handle = lua_touserdata(L, index);
  desc->mailbox = lmp_mailbox(L, pool);
  desc->notify = on_end;
  desc->listener_ud = handle;
  lmp_push_extra(L, index);
  lmp_keep_handle(L, handle, index);
  handle->follows = lua_rawgeti(L, -1, LMP_ON_PROGRESS) == LUA_TTABLE;
  if (handle->follows) desc->progress = on_progress;
  lua_pop(L, 2);
}

void lmp_listen_undo(lua_State *L, int index) { lmp_forget_handle(L, lua_touserdata(L, index)); }

void lmp_on(lua_State *L, lmp_context *context, int index, lmp_event event, int function) {
  lmp_handle *handle = lua_touserdata(L, index);
  lmp_pool *pool = lmp_pool_find(context, mp_task_pool(handle->task));
  if (pool == NULL && context->vm != NULL &&
      mp_worker_pool(context->vm->worker) == mp_task_pool(handle->task))
    pool = lmp_default_pool(L, context); /* the worker's own view is made when first needed */
  if (pool == NULL && mp_state_is_terminal(mp_task_state(handle->task))) {
    listen_late(L, context, index, event, function);
    return;
  }
  if (pool == NULL)
    lmp_check_open(L, MP_SHUTDOWN, NULL); /* nothing can bring news of it any more */
  (void)lmp_mailbox(L, pool);
  lmp_listen_add(L, index, event, function);
  (void)open_mailbox(L, handle);
  lmp_keep_pool(L, index, lmp_pool_find(context, mp_task_pool(handle->task)));
  if (event == LMP_ON_PROGRESS) send_late(L, index, function);
  watch(L, index, handle);
  if (event == LMP_ON_PROGRESS && !handle->follows &&
      !mp_state_is_terminal(mp_task_state(handle->task))) {
    lmp_check(L, mp_task_on_progress(handle->task, open_mailbox(L, handle), on_progress, handle));
    handle->follows = true;
  }
}

/* }====================================================== */

/*
** {======================================================
** Polling
** =======================================================
*/

/* Delivers the mail of one pool object, which is on top of the stack. */
static lua_Integer poll_pool(lmp_pool *pool, uint64_t budget_ns, lua_Integer *left) {
  size_t remaining = 0, n;
  /* The object is about to be collected, or a callback has closed its pool. */
  if (pool == NULL || pool->pool == NULL || pool->mailbox == NULL) return 0;
  n = mp_mailbox_poll(pool->mailbox, budget_ns, 0, &remaining);
  if (left != NULL) *left += (lua_Integer)remaining;
  return (lua_Integer)n;
}

lua_Integer lmp_poll(lua_State *L, lmp_context *context, uint64_t budget_ns, lua_Integer *left) {
  lua_Integer delivered = 0;
  lua_State *outer = context->polling;
  int top = lua_gettop(L), count = 0;
  if (left != NULL) *left = 0;
  for (lmp_pool *pool = context->pools->first; pool != NULL; pool = pool->next) count++;
  luaL_checkstack(L, count + 12, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, context->pools->objects);
  /* A callback may drop a pool object: those to poll stay on the stack. */
  for (lmp_pool *pool = context->pools->first; pool != NULL; pool = pool->next)
    lua_rawgetp(L, top + 1, pool);
  context->polling = L;
  if (context->events->late_count > 0) delivered += poll_late(L, context);
  for (int i = 1; i <= count; i++)
    delivered += poll_pool(lua_touserdata(L, top + 1 + i), budget_ns, left);
  assert(context->polling == L);
  context->polling = outer;
  context->events->delivered += delivered;
  lua_settop(L, top);
  return delivered;
}

static int poll_protected(lua_State *L) {
  lmp_poll(L, lua_touserdata(L, 1), MP_FOREVER, NULL);
  return 0;
}

void lmp_poll_idle(lua_State *L, lmp_context *context) {
  bool mail = context->events->late_count > 0;
  for (const lmp_pool *pool = context->pools->first; pool != NULL && !mail; pool = pool->next)
    mail = pool->mailbox != NULL && mp_mailbox_count(pool->mailbox) > 0;
  if (!mail || !lua_checkstack(L, 6)) return;
  lua_pushcfunction(L, poll_protected);
  lua_pushlightuserdata(L, context);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
}

/* }====================================================== */
