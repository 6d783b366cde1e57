-- Writes the seeds of the decoder's fuzzer: one small valid message for each tag and for what is easily got wrong.
--   lua5.4 tests/fuzz/make_corpus.lua tests/fuzz/corpus
-- The attachments that tags with a number refer to are those of harness.c: 0 and 1 code, 2 a task, 3 a dependency, 4 a cache, 5 a meter.
local directory = assert(arg[1], "directory expected")

local function u8(n) return string.pack("=I1", n) end
local function u32(n) return string.pack("=I4", n) end

-- In the order of value.h.
local tags = {}
for i, name in ipairs {
  "NIL", "FALSE", "TRUE", "ENV", "I8", "I32", "I64", "F64", "STR8", "STR32", "TABLE", "META", "PACKED", "REF", "IMPORT", "CLASS",
  "FUNCTION", "UPVALUE", "UPVALUE_REF", "SOURCE", "HANDLE", "DEPENDENCY", "POOL_REF",
  "SHARED_CACHE", "SHARED_METER",
} do
  tags[name] = u8(i - 1)
end

local function i8(n) return tags.I8 .. string.pack("=i1", n) end
local function str(s) return tags.STR8 .. u8(#s) .. s end
local function short(s) return u8(#s) .. s end
local function import(module, field) return tags.IMPORT .. string.pack("=i4I4", -1, 0) .. short(module) .. short(field) end
local function items(...)
  local list = table.pack(...)
  return tags.TABLE .. u32(list.n) .. u32(0) .. table.concat(list)
end
local function pairs_of(...)
  local list = table.pack(...)
  return tags.TABLE .. u32(0) .. u32(list.n // 2) .. table.concat(list)
end
local function ref(n) return tags.REF .. u32(n) end

local SHARED <const> = 1
local function write(name, flags, ...)
  local values = table.pack(...)
  local file = assert(io.open(directory .. "/" .. name, "wb"))
  file:write(u8(1), u8(flags), u32(values.n), table.concat(values))
  file:close()
end

local function nest(depth)
  local t = items()
  for _ = 1, depth do
    t = items(t)
  end
  return t
end

write("empty", 0)
write("nil_false_true", 0, tags.NIL, tags.FALSE, tags.TRUE)
write("env", 0, tags.ENV)
write("i8", 0, i8(-128), i8(127))
write("i32", 0, tags.I32 .. string.pack("=i4", -70000))
write("i64", 0, tags.I64 .. string.pack("=i8", math.mininteger))
write("f64", 0, tags.F64 .. string.pack("=d", -0.0), tags.F64 .. string.pack("=d", 0 / 0))
write("str8", 0, str "", str "abc\0def")
write("str32", 0, tags.STR32 .. u32(300) .. ("x"):rep(300))
write("table_empty", 0, items())
write("table_items", 0, items(i8(1), str "two", tags.NIL, tags.TRUE))
write("table_pairs", 0, pairs_of(str "a", i8(1), tags.TRUE, i8(2), tags.F64 .. string.pack("=d", 1.5), items()))
write("table_mixed", 0, tags.TABLE .. u32(2) .. u32(1) .. i8(1) .. i8(2) .. str "n" .. i8(2))
write("table_nested", 0, nest(20))
write("table_deepest", 0, nest(200))
write("shared", SHARED, items(items(), ref(1), items(ref(1))))
write("cyclic", SHARED, items(ref(0)), ref(0))
write("shared_key", SHARED, pairs_of(items(), ref(1)))
write("import_module", 0, import("math", ""))
write("import_field", SHARED, import("string", "format"), ref(0))
write("import_other_line", 0, tags.IMPORT .. string.pack("=i4I4", 7, 0) .. short "string" .. short "format")
write("object_of_class", 0, tags.META .. tags.CLASS .. short "plain" .. items(i8(1)))
write("object_of_module", SHARED, tags.META .. import("m", "mt") .. pairs_of(str "self", ref(0)))
write("object_packed", SHARED, tags.META .. tags.CLASS .. short "point" .. tags.PACKED .. items(i8(1)), ref(0), ref(1))
write("function_plain", 0, tags.FUNCTION .. u32(0) .. u8(1) .. tags.UPVALUE .. tags.ENV)
write("function_upvalues", 0, tags.FUNCTION .. u32(1) .. u8(2) .. tags.UPVALUE .. i8(1) .. tags.UPVALUE .. str "b")
write("function_recursive", SHARED, tags.FUNCTION .. u32(1) .. u8(2) .. tags.UPVALUE .. ref(0) .. tags.UPVALUE .. i8(1))
write("functions_share_upvalue", SHARED, tags.FUNCTION .. u32(1) .. u8(2) .. tags.UPVALUE .. i8(1) .. tags.UPVALUE .. i8(2),
  tags.FUNCTION .. u32(1) .. u8(2) .. tags.UPVALUE_REF .. u32(1) .. tags.UPVALUE_REF .. u32(0))
write("functions_share_env", SHARED, tags.FUNCTION .. u32(0) .. u8(1) .. tags.UPVALUE .. tags.ENV,
  tags.FUNCTION .. u32(1) .. u8(2) .. tags.UPVALUE_REF .. u32(0) .. tags.UPVALUE .. i8(1))
write("source", 0, tags.SOURCE .. u32(12) .. "return 1 + 1")
write("handle", 0, tags.HANDLE .. u32(2) .. tags.NIL)
write("handle_named", 0, items(tags.HANDLE .. u32(2) .. str "load"))
write("dependency", 0, tags.DEPENDENCY .. u32(3))
write("shared_by_reference", 0, tags.SHARED_CACHE .. u32(4), items(tags.SHARED_METER .. u32(5)))
write("pool_ref", 0, tags.POOL_REF)
write("call", 0, tags.NIL, tags.FUNCTION .. u32(0) .. u8(1) .. tags.UPVALUE .. tags.ENV, i8(41), str "x", items(i8(1), i8(2)))
