#include "watchdog.h"

#include <pthread.h>
#include <unistd.h>

#ifndef HANG_SECONDS
#define HANG_SECONDS 90
#endif
#define THREADS_MAX 4096
#define DEPTH_MAX 64

typedef struct saying {
  const char *_Atomic what;
  _Atomic unsigned unit, detail;
} saying;

/* What one thread is inside of, outermost first. */
typedef struct story {
  _Atomic unsigned depth;
  saying sayings[DEPTH_MAX];
} story;

static struct {
  stress *st;
  _Atomic size_t number; /* of the case, from 1; a thread that knows another takes a new story */
  const char *_Atomic text;
  _Atomic unsigned told; /* stories in use */
  story stories[THREADS_MAX];
} watch;

static _Thread_local struct {
  size_t number;
  story *story;
} mine;

static story *my_story(void) {
  size_t number = mp_load_relaxed(&watch.number);
  if (mine.number != number) {
    unsigned at = mp_add_relaxed(&watch.told, 1);
    mine.number = number;
    mine.story = at < THREADS_MAX ? &watch.stories[at] : NULL;
    if (mine.story != NULL) mp_store_relaxed(&mine.story->depth, 0);
  }
  return mine.story;
}

void watchdog_enter(const char *what, unsigned unit, unsigned detail) {
  story *s = my_story();
  if (s == NULL) return;
  unsigned depth = mp_load_relaxed(&s->depth);
  if (depth < DEPTH_MAX) {
    mp_store_relaxed(&s->sayings[depth].what, what);
    mp_store_relaxed(&s->sayings[depth].unit, unit);
    mp_store_relaxed(&s->sayings[depth].detail, detail);
  }
  mp_store_relaxed(&s->depth, depth + 1);
}

void watchdog_leave(void) {
  story *s = my_story();
  if (s != NULL) mp_store_relaxed(&s->depth, mp_load_relaxed(&s->depth) - 1);
}

void watchdog_case(size_t number, const char *text) {
  mp_store_relaxed(&watch.told, 0);
  mp_store_relaxed(&watch.text, text);
  mp_store_relaxed(&watch.number, number);
  stress_goes_on();
}

static void tell_all(void) {
  unsigned told = mp_load_relaxed(&watch.told);
  fprintf(stderr, "%s hangs: threads %u, scale %zu, seed %llu, case %zu: %s\n", watch.st->name,
          watch.st->threads, watch.st->scale, (unsigned long long)watch.st->seed,
          mp_load_relaxed(&watch.number), mp_load_relaxed(&watch.text));
  for (unsigned i = 0; i < told && i < THREADS_MAX; i++) {
    unsigned depth = mp_load_relaxed(&watch.stories[i].depth);
    if (depth == 0) continue;
    fprintf(stderr, "  thread %u:", i);
    for (unsigned k = 0; k < depth && k < DEPTH_MAX; k++) {
      saying *s = &watch.stories[i].sayings[k];
      fprintf(stderr, " %s(%u,%u)", mp_load_relaxed(&s->what), mp_load_relaxed(&s->unit),
              mp_load_relaxed(&s->detail));
    }
    fprintf(stderr, "\n");
  }
}

static void *watchdog_main(void *arg) {
  size_t seen = 0;
  (void)arg;
  for (unsigned seconds = 0; seconds < HANG_SECONDS; seconds++) {
    sleep(1);
    size_t number = mp_load_relaxed(&watch.number);
    if (number != seen) seconds = 0;
    seen = number;
  }
  tell_all();
  abort();
}

void watchdog_start(stress *s) {
  pthread_t thread;
  watch.st = s;
  CHECK(s, pthread_create(&thread, NULL, watchdog_main, NULL) == 0);
  CHECK(s, pthread_detach(thread) == 0);
}
