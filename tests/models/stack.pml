/*
** What runs on top of a waiter: tasks that wait for one another, pieces that are forked and joined, on threads with real stacks, with
** seats that are given away and taken back, an owner that works, two pools.
** Mirrors mp_wait_until, wait_through, set_rule, run_awaited, find_entry, closes_a_circle, give_seat, give_outer_seats, sleep_idle,
** sleep_unseated (wait.c), mp_seats_give, pass_on_locked, mp_seats_take_back, mp_seats_become_spare (seats.c), mp_pick, mp_pick_piece,
** dig_out, mp_pick_give_up_deque, mp_pick_has_work (pick.c), mp_fork, mp_join, mp_visit (jobs.c), loop, park (scheduler.c).
**
** Holds: whatever waits for what, unless in a circle, all ends; a wait is refused where everything waits in a circle, and only there; as many
** threads have a seat as count as running, and no more than there are workers, but for those that came back from a wait.
**
** How a sleeper is found and woken is simpler here than in park.c and waitlist.c, which have models of their own: work wakes any one of the
** sleepers, who passes that on if there is more; an end wakes all who have said that they wait for it. What an idle worker or a waiter
** picks among several possible entries is left open. An awaited task that runs in place leaves its deque at once, not when it is found there.
**
** check: safety
**
** What is run, each for itself (chosen at the beginning; A to F are tasks or pieces):
**   late      A waits for B, which follows C, which is submitted while A sleeps in its seat
**   pools     A of pool P waits for B of Q, that for C of P, that for D of Q; one worker each
**   loop      the owner runs a piece A of its own, which joins B, which waits for D; C waits for D too
**   inside    A of P owns Q, and waits for B of Q, while C of Q waits for A
**   between   A of P owns Q, and waits for B of Q, which waits for C of P, which has one worker
**   alone     A joins a piece that lies in the inbox, and there is no other thread
**   deep      A joins a piece that lies below a task in its deque, and there is no stack left for it
**   circle    A waits for B, which waits for A
**   owner     the owner waits for A and for C; A joins B, which waits for D; C waits for E, and that for A
**   child     A waits for C, which waits for D, while its child B waits for E, and that for A
**   join      A joins B, which joins D, which waits for C, while E waits for F, and that for A; in any order
*/

/* A program is a list of steps, each one byte: what, and with which entry. */
#define END 0
#define FORK 16
#define FORK_FAR 32 /* the deque is full: the piece lies in the inbox */
#define JOIN_ 48
#define SUBMIT 64
#define WAIT 80
#define VISIT 96 /* the entry is a piece outside of any task, and runs on top */
#define STEPS 5

#define P 0
#define Q 1
#define NOWHERE 2 /* no pool */
#define NONE 15   /* no entry, no thread */

#define NEW 0
#define WAITING 1 /* for the entry it follows */
#define QUEUED 2
#define RUNNING 3
#define OVER 4

#define THREADS 5
#define ENTRIES 6
#define FRAMES 5 /* on a stack at most, with plain calls */
#define ROOM 3   /* entries in a deque */

/* Constant: set once, so it needs no place in the states. */
hidden byte program[ENTRIES * STEPS];
hidden byte pool_of[ENTRIES];   /* NOWHERE: the owner's main program */
hidden byte forker[ENTRIES];    /* of a piece: the task it is of; else the entry itself */
hidden byte is_piece[ENTRIES];
hidden byte follows[ENTRIES];   /* the dependency, or NONE */
hidden byte home[THREADS];      /* the pool whose worker it is, or NOWHERE */
hidden byte owns[THREADS];      /* the pool whose owner it is, or NOWHERE */
hidden byte workers[2];
hidden byte a_circle;
hidden byte reserve;            /* frames on a stack, and then nothing runs on top any more */

/* entries */
byte state[ENTRIES], at[ENTRIES];
/* queues */
chan inbox[2] = [ENTRIES] of { byte };
byte deque[THREADS * ROOM], held[THREADS];
/* threads */
byte stack[THREADS * FRAMES], depth[THREADS];
bool seat[THREADS];   /* it may run entries */
bool gave[THREADS];   /* it waits, and has given its seat away */
bool back[THREADS];   /* it came back from that, and has not returned from its entry since */
byte idle[THREADS];   /* it sleeps where work of a pool wakes it: that pool + 1 */
byte awaits[THREADS]; /* it sleeps, or is about to, until this entry is over: entry + 1 */
bool token[THREADS];
byte running[2];
bool refused;
hidden byte i, j, k;

#define top(t) stack[(t) * FRAMES + depth[t] - 1]
#define newest(t) deque[(t) * ROOM + held[t] - 1]
#define oldest(t) deque[(t) * ROOM]
#define step_of(e) program[(e) * STEPS + at[e]]
/* the deque of a thread belongs to the pool whose worker it is, else to the one it owns */
#define deque_pool(t) (home[t] != NOWHERE -> home[t] : owns[t])
#define in_deque(t, p) (held[t] > 0 && deque_pool(t) == (p))
#define any_deque(p) (in_deque(0, p) || in_deque(1, p) || in_deque(2, p) || in_deque(3, p) || in_deque(4, p))
#define has_work(p) (len(inbox[p]) > 0 || any_deque(p))
#define offers(t, p, g) (in_deque(t, p) && is_piece[oldest(t)] && forker[oldest(t)] == (g))
#define any_offers(p, g) (offers(0, p, g) || offers(1, p, g) || offers(2, p, g) || offers(3, p, g) || offers(4, p, g))
#define is_spare(t, p) (home[t] == (p) && !seat[t] && !gave[t] && depth[t] == 0)
#define extra(t) (back[t] && seat[t])

/* One of the threads for which `c` is true, or NONE. */
#define one_of(c, v) \
  if \
  :: c(0) -> v = 0 :: c(1) -> v = 1 :: c(2) -> v = 2 :: c(3) -> v = 3 :: c(4) -> v = 4 \
  :: else -> v = NONE \
  fi

/* As many threads have a seat as are counted, and no more than that are allowed to. */
inline check_seats(p) {
  d_step {
    i = 0; j = 0; k = 0;
    do
    :: i < THREADS -> j = j + (home[i] == p && seat[i]); k = k + (home[i] == p && extra(i)); i++
    :: else -> break
    od;
    assert(j == running[p] && j <= workers[p] + k);
    i = 0; j = 0; k = 0
  }
}

#define sleeps_in_p(t) (idle[t] == P + 1)
#define sleeps_in_q(t) (idle[t] == Q + 1)
/* mp_park_notify */
inline notify(p) {
  if :: (p) == P -> one_of(sleeps_in_p, v) :: else -> one_of(sleeps_in_q, v) fi;
  if :: v != NONE -> idle[v] = 0; token[v] = true :: else fi;
  v = 0
}

inline push_own(e) { assert(held[me] < ROOM); deque[me * ROOM + held[me]] = e; held[me]++ }
inline pop_own(into) { held[me]--; into = deque[me * ROOM + held[me]]; deque[me * ROOM + held[me]] = 0 }
/* the entry at place `n` of a deque, out of it */
inline take_at(t, n, into) {
  into = deque[(t) * ROOM + n];
  i = n;
  do
  :: i + 1 < held[t] -> deque[(t) * ROOM + i] = deque[(t) * ROOM + i + 1]; i++
  :: else -> break
  od;
  held[t]--;
  deque[(t) * ROOM + held[t]] = 0;
  i = 0
}

/* mp_queue_task: by a worker of that pool into its deque, else into the inbox */
inline queue(e) {
  state[e] = QUEUED;
  if
  :: slot == pool_of[e] && deque_pool(me) == slot -> push_own(e)
  :: else -> inbox[pool_of[e]]!e
  fi;
  notify(pool_of[e])
}

#define could_steal(t) (t != me && in_deque(t, p))
/* mp_pick, and the picks out of turn: anything that is queued. */
inline pick(p, into) {
  if
  :: in_deque(me, p) -> pop_own(into)
  :: in_deque(me, p) && held[me] > 1 -> take_at(me, 0, into)
  :: len(inbox[p]) > 0 -> inbox[p]?into
  :: could_steal(0) -> take_at(0, 0, into)
  :: could_steal(1) -> take_at(1, 0, into)
  :: could_steal(2) -> take_at(2, 0, into)
  :: could_steal(3) -> take_at(3, 0, into)
  :: could_steal(4) -> take_at(4, 0, into)
  :: else -> into = NONE
  fi
}

#define could_offer(t) (t != me && offers(t, p, group))
/* mp_pick_piece */
inline pick_piece(p, into) {
  into = NONE;
  if
  :: in_deque(me, p) ->
    d_step { /* the newest of its own, with dig: wherever it lies; k is its place + 1 */
      k = held[me];
      do
      :: k > 0 && !(is_piece[deque[me * ROOM + k - 1]] && forker[deque[me * ROOM + k - 1]] == group) -> k--
      :: else -> break
      od;
      dug = (k > 0 && k < held[me]);
      if
      :: k == held[me] || (k > 0 && (dig || offers(me, p, group))) ->
        do
        :: held[me] > k -> pop_own(into); inbox[p]!into
        :: else -> break
        od;
        pop_own(into)
      :: else -> dug = false
      fi;
      k = 0
    };
    if :: dug -> dug = false; notify(p) :: else fi
  :: else
  fi;
  if
  :: into == NONE ->
    one_of(could_offer, v);
    if :: v != NONE -> take_at(v, 0, into) :: else fi;
    v = 0
  :: else
  fi
}

inline run_on_top(e) {
  assert(state[e] != RUNNING && state[e] != OVER && depth[me] < FRAMES);
  state[e] = RUNNING;
  stack[me * FRAMES + depth[me]] = e;
  depth[me]++;
  first = true
}

/* It is over: those that wait for it are told, what follows it is queued. */
inline finish(e) {
  state[e] = OVER;
  d_step {
    i = 0;
    do
#ifdef BUG_GIVEN_NOT_WOKEN
    :: i < THREADS -> token[i] = token[i] || (awaits[i] == e + 1 && !gave[i]); i++
#else
    :: i < THREADS -> token[i] = token[i] || awaits[i] == e + 1; i++
#endif
    :: else -> break
    od;
    i = 0
  };
  d_step {
    i = 0;
    do :: i < ENTRIES && !(follows[i] == e && state[i] == WAITING) -> i++ :: else -> break od;
    x = i;
    i = 0
  };
  if :: x < ENTRIES -> queue(x) :: else fi
}

#define spare_here(t) is_spare(t, home[me])
/* mp_seats_give: `lonely` when nobody could be had and nobody runs. */
inline seats_give() {
  seat[me] = false;
  back[me] = false;
  gave[me] = true;
  running[home[me]]--;
  lonely = false;
  if
  :: running[home[me]] >= workers[home[me]]
  :: else ->
    one_of(spare_here, v);
    if
    :: v != NONE -> seat[v] = true; running[home[me]]++
    :: else -> lonely = (running[home[me]] == 0)
    fi;
    v = 0
  fi;
  check_seats(home[me])
}

inline seats_take_back() {
  gave[me] = false;
  seat[me] = true;
  back[me] = true;
#ifndef BUG_SEAT_NOT_TAKEN_BACK
  running[home[me]]++;
#endif
  check_seats(home[me])
}

/* closes_a_circle: does it lie below? */
#define below(n) (depth[me] > n && forker[stack[me * FRAMES + n]] == x && pool_of[stack[me * FRAMES + n]] == pool_of[x])
#ifdef BUG_CIRCLE_NOT_REFUSED
#define closes_a_circle() (false)
#else
#define closes_a_circle() (below(0) || below(1) || below(2) || below(3) || below(4))
#endif

/* What the wait of the top frame is for, and under which rule. `self`: it waits as a worker, or as the owner, of that pool. */
#define as_worker (slot == pool_of[x] && home[me] == slot)
#define as_owner (pool_of[x] == owns[me])
#define self (as_worker || as_owner)
#ifdef BUG_OWNER_INSIDE_RUNS_ANYTHING
#define outside (true)
#elif defined(BUG_OWNER_IN_ANOTHER_POOL_RUNS_ANYTHING)
#define outside (slot != owns[me])
#else
#define outside (slot == NOWHERE)
#endif
#define others (as_owner && outside && step == WAIT)
#define seated (as_worker && seat[me])
#define runs (as_owner || (as_worker && !gave[me]))
#define is_queued (any_offers(pool_of[x], group) || (others && has_work(pool_of[x])))
#define may_run (runs && depth[me] < reserve)
#define has_something (may_run && is_queued)

/* run_awaited, find_entry: what runs here goes to `found`. */
inline find() {
  found = NONE;
  if
  :: step == WAIT && state[x] == QUEUED -> /* it leaves its queue, wherever that is */
    found = x;
    d_step {
      if :: inbox[pool_of[x]]??[eval(x)] -> inbox[pool_of[x]]??eval(x) :: else fi;
      j = 0;
      do
      :: j < THREADS ->
        k = 0;
        do
        :: k < held[j] && deque[j * ROOM + k] != x -> k++
        :: else -> break
        od;
        if :: k < held[j] -> take_at(j, k, found) :: else fi;
        j++
      :: else -> break
      od;
      j = 0; k = 0; found = x
    }
  :: else ->
    if :: others -> pick(pool_of[x], found) :: else fi;
#ifdef BUG_JOIN_HELPS_ANYBODY
    if :: found == NONE && step == JOIN_ -> pick(pool_of[x], found) :: else fi;
#endif
#ifdef BUG_WAIT_HELPS_CHILDREN
    if :: found == NONE && in_deque(me, pool_of[x]) -> pop_own(found) :: else fi;
#endif
    if :: found == NONE -> pick_piece(pool_of[x], found) :: else fi
  fi
}

inline forget() { e = 0; x = 0; step = 0; slot = 0; group = 0; found = 0 }

/* A thread, and what it is inside of: each turn of the loop does one step of the topmost frame. A spare blocks right here. */
proctype Thread(byte me) {
  byte e, x, step, slot, group, found, v;
  bool first, dig, dug, lonely;
end_without_seat:
  do
  :: atomic {
      depth[me] == 0 && seat[me] && running[home[me]] > workers[home[me]] -> /* mp_seats_become_spare */
      do
      :: held[me] > 0 -> pop_own(x); inbox[home[me]]!x
      :: else -> break
      od;
      seat[me] = false;
      back[me] = false;
      running[home[me]]--;
      check_seats(home[me]);
      if :: has_work(home[me]) -> notify(home[me]) :: else fi;
      x = 0
    }
  :: atomic {
      depth[me] == 0 && seat[me] && running[home[me]] <= workers[home[me]] -> /* loop */
      back[me] = false;
      pick(home[me], found);
      if
      :: found != NONE -> run_on_top(found); found = 0; goto next
      :: else -> found = 0
      fi
    };
    atomic { token[me] = false; idle[me] = home[me] + 1 }; /* park */
    atomic { if :: has_work(home[me]) -> idle[me] = 0; token[me] = true :: else fi };
end_idle:
    atomic {
      token[me] ->
      token[me] = false;
      idle[me] = 0;
      if :: has_work(home[me]) -> notify(home[me]) :: else fi
    }
  :: atomic {
      depth[me] > 0 ->
      e = top(me);
      step = step_of(e) & 240;
      x = step_of(e) & 15;
      slot = pool_of[e];
      group = (step == JOIN_ -> forker[e] : x);
      if
      :: step == END ->
        depth[me]--;
        stack[me * FRAMES + depth[me]] = 0;
        first = false;
        finish(e);
        forget();
        if :: depth[me] == 0 && home[me] == NOWHERE -> break :: else -> goto next fi
      :: step == FORK -> push_own(x); state[x] = QUEUED; at[e]++; notify(slot); forget(); goto next
      :: step == FORK_FAR -> inbox[slot]!x; state[x] = QUEUED; at[e]++; notify(slot); forget(); goto next
      :: step == SUBMIT ->
        at[e]++;
        first = true;
        if
        :: follows[x] != NONE && state[follows[x]] != OVER -> state[x] = WAITING
        :: else -> queue(x)
        fi;
        forget();
        goto next
      :: step == VISIT -> at[e]++; run_on_top(x); forget(); goto next
      :: step == JOIN_ && held[me] > 0 && newest(me) == x -> /* nobody stole it: a plain call */
        pop_own(x);
        run_on_top(x);
        forget();
        goto next
      :: else
      fi;
      /* wait_through, once round: for the task or the piece x */
      if
      :: state[x] == OVER ->
        if :: gave[me] -> seats_take_back() :: else fi;
        at[e]++;
        first = true;
        forget();
        goto next
      :: state[x] != OVER && step == WAIT && closes_a_circle() ->
        assert(a_circle);
        refused = true;
        at[e]++;
        first = true;
        forget();
        goto next
      :: else
      fi;
      dig = (first && step == JOIN_);
      first = false;
      if
      :: may_run ->
        find();
        dig = false;
        if :: found != NONE -> run_on_top(found); forget(); goto next :: else -> found = 0 fi
      :: else -> dig = false
      fi;
#ifdef BUG_SPINS_WITHOUT_STACK
      if :: runs && is_queued -> (state[x] == OVER || !is_queued) :: else fi; /* for ever, if nobody takes it */
#endif
#ifndef BUG_SEAT_KEPT
      if
      :: seated && has_work(pool_of[x]) -> /* give_seat */
        seats_give();
        if
        :: lonely ->
          lonely = false;
#ifndef BUG_NOBODY_RUNS
          seats_take_back();
          if :: depth[me] < reserve -> pick(pool_of[x], found); run_on_top(found) :: else fi
#endif
        :: else
        fi;
        forget();
        goto next
      :: else
      fi
#endif
    };
    if
    :: atomic { runs -> /* sleep_idle */
        token[me] = false;
        awaits[me] = x + 1;
        idle[me] = pool_of[x] + 1;
#ifndef BUG_OWNER_KEEPS_OUTER_SEAT
        if :: as_owner && home[me] != NOWHERE -> seats_give() :: else fi
#endif
      };
      atomic {
        if
        :: state[x] == OVER -> token[me] = true
#if !defined(BUG_NO_LOOK_BEFORE_SLEEP) && !defined(BUG_SEAT_KEPT)
        :: state[x] != OVER && ((seated && has_work(pool_of[x])) || has_something) -> token[me] = true
#endif
        :: else
        fi
      };
end_waits:
      atomic {
        token[me] ->
        token[me] = false;
        idle[me] = 0;
        awaits[me] = 0;
        if :: as_owner && gave[me] -> seats_take_back() :: else fi;
        if :: has_work(pool_of[x]) -> notify(pool_of[x]) :: else fi;
        forget()
      }
    :: atomic { !runs -> /* sleep_unseated */
        token[me] = false;
        awaits[me] = x + 1;
#ifndef BUG_OUTER_SEAT_KEPT
        if :: !self && home[me] != NOWHERE -> seats_give() :: else fi
#endif
      };
      atomic { if :: state[x] == OVER -> token[me] = true :: else fi };
end_waits_unseated:
      atomic {
        token[me] ->
        token[me] = false;
        awaits[me] = 0;
#ifndef BUG_OUTER_SEAT_KEPT
        if :: !self && home[me] != NOWHERE -> seats_take_back() :: else fi;
#endif
        forget()
      }
    fi;
next:
    skip
  od
}

#define put(e, n, what, which) program[(e) * STEPS + n] = what + which
#define piece_of(e, task) is_piece[e] = true; forker[e] = task
#define submit(e) atomic { state[e] = QUEUED; inbox[pool_of[e]]!e; notify(pool_of[e]) }

#define A 0
#define B 1
#define C 2
#define D 3
#define E 4
#define F 5
#define MAIN 5 /* what the owner's thread is inside of, outside of any task */

byte scene = NONE; /* one of these */
#define LATE 0
#define POOLS 1
#define LOOP 2
#define INSIDE 3
#define BETWEEN 4
#define ALONE 5
#define DEEP 6
#define CIRCLE 7
#define OWNER 8
#define CHILD 9
#define JOIN 10

/* Threads that are no workers of P from the beginning: none, or the owner. */
inline no_thread(t) { home[t] = NOWHERE }
inline owner_of_p(t) { home[t] = NOWHERE; owns[t] = P; pool_of[MAIN] = NOWHERE }
inline worker_of_q(t) { home[t] = Q }

inline set_scene() {
  n = 0;
  do
  :: n < ENTRIES * STEPS -> program[n] = END; n++
  :: else -> break
  od;
  n = 0;
  do
  :: n < ENTRIES -> forker[n] = n; is_piece[n] = false; follows[n] = NONE; pool_of[n] = P; n++
  :: else -> break
  od;
  n = 0;
  do
  :: n < THREADS -> home[n] = P; owns[n] = NOWHERE; n++
  :: else -> break
  od;
  workers[P] = 1;
  workers[Q] = 1;
  reserve = 3;
  a_circle = false;
  if
  :: scene == LATE ->
    no_thread(2); no_thread(3); no_thread(4);
    put(A, 0, SUBMIT, B); put(A, 1, WAIT, B);
    follows[B] = C
  :: scene == POOLS ->
    worker_of_q(2); worker_of_q(3); no_thread(4);
    pool_of[B] = Q; pool_of[D] = Q;
    put(A, 0, WAIT, B); put(B, 0, WAIT, C); put(C, 0, WAIT, D)
  :: scene == LOOP ->
    no_thread(3); owner_of_p(4);
    put(MAIN, 0, SUBMIT, C); put(MAIN, 1, VISIT, A); put(MAIN, 2, WAIT, C);
    is_piece[A] = true; put(A, 0, FORK, B); put(A, 1, JOIN_, B);
    piece_of(B, A); put(B, 0, WAIT, D);
    put(C, 0, WAIT, D)
  :: scene == INSIDE ->
    no_thread(1); no_thread(2); worker_of_q(3); worker_of_q(4); owns[0] = Q;
    pool_of[B] = Q; pool_of[C] = Q;
    put(A, 0, SUBMIT, B); put(A, 1, SUBMIT, C); put(A, 2, WAIT, B);
    put(C, 0, WAIT, A)
  :: scene == BETWEEN ->
    no_thread(2); worker_of_q(3); worker_of_q(4); owns[0] = Q;
    pool_of[B] = Q;
    put(A, 0, SUBMIT, C); put(A, 1, SUBMIT, B); put(A, 2, WAIT, B);
    put(B, 0, WAIT, C)
  :: scene == ALONE ->
    no_thread(1); no_thread(2); no_thread(3); no_thread(4);
    put(A, 0, FORK_FAR, B); put(A, 1, SUBMIT, C); put(A, 2, JOIN_, B);
    piece_of(B, A)
  :: scene == DEEP ->
    no_thread(2); no_thread(3); no_thread(4);
    reserve = 1;
    put(A, 0, FORK, B); put(A, 1, SUBMIT, C); put(A, 2, JOIN_, B);
    piece_of(B, A)
  :: scene == CIRCLE ->
    no_thread(2); no_thread(3); no_thread(4);
    a_circle = true;
    put(A, 0, SUBMIT, B); put(A, 1, WAIT, B);
    put(B, 0, WAIT, A)
  :: scene == OWNER ->
    no_thread(3); owner_of_p(4);
    put(MAIN, 0, SUBMIT, A); put(MAIN, 1, SUBMIT, C); put(MAIN, 2, WAIT, C); put(MAIN, 3, WAIT, A);
    put(A, 0, FORK, B); put(A, 1, JOIN_, B);
    piece_of(B, A); put(B, 0, WAIT, D);
    put(C, 0, WAIT, E); put(E, 0, WAIT, A)
  :: scene == CHILD ->
    workers[P] = 2; no_thread(4);
    put(A, 0, SUBMIT, C); put(A, 1, SUBMIT, B); put(A, 2, WAIT, C);
    put(C, 0, SUBMIT, D); put(C, 1, WAIT, D);
    put(B, 0, WAIT, E); put(E, 0, WAIT, A)
  :: scene == JOIN ->
    workers[P] = 2; no_thread(4);
    put(A, 0, FORK, B); put(A, 1, SUBMIT, C); put(A, 2, JOIN_, B);
    piece_of(B, A); put(B, 0, FORK, D); put(B, 1, JOIN_, D);
    piece_of(D, A); put(D, 0, WAIT, C);
    put(E, 0, WAIT, F); put(F, 0, WAIT, A)
  fi;
  /* those who begin with a seat */
  n = 0;
  do
  :: n < THREADS && home[n] != NOWHERE && running[home[n]] < workers[home[n]] -> seat[n] = true; running[home[n]]++; n++
  :: n < THREADS && !(home[n] != NOWHERE && running[home[n]] < workers[home[n]]) -> n++
  :: else -> break
  od;
  n = 0
}

init {
  byte n, v;
  if
  :: scene = LATE :: scene = POOLS :: scene = LOOP :: scene = INSIDE :: scene = BETWEEN :: scene = ALONE :: scene = DEEP
  :: scene = CIRCLE :: scene = OWNER :: scene = CHILD :: scene = JOIN
  fi;
  d_step { set_scene() };
  atomic {
    do
    :: n < THREADS ->
      if
      :: home[n] == NOWHERE && owns[n] != NOWHERE -> stack[n * FRAMES] = MAIN; depth[n] = 1; state[MAIN] = RUNNING
      :: else
      fi;
      if :: home[n] != NOWHERE || owns[n] != NOWHERE -> run Thread(n) :: else fi;
      n++
    :: else -> break
    od;
    n = 0
  };
  /* what comes from outside, in this order, at any time */
  if
  :: scene == LATE -> submit(A); submit(C)
  :: scene == POOLS -> submit(A); submit(B); submit(C); submit(D)
  :: scene == LOOP -> submit(D)
  :: scene == OWNER -> submit(E); submit(D)
  :: scene == CHILD -> submit(A); submit(E)
  :: scene == CHILD -> submit(E); submit(A)
  :: scene == JOIN -> submit(A); submit(E); submit(F)
  :: scene == JOIN -> submit(E); submit(A); submit(F)
  :: scene == JOIN -> submit(F); submit(E); submit(A)
  :: else -> submit(A)
  fi;
  timeout -> /* nobody can go on */
  do
  :: n < ENTRIES -> assert(state[n] == OVER || state[n] == NEW); n++
  :: else -> break
  od;
  assert(state[A] == OVER && refused == a_circle)
}
