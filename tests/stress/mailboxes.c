/*
** Several producers, tasks and threads, write to several mailboxes: every letter arrives once or is
** counted as dropped, each producer's in order.
*/
#include "stress.h"

#include <pthread.h>

#define BOXES 3
#define PRODUCERS 4

typedef struct letter {
  uint32_t producer, number;
} letter;

typedef struct box {
  stress *st;
  mp_mailbox *mailbox;
  uint32_t last[PRODUCERS + 1]; /* the latest number of each producer; 0: none yet */
  size_t received;
} box;

typedef struct producer {
  stress *st;
  box *boxes;
  uint32_t index;
  size_t n;
  _Atomic size_t sent, refused;
} producer;

static void receive(void *ud, const void *data, size_t size) {
  box *b = ud;
  const letter *l = data;
  CHECK(b->st, size == sizeof *l);
  CHECK(b->st, l->number > b->last[l->producer]);
  b->last[l->producer] = l->number;
  b->received++;
}

static void produce(producer *p) {
  uint64_t random = p->st->seed + p->index;
  for (size_t i = 1; i <= p->n; i++) {
    box *b = &p->boxes[random_below(&random, BOXES)];
    letter l = {p->index, (uint32_t)i};
    mp_status status = mp_mailbox_send(b->mailbox, receive, b, &l, sizeof l);
    CHECK(p->st, status == MP_OK || status == MP_FULL);
    mp_add_relaxed(status == MP_OK ? &p->sent : &p->refused, 1);
  }
}

static void *producer_main(void *arg) {
  produce(arg);
  return NULL;
}

static mp_status producer_run(mp_worker *worker, void *arg) {
  (void)worker;
  produce(arg);
  return MP_OK;
}

/* Waits for letters in the first mailbox or the end of the task, and empties all. */
static void consume(stress *st, mp_pool *pool, box *boxes, mp_task *task, uint64_t *random) {
  size_t index;
  do {
    CHECK(st, mp_wait_any(pool, &task, 1, boxes[0].mailbox, MP_FOREVER, &index) == MP_OK);
    for (int b = 0; b < BOXES; b++)
      mp_mailbox_poll(boxes[b].mailbox, MP_FOREVER, random_below(random, 100), NULL);
  } while (index == 1 || !mp_state_is_terminal(mp_task_state(task)));
}

int main(int argc, char **argv) {
  stress st;
  stress_begin(&st, argc, argv);
  uint64_t random = st.seed;
  mp_pool_config config = stress_config(&st);
  config.mailbox_max = 1000;
  mp_pool *pool = stress_pool(&st, &config);
  box boxes[BOXES];
  producer producers[PRODUCERS];
  pthread_t threads[PRODUCERS];
  mp_task *task;
  mp_task_desc desc = MP_TASK_DESC_INIT;
  for (int b = 0; b < BOXES; b++) {
    boxes[b] = (box){.st = &st};
    CHECK(&st, mp_mailbox_create(pool, &boxes[b].mailbox) == MP_OK);
  }
  for (uint32_t p = 0; p < PRODUCERS; p++) {
    producers[p] = (producer){.st = &st, .boxes = boxes, .index = p, .n = 100000 * st.scale};
    if (p > 0) CHECK(&st, pthread_create(&threads[p], NULL, producer_main, &producers[p]) == 0);
  }
  desc.run = producer_run;
  desc.arg = &producers[0];
  CHECK(&st, mp_submit(pool, &desc, &task) == MP_OK);
  consume(&st, pool, boxes, task, &random);
  for (int p = 1; p < PRODUCERS; p++) pthread_join(threads[p], NULL);
  size_t received = 0, sent = 0, refused = 0;
  for (int b = 0; b < BOXES; b++) {
    mp_mailbox_poll(boxes[b].mailbox, MP_FOREVER, 0, NULL);
    received += boxes[b].received;
    mp_mailbox_close(boxes[b].mailbox);
  }
  for (int p = 0; p < PRODUCERS; p++) {
    sent += producers[p].sent;
    refused += producers[p].refused;
  }
  CHECK(&st, received == sent);
  CHECK(&st, refused == stress_settle(&st, pool).messages_dropped);
  mp_task_release(task);
  stress_pool_end(&st, pool);
  return stress_end(&st, "%zu letters, %zu refused", received, refused);
}
