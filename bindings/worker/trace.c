#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC */

#include "worker/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 1024

struct lmp_trace {
  int fd;
  int pid;           /* of who made it: a child after fork leaves the file alone */
  uint64_t began_ns; /* where the file's time starts */
};

/* Whole or, if the file takes no more, not at all: a trace is not worth a failure. */
static void put_line(const lmp_trace *trace, const char *line, int size) {
  if (size <= 0 || size >= LINE_SIZE) return;
  while (write(trace->fd, line, (size_t)size) < 0 && errno == EINTR) continue;
}

lmp_trace *lmp_trace_open(const char *path) {
  lmp_trace *trace = calloc(1, sizeof *trace);
  if (trace == NULL) return NULL;
  trace->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  if (trace->fd < 0) {
    int why = errno;
    free(trace);
    errno = why;
    return NULL;
  }
  trace->pid = (int)getpid();
  trace->began_ns = mp_now();
  put_line(trace, "[\n", 2);
  return trace;
}

void lmp_trace_close(lmp_trace *trace) {
  static const char last[] = "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"args\":{"
                             "\"name\":\"makeparallel\"}}\n]\n";
  char line[LINE_SIZE];
  if (trace == NULL) return;
  if (trace->pid == (int)getpid())
    put_line(trace, line, snprintf(line, sizeof line, last, trace->pid));
  close(trace->fd);
  free(trace);
}

void lmp_trace_thread(const lmp_trace *trace, mp_worker *worker) {
  const mp_pool_config *config = mp_pool_get_config(mp_worker_pool(worker));
  unsigned index = mp_worker_index(worker);
  const char *kind = index < config->workers                           ? "worker"
                     : index < config->workers + config->workers_extra ? "replacement"
                                                                       : "owner";
  char line[LINE_SIZE];
  put_line(trace, line,
           snprintf(line, sizeof line,
                    "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,\"tid\":%u,\"args\":{"
                    "\"name\":\"%s %u\"}},\n",
                    trace->pid, index + 1, kind, index));
}

void lmp_trace_begin(lmp_span *span) {
  span->name[0] = '\0';
  span->began_ns = mp_now();
}

/*
** How many bytes the well-formed UTF-8 sequence at `s` takes (Unicode, table 3-7); 0: it is none.
*/
static size_t sequence(const unsigned char *s) {
  if (*s < 0x80) return 1;
  size_t n = *s < 0xC2 ? 0 : *s < 0xE0 ? 2 : *s < 0xF0 ? 3 : *s < 0xF5 ? 4 : 0;
  unsigned char least = *s == 0xE0   ? 0xA0
                        : *s == 0xF0 ? 0x90
                                     : 0x80,
                most = *s == 0xED   ? 0x9F
                       : *s == 0xF4 ? 0x8F
                                    : 0xBF;
  for (size_t i = 1; i < n; i++, least = 0x80, most = 0xBF)
    if (s[i] < least || s[i] > most) return 0;
  return n;
}

/*
** As the inside of a JSON string: what needs an escape, and bytes that are no UTF-8, become a
** question mark or an apostrophe.
*/
void lmp_trace_name(lmp_span *span, const char *name) {
  size_t at = 0;
  for (const unsigned char *s = (const unsigned char *)name; *s != '\0';) {
    size_t n = sequence(s);
    if (at + n + 1 >= sizeof span->name) break;
    if (n == 0 || *s < 0x20 || *s == '\\' || *s == '"') {
      span->name[at++] = *s == '"' ? '\'' : '?';
      s++;
      continue;
    }
    memcpy(span->name + at, s, n);
    at += n;
    s += n;
  }
  span->name[at] = '\0';
}

static mp_state end_of(const mp_task *task, mp_status status) {
  mp_state state = mp_task_state(task);
  if (mp_state_is_terminal(state)) return state;
  return status == MP_OK          ? MP_STATE_DONE
         : status == MP_CANCELLED ? MP_STATE_CANCELLED
                                  : MP_STATE_FAILED;
}

#define US(ns) (unsigned long long)((ns) / 1000), (unsigned)((ns) % 1000)

void lmp_trace_end(const lmp_trace *trace, const lmp_span *span, mp_worker *worker, mp_task *task,
                   mp_status status) {
  char line[LINE_SIZE];
  uint64_t now = mp_now(), queued_ns, run_ns;
  mp_task_times(task, &queued_ns, &run_ns);
  put_line(
      trace, line,
      snprintf(
          line, sizeof line,
          "{\"ph\":\"X\",\"name\":\"%s\",\"pid\":%d,\"tid\":%u,\"ts\":%llu.%03u,\"dur\":%llu.%03u,"
          "\"args\":{\"id\":%llu,\"state\":\"%s\",\"queued_us\":%llu.%03u}},\n",
          span->name[0] == '\0' ? "?" : span->name, trace->pid, mp_worker_index(worker) + 1,
          US(span->began_ns - trace->began_ns), US(now - span->began_ns),
          (unsigned long long)mp_task_id(task), lmp_state_name(end_of(task, status)),
          US(queued_ns)));
}
