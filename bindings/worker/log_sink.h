/*
** log_sink.h - where a pool's log lines go: to stderr as MAKEPARALLEL_LOG asks, or to a Lua
** function on the owning state.
**
** Lines come from any thread, one at a time; the Lua function is called while the owner polls.
*/
#ifndef LMP_LOG_SINK_H
#define LMP_LOG_SINK_H

#include "base/context.h"

#define LMP_LOG_RULES 8

/* The names of the levels from MP_LOG_ERROR on; NULL ends them. */
extern const char *const lmp_log_levels[];

typedef struct lmp_log {
  /* constant once the pool takes tasks */
  struct {
    char area[24]; /* empty: every area that has no rule of its own */
    mp_log_level level;
  } rules[LMP_LOG_RULES];
  int count;
  mp_log_level highest; /* of all rules */
  mp_pool *pool;        /* whose mailbox carries lines to the Lua function; NULL: not yet */
  bool closed;          /* under the engine's log lock: lines go to stderr from here on */
  /* owner only */
  lmp_context *context;
  int function; /* registry reference, or LUA_NOREF */
} lmp_log;

/* Reads "debug" or "makeparallel=debug,pool=trace"; false if it is neither. Never raises. */
bool lmp_log_parse(lmp_log *log, const char *text);
/* An error where there is no pool: to stderr, unless the environment says otherwise. */
void lmp_log_without_pool(const char *area, const char *line);
/*
** Lines go to stderr from here on: the mailbox, or the state with the function, goes. The pool
** whose log it is, on its owner; again has no effect.
*/
void lmp_log_close(mp_pool *pool);
/* An mp_log_sink; ud is the lmp_log. */
void lmp_log_line(void *ud, mp_log_level level, const char *area, const char *line);

#endif
