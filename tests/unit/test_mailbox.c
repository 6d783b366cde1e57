/* Mailboxes: order, budget, bounds, descriptor, closing, callbacks that call back. */
#include "unit.h"

#include <stdlib.h>

#include <poll.h>
#include <string.h>

#define LETTERS 50

typedef struct reader {
  mp_mailbox *mailbox;
  int received[LETTERS * 4];
  size_t count;
  bool nested; /* polls again from inside, once */
  bool closes; /* closes the mailbox from inside */
} reader;

static void on_letter(void *ud, const void *data, size_t size) {
  reader *r = ud;
  assert_int_equal(size, sizeof(int));
  memcpy(&r->received[r->count++], data, sizeof(int));
  if (r->nested) {
    r->nested = false;
    mp_mailbox_poll(r->mailbox, MP_FOREVER, 1, NULL);
  }
  if (r->closes) mp_mailbox_close(r->mailbox);
}

static void send_range(reader *r, int first, int last) {
  for (int i = first; i < last; i++)
    assert_ok(mp_mailbox_send(r->mailbox, on_letter, r, &i, sizeof i));
}

static void assert_received_in_order(const reader *r, size_t n) {
  assert_int_equal(r->count, n);
  for (size_t i = 0; i < n; i++) assert_int_equal(r->received[i], i);
}

static void open_reader(world *w, reader *r) {
  memset(r, 0, sizeof *r);
  world_open(w, 1);
  assert_ok(mp_mailbox_create(w->pool, &r->mailbox));
}

static void close_reader(world *w, reader *r) {
  mp_mailbox_close(r->mailbox);
  world_close(w);
}

static bool readable(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1;
}

static void test_mailbox_poll_empty_delivers_nothing(void **state) {
  world w;
  reader r;
  size_t left = 99;
  (void)state;
  open_reader(&w, &r);
  assert_int_equal(mp_mailbox_poll(r.mailbox, MP_FOREVER, 0, &left), 0);
  assert_int_equal(left, 0);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 0);
  close_reader(&w, &r);
}

static void test_mailbox_poll_delivers_in_order(void **state) {
  world w;
  reader r;
  (void)state;
  open_reader(&w, &r);
  send_range(&r, 0, LETTERS);
  assert_int_equal(mp_mailbox_count(r.mailbox), LETTERS);
  assert_int_equal(mp_mailbox_poll(r.mailbox, MP_FOREVER, 0, NULL), LETTERS);
  assert_received_in_order(&r, LETTERS);
  assert_int_equal(mp_mailbox_count(r.mailbox), 0);
  close_reader(&w, &r);
}

static void test_mailbox_poll_max_leaves_the_rest(void **state) {
  world w;
  reader r;
  size_t left;
  (void)state;
  open_reader(&w, &r);
  send_range(&r, 0, 10);
  assert_int_equal(mp_mailbox_poll(r.mailbox, MP_FOREVER, 3, &left), 3);
  assert_int_equal(left, 7);
  assert_int_equal(mp_mailbox_poll(r.mailbox, MP_FOREVER, 100, &left), 7);
  assert_int_equal(left, 0);
  assert_received_in_order(&r, 10);
  close_reader(&w, &r);
}

static void test_mailbox_poll_budget_spent_begins_no_other(void **state) {
  world w;
  reader r;
  size_t left;
  (void)state;
  open_reader(&w, &r);
  send_range(&r, 0, 10);
  assert_true(mp_mailbox_poll(r.mailbox, 0, 0, &left) <= 1);
  assert_true(left >= 9);
  assert_int_equal(mp_mailbox_poll(r.mailbox, 3600 * SECOND, 0, NULL), left);
  assert_received_in_order(&r, 10);
  close_reader(&w, &r);
}

static void test_mailbox_poll_inside_a_callback_keeps_order(void **state) {
  world w;
  reader r;
  (void)state;
  open_reader(&w, &r);
  r.nested = true;
  send_range(&r, 0, 5);
  /* one went to the inner call */
  assert_int_equal(mp_mailbox_poll(r.mailbox, MP_FOREVER, 0, NULL), 4);
  assert_received_in_order(&r, 5);
  close_reader(&w, &r);
}

static void resend(void *ud, const void *data, size_t size) {
  reader *r = ud;
  on_letter(ud, data, size);
  if (r->count < 10)
    assert_ok(mp_mailbox_send(r->mailbox, resend, r, &(int){(int)r->count}, sizeof(int)));
}

static void test_mailbox_send_inside_a_callback_is_delivered_by_the_same_poll(void **state) {
  world w;
  reader r;
  (void)state;
  open_reader(&w, &r);
  assert_ok(mp_mailbox_send(r.mailbox, resend, &r, &(int){0}, sizeof(int)));
  assert_int_equal(mp_mailbox_poll(r.mailbox, MP_FOREVER, 0, NULL), 10);
  assert_received_in_order(&r, 10);
  close_reader(&w, &r);
}

static void test_mailbox_close_discards_undelivered_and_later_letters(void **state) {
  world w;
  reader r;
  (void)state;
  open_reader(&w, &r);
  send_range(&r, 0, 5);
  r.closes = true;
  /* closed by the first callback */
  assert_int_equal(mp_mailbox_poll(r.mailbox, MP_FOREVER, 0, NULL), 1);
  assert_int_equal(r.count, 1);
  world_close(&w); /* checks that the other four were freed */
}

static void test_mailbox_close_null_is_ignored(void **state) {
  (void)state;
  mp_mailbox_close(NULL);
}

static void test_mailbox_fd_readable_exactly_while_letters_wait(void **state) {
  world w;
  reader r;
  int fd = -1, again = -1;
  (void)state;
  open_reader(&w, &r);
  assert_ok(mp_mailbox_fd(r.mailbox, &fd));
  assert_false(readable(fd));
  send_range(&r, 0, 2);
  assert_true(readable(fd));
  mp_mailbox_poll(r.mailbox, MP_FOREVER, 1, NULL);
  assert_true(readable(fd));
  mp_mailbox_poll(r.mailbox, MP_FOREVER, 1, NULL);
  assert_false(readable(fd));
  assert_ok(mp_mailbox_fd(r.mailbox, &again));
  assert_int_equal(fd, again);
  close_reader(&w, &r);
}

static void test_mailbox_fd_opened_late_is_readable_for_what_waits(void **state) {
  world w;
  reader r;
  int fd = -1;
  (void)state;
  open_reader(&w, &r);
  send_range(&r, 0, 1);
  assert_ok(mp_mailbox_fd(r.mailbox, &fd));
  assert_true(readable(fd));
  close_reader(&w, &r);
}

static void test_mailbox_send_full_is_refused_and_counted(void **state) {
  world w;
  reader r = {0};
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.mailbox_max = 3;
  world_open_with(&w, config);
  r.mailbox = mp_pool_mailbox(w.pool);
  send_range(&r, 0, 3);
  assert_status(mp_mailbox_send(r.mailbox, on_letter, &r, &(int){9}, sizeof(int)), MP_FULL);
  assert_int_equal(world_info(&w).messages_dropped, 1);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 1), 1);
  send_range(&r, 3, 4);
  assert_int_equal(mp_poll(w.pool, MP_FOREVER, 0), 3);
  assert_received_in_order(&r, 4);
  world_close(&w);
}

static void on_empty_letter(void *ud, const void *data, size_t size) {
  (void)data;
  assert_int_equal(size, 0);
  ++*(int *)ud;
}

static void test_mailbox_send_nothing_arrives_as_an_empty_letter(void **state) {
  world w;
  reader r;
  int letters = 0;
  (void)state;
  open_reader(&w, &r);
  assert_ok(mp_mailbox_send(r.mailbox, on_empty_letter, &letters, NULL, 0));
  assert_int_equal(mp_mailbox_poll(r.mailbox, MP_FOREVER, 0, NULL), 1);
  assert_int_equal(letters, 1);
  close_reader(&w, &r);
}

static void test_mailbox_send_huge_is_nomem(void **state) {
  world w;
  reader r;
  (void)state;
  open_reader(&w, &r);
  assert_status(mp_mailbox_send(r.mailbox, on_letter, &r, "", SIZE_MAX), MP_NOMEM);
  assert_status(mp_mailbox_send(r.mailbox, on_letter, &r, "", SIZE_MAX - 8), MP_NOMEM);
  assert_int_equal(mp_mailbox_count(r.mailbox), 0);
  close_reader(&w, &r);
}

static void count_wake(void *ud) { mp_add_relaxed((_Atomic int *)ud, 1); }

static void test_mailbox_wake_called_when_it_stops_being_empty(void **state) {
  world w;
  reader r = {0};
  _Atomic int wakes = 0;
  (void)state;
  mp_pool_config config = world_config(&w, 1);
  config.wake = count_wake;
  config.wake_ud = &wakes;
  world_open_with(&w, config);
  r.mailbox = mp_pool_mailbox(w.pool);
  send_range(&r, 0, 3);
  assert_int_equal(mp_load_relaxed(&wakes), 1);
  mp_poll(w.pool, MP_FOREVER, 0);
  send_range(&r, 3, 4);
  assert_int_equal(mp_load_relaxed(&wakes), 2);
  world_close(&w);
}

static void test_mailbox_outlives_the_pool_handle(void **state) {
  world w;
  reader r;
  (void)state;
  open_reader(&w, &r);
  mp_pool_destroy(w.pool);
  send_range(&r, 0, 3);
  assert_int_equal(mp_mailbox_poll(r.mailbox, MP_FOREVER, 0, NULL), 3);
  assert_true(fault_live_bytes(&w.memory) > 0);
  mp_mailbox_close(r.mailbox);
  assert_true(fault_is_clean(&w.memory));
}

/* A worker hears of messages to a mailbox of its own while it has nothing to do. */
typedef struct at_home {
  mp_mailbox *_Atomic box;
  tally heard;
  mp_worker *_Atomic worker;
} at_home;

static void poll_at_home(mp_worker *worker, void *local, void *ud) {
  at_home *h = ud;
  (void)local;
  if (worker != mp_load_seq(&h->worker)) abort();
  (void)mp_mailbox_poll(mp_load_seq(&h->box), MP_FOREVER, 0, NULL);
}

static void hear_at_home(void *ud, const void *data, size_t size) {
  at_home *h = ud;
  (void)data, (void)size;
  tally_add(&h->heard);
}

static mp_status create_at_home(mp_worker *worker, void *arg) {
  at_home *h = arg;
  mp_mailbox *box;
  mp_status status = mp_mailbox_create(mp_worker_pool(worker), &box);
  mp_store_seq(&h->worker, worker);
  if (status == MP_OK) mp_store_seq(&h->box, box);
  return status;
}

static void test_mailbox_of_a_worker_is_heard_while_it_sleeps(void **state) {
  (void)state;
  for (unsigned workers = 1; workers <= 3; workers++) {
    world w;
    at_home h = {.heard = TALLY_INIT};
    mp_task_desc desc = MP_TASK_DESC_INIT;
    mp_task *task;
    mp_pool_config config = world_config(&w, workers);
    config.worker_mail = poll_at_home;
    config.worker_ud = &h;
    world_open_with(&w, config);
    desc.run = create_at_home;
    desc.arg = &h;
    assert_ok(mp_submit(w.pool, &desc, &task));
    assert_ends_and_release(task, MP_STATE_DONE, MP_OK);
    for (unsigned i = 1; i <= 200; i++) {
      if (i % 50 == 0) usleep(20000); /* it sleeps */
      assert_ok(mp_mailbox_send(mp_load_seq(&h.box), hear_at_home, &h, "x", 1));
      tally_await(&h.heard, i);
    }
    mp_mailbox_close(mp_load_seq(&h.box));
    world_close(&w);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mailbox_poll_empty_delivers_nothing),
      cmocka_unit_test(test_mailbox_poll_delivers_in_order),
      cmocka_unit_test(test_mailbox_poll_max_leaves_the_rest),
      cmocka_unit_test(test_mailbox_poll_budget_spent_begins_no_other),
      cmocka_unit_test(test_mailbox_poll_inside_a_callback_keeps_order),
      cmocka_unit_test(test_mailbox_send_inside_a_callback_is_delivered_by_the_same_poll),
      cmocka_unit_test(test_mailbox_close_discards_undelivered_and_later_letters),
      cmocka_unit_test(test_mailbox_close_null_is_ignored),
      cmocka_unit_test(test_mailbox_fd_readable_exactly_while_letters_wait),
      cmocka_unit_test(test_mailbox_fd_opened_late_is_readable_for_what_waits),
      cmocka_unit_test(test_mailbox_send_full_is_refused_and_counted),
      cmocka_unit_test(test_mailbox_send_nothing_arrives_as_an_empty_letter),
      cmocka_unit_test(test_mailbox_send_huge_is_nomem),
      cmocka_unit_test(test_mailbox_wake_called_when_it_stops_being_empty),
      cmocka_unit_test(test_mailbox_outlives_the_pool_handle),
      cmocka_unit_test(test_mailbox_of_a_worker_is_heard_while_it_sleeps),
  };
  return unit_main(tests);
}
