/* Lines reach the sink whole, filtered by level, one at a time; without a sink nothing happens. */
#include "log.h"
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct sink {
  int lines;
  _Atomic int inside, overlaps;
  mp_log_level level;
  char area[32], line[2 * MP_LOG_LINE_MAX];
} sink;

static void receive(void *ud, mp_log_level level, const char *area, const char *line) {
  sink *s = ud;
  if (mp_add_relaxed(&s->inside, 1) != 0) mp_add_relaxed(&s->overlaps, 1);
  s->lines++;
  s->level = level;
  snprintf(s->area, sizeof s->area, "%s", area);
  snprintf(s->line, sizeof s->line, "%s", line);
  mp_sub_relaxed(&s->inside, 1);
}

static void test_log_write_enabled_level_arrives_formatted(void **state) {
  mp_log log;
  sink s = {0};
  (void)state;
  assert_ok(mp_log_init(&log, receive, &s, MP_LOG_INFO));
  mp_log_write(&log, MP_LOG_WARN, "area", "%d of %s", 3, "four");
  assert_int_equal(s.lines, 1);
  assert_int_equal(s.level, MP_LOG_WARN);
  assert_string_equal(s.area, "area");
  assert_string_equal(s.line, "3 of four");
  mp_log_close(&log);
}

static void test_log_write_each_threshold_lets_through_what_is_as_grave(void **state) {
  (void)state;
  for (int threshold = MP_LOG_OFF; threshold <= MP_LOG_TRACE; threshold++) {
    mp_log log;
    sink s = {0};
    assert_ok(mp_log_init(&log, receive, &s, (mp_log_level)threshold));
    for (int level = MP_LOG_ERROR; level <= MP_LOG_TRACE; level++)
      mp_log_write(&log, (mp_log_level)level, "a", "b");
    assert_int_equal(s.lines, threshold + 1);
    mp_log_close(&log);
  }
}

static void test_log_write_without_sink_is_silent(void **state) {
  mp_log log;
  (void)state;
  assert_ok(mp_log_init(&log, NULL, NULL, MP_LOG_TRACE));
  assert_false(mp_log_on(&log, MP_LOG_ERROR));
  mp_log_write(&log, MP_LOG_ERROR, "a", "b");
  mp_log_close(&log);
}

static void test_log_write_long_line_is_cut(void **state) {
  mp_log log;
  sink s = {0};
  char text[2 * MP_LOG_LINE_MAX];
  (void)state;
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  assert_ok(mp_log_init(&log, receive, &s, MP_LOG_INFO));
  mp_log_write(&log, MP_LOG_INFO, "a", "%s", text);
  assert_int_equal(strlen(s.line), MP_LOG_LINE_MAX - 1);
  mp_log_close(&log);
}

static void *writer_main(void *arg) {
  for (int i = 0; i < 1000; i++) mp_log_write(arg, MP_LOG_INFO, "thread", "line %d", i);
  return NULL;
}

static void test_log_write_several_threads_one_line_at_a_time(void **state) {
  mp_log log;
  sink s = {0};
  pthread_t threads[3];
  (void)state;
  assert_ok(mp_log_init(&log, receive, &s, MP_LOG_INFO));
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, writer_main, &log), 0);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  assert_int_equal(s.lines, 3000);
  assert_int_equal(mp_load_relaxed(&s.overlaps), 0);
  mp_log_close(&log);
}

static void write_to_a_file(void *ud, mp_log_level level, const char *area, const char *line) {
  (void)ud, (void)level, (void)area;
  (void)!write(2, line, strlen(line));
}

static void *cancelled_writer_main(void *arg) {
  pthread_cancel(pthread_self());
  mp_log_write(arg, MP_LOG_INFO, "thread", "%s", "from a thread that is cancelled\n");
  pthread_testcancel();
  return NULL;
}

static void test_log_write_cancelled_thread_leaves_the_log_usable(void **state) {
  mp_log log;
  pthread_t thread;
  void *result;
  (void)state;
  assert_ok(mp_log_init(&log, write_to_a_file, NULL, MP_LOG_INFO));
  assert_int_equal(pthread_create(&thread, NULL, cancelled_writer_main, &log), 0);
  pthread_join(thread, &result);
  assert_ptr_equal(result, PTHREAD_CANCELED);
  mp_log_write(&log, MP_LOG_INFO, "thread", "%s", "from another\n"); /* hangs if the lock is held */
  mp_log_close(&log);
}

static void test_pool_log_reaches_the_configured_sink(void **state) {
  world w;
  sink s = {0};
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.log = receive;
  config.log_ud = &s;
  config.log_level = MP_LOG_ERROR;
  world_open_with(&w, config);
  assert_int_equal(s.lines, 0);
  mp_pool_log(w.pool, MP_LOG_WARN, "host", "not heard");
  mp_pool_log(w.pool, MP_LOG_ERROR, "host", "%s", "heard");
  assert_int_equal(s.lines, 1);
  assert_string_equal(s.line, "heard");
  world_close(&w);
}

/* A sink that does what writes to the log itself. */
typedef struct talker {
  mp_pool *pool;
  int lines;
} talker;

static void talk(void *ud, mp_log_level level, const char *area, const char *line) {
  talker *t = ud;
  (void)area, (void)line;
  t->lines++;
  mp_pool_log(t->pool, level, "sink", "from the sink");
}

static void test_pool_log_inside_the_sink_is_dropped(void **state) {
  world w;
  talker t = {NULL, 0};
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.log = talk;
  config.log_ud = &t;
  config.log_level = MP_LOG_ERROR;
  world_open_with(&w, config);
  t.pool = w.pool;
  for (int i = 1; i <= 3; i++) {
    mp_pool_log(w.pool, MP_LOG_ERROR, "host", "line"); /* hangs if the lock is taken twice */
    assert_int_equal(t.lines, i);
  }
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_log_write_enabled_level_arrives_formatted),
      cmocka_unit_test(test_log_write_each_threshold_lets_through_what_is_as_grave),
      cmocka_unit_test(test_log_write_without_sink_is_silent),
      cmocka_unit_test(test_log_write_long_line_is_cut),
      cmocka_unit_test(test_log_write_several_threads_one_line_at_a_time),
      cmocka_unit_test(test_log_write_cancelled_thread_leaves_the_log_usable),
      cmocka_unit_test(test_pool_log_reaches_the_configured_sink),
      cmocka_unit_test(test_pool_log_inside_the_sink_is_dropped),
  };
  return unit_main(tests);
}
