/*
** trace.h - which worker ran which task, and when, as a file for Perfetto (ui.perfetto.dev) and
** chrome://tracing.
**
** The format is Google's "Trace Event Format", its JSON array. Each event is one write(2) of a line
** at its task's end, so events of several threads do not mix, a child after fork has nothing to
** write twice, and what has happened is in the file when the program crashes. The array's closing
** bracket comes with the pool's end; readers do without it.
**
** Any thread. Nothing here raises.
*/
#ifndef LMP_TRACE_H
#define LMP_TRACE_H

#include "base/context.h"

typedef struct lmp_trace lmp_trace;

/* A task that runs. */
typedef struct lmp_span {
  uint64_t began_ns;
  char name[128]; /* empty: its call failed before it had one */
} lmp_span;

/*
** Makes the file, or empties it. NULL with the reason in errno if it cannot be opened, or there is
** no memory.
*/
lmp_trace *lmp_trace_open(const char *path);
/* Frees it; NULL is ignored. */
void lmp_trace_close(lmp_trace *trace);

/*
** Names the worker's thread: "worker 0", "replacement 3" of one that is stuck, "owner". On that
** thread.
*/
void lmp_trace_thread(const lmp_trace *trace, mp_worker *worker);
void lmp_trace_begin(lmp_span *span);
/* What the task is called, cut if it is long. */
void lmp_trace_name(lmp_span *span, const char *name);
/* The body has returned `status`; the task may have ended otherwise before. */
void lmp_trace_end(const lmp_trace *trace, const lmp_span *span, mp_worker *worker, mp_task *task,
                   mp_status status);

#endif
