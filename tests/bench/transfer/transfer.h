/*
** transfer.h - what the programs share that encode Lua values in one state and decode them in
** another.
**
** A program defines transfer_encode and transfer_decode, calls transfer_open once with both states
** ready, and lists TRANSFER_CASES. Time is the thread's CPU time; what comes out is compared with
** what went in.
*/
#ifndef TRANSFER_H
#define TRANSFER_H

#include <lauxlib.h>
#include <lualib.h>

#include "bench.h"

static lua_State *sender, *receiver;

/* the value at index 1, into memory of the program's own */
static void transfer_encode(lua_State *L);
static void transfer_decode(lua_State *L); /* pushes what was encoded last */

static const char transfer_make_floats[] =
    "local t = {} for i = 1, 1000 do t[i] = i * 1.5 + 0.25 end return t";
static const char transfer_make_records[] =
    "local t = {} for i = 1, 200 do t[i] = {id = i, name = 'user_' .. i, score = i * 1.25, active "
    "= i % 2 == 0, "
    "tags = {'red', 'green', 'blue'}, pos = {x = i + 0.5, y = i * 2.5, z = i * 3.5}} end return t";
static const char transfer_make_small[] = "return {42, 'hello', {x = 1, y = 2}}";

static const char transfer_compare[] =
    "local function same(a, b)\n"
    "  if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end\n"
    "  for k, v in pairs(a) do if not same(v, b[k]) then return false end end\n"
    "  for k in pairs(b) do if a[k] == nil then return false end end\n"
    "  return true\n"
    "end\n"
    "return same(...)";

static void transfer_run(lua_State *L, const char *source, int arguments) {
  if (luaL_loadstring(L, source) != LUA_OK) exit(1);
  lua_insert(L, -arguments - 1);
  if (lua_pcall(L, arguments, 1, 0) == LUA_OK) return;
  fprintf(stderr, "%s\n", lua_tostring(L, -1));
  exit(1);
}

static void transfer_once(void) {
  transfer_encode(sender);
  lua_settop(sender, 1);
  transfer_decode(receiver);
}

static void transfer_check(const char *source) {
  transfer_once();
  transfer_run(receiver, source, 0);
  transfer_run(receiver, transfer_compare, 2);
  if (!lua_toboolean(receiver, -1)) {
    fprintf(stderr, "what was decoded differs\n");
    exit(1);
  }
}

static void transfer_measure(const char *name, const char *source, long n) {
  double ns[9];
  transfer_run(sender, source, 0);
  transfer_check(source);
  for (int batch = 0; batch < 9; batch++) {
    uint64_t began = bench_clock(CLOCK_THREAD_CPUTIME_ID);
    for (long i = 0; i < n; i++) {
      lua_settop(receiver, 0);
      transfer_once();
    }
    ns[batch] = (double)(bench_clock(CLOCK_THREAD_CPUTIME_ID) - began) / (double)n;
  }
  qsort(ns, 9, sizeof *ns, bench_compare);
  bench_report(name, ns[4], "ns");
}

static void transfer_floats(void) {
  transfer_measure("floats", transfer_make_floats, bench_sized(200));
}
static void transfer_records(void) {
  transfer_measure("records", transfer_make_records, bench_sized(50));
}
static void transfer_small(void) {
  transfer_measure("small", transfer_make_small, bench_sized(10000));
}

#define TRANSFER_CASES \
  { \
    {"floats", transfer_floats}, {"records", transfer_records}, { "small", transfer_small } \
  }

static void transfer_open(void) {
  sender = luaL_newstate();
  receiver = luaL_newstate();
  luaL_openlibs(sender);
  luaL_openlibs(receiver);
}

#endif
