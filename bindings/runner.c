#include "runner.h"

#include <stdlib.h>
#include <string.h>

#include "bug.h"
#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/names.h"
#include "codec/refusal.h"
#include "codec/value.h"
#include "errors.h"
#include "codec/function.h"
#include "handle.h"
#include "interrupt.h"
#include "room.h"

/*
** {======================================================
** Payload
** =======================================================
*/

lmp_message lmp_payload_message(const lmp_payload *payload) {
  lmp_message view = payload->message;
  if (view.bytes != NULL) return view;
  view.attachments = (lmp_attachment *)(payload + 1);
  view.bytes = (char *)(view.attachments + view.attachment_count);
  return view;
}

void lmp_drop_payload(void *arg) {
  lmp_payload *payload = arg;
  if (payload->message.bytes == (char *)(payload + 1)) return; /* the result's by now */
  if (payload->message.bytes != NULL) {
    lmp_message_clear(&payload->message);
    return;
  }
  lmp_message view = lmp_payload_message(payload);
  view.capacity = view.attachment_capacity = 0;
  lmp_release_attachments(&view);
}

/*
** Copies a small message behind the header in `space`; 0 if it is not small. The references move.
*/
static size_t pack_small(lmp_buffer *buffer, lmp_payload *payload, size_t space) {
  lmp_message *m = &buffer->message;
  size_t attachments = m->attachment_count * sizeof(lmp_attachment),
         size = sizeof *payload + attachments + m->size;
  if (size > space) return 0;
  payload->message = *m;
  payload->message.bytes = NULL;
  payload->message.attachments = NULL;
  if (attachments > 0) memcpy(payload + 1, m->attachments, attachments);
  memcpy((char *)(payload + 1) + attachments, m->bytes, m->size);
  m->attachment_count = 0;
  lmp_buffer_reset(buffer);
  return size;
}

/*
** The message, in the argument's place if it is small, else in memory of its own. NULL: out of
** memory
*/
static lmp_message *take_result(lmp_run *run, lmp_buffer *buffer) {
  const lmp_message *m = &buffer->message;
  lmp_payload *payload = run->payload;
  if (m->attachment_count > 0 || m->size > LMP_INLINE_MIN - sizeof *payload)
    return lmp_encode_take(buffer);
  lmp_drop_payload(payload);
  payload->message =
      (lmp_message){.pool = m->pool, .bytes = (char *)(payload + 1), .size = m->size};
  memcpy(payload->message.bytes, m->bytes, m->size);
  lmp_buffer_reset(buffer);
  return &payload->message;
}

/*
** The result that was begun goes on where the arguments were, if these took more room: that memory
** is there, and in the cache.
*/
static void reuse_argument(lmp_run *run, lmp_buffer *buffer) {
  lmp_message *argument = &run->payload->message, *m = &buffer->message;
  if (argument->bytes == NULL || argument->capacity <= m->capacity) return;
  lmp_message small = *argument;
  small.bytes = m->bytes;
  small.capacity = m->capacity;
  m->bytes = memcpy(argument->bytes, m->bytes, m->size);
  m->capacity = argument->capacity;
  memset(argument, 0, sizeof *argument);
  lmp_message_clear(&small);
}

/*
** The tasks whose values the message waits for join desc->after; in `few` if they fit, else in a
** block that is pushed.
*/
static void add_dependencies(lua_State *L, const lmp_message *m, mp_task_desc *desc, mp_task **few,
                             size_t few_max) {
  size_t n = desc->after_count;
  for (uint32_t i = 0; i < m->attachment_count; i++)
    n += m->attachments[i].kind->tag == LMP_DEPENDENCY;
  if (n == desc->after_count) return;
  mp_task **tasks = n <= few_max ? few : lua_newuserdatauv(L, n * sizeof *tasks, 0);
  for (size_t i = 0; i < desc->after_count; i++) tasks[i] = desc->after[i];
  n = desc->after_count;
  for (uint32_t i = 0; i < m->attachment_count; i++)
    if (m->attachments[i].kind->tag == LMP_DEPENDENCY) tasks[n++] = m->attachments[i].object;
  desc->after = tasks;
  desc->after_count = n;
}

mp_status lmp_submit(lua_State *L, lmp_pool *pool, lmp_buffer *buffer, const lmp_payload *payload,
                     mp_task_desc *desc, int handle, bool listens) {
  union {
    lmp_payload payload;
    char space[LMP_INLINE_MAX];
  } local;
  mp_task *few[8];
  local.payload = *payload;
  add_dependencies(L, &buffer->message, desc, few, sizeof few / sizeof few[0]);
  /* the last that may raise before the message is ours */
  if (listens) lmp_listen_begin(L, handle, pool, desc);
  size_t size = pack_small(buffer, &local.payload, sizeof local);
  if (size == 0) {
    size = sizeof local.payload;
    lmp_encode_move(buffer, &local.payload.message);
  }
  desc->run = lmp_run_task;
  desc->drop = lmp_drop_payload;
  desc->arg = &local;
  desc->arg_size = size < LMP_INLINE_MIN ? LMP_INLINE_MIN : size;
  desc->held_bytes = local.payload.message.bytes == NULL ? 0 : local.payload.message.capacity;
  if (pool->host->when_full == LMP_FULL_CALLER) desc->flags |= MP_TASK_CALLER_RUNS;
  mp_task *task;
  bool raised;
  mp_status status = lmp_submit_waiting(L, pool, desc, &task, &raised);
  if (status != MP_OK) lmp_drop_payload(&local.payload);
  if (status != MP_OK && listens) lmp_listen_undo(L, handle);
  if (raised) lua_error(L);
  if (status == MP_OK) lmp_handle_set(lua_touserdata(L, handle), task);
  lua_settop(L, handle);
  return status;
}

/* }====================================================== */

/*
** {======================================================
** Running
** =======================================================
*/

static const lmp_encoding result_encoding = {.root = "result", .direction = "back"};

/* error value on top */
static void fail(lua_State *L, lmp_run *run, const char *kind, bool with_traceback) {
  lmp_context *context = run->vm->context;
  lmp_buffer *buffer = lmp_encode_begin(L, context, mp_worker_pool(run->worker));
  run->status = MP_FAILED;
  if (lmp_encode_failure(L, context, buffer, kind, run->name, with_traceback))
    run->result = lmp_encode_take(buffer);
}

/* "result[1].file (userdata 'FILE*') cannot be sent back from task 'load' <main.lua:30>: ..." */
static void refuse_result(lua_State *L, lmp_run *run, const lmp_buffer *buffer, int function) {
  lmp_encoding how = result_encoding;
  char where[100];
  lmp_describe_function(L, function, where, sizeof where);
  const char *at = strchr(where, '<');
  if (run->name != NULL)
    how.direction = lua_pushfstring(L, "back from task '%s' %s", run->name, at != NULL ? at : "");
  else
    how.direction = lua_pushfstring(L, "back from %s", where);
  lmp_push_refusal(L, buffer, how.direction);
  fail(L, run, "send", false);
}

void lmp_fail_run(lua_State *L, lmp_run *run, int status) {
  lmp_vm *vm = run->vm;
  if (status == LUA_ERRMEM || status == LUA_ERRERR) vm->damaged = true;
  (void)lmp_vm_caught(vm);
  vm->ceiling = SIZE_MAX;                       /* to say so takes some memory too */
  if (run->stop == LMP_STOPS_CANCELLED) return; /* nobody asks what it has to say */
  if (run->stop == LMP_STOPS_MEMORY) {
    lmp_interrupt_disarm(vm, L);
    lua_pushliteral(L, LMP_OVER_LIMIT);
  }
  fail(L, run, status == LUA_ERRMEM || run->stop == LMP_STOPS_MEMORY ? "memory" : "error", true);
}

/*
** The task was asked to stop and saw it, or was stopped in mp.sleep: it counts as cancelled however
** it ends.
*/
static bool was_cancelled(const lmp_run *run) {
  return run->stop == LMP_STOPS_CANCELLED || (run->saw_cancel && mp_worker_cancelled(run->worker));
}

static void push_dependency_table(lua_State *L, int first, uint32_t n) {
  lua_createtable(L, (int)n, 1);
  for (uint32_t i = 0; i < n; i++) {
    lua_pushvalue(L, first + (int)i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushinteger(L, n);
  lua_setfield(L, -2, "n");
  lua_replace(L, first);
  lua_rotate(L, first + 1, 1 - (int)n); /* the other values to the top, and off */
  lua_pop(L, (int)n - 1);
}

void lmp_find_function(lua_State *L, lmp_run *run, int function) {
  if (lua_type(L, function) == LUA_TSTRING) { /* "module.fn" */
    size_t size;
    const char *name = lua_tolstring(L, function, &size);
    if (run->span != NULL) lmp_trace_name(run->span, name);
    lmp_push_named(L, name, size);
    lua_replace(L, function);
  } else if (run->span != NULL) {
    char where[100];
    lmp_describe_function(L, function, where, sizeof where);
    lmp_trace_name(run->span, where);
  }
  if (run->span != NULL && run->name != NULL) lmp_trace_name(run->span, run->name);
}

static void run_call(lua_State *L, lmp_run *run, lmp_decoder *decoder, uint32_t count,
                     int handler) {
  uint32_t dependencies = run->payload->dependencies;
  int base = lua_gettop(L); /* stack from base: name, function, arguments */
  luaL_checkstack(L, (int)count + 10, "too many arguments");
  for (uint32_t i = 0; i < count; i++) lmp_decode_value(L, decoder);
  lmp_decode_end(L, decoder);
  run->name = lua_tostring(L, base + 1);
  lmp_find_function(L, run, base + 2);
  if (dependencies == 0) {
    lua_newtable(L);
    lua_pushinteger(L, 0);
    lua_setfield(L, -2, "n");
    lua_insert(L, base + 3);
  } else if (dependencies != LMP_NO_TABLE) {
    push_dependency_table(L, base + 3, dependencies);
  }
  lua_pushvalue(L, base + 2);
  lua_insert(L, base + 2); /* one copy stays, to name the function in errors */
  int status = lua_pcall(L, lua_gettop(L) - base - 3, LUA_MULTRET, handler);
  if (was_cancelled(run)) {
    run->status = MP_CANCELLED;
    return;
  }
  if (status != LUA_OK) {
    lmp_fail_run(L, run, status);
    return;
  }
  lmp_context *context = run->vm->context;
  lmp_buffer *buffer = lmp_encode_begin(L, context, mp_worker_pool(run->worker));
  reuse_argument(run, buffer);
  if (!lmp_encode_values(L, context, buffer, &result_encoding, base + 3,
                         lua_gettop(L) - base - 2)) {
    refuse_result(L, run, buffer, base + 2);
    return;
  }
  run->result = take_result(run, buffer);
  if (run->result == NULL) run->status = MP_NOMEM;
}

/*
** Makes sure a task that runs while this one waits has a coroutine of its own: its C calls are then
** counted from zero.
*/
static void prepare_deeper(lua_State *L, lmp_vm *vm) {
  if (vm->depth <= vm->thread_count) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm->threads);
  lua_newthread(L);
  lua_rawseti(L, -2, vm->depth);
  lua_pop(L, 1);
  vm->thread_count = vm->depth;
}

/* A fresh environment that reads through to the globals. */
static void push_environment(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushglobaltable(L);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "_G");
}

static int run_protected(lua_State *L) {
  lmp_run *run = lua_touserdata(L, 1);
  lmp_vm *vm = run->vm;
  lmp_decoder decoder;
  uint32_t count;
  prepare_deeper(L, vm);
  lua_pushcfunction(L, lmp_keep_traceback);
  int handler = lua_gettop(L);
  lmp_decode_begin(L, vm->context, &run->message, &decoder, &count);
  if (vm->host->isolate == LMP_ISOLATE_ENV) {
    push_environment(L);
    decoder.env = lua_gettop(L);
  }
  if (run->payload->kind == LMP_CHUNK)
    lmp_run_chunk(L, run, &decoder, count, handler);
  else
    run_call(L, run, &decoder, count, handler);
  return 0;
}

static int fail_protected(lua_State *L) { /* stack: run, error value */
  lmp_run *run = lua_touserdata(L, 1);
  if (run->stop == LMP_STOPS_MEMORY) lua_pushliteral(L, LMP_OVER_LIMIT);
  fail(L, run, run->stop == LMP_STOPS_MEMORY ? "memory" : "error", false);
  return 0;
}

/*
** The call itself failed: arguments that cannot be made here, or no memory. The error value is on
** top.
*/
static void fail_outside(lua_State *L, lmp_run *run, int status) {
  run->status = MP_FAILED;
  run->name = NULL; /* it was on the stack that the error has unwound */
  (void)lmp_vm_caught(run->vm);
  if (status == LUA_ERRMEM) run->vm->damaged = true;
  /* no result: read as a failure of memory */
  if (status == LUA_ERRMEM && run->stop == LMP_GOES_ON) return;
  lua_pushcfunction(L, fail_protected);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, run);
  lua_insert(L, -2);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) lua_pop(L, 1);
}

static lua_State *state_for(lmp_vm *vm) {
  if (vm->depth == 0) return vm->L;
  /* its stack is idle below the task that waits: room for two values is enough */
  lua_State *outer = vm->L;
  if (!lua_checkstack(outer, 4)) return NULL;
  lua_rawgeti(outer, LUA_REGISTRYINDEX, vm->threads);
  lua_rawgeti(outer, -1, vm->depth);
  lua_State *L = lua_tothread(outer, -1);
  lua_pop(outer, 2);
  return L;
}

/* What the state may grow to while the task runs; tasks that it waits for run within its limit. */
static size_t ceiling_for(const lmp_vm *vm, const lmp_payload *payload) {
  size_t limit = (size_t)payload->memory_kib << 10;
  if (MP_BUGGY(LIMIT_FROM_ZERO) && limit != 0) return limit;
  return limit == 0 || limit > vm->ceiling - vm->bytes || vm->bytes > vm->ceiling
             ? vm->ceiling
             : vm->bytes + limit;
}

static void run_on(lua_State *L, lmp_run *run) {
  lmp_vm *vm = run->vm;
  int top = lua_gettop(L);
  size_t ceiling = vm->ceiling;
  run->outer = vm->run;
  vm->run = run;
  vm->depth++;
  vm->ceiling = ceiling_for(vm, run->payload);
  int status = LUA_ERRMEM;
  if (lua_checkstack(L, 8)) {
    lua_State *before = lmp_interrupt_enter(vm, L);
    lua_pushcfunction(L, run_protected);
    lua_pushlightuserdata(L, run);
    status = lua_pcall(L, 1, 0, 0);
    lmp_interrupt_leave(vm, L, before);
  }
  vm->ceiling = SIZE_MAX;
  if (was_cancelled(run)) /* also where an interrupt caught it beside the function's own call */
    run->status = MP_CANCELLED;
  else if (status != LUA_OK)
    fail_outside(L, run, status);
  if (run->stop != LMP_GOES_ON && !MP_BUGGY(STATE_KEPT)) vm->damaged = true;
  vm->depth--;
  vm->run = run->outer;
  vm->ceiling = ceiling;
  lua_settop(L, top);
}

/* A state that could not be made: the reason as a failure, written without Lua. */
static lmp_message *plain_failure(mp_pool *pool, const char *kind, const char *text) {
  lmp_buffer buffer;
  memset(&buffer, 0, sizeof buffer);
  buffer.message.pool = pool;
  lmp_encode_start(&buffer);
  size_t kind_size = strlen(kind), text_size = strlen(text) < 255 ? strlen(text) : 255;
  lmp_message *result = NULL;
  if (!buffer.memory && lmp_put_tag(&buffer, LMP_STR8) && lmp_put_short(&buffer, kind, kind_size) &&
      lmp_put_tag(&buffer, LMP_STR8) && lmp_put_short(&buffer, text, text_size) &&
      lmp_put_tag(&buffer, LMP_NIL) && lmp_put_tag(&buffer, LMP_FALSE) &&
      lmp_put_tag(&buffer, LMP_NIL) && lmp_put_tag(&buffer, LMP_NIL)) {
    lmp_encode_finish(&buffer, LMP_FAILURE_VALUES);
    result = lmp_encode_take(&buffer);
  }
  lmp_buffer_free(&buffer);
  return result;
}

/* The result is the task's: a reference to the task itself would keep both for ever. */
static void borrow_own_task(lmp_message *result, mp_task *task) {
  for (uint32_t i = 0; i < result->attachment_count; i++) {
    lmp_attachment *a = &result->attachments[i];
    if (a->object != task || MP_BUGGY(OWN_TASK_KEPT)) continue;
    assert(a->kind->borrowed != NULL);
    a->kind = a->kind->borrowed;
    mp_task_release(task);
  }
}

/*
** No task is on the state now: callbacks that wait are called, and a state that may be damaged
** goes.
*/
static void after_task(lmp_vm *vm, lua_State *L, lmp_run *run) {
  if (!vm->damaged && vm->host->isolate != LMP_ISOLATE_STATE) {
    lmp_poll_idle(L, vm->context);
    return;
  }
  /* finalisers may take long, or wait for a child process: nobody need wait for them */
  if (run->status == MP_CANCELLED) mp_cancel_now(run->task);
  lmp_vm_close(vm);
}

static mp_status run_task(lmp_vm *vm, mp_worker *worker, lmp_payload *payload, lmp_span *span) {
  lmp_run run = {.vm = vm,
                 .worker = worker,
                 .task = mp_worker_task(worker),
                 .payload = payload,
                 .message = lmp_payload_message(payload),
                 .span = span};
  char why[256];
  lua_State *L = NULL;
  bool new = vm->L == NULL;
  /* what prepares the state is a part of its first task, and is stopped with it */
  if (new) vm->run = &run;
  bool opened = lmp_vm_open(vm, why, sizeof why);
  if (new) vm->run = NULL;
  if (opened) {
    L = state_for(vm);
    if (L == NULL) return MP_NOMEM;
    run_on(L, &run);
  } else if (was_cancelled(&run)) {
    run.status = MP_CANCELLED;
  } else {
    run.status = MP_FAILED;
    run.result = plain_failure(mp_worker_pool(worker), "error", why);
  }
  if (run.result != NULL) {
    borrow_own_task(run.result, run.task);
    mp_worker_set_result(worker, run.result,
                         run.result == &run.payload->message ? NULL : lmp_message_free);
  }
  if (vm->depth == 0 && L != NULL) after_task(vm, L, &run);
  return run.status;
}

mp_status lmp_run_task(mp_worker *worker, void *arg) {
  lmp_vm *vm = lmp_vm_of_worker(worker);
  const lmp_trace *trace = vm->host->trace;
  lmp_span span;
  if (trace == NULL) return run_task(vm, worker, arg, NULL);
  lmp_trace_begin(&span);
  mp_status status = run_task(vm, worker, arg, &span);
  lmp_trace_end(trace, &span, worker, mp_worker_task(worker), status);
  return status;
}

/* }====================================================== */
