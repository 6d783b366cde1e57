#include "support.h"

/*
** {======================================================
** Values come out equal
** =======================================================
*/

LUA_TEST(test_copy_scalars_come_out_equal,
         "for _, v in ipairs{0, -0.0, 1, -1, 127, 128, -128, -129, 32767, 2147483647, 2147483648, "
         "-2147483648, -2147483649,\n"
         "  math.maxinteger, math.mininteger, 1.0, 0.1, math.huge, -math.huge, 2.0^53, '', 'a', "
         "true, false} do\n"
         "  same(copy(v), v)\n"
         "end\n"
         "assert(1 / copy(-0.0) == -math.huge)\n"
         "local nan = copy(0/0); assert(nan ~= nan)\n"
         "assert(select('#', copy()) == 0)\n"
         "assert(select('#', copy(nil, nil)) == 2)\n")

LUA_TEST(test_copy_strings_come_out_equal,
         "for _, n in ipairs{1, 39, 40, 41, 254, 255, 256, 257, 65535, 65536, 1 << 20} do "
         "same(copy(('x'):rep(n)), ('x'):rep(n)) end\n"
         "same(copy('a\\0b\\0'), 'a\\0b\\0')\n"
         "local all = {}; for i = 0, 255 do all[i + 1] = string.char(i) end\n"
         "all = table.concat(all); same(copy(all), all)\n")

LUA_TEST(
    test_copy_tables_come_out_equal,
    "local t = copy{1, 2, 3, x = 'y', [true] = false, [1.5] = 2, [-1] = 0, [10] = {}}\n"
    "assert(#t == 3 and t[3] == 3 and t.x == 'y' and t[true] == false and t[1.5] == 2 and t[-1] == "
    "0 and type(t[10]) == 'table')\n"
    "local holes = copy(table.pack(nil, 1, nil, 3, nil))\n"
    "assert(holes.n == 5 and holes[2] == 1 and holes[4] == 3 and holes[1] == nil)\n"
    "local many = {}; for i = 1, 10000 do many[i] = i; many['k' .. i] = i end\n"
    "local got = copy(many); for i = 1, 10000 do assert(got[i] == i and got['k' .. i] == i) end\n")

LUA_TEST(test_copy_shared_and_cyclic_tables_keep_their_shape,
         "local a = {}; local t = copy{a, a, {a}}\n"
         "assert(t[1] == t[2] and t[3][1] == t[1] and t[1] ~= a)\n"
         "a.self = a; local c = copy(a); assert(c.self == c)\n"
         "local x, y = copy(a, a); assert(x == y)\n"
         "local key = {}; t = copy{[key] = key}; assert(next(t) == t[next(t)])\n"
         /* around the list's end and the hash's growth */
         "for _, n in ipairs{15, 16, 17, 18, 31, 32, 33, 64, 65, 1000} do\n"
         "  local list = {}; for i = 1, n do list[i] = {i} end\n"
         "  for i = 1, n do list[n + i] = list[i] end\n"
         "  local got = copy(list)\n"
         "  for i = 1, n do assert(got[i] == got[n + i] and got[i][1] == i) end\n"
         "  for i = 2, n do assert(got[i] ~= got[1]) end\n"
         "end\n")

LUA_TEST(test_copy_nesting_to_the_limit_passes_and_beyond_is_refused,
         "local function nest(n) local t = {}; for _ = 1, n do t = {t} end return t end\n"
         "local t, depth = copy(nest(200)), 0\n"
         "while t[1] do t = t[1]; depth = depth + 1 end\n"
         "same(depth, 200)\n"
         "raises('is nested deeper than 200 tables', copy, nest(201))\n"
         "raises('is nested deeper than 200 tables', copy, nest(100000))\n"
         "local long = {}; for _ = 1, 250 do long = {[('k'):rep(50)] = long} end\n"
         "raises('args[1].kkkk', copy, long)\n")

LUA_TEST(test_copy_no_metamethod_is_called,
         "local function never() error('called') end\n"
         "local mt = {__index = never, __pairs = never, __len = never, __tostring = never, "
         "__newindex = never, __eq = never, __gc = nil}\n"
         "core.class('shy', mt)\n"
         "local t = copy(setmetatable({1, 2, x = 3}, mt))\n"
         "assert(rawget(t, 1) == 1 and rawget(t, 'x') == 3 and getmetatable(t) == mt)\n"
         "raises('(a table with a metatable) cannot be sent to a worker', copy, setmetatable({}, "
         "{__index = never, __name = 5}))\n")

LUA_TEST(test_copy_packed_objects_are_unpacked,
         "local mt; mt = {__mp_pack = function(o) return {o.x, o.x} end, __mp_unpack = function(v) "
         "return setmetatable({x = v[1]}, mt) end}\n"
         "core.class('point', mt)\n"
         "local p = setmetatable({x = 7, conn = io.stdout}, mt)\n"
         "local a, b = copy(p, p); assert(a == b and a.x == 7 and getmetatable(a) == mt)\n"
         "local list = copy{{1}, p, {2}, p}; assert(list[2] == list[4] and list[1][1] == 1 and "
         "list[3][1] == 2)\n"
         "core.class('loop', {__mp_pack = function(o) return o end, __mp_unpack = function(v) "
         "return v end})\n"
         "local bad = {__mp_pack = function() return io.stdout end}; core.class('bad', bad)\n"
         "raises('args[2]<packed>', copy, 1, setmetatable({}, bad))\n"
         "local angry = {__mp_pack = function() error('no') end}; core.class('angry', angry)\n"
         "raises('no', copy, setmetatable({}, angry))\n"
         "assert(copy(1) == 1)\n"
         "local up = {__mp_pack = function(o) return {o} end}; core.class('up', up)\n"
         "raises('args[1]<packed>[1] (a table)', copy, setmetatable({}, up))\n"
         "local half = {__mp_pack = function() return 1 end}; core.class('half', half)\n"
         "raises('has no __mp_unpack', copy, setmetatable({}, half))\n")

/*
** What __mp_pack returned is garbage after it was written: its address must not stand for it any
** longer.
*/
LUA_TEST(test_copy_packed_values_collected_on_the_way_are_not_mixed_up,
         "local mt; mt = {__mp_pack = function(o) collectgarbage(); return {o.x} end, __mp_unpack "
         "= function(v) return setmetatable({x = v[1]}, mt) end}\n"
         "core.class('point', mt)\n"
         "local list = {}\n"
         "for i = 1, 50 do list[i] = setmetatable({x = i}, mt) end\n"
         "for i, p in ipairs(copy(list)) do same(p.x, i) end\n"
         "for i, p in ipairs{copy(table.unpack(list))} do same(p.x, i) end\n"
         "local weak = setmetatable({}, {__mode = 'v'})\n"
         "mt.__mp_pack = function(o) weak[1] = {o.x}; return weak[1] end\n"
         /* nor are they kept longer than that */
         "copy(list); collectgarbage(); same(weak[1], nil)\n")

LUA_TEST(test_copy_source_and_pool_travel,
         "local f = copy(core.source('return 1 + ...')); same(f(41), 42)\n"
         "local p = core.pool{workers = 1}\n"
         "raises('cannot be sent', copy, p)\n" /* the message goes through the default pool */
         "local h = core.spawn(function() return 5 end); h:get()\n"
         "same(copy({h})[1]:get(), 5)\n"
         "same(copy({h})[1], h)\n")

/* }====================================================== */

/*
** {======================================================
** What is refused, and where it stood
** =======================================================
*/

LUA_TEST(test_encode_what_cannot_travel_is_refused_with_its_path,
         "raises(\"args[1] (userdata 'FILE*') cannot be sent to a worker\", copy, io.stdout)\n"
         "raises(\"args[2].conn (userdata 'FILE*')\", copy, 1, {conn = io.stdout})\n"
         "raises('args[1].a[2][\"odd name\"]', copy, {a = {1, {['odd name'] = io.stdout}}})\n"
         "raises('args[1][1.5]', copy, {[1.5] = io.stdout})\n"
         "raises('args[1][boolean key]', copy, {[true] = io.stdout})\n"
         "raises('args[1][-3]', copy, {[-3] = io.stdout})\n"
         "raises('[key]', copy, {[io.stdout] = 1})\n"
         "raises('(a coroutine) cannot be sent', copy, {coroutine.create(print)})\n"
         "raises('(a C function) cannot be sent', copy, string.gmatch('a', 'b'))\n"
         "raises(\"<upvalue 'io' of function <snippet:\", copy, (function() local io = io.stdout; "
         "return function() return io end end)())\n"
         "same(copy(1), 1)\n")

static void test_encode_light_userdata_is_refused(void **state) {
  lab l;
  (void)state;
  lab_open(&l);
  lua_pushlightuserdata(l.L, &l);
  lua_setglobal(l.L, "light");
  lab_run(&l, "raises('(light userdata) cannot be sent to a worker', copy, {x = light})");
  lab_close(&l);
}

LUA_TEST(test_encode_while_another_message_is_half_written,
         "local inner\n"
         "local mt = {__mp_unpack = function(v) return v end}; core.class('nests', mt)\n"
         "mt.__mp_pack = function(o)\n"
         "  setmetatable({}, {__gc = function() inner = copy{'in', {o.x}} end})\n"
         "  collectgarbage(); return copy{o.x, {'pack'}}\n"
         "end\n"
         "local out = copy{1, setmetatable({x = 2}, mt), {3}}\n"
         "same(out[1], 1); same(out[2][1], 2); same(out[2][2][1], 'pack'); same(out[3][1], 3)\n"
         "same(inner[1], 'in'); same(inner[2][1], 2)\n")

/* }====================================================== */

/*
** {======================================================
** Hostile bytes
** =======================================================
*/

LUA_TEST(
    test_decode_every_truncation_is_refused,
    "local bytes = encode(nil, true, 1, 300, 1 << 40, 1.5, 'abc', ('x'):rep(300), {1, 2, x = {}}, "
    "print, math)\n"
    "inspect(bytes)\n"
    "for n = 0, #bytes - 1 do raises('corrupt message at byte', inspect, bytes:sub(1, n)) end\n"
    "raises('trailing bytes', inspect, bytes .. '\\0')\n")

LUA_TEST(test_decode_every_changed_byte_is_refused_or_read,
         "local a = {}; local bytes = encode(nil, 1, 1.5, 'abc', ('x'):rep(300), {1, 2, x = a, y = "
         "a}, print, core.source('return 1'))\n"
         "for i = 1, #bytes do\n"
         "  for b = 0, 255 do\n"
         "    pcall(inspect, bytes:sub(1, i - 1) .. string.char(b) .. bytes:sub(i + 1))\n"
         "  end\n"
         "end\n")

LUA_TEST(test_decode_wrong_head_is_refused,
         "raises('unknown version', inspect, '\\2\\0\\0\\0\\0\\0')\n"
         "raises('unknown flags', inspect, '\\1\\2\\0\\0\\0\\0')\n"
         "raises('more values than bytes', inspect, '\\1\\0\\255\\255\\255\\255')\n"
         "raises('truncated', inspect, '')\n"
         "assert(select('#', inspect('\\1\\0\\0\\0\\0\\0')) == 0)\n")

/* One value per line of the format's table, by hand. */
LUA_TEST(
    test_decode_hostile_values_are_refused,
    "local function message(body, flags) return '\\1' .. string.char(flags or 0) .. '\\1\\0\\0\\0' "
    ".. body end\n"
    "local u32 = function(n) return string.pack('=I4', n) end\n"
    "local T = {TABLE = '\\10', META = '\\11', PACKED = '\\12', REF = '\\13', IMPORT = '\\14', "
    "CLASS = '\\15', FUNCTION = '\\16',\n"
    "  HANDLE = '\\20', DEPENDENCY = '\\21'}\n"
    "raises('unknown tag', inspect, message('\\255'))\n"
    "raises('unknown tag', inspect, message(T.PACKED))\n"
    "raises('more items than bytes', inspect, message(T.TABLE .. u32(1 << 31) .. u32(0)))\n"
    "raises('more items than bytes', inspect, message(T.TABLE .. u32(0) .. u32(1 << 31)))\n"
    "raises('key is nil or NaN', inspect, message(T.TABLE .. u32(0) .. u32(1) .. '\\0\\0'))\n"
    "raises('key is nil or NaN', inspect, message(T.TABLE .. u32(0) .. u32(1) .. '\\7' .. "
    "string.pack('=d', 0/0) .. '\\0'))\n"
    "raises('reference to nothing', inspect, message(T.REF .. u32(0)))\n"
    "raises('reference to nothing', inspect, message(T.REF .. u32(0), 1))\n"
    "raises('no metatable', inspect, message(T.META .. '\\0'))\n"
    "raises('is not registered', inspect, message(T.META .. T.CLASS .. '\\3foo'))\n"
    "raises('no object behind', inspect, message(T.META .. T.IMPORT .. "
    "'\\255\\255\\255\\255\\0\\0\\0\\0\\0\\0' .. '\\0'))\n"
    "raises('has no __mp_unpack', inspect, message(T.META .. T.IMPORT .. "
    "'\\255\\255\\255\\255\\0\\0\\0\\0\\0\\0' .. T.PACKED))\n"
    "raises('no such attachment', inspect, message(T.FUNCTION .. u32(0)))\n"
    "raises('no such attachment', inspect, message(T.HANDLE .. u32(0) .. '\\0'))\n"
    "raises('no such attachment', inspect, message(T.DEPENDENCY .. u32(7)))\n"
    "raises('nested too deeply', inspect, message((T.TABLE .. u32(1) .. u32(0)):rep(1000) .. "
    "'\\0'))\n"
    "local self = inspect(message(T.TABLE .. u32(1) .. u32(0) .. T.REF .. u32(0), 1)); "
    "assert(self[1] == self)\n")

/* Bytes allocated while the input is decoded, at most. */
static size_t cost(lab *l, const char *bytes) {
  lua_State *L = l->L;
  lua_getglobal(L, "inspect");
  lua_getglobal(L, bytes);
  lua_gc(L, LUA_GCCOLLECT);
  lua_gc(L, LUA_GCSTOP);
  size_t before = fault_live_bytes(&l->memory[OWNER].blocks);
  (void)lua_pcall(L, 1, 0, 0);
  size_t after = fault_live_bytes(&l->memory[OWNER].blocks);
  lua_gc(L, LUA_GCRESTART);
  lua_settop(L, 0);
  return after - before;
}

/* Nested tables that each claim all the bytes that are left: claims must not add up. */
static void test_decode_nested_claims_cost_at_most_sixteen_times_the_input(void **state) {
  lab l;
  (void)state;
  lab_open(&l);
  lab_run(&l, "local rest, parts = 100000, {'\\1\\0\\1\\0\\0\\0'}\n"
              "for i = 1, 200 do parts[#parts + 1] = '\\10' .. string.pack('=I4I4', rest + (200 - "
              "i) * 9, 0) end\n"
              "items = table.concat(parts) .. ('\\0'):rep(rest)\n"
              "parts = {'\\1\\0\\1\\0\\0\\0'}\n"
              "for i = 1, 200 do parts[#parts + 1] = '\\10' .. string.pack('=I4I4', 1, (rest + "
              "(200 - i) * 9) // 2 - 1) end\n"
              "pairs_ = table.concat(parts) .. ('\\0'):rep(rest)\n");
  assert_in_range(cost(&l, "items"), 0, 16 * 101800 + 65536);
  assert_in_range(cost(&l, "pairs_"), 0, 16 * 101800 + 65536);
  lab_close(&l);
}

/* }====================================================== */

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_copy_scalars_come_out_equal),
      cmocka_unit_test(test_copy_strings_come_out_equal),
      cmocka_unit_test(test_copy_tables_come_out_equal),
      cmocka_unit_test(test_copy_shared_and_cyclic_tables_keep_their_shape),
      cmocka_unit_test(test_copy_nesting_to_the_limit_passes_and_beyond_is_refused),
      cmocka_unit_test(test_copy_no_metamethod_is_called),
      cmocka_unit_test(test_copy_packed_objects_are_unpacked),
      cmocka_unit_test(test_copy_packed_values_collected_on_the_way_are_not_mixed_up),
      cmocka_unit_test(test_copy_source_and_pool_travel),
      cmocka_unit_test(test_encode_what_cannot_travel_is_refused_with_its_path),
      cmocka_unit_test(test_encode_light_userdata_is_refused),
      cmocka_unit_test(test_encode_while_another_message_is_half_written),
      cmocka_unit_test(test_decode_every_truncation_is_refused),
      cmocka_unit_test(test_decode_every_changed_byte_is_refused_or_read),
      cmocka_unit_test(test_decode_wrong_head_is_refused),
      cmocka_unit_test(test_decode_hostile_values_are_refused),
      cmocka_unit_test(test_decode_nested_claims_cost_at_most_sixteen_times_the_input),
  };
  return unit_main(tests);
}
