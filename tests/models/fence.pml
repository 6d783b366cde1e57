/*
** Rare fences (parts.h): a worker stores and then loads, the other side stores, has all threads fence, and then loads; on processors that keep
** stores to themselves for a while. Mirrors mp_pool_store_first, mp_pool_fence, and those who rely on them: start, call_body, execute (run.c),
** enter (submit.c), mp_frame_push, mp_frame_pop (stop.h), watch_locked, frame_of, unwatch, mp_await_watcher, tick, end_one (stop.c), close_to
** (pool.c).
**
** A store goes into its thread's buffer, first in, first out, and from there to memory at any later moment; loads look into the own buffer first
** (x86-TSO: Sewell, Sarkar, Owens, Nardelli, Myreen, CACM 2010). membarrier(2) empties the buffer of every thread.
**
** Holds: when somebody who found a frame uses it, it is still there; a body does not begin after a shutdown has asked what runs to stop
** and found nothing; a submission that a shutdown has not counted sees the shutdown.
**
** With GIVES_UP the word is given_up, and the frame that of a body that is called again (end_all, mp_resume_entry): only the look fences.
**
** check: safety
** check: safety -DGIVES_UP : BUG_LOOKS_BEFORE_FENCE
*/
#define NOWHERE 0
#define HERE 1
#define GONE 2

/* Memory: the variables the two sides exchange, by number. */
#define FRAME 0
#define WATCHED 1
#define CLOSING 2
#define SUBMITTED 3
byte memory[4];
byte count;              /* stores of the worker on their way to memory */
byte value[2], where[2]; /* which, the oldest first */
bool lock;
byte task = NOWHERE;  /* the task and the frame, which are on the worker's stack */
bool begun, looked, entered, refused, counted;

/* The worker's store, which memory sees later; and its load, which finds its own stores first. */
inline store(variable, v) {
  atomic {
    count < 2;
    where[count] = variable;
    value[count] = v;
    count++
  }
}
inline load(variable, into) {
  atomic {
    if
    :: count == 2 && where[1] == variable -> into = value[1]
    :: !(count == 2 && where[1] == variable) && count >= 1 && where[0] == variable -> into = value[0]
    :: else -> into = memory[variable]
    fi
  }
}

inline drain_one() {
  d_step {
    memory[where[0]] = value[0];
    where[0] = where[1];
    value[0] = value[1];
    count--;
    where[count] = 0;
    value[count] = 0
  }
}

/* The processor: any store, at any moment, the oldest first. */
active proctype Buffer() {
end:
  do
  :: atomic { count > 0 -> drain_one() }
  od
}

/* mp_os_fence_all */
inline fence_all() {
#ifndef BUG_NO_FENCE
  atomic {
    do
    :: count > 0 -> drain_one()
    :: else -> break
    od
  }
#else
  skip
#endif
}

active proctype Worker() {
  byte got;
  /* enter */
#ifdef BUG_ENTER_LOOKS_FIRST
  load(CLOSING, got);
  store(SUBMITTED, 1);
#else
  store(SUBMITTED, 1);
  load(CLOSING, got);
#endif
  if
  :: got -> refused = true
  :: else -> entered = true
  fi;
  /* start, for a task that it has to itself: mp_frame_push */
  task = HERE;
  store(FRAME, 1);
  load(CLOSING, got);
  if
  :: got
  :: else -> assert(!looked); begun = true /* call_body */
  fi;
  got = 0;
  store(FRAME, 0); /* mp_frame_pop */
#ifndef BUG_LETS_GO_WHILE_WATCHED
  load(WATCHED, got);
  if
  :: got -> !lock /* mp_await_watcher: running_lock, taken and given back */
  :: else
  fi;
#endif
  task = GONE
}

/* tick, end_one */
inline look() {
  atomic { !lock -> lock = true };
  found = 1;
#ifdef BUG_LOOKS_BEFORE_FENCE
  found = memory[FRAME];
#endif
  if
  :: found ->
#ifdef BUG_FENCES_FIRST
    fence_all();
    memory[WATCHED] = 1;
#else
    memory[WATCHED] = 1;
    fence_all();
#endif
    found = memory[FRAME];
    if
    :: found -> assert(task == HERE); assert(task == HERE) /* twice: it uses it for a while */
    :: else
    fi;
    memory[WATCHED] = 0
  :: else
  fi;
  lock = false
}

/* A look at any time, as after a cancel; then a shutdown that asks what runs to stop. The stores of this side are locked instructions. */
active proctype Other() {
  bit found;
  look();
  memory[CLOSING] = 1;
#ifndef GIVES_UP
  fence_all();
  counted = memory[SUBMITTED];
  assert(counted || !entered);
#endif
  look();
  if
  :: !found && !begun -> looked = true
  :: else
  fi
}
