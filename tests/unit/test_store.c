/* The block store: blocks are distinct, come back, and slabs go when their load goes. */
#include "store.h"
#include "unit.h"

#include <string.h>
#include <time.h>

#define BLOCK 100
#define NUMBER_AT 10
#define MANY 5000

typedef struct fixture {
  fault_alloc memory;
  mp_alloc alloc;
  mp_store store;
  mp_store_local local;
  void *blocks[MANY];
} fixture;

static fixture *open_fixture(void) {
  static fixture f;
  memset(&f, 0, sizeof f);
  f.memory = (fault_alloc)FAULT_ALLOC_INIT;
  mp_allocator hook = fault_allocator(&f.memory);
  mp_alloc_init(&f.alloc, &hook);
  assert_ok(mp_store_init(&f.store, &f.alloc, BLOCK, NUMBER_AT));
  return &f;
}

static void close_fixture(fixture *f) {
  mp_store_flush(&f->store, &f->local);
  mp_store_close(&f->store);
  assert_true(fault_is_clean(&f->memory));
}

/* All but what is the store's. */
static void fill(char *block, int byte) {
  memset(block, byte, NUMBER_AT);
  memset(block + NUMBER_AT + 2, byte, BLOCK - NUMBER_AT - 2);
}

static void get_all(fixture *f, mp_store_local *local) {
  for (int i = 0; i < MANY; i++) {
    f->blocks[i] = mp_store_get(&f->store, local);
    assert_non_null(f->blocks[i]);
    assert_int_equal((uintptr_t)f->blocks[i] % 16, 0);
    fill(f->blocks[i], i);
  }
}

static void assert_contents(fixture *f) {
  for (int i = 0; i < MANY; i++) {
    const unsigned char *block = f->blocks[i];
    assert_int_equal(block[0], i & 0xFF);
    assert_int_equal(block[BLOCK - 1], i & 0xFF);
  }
}

static void put_all(fixture *f, mp_store_local *local) {
  for (int i = 0; i < MANY; i++) mp_store_put(&f->store, local, f->blocks[i]);
}

static void test_store_get_many_blocks_do_not_overlap(void **state) {
  fixture *f = open_fixture();
  (void)state;
  get_all(f, &f->local);
  assert_contents(f);
  put_all(f, &f->local);
  close_fixture(f);
}

static void test_store_get_without_a_local_list_works_alike(void **state) {
  fixture *f = open_fixture();
  (void)state;
  get_all(f, NULL);
  assert_contents(f);
  put_all(f, NULL);
  close_fixture(f);
}

static void test_store_put_by_another_thread_than_get_is_fine(void **state) {
  fixture *f = open_fixture();
  mp_store_local other = {.count = 0};
  (void)state;
  get_all(f, &f->local);
  put_all(f, &other);
  get_all(f, &f->local);
  put_all(f, NULL);
  mp_store_flush(&f->store, &other);
  close_fixture(f);
}

static void test_store_put_all_back_memory_follows_the_load_down(void **state) {
  enum { MORE = MP_STORE_SPARE_BLOCKS + 3 * MP_STORE_LARGE_SLAB_BLOCKS };
  static void *blocks[MORE];
  fixture *f = open_fixture();
  (void)state;
  for (int i = 0; i < MORE; i++) assert_non_null(blocks[i] = mp_store_get(&f->store, &f->local));
  size_t peak = fault_live_bytes(&f->memory);
  for (int i = 0; i < MORE - 1; i++) mp_store_put(&f->store, &f->local, blocks[i]);
  struct timespec pause = {0, 2 * MP_STORE_KEEP_NS};
  nanosleep(&pause, NULL);
  mp_store_put(&f->store, &f->local, blocks[MORE - 1]);
  mp_store_flush(&f->store, &f->local);
  size_t spare = (size_t)MP_STORE_SPARE_BLOCKS * (BLOCK + 64);
  assert_true(fault_live_bytes(&f->memory) <= spare);
  assert_true(fault_live_bytes(&f->memory) < peak);
  mp_store_trim(&f->store);
  assert_int_equal(fault_live_bytes(&f->memory), 0);
  close_fixture(f);
}

static void test_store_use_again_and_again_memory_does_not_grow(void **state) {
  fixture *f = open_fixture();
  (void)state;
  get_all(f, &f->local);
  size_t peak = fault_live_bytes(&f->memory);
  for (int round = 0; round < 20; round++) {
    put_all(f, round % 2 ? &f->local : NULL);
    get_all(f, &f->local);
    assert_true(fault_live_bytes(&f->memory) <= peak + 2 * MP_STORE_SLAB_BLOCKS * (BLOCK + 64));
  }
  put_all(f, &f->local);
  close_fixture(f);
}

static void test_store_get_out_of_memory_is_null_and_recovers(void **state) {
  fixture *f = open_fixture();
  (void)state;
  fault_arm(&f->memory, 1, false);
  assert_null(mp_store_get(&f->store, &f->local));
  void *block = mp_store_get(&f->store, &f->local);
  assert_non_null(block);
  fault_arm(&f->memory, 1, false);
  mp_store_put(&f->store, &f->local, block);
  fault_disarm(&f->memory);
  close_fixture(f);
}

static void test_promise_is_kept_whatever_others_take(void **state) {
  enum { PROMISED = 1000 };
  static void *kept[PROMISED];
  fixture *f = open_fixture();
  int others = 0;
  (void)state;
  assert_true(mp_store_promise(&f->store, PROMISED));
  fault_arm(&f->memory, 1, true);
  while (others < MANY && (f->blocks[others] = mp_store_get(&f->store, NULL)) != NULL) others++;
  mp_store_trim(&f->store);
  mp_store_keep_promise(&f->store, kept, PROMISED / 2);
  mp_store_keep_promise(&f->store, kept + PROMISED / 2, PROMISED / 2 - 10);
  mp_store_withdraw_promise(&f->store, 10);
  fault_disarm(&f->memory);
  for (int i = 0; i < PROMISED - 10; i++) fill(kept[i], i);
  for (int i = 0; i < others; i++) mp_store_put(&f->store, NULL, f->blocks[i]);
  for (int i = 0; i < PROMISED - 10; i++)
    mp_store_put(&f->store, i % 2 ? &f->local : NULL, kept[i]);
  close_fixture(f);
}

static void test_promise_that_cannot_be_kept_is_not_made(void **state) {
  fixture *f = open_fixture();
  (void)state;
  fault_arm(&f->memory, 3, true);
  assert_false(mp_store_promise(&f->store, 10 * MP_STORE_LARGE_SLAB_BLOCKS));
  fault_disarm(&f->memory);
  void *block = mp_store_get(&f->store, NULL); /* what was made for it is for all */
  assert_non_null(block);
  mp_store_put(&f->store, NULL, block);
  mp_store_trim(&f->store);
  assert_int_equal(fault_live_bytes(&f->memory), 0);
  close_fixture(f);
}

#define THREADS 3
#define TURNS 20000

static void *user_main(void *arg) {
  fixture *f = arg;
  mp_store_local local = {.count = 0};
  void *held[200] = {NULL};
  for (int i = 0; i < TURNS; i++) {
    void **slot = &held[i * 7919 % 200];
    if (*slot != NULL) mp_store_put(&f->store, i % 5 == 0 ? NULL : &local, *slot);
    *slot = mp_store_get(&f->store, i % 3 == 0 ? NULL : &local);
    fill(*slot, i);
  }
  for (int i = 0; i < 200; i++)
    if (held[i] != NULL) mp_store_put(&f->store, &local, held[i]);
  mp_store_flush(&f->store, &local);
  return NULL;
}

static void test_store_several_threads_every_block_comes_back(void **state) {
  fixture *f = open_fixture();
  pthread_t threads[THREADS];
  (void)state;
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, user_main, f), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  close_fixture(f);
}

static void test_trim_frees_slabs_that_are_wholly_free_and_no_other(void **state) {
  fixture *f = open_fixture();
  (void)state;
  get_all(f, &f->local);
  for (int i = 1; i < MANY; i++) mp_store_put(&f->store, &f->local, f->blocks[i]);
  mp_store_flush(&f->store, &f->local);
  mp_store_trim(&f->store);
  size_t kept = fault_live_bytes(&f->memory);
  assert_true(kept > BLOCK);
  assert_int_equal(*(char *)f->blocks[0], 0); /* it is out still */
  mp_store_put(&f->store, &f->local, f->blocks[0]);
  mp_store_flush(&f->store, &f->local);
  mp_store_trim(&f->store);
  assert_int_equal(fault_live_bytes(&f->memory), 0);
  get_all(f, &f->local);
  for (int i = 0; i < MANY; i++) mp_store_put(&f->store, &f->local, f->blocks[i]);
  close_fixture(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_store_get_many_blocks_do_not_overlap),
      cmocka_unit_test(test_store_get_without_a_local_list_works_alike),
      cmocka_unit_test(test_store_put_by_another_thread_than_get_is_fine),
      cmocka_unit_test(test_store_put_all_back_memory_follows_the_load_down),
      cmocka_unit_test(test_store_use_again_and_again_memory_does_not_grow),
      cmocka_unit_test(test_store_get_out_of_memory_is_null_and_recovers),
      cmocka_unit_test(test_promise_is_kept_whatever_others_take),
      cmocka_unit_test(test_promise_that_cannot_be_kept_is_not_made),
      cmocka_unit_test(test_store_several_threads_every_block_comes_back),
      cmocka_unit_test(test_trim_frees_slabs_that_are_wholly_free_and_no_other),
  };
  return unit_main(tests);
}
