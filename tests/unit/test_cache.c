/*
** The cache: what was put is found, by whole keys; limits by count, bytes and time; one flight a
** key; no allocation that fails leaves anything.
*/
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

typedef struct fixture {
  fault_alloc memory;
  uint64_t now;
  mp_cache *cache;
} fixture;

static uint64_t fake_clock(void *ud) { return ((fixture *)ud)->now; }

static mp_cache_config fixture_config(fixture *f, size_t entries, size_t bytes, uint64_t ttl_ns) {
  mp_cache_config config = MP_CACHE_CONFIG_INIT;
  memset(f, 0, sizeof *f);
  f->memory = (fault_alloc)FAULT_ALLOC_INIT;
  config.entries_max = entries;
  config.bytes_max = bytes;
  config.ttl_ns = ttl_ns;
  config.allocator = fault_allocator(&f->memory);
  config.clock = fake_clock;
  config.clock_ud = f;
  return config;
}

static void fixture_open(fixture *f, size_t entries, size_t bytes, uint64_t ttl_ns) {
  mp_cache_config config = fixture_config(f, entries, bytes, ttl_ns);
  assert_ok(mp_cache_create(&config, &f->cache));
}

static void fixture_close(fixture *f) {
  mp_cache_release(f->cache);
  assert_true(fault_is_clean(&f->memory));
}

static void put(fixture *f, const char *key, const char *text) {
  assert_ok(mp_cache_put(f->cache, key, strlen(key), text, strlen(text)));
}

/*
** What is under the key, copied into a buffer of the caller's test; NULL: nothing (the flight is
** ended at once).
*/
static const char *get(fixture *f, const char *key) {
  static char text[100];
  mp_cache_value *value;
  mp_flight *flight;
  size_t size;
  assert_ok(mp_cache_get(f->cache, key, strlen(key), 0, &value, &flight));
  if (value == NULL) {
    mp_flight_end(flight);
    return NULL;
  }
  assert_null(flight);
  const char *data = mp_cache_value_data(value, &size);
  snprintf(text, sizeof text, "%.*s", (int)size, data);
  mp_cache_value_release(value);
  return text;
}

static mp_cache_info info_of(fixture *f) {
  mp_cache_info info = MP_CACHE_INFO_INIT;
  mp_cache_get_info(f->cache, &info);
  return info;
}

static void test_cache_get_after_put_gives_the_bytes(void **state) {
  fixture f;
  (void)state;
  fixture_open(&f, 0, 0, 0);
  assert_null(get(&f, "a"));
  put(&f, "a", "one");
  put(&f, "", "empty");
  put(&f, "b", "");
  assert_string_equal(get(&f, "a"), "one");
  assert_string_equal(get(&f, ""), "empty");
  assert_string_equal(get(&f, "b"), "");
  put(&f, "a", "two");
  assert_string_equal(get(&f, "a"), "two");
  mp_cache_info info = info_of(&f);
  assert_int_equal(info.entries, 3);
  assert_int_equal(info.hits, 4);
  assert_int_equal(info.misses, 1);
  fixture_close(&f);
}

static void test_cache_keys_are_compared_whole(void **state) {
  fixture f;
  char key[16];
  (void)state;
  fixture_open(&f, 0, 0, 0);
  for (int i = 0; i < 5000; i++) {
    int size = snprintf(key, sizeof key, "k%d", i);
    /* the zero is part of the key */
    assert_ok(mp_cache_put(f.cache, key, (size_t)size + 1, key, (size_t)size));
  }
  assert_int_equal(info_of(&f).entries, 5000);
  assert_null(get(&f, "k7"));
  for (int i = 0; i < 5000; i++) {
    mp_cache_value *value;
    mp_flight *flight;
    size_t size;
    int length = snprintf(key, sizeof key, "k%d", i);
    assert_ok(mp_cache_get(f.cache, key, (size_t)length + 1, 0, &value, &flight));
    assert_non_null(value);
    assert_memory_equal(mp_cache_value_data(value, &size), key, (size_t)length);
    mp_cache_value_release(value);
  }
  fixture_close(&f);
}

static void test_cache_entries_max_evicts_what_was_used_longest_ago(void **state) {
  fixture f;
  (void)state;
  fixture_open(&f, 2, 0, 0);
  put(&f, "a", "1");
  put(&f, "b", "2");
  assert_non_null(get(&f, "a"));
  put(&f, "c", "3");
  assert_null(get(&f, "b"));
  assert_non_null(get(&f, "a"));
  assert_non_null(get(&f, "c"));
  assert_int_equal(info_of(&f).evicted, 1);
  assert_int_equal(info_of(&f).entries, 2);
  fixture_close(&f);
}

static void test_cache_bytes_max_is_never_exceeded(void **state) {
  fixture f;
  char key[16], text[1000];
  (void)state;
  memset(text, 'x', sizeof text);
  fixture_open(&f, 0, 10000, 0);
  for (int i = 0; i < 100; i++) {
    snprintf(key, sizeof key, "%d", i);
    assert_ok(mp_cache_put(f.cache, key, strlen(key), text, (size_t)i * 10));
    assert_true(info_of(&f).bytes <= 10000);
  }
  assert_true(info_of(&f).evicted > 0);
  fixture_close(&f);
}

static void test_cache_value_larger_than_bytes_max_is_full_and_forgets_the_older(void **state) {
  fixture f;
  char text[2000] = "";
  (void)state;
  fixture_open(&f, 0, 1000, 0);
  put(&f, "a", "old");
  assert_status(mp_cache_put(f.cache, "a", 1, text, sizeof text), MP_FULL);
  assert_null(get(&f, "a"));
  fixture_close(&f);
}

static void test_cache_ttl_forever_keeps_a_value_whatever_the_clock_says(void **state) {
  const uint64_t times[] = {1, 1000 * SECOND, MP_FOREVER - 1, MP_FOREVER};
  (void)state;
  for (size_t i = 0; i < LENGTH(times); i++) {
    fixture f;
    fixture_open(&f, 10, 0, MP_FOREVER);
    f.now = 5;
    put(&f, "k", "v");
    f.now = times[i];
    assert_non_null(get(&f, "k"));
    fixture_close(&f);
  }
}

/* The sum of clock and ttl has no place in a uint64_t: that, too, is as good as for ever. */
static void test_cache_ttl_beyond_the_end_of_the_clock_keeps_a_value(void **state) {
  fixture f;
  (void)state;
  fixture_open(&f, 10, 0, MP_FOREVER - 10);
  f.now = 100;
  put(&f, "k", "v");
  f.now = 1000 * SECOND;
  assert_non_null(get(&f, "k"));
  fixture_close(&f);
}

static void test_cache_ttl_forgets_a_value_in_time(void **state) {
  fixture f;
  (void)state;
  fixture_open(&f, 0, 0, 100);
  put(&f, "a", "1");
  f.now = 99;
  assert_non_null(get(&f, "a"));
  f.now = 100;
  assert_null(get(&f, "a"));
  assert_int_equal(info_of(&f).expired, 1);
  assert_int_equal(info_of(&f).entries, 0);
  fixture_close(&f);
}

static void test_cache_clear_forgets_all_and_readers_keep_theirs(void **state) {
  fixture f;
  mp_cache_value *value;
  mp_flight *flight;
  size_t size;
  (void)state;
  fixture_open(&f, 0, 0, 0);
  put(&f, "a", "1");
  put(&f, "b", "2");
  assert_ok(mp_cache_get(f.cache, "a", 1, 0, &value, &flight));
  mp_cache_clear(f.cache);
  assert_null(get(&f, "a"));
  assert_int_equal(info_of(&f).entries, 0);
  mp_cache_release(f.cache); /* the value holds what it needs */
  assert_memory_equal(mp_cache_value_data(value, &size), "1", 1);
  mp_cache_value_release(value);
  assert_true(fault_is_clean(&f.memory));
}

static void test_cache_second_flight_is_busy_until_the_first_has_ended(void **state) {
  fixture f;
  mp_cache_value *value;
  mp_flight *flight, *other;
  (void)state;
  fixture_open(&f, 0, 0, 0);
  assert_ok(mp_cache_get(f.cache, "a", 1, 0, &value, &flight));
  assert_null(value);
  assert_status(mp_cache_get(f.cache, "a", 1, 0, &value, &other), MP_BUSY);
  assert_status(mp_cache_get(f.cache, "a", 1, MILLISECOND, &value, &other), MP_BUSY);
  assert_ok(mp_cache_get(f.cache, "b", 1, 0, &value, &other));
  mp_flight_end(other);
  mp_flight_end(flight);
  assert_ok(mp_cache_get(f.cache, "a", 1, 0, &value, &flight)); /* abandoned: the next one may */
  mp_cache_release(f.cache);                                    /* the flight holds it */
  mp_flight_end(flight);
  assert_true(fault_is_clean(&f.memory));
}

typedef struct waiter {
  fixture *f;
  pthread_t thread;
  mp_status status;
  mp_cache_value *value;
  mp_flight *flight;
} waiter;

static void *wait_main(void *arg) {
  waiter *w = arg;
  w->status = mp_cache_get(w->f->cache, "a", 1, MP_FOREVER, &w->value, &w->flight);
  return NULL;
}

static void test_cache_waiters_receive_what_the_flight_put(void **state) {
  fixture f;
  waiter waiters[4];
  mp_cache_value *value;
  mp_flight *flight;
  (void)state;
  fixture_open(&f, 0, 0, 0);
  assert_ok(mp_cache_get(f.cache, "a", 1, 0, &value, &flight));
  for (size_t i = 0; i < LENGTH(waiters); i++) {
    waiters[i] = (waiter){.f = &f};
    assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_main, &waiters[i]), 0);
  }
  usleep(5000);
  put(&f, "a", "result");
  mp_flight_end(flight);
  for (size_t i = 0; i < LENGTH(waiters); i++) {
    size_t size;
    pthread_join(waiters[i].thread, NULL);
    assert_ok(waiters[i].status);
    assert_memory_equal(mp_cache_value_data(waiters[i].value, &size), "result", 6);
    mp_cache_value_release(waiters[i].value);
  }
  fixture_close(&f);
}

static void test_cache_abandoned_flight_goes_to_one_of_the_waiters(void **state) {
  fixture f;
  waiter w = {.f = &f};
  mp_cache_value *value;
  mp_flight *flight;
  (void)state;
  fixture_open(&f, 0, 0, 0);
  assert_ok(mp_cache_get(f.cache, "a", 1, 0, &value, &flight));
  assert_int_equal(pthread_create(&w.thread, NULL, wait_main, &w), 0);
  usleep(2000);
  mp_flight_end(flight);
  pthread_join(w.thread, NULL);
  assert_ok(w.status);
  assert_null(w.value);
  mp_flight_end(w.flight);
  fixture_close(&f);
}

static void test_cache_create_wrong_size_is_invalid(void **state) {
  fixture f;
  (void)state;
  mp_cache_config config = fixture_config(&f, 0, 0, 0);
  config.size = 1;
  assert_status(mp_cache_create(&config, &f.cache), MP_INVALID);
  assert_true(fault_is_clean(&f.memory));
}

static void test_cache_in_a_forked_child_is_forked_and_can_be_let_go(void **state) {
  fixture f;
  mp_cache_value *value;
  mp_flight *flight;
  (void)state;
  fixture_open(&f, 0, 0, 0);
  put(&f, "a", "1");
  assert_ok(mp_cache_get(f.cache, "b", 1, 0, &value, &flight));
  pid_t child = fork();
  if (child == 0) {
    mp_flight *other;
    bool right = mp_cache_get(f.cache, "a", 1, MP_FOREVER, &value, &other) == MP_FORKED &&
                 mp_cache_put(f.cache, "a", 1, "", 0) == MP_FORKED;
    mp_cache_clear(f.cache);
    mp_flight_end(flight);
    mp_cache_release(f.cache);
    _exit(right ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  mp_flight_end(flight);
  fixture_close(&f);
}

/* All a cache does that needs memory. */
static mp_status use(mp_cache *cache) {
  char key[16];
  for (int i = 0; i < 70; i++) { /* past the first table of buckets */
    mp_cache_value *value;
    mp_flight *flight;
    size_t size = (size_t)snprintf(key, sizeof key, "%d", i);
    mp_status status = mp_cache_get(cache, key, size, 0, &value, &flight);
    if (status != MP_OK) return status;
    status = mp_cache_put(cache, key, size, key, size);
    mp_flight_end(flight);
    if (status != MP_OK) return status;
  }
  return MP_OK;
}

static void test_cache_each_allocation_failing_leaves_nothing(void **state) {
  (void)state;
  for (size_t n = 1;; n++) {
    fixture f;
    mp_cache_config config = fixture_config(&f, 0, 0, 0);
    fault_arm(&f.memory, n, false);
    mp_status status = mp_cache_create(&config, &f.cache);
    if (status == MP_OK) {
      status = use(f.cache);
      size_t failures = fault_disarm(&f.memory);
      /* a table that could not grow is slower, no more */
      if (status == MP_OK) assert_int_equal(info_of(&f).entries, 70);
      assert_ok(mp_cache_put(f.cache, "x", 1, "y", 1));
      fixture_close(&f);
      if (failures == 0) return;
    }
    if (status != MP_OK) assert_status(status, MP_NOMEM);
    assert_true(fault_is_clean(&f.memory));
  }
}

#define THREADS 4
#define TURNS 20000

typedef struct user {
  fixture *f;
  pthread_t thread;
  unsigned seed;
  _Atomic unsigned *computing; /* [key]: how many hold its flight */
} user;

static void *user_main(void *arg) {
  user *u = arg;
  for (unsigned i = 0; i < TURNS; i++) {
    mp_cache_value *value;
    mp_flight *flight;
    u->seed = u->seed * 1103515245 + 12345;
    unsigned key = u->seed >> 16 & 63, number = key * 7919;
    mp_status status =
        mp_cache_get(u->f->cache, &key, sizeof key, i % 3 == 0 ? MILLISECOND : 0, &value, &flight);
    if (status == MP_BUSY) continue;
    assert_ok(status);
    if (value != NULL) {
      size_t size;
      assert_memory_equal(mp_cache_value_data(value, &size), &number, sizeof number);
      mp_cache_value_release(value);
    } else {
      assert_int_equal(mp_add_relaxed(&u->computing[key], 1), 0);
      if (i % 5 != 0)
        assert_ok(mp_cache_put(u->f->cache, &key, sizeof key, &number, sizeof number));
      mp_sub_relaxed(&u->computing[key], 1);
      mp_flight_end(flight);
    }
    if (i % 1000 == 0) mp_cache_clear(u->f->cache);
  }
  return NULL;
}

static void test_cache_several_threads_one_flight_a_key_and_right_values(void **state) {
  fixture f;
  user users[THREADS];
  _Atomic unsigned computing[64];
  (void)state;
  for (int i = 0; i < 64; i++) atomic_init(&computing[i], 0);
  fixture_open(&f, 40, 0, 0);
  for (unsigned i = 0; i < THREADS; i++) {
    users[i] = (user){.f = &f, .seed = i, .computing = computing};
    assert_int_equal(pthread_create(&users[i].thread, NULL, user_main, &users[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(users[i].thread, NULL);
  assert_true(info_of(&f).entries <= 40);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cache_get_after_put_gives_the_bytes),
      cmocka_unit_test(test_cache_keys_are_compared_whole),
      cmocka_unit_test(test_cache_entries_max_evicts_what_was_used_longest_ago),
      cmocka_unit_test(test_cache_bytes_max_is_never_exceeded),
      cmocka_unit_test(test_cache_value_larger_than_bytes_max_is_full_and_forgets_the_older),
      cmocka_unit_test(test_cache_ttl_forever_keeps_a_value_whatever_the_clock_says),
      cmocka_unit_test(test_cache_ttl_beyond_the_end_of_the_clock_keeps_a_value),
      cmocka_unit_test(test_cache_ttl_forgets_a_value_in_time),
      cmocka_unit_test(test_cache_clear_forgets_all_and_readers_keep_theirs),
      cmocka_unit_test(test_cache_second_flight_is_busy_until_the_first_has_ended),
      cmocka_unit_test(test_cache_waiters_receive_what_the_flight_put),
      cmocka_unit_test(test_cache_abandoned_flight_goes_to_one_of_the_waiters),
      cmocka_unit_test(test_cache_create_wrong_size_is_invalid),
      cmocka_unit_test(test_cache_in_a_forked_child_is_forked_and_can_be_let_go),
      cmocka_unit_test(test_cache_each_allocation_failing_leaves_nothing),
      cmocka_unit_test(test_cache_several_threads_one_flight_a_key_and_right_values),
  };
  return unit_main(tests);
}
