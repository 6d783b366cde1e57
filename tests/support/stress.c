#include "stress.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define HANG_SECONDS 120

static uint64_t argument(int argc, char **argv, int at, uint64_t otherwise) {
  return at < argc ? strtoull(argv[at], NULL, 10) : otherwise;
}

void stress_begin(stress *s, int argc, char **argv) {
  const char *slash = strrchr(argv[0], '/');
  s->name = slash != NULL ? slash + 1 : argv[0];
  s->threads = (unsigned)argument(argc, argv, 1, 2);
  s->scale = argument(argc, argv, 2, 1);
  s->seed = argument(argc, argv, 3, 1);
  s->memory = (fault_alloc)FAULT_ALLOC_INIT;
  alarm(HANG_SECONDS);
}

void stress_goes_on(void) { alarm(HANG_SECONDS); }

int stress_end(stress *s, const char *format, ...) {
  va_list args;
  printf("%-42s threads %u, scale %zu, seed %llu: ", s->name, s->threads, s->scale,
         (unsigned long long)s->seed);
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n");
  return 0;
}

void stress_fail(const stress *s, const char *file, int line, const char *what) {
  fprintf(stderr, "%s:%d: %s does not hold (threads %u, scale %zu, seed %llu)\n", file, line, what,
          s->threads, s->scale, (unsigned long long)s->seed);
  abort();
}

mp_pool_config stress_config(stress *s) {
  mp_pool_config config = mp_pool_config_default();
  config.workers = s->threads;
  config.allocator = fault_allocator(&s->memory);
  return config;
}

mp_pool *stress_pool(stress *s, const mp_pool_config *config) {
  mp_pool *pool;
  CHECK(s, mp_pool_create(config, &pool) == MP_OK);
  return pool;
}

void stress_pool_end(stress *s, mp_pool *pool) {
  mp_pool_destroy(pool);
  CHECK(s, fault_is_clean(&s->memory));
}

mp_pool_info stress_info(mp_pool *pool) {
  mp_pool_info info = MP_POOL_INFO_INIT;
  mp_pool_get_info(pool, &info);
  return info;
}

mp_pool_info stress_settle(stress *s, mp_pool *pool) {
  CHECK(s, mp_pool_drain(pool, MP_FOREVER) == MP_OK);
  mp_pool_info info = stress_info(pool);
  CHECK(s, info.submitted == info.finished);
  CHECK(s, info.finished == info.done + info.failed + info.cancelled + info.timed_out);
  return info;
}
