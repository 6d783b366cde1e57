#include "worker/unseen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "codec/failure.h"
#include "worker/payload.h"

/*
** {======================================================
** Places
** =======================================================
*/

#define PLACES 256 /* a program has few lines that submit; the others are unknown */
#define SLOTS (2 * PLACES)
#define TEXT_MAX 80
#define LEVELS_MAX 10 /* so far up is looked for a line of the program's own */

typedef struct place {
  const char *source; /* identity only: it may be gone */
  int line;
  uint32_t size;    /* of the text before ":" */
  bool passed_over; /* in C, or in our own modules: their caller is the one to name */
  char text[TEXT_MAX];
} place;

/*
** Written by the state it belongs to, before it submits; read by whoever releases a task last,
** which the task's references order.
*/
struct lmp_book {
  uint16_t count, last;  /* last: the one found last, or 0 */
  uint16_t slots[SLOTS]; /* number of a place, from 1 on; 0: free */
  place places[PLACES];
};

void lmp_book_free(struct lmp_book *book) { free(book); }

static uint16_t add_place(struct lmp_book *book, const lua_Debug *ar) {
  if (book->count == PLACES) return 0;
  place *p = &book->places[book->count++];
  p->source = ar->source;
  p->line = ar->currentline;
  p->passed_over = ar->currentline < 0 || lmp_is_of_module(ar->source);
  p->size = (uint32_t)strlen(ar->short_src);
  snprintf(p->text, sizeof p->text, "%s:%d", ar->short_src, ar->currentline);
  return book->count;
}

static bool is_place(const place *p, const lua_Debug *ar) {
  return p->source == ar->source && p->line == ar->currentline &&
         memcmp(p->text, ar->short_src, p->size) == 0; /* another name may lie there now */
}

/* The number of the place, from 1 on; 0: there are too many. */
static uint16_t find_place(struct lmp_book *book, const lua_Debug *ar) {
  if (book->last != 0 && is_place(&book->places[book->last - 1], ar)) return book->last;
  uint64_t key = (uint64_t)(uintptr_t)ar->source * 31 + (uint64_t)(unsigned)ar->currentline;
  size_t i = (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 40) % SLOTS; /* Fibonacci hashing */
  for (; book->slots[i] != 0; i = (i + 1) % SLOTS)
    if (is_place(&book->places[book->slots[i] - 1], ar)) return book->last = book->slots[i];
  return book->last = book->slots[i] = add_place(book, ar);
}

uint32_t lmp_place_here(lua_State *L, lmp_host *host, lmp_vm *vm) {
  if (host->log.highest < MP_LOG_ERROR) return 0;
  struct lmp_book **book = vm != NULL ? &vm->book : &host->book;
  uint32_t writer = vm != NULL ? (uint32_t)(vm - host->vms) + 1 : 0;
  if (*book == NULL && (*book = calloc(1, sizeof **book)) == NULL) return 0;
  lua_Debug ar;
  uint16_t found = 0;
  for (int level = 1; level <= LEVELS_MAX && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    uint16_t n = find_place(*book, &ar);
    if (n == 0 || !(*book)->places[n - 1].passed_over) {
      found = n;
      break;
    }
  }
  return found == 0 ? 0 : writer << 16 | found;
}

static const char *place_text(const lmp_host *host, uint32_t number) {
  uint32_t writer = number >> 16;
  const struct lmp_book *book = writer == 0 ? host->book : host->vms[writer - 1].book;
  return number == 0 ? NULL : book->places[(number & 0xffff) - 1].text;
}

/* }====================================================== */

/*
** {======================================================
** The line
** =======================================================
*/

/* " (started at main.lua:12)", or "" */
static const char *where(const lmp_host *host, uint32_t number, char *text, size_t size) {
  const char *at = place_text(host, number);
  *text = '\0';
  if (at != NULL) snprintf(text, size, " (started at %s)", at);
  return text;
}

/* An error that was passed on brings the tracebacks of those before it along. */
static void one_line(char *text) {
  char *traceback = strstr(text, "\nworker stack traceback:");
  if (traceback != NULL) *traceback = '\0';
  for (; *text != '\0'; text++)
    if (*text == '\n' || *text == '\r') *text = ' ';
}

/* How a failed task ended: what it raised, and its name. */
typedef struct reason {
  char text[400];
  char name[80];
} reason;

static void read_reason(const mp_task *task, reason *r) {
  *r = (reason){"not enough memory", ""};
  if (mp_task_status(task) == MP_TIMEOUT) {
    snprintf(r->text, sizeof r->text, "timed out after %g s", lmp_from_ns(mp_task_timeout(task)));
    return;
  }
  const lmp_message *result = mp_task_result(task);
  if (result != NULL) lmp_read_failure(result, r->text, sizeof r->text, r->name, sizeof r->name);
  one_line(r->text);
}

static void tell_ours(mp_task *task, const lmp_host *host) {
  char started[TEXT_MAX + 20], label[100];
  reason r;
  const lmp_payload *payload = mp_task_arg(task);
  if (payload->quiet) return;
  mp_task *cause = mp_task_cause(task);
  while (cause != NULL && mp_task_cause(cause) != NULL) cause = mp_task_cause(cause);
  if (cause != NULL && mp_task_status(cause) == MP_CANCELLED) return; /* as somebody wanted */
  read_reason(cause != NULL ? cause : task, &r);
  if (cause == NULL && *r.name != '\0')
    snprintf(label, sizeof label, "task '%s'", r.name);
  else
    snprintf(label, sizeof label, "task #%llu", (unsigned long long)mp_task_id(task));
  mp_pool_log(mp_task_pool(task), MP_LOG_ERROR, "task", "%s%s %s, and nobody looked: %s", label,
              where(host, payload->place, started, sizeof started),
              cause != NULL ? "did not run, for one it depends on failed" : "failed", r.text);
}

static void tell(mp_task *task, void *ud) {
  const lmp_host *host = ud;
  if (mp_task_arg_drop(task) == lmp_drop_payload) tell_ours(task, host);
  if (host->outer.task_unseen != NULL) host->outer.task_unseen(task, host->outer.task_unseen_ud);
}

void lmp_unseen_hook(lmp_host *host, mp_pool_config *config) {
  config->task_unseen = tell;
  config->task_unseen_ud = host;
}

/* }====================================================== */
