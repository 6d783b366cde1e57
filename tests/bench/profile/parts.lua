-- Which part of the whole a function belongs to: engine, bindings, Lua, libc, kernel; what is left belongs to the benchmark.
local parts = {}

--- A function's name as its source has it: without a symbol's version, a depth of recursion, what the compiler made a copy for.
function parts.plain(symbol)
  symbol = symbol:gsub("@.*", ""):gsub("'%d+$", "")
  local copies
  repeat
    symbol, copies = symbol:gsub("%.[a-z]+%.%d+$", "")
  until copies == 0
  return symbol
end

local function add_symbols(symbols, part, objects)
  local pipe <close> = assert(io.popen("nm --defined-only " .. objects .. " 2>/dev/null"))
  for line in pipe:lines() do
    local name = line:match "^%x+ [tTwW] (%S+)$"
    if name then symbols[parts.plain(name)] = part end
  end
end

local LIBC <const> = { "^libc[.-]", "^libm[.-]", "^libpthread", "^ld%-", "^%[vdso%]$", "^libgcc" }

--- part(symbol, object), for what was built in `build`.
function parts.of(build)
  local known = {}
  add_symbols(known, "Lua", "$(cc -print-file-name=liblua5.4.a)") -- where a program has it in itself
  add_symbols(known, "bindings", build .. "/bindings/*/*.o")
  add_symbols(known, "engine", build .. "/engine/*.o")
  return function(symbol, object)
    local name = object:match "[^/]*$"
    if object:find "^%[" and name ~= "[vdso]" then return "kernel" end
    for _, pattern in ipairs(LIBC) do
      if name:find(pattern) then return "libc" end
    end
    return known[symbol] or (name == "lua" or name:find "^liblua") and "Lua" or "benchmark"
  end
end

return parts
