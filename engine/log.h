/*
** log.h - levelled lines to the host's sink. Silent without one. Any thread; the sink sees one call
** at a time.
*/
#ifndef MP_LOG_H
#define MP_LOG_H

#include <stdarg.h>
#include <stdbool.h>

#include "atomic.h"
#include "os.h"

#define MP_LOG_LINE_MAX 1024 /* longer lines are cut */

typedef struct mp_log {
  /* constant after init */
  mp_log_sink *sink;
  void *ud;
  mp_log_level level;
  mp_os_mutex lock;     /* held only around the sink: it guards nothing of ours */
  void *_Atomic inside; /* atomic, written under lock: the thread inside the sink, or NULL */
} mp_log;

MP_CHECKED mp_status mp_log_init(mp_log *log, mp_log_sink *sink, void *ud, mp_log_level level);
void mp_log_close(mp_log *log);

static inline bool mp_log_on(const mp_log *log, mp_log_level level) {
  return log->sink != NULL && level <= log->level;
}

void mp_log_write(mp_log *log, mp_log_level level, const char *area, const char *format, ...)
    __attribute__((format(printf, 4, 5))) MP_FREE_OF(&log->lock);
void mp_log_vwrite(mp_log *log, mp_log_level level, const char *area, const char *format,
                   va_list args) MP_FREE_OF(&log->lock);

#endif
