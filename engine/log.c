#include "log.h"

#include <stdio.h>
#include <string.h>

mp_status mp_log_init(mp_log *log, mp_log_sink *sink, void *ud, mp_log_level level) {
  log->sink = sink;
  log->ud = ud;
  log->level = level;
  mp_store_relaxed(&log->inside, NULL);
  return mp_os_mutex_init(&log->lock);
}

void mp_log_close(mp_log *log) { mp_os_mutex_close(&log->lock); }

void mp_log_vwrite(mp_log *log, mp_log_level level, const char *area, const char *format,
                   va_list args) {
  char line[MP_LOG_LINE_MAX];
  /* a sink that writes to the log itself: this thread has the lock */
  if (!mp_log_on(log, level) || mp_load_relaxed(&log->inside) == mp_os_thread_tag()) return;
  vsnprintf(line, sizeof line, format, args);
  int cancel = mp_os_cancel_off(); /* the sink writes somewhere, and there a thread may end */
  mp_os_mutex_take(&log->lock);
  mp_store_relaxed(&log->inside, mp_os_thread_tag());
  for (char *rest = line, *end; rest != NULL; rest = end) { /* a traceback has many lines */
    end = strchr(rest, '\n');
    if (end != NULL) *end++ = '\0';
    log->sink(log->ud, level, area, rest);
  }
  mp_store_relaxed(&log->inside, NULL);
  mp_os_mutex_give(&log->lock);
  mp_os_cancel_restore(cancel);
}

void mp_log_write(mp_log *log, mp_log_level level, const char *area, const char *format, ...) {
  va_list args;
  if (!mp_log_on(log, level)) return;
  va_start(args, format);
  mp_log_vwrite(log, level, area, format, args);
  va_end(args);
}
