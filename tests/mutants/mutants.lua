-- Finds what can be changed in C sources so that a test ought to notice, and changes it.
--
--   mutants.lua list COUNT SEED FILE...                   COUNT changes (or all) chosen at random, one a line, ordered by place
--   mutants.lua at "FILE:LINE[:FROM[:TO]]..." FILE...     the changes at these places
--   mutants.lua apply FROM-FILE TO-FILE OFFSET LENGTH TEXT
--
-- A line is: file, line, offset, length, what stands there, what is put instead; between tabs. Only bodies of functions are
-- changed, and there no declarator, no assert, no string, no seeded bug or fault and no call that is a hint.
-- A list that is not of all has one in four of the constants, which are a third of the places and mostly stack indices, so that any
-- test notices.
-- With ORDERS in the environment, only the orders of atomics are changed, each to relaxed.

local SWAPS <const> = {
  ["<"] = "<=", ["<="] = "<", [">"] = ">=", [">="] = ">", ["=="] = "!=", ["!="] = "==", ["&&"] = "||", ["||"] = "&&",
  ["+="] = "-=", ["-="] = "+=", ["++"] = "--", ["--"] = "++", ["<<"] = ">>", [">>"] = "<<",
  ["true"] = "false", ["false"] = "true", ["0"] = "1", ["1"] = "0",
}
local BINARY_SWAPS <const> = { ["+"] = "-", ["-"] = "+", ["&"] = "|", ["|"] = "&" }
local ORDERS <const> = {
  mp_load_acquire = "mp_load_relaxed", mp_load_seq = "mp_load_relaxed", mp_store_release = "mp_store_relaxed",
  mp_store_seq = "mp_store_relaxed", mp_store_unfenced = "mp_store_relaxed", mp_add_acq_rel = "mp_add_relaxed",
  mp_add_seq = "mp_add_relaxed", mp_sub_acq_rel = "mp_sub_relaxed", mp_sub_seq = "mp_sub_relaxed", mp_or_acq_rel = "mp_or_relaxed",
  mp_or_seq = "mp_or_relaxed", mp_cas_acq_rel = "mp_cas_relaxed", mp_cas_release = "mp_cas_relaxed", mp_cas_seq = "mp_cas_relaxed",
}
-- Macros whose call is a whole statement, beside the functions that are declared to return void.
local VOID <const> = { "free", "mp_store_relaxed", "mp_store_release", "mp_store_seq", "mp_store_unfenced", "mp_bump", "mp_pool_count",
  "mp_pool_store_first", "atomic_init", "lua_pop", "lua_settop", "lua_replace", "lua_remove", "lua_insert" }
local HINTS <const> = { mp_prefetch = true, mp_pause = true, lua_createtable = true, luaL_checkstack = true }
local UNTOUCHED <const> = { "MP_BUG", "MP_FAULT", "__asm", "__builtin_unreachable" } -- lines with one of these stay as they are
local KEYWORDS <const> = {}
for word in ("return case else goto sizeof do while for if switch break continue default"):gmatch "%a+" do KEYWORDS[word] = true end
local TYPE_WORDS <const> = { struct = true, union = true, enum = true, const = true, static = true, typedef = true, extern = true }

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

-- Tokens: {text, kind ("name", "number", "mark", "text"), at, line}; comments and preprocessor lines are left out.

local MARKS <const> = { "<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=", "-=", "*=", "/=",
  "%=", "&=", "|=", "^=" }

local function mark_at(source, at)
  for _, mark in ipairs(MARKS) do
    if source:sub(at, at + #mark - 1) == mark then return mark end
  end
  return source:sub(at, at)
end

local function tokenize(source)
  local tokens, at, line, fresh = {}, 1, 1, true -- fresh: nothing but blanks on this line so far
  local function step(finish, kind)
    local text = source:sub(at, finish)
    if kind then tokens[#tokens + 1] = { text = text, kind = kind, at = at, line = line } end
    line = line + select(2, text:gsub("\n", ""))
    at = finish + 1
  end
  while at <= #source do
    local char, two = source:sub(at, at), source:sub(at, at + 1)
    if char == "\n" then
      fresh = true
      step(at)
    elseif char:match "%s" then
      step(at)
    elseif two == "/*" then
      step(select(2, source:find("*/", at + 2, true)))
    elseif two == "//" then
      step(source:find("\n", at, true) - 1)
    elseif char == "#" and fresh then
      local finish = source:find("\n", at, true)
      while source:sub(finish - 1, finish - 1) == "\\" do finish = source:find("\n", finish + 1, true) end
      step(finish)
    else
      fresh = false
      if char == '"' or char == "'" then
        local finish = at + 1
        while source:sub(finish, finish) ~= char do finish = finish + (source:sub(finish, finish) == "\\" and 2 or 1) end
        step(finish, "text")
      elseif char:match "[%a_]" then
        step(select(2, source:find("^[%w_]+", at)), "name")
      elseif char:match "%d" then
        step(select(2, source:find("^[%w_.]+", at)), "number")
      else
        step(at + #mark_at(source, at) - 1, "mark")
      end
    end
  end
  return tokens
end

--- The index of the bracket that closes the one at `i`.
local function closing(tokens, i)
  local depth = 0
  for j = i, #tokens do
    local text = tokens[j].text
    if text == "(" or text == "{" or text == "[" then depth = depth + 1 end
    if text == ")" or text == "}" or text == "]" then
      depth = depth - 1
      if depth == 0 then return j end
    end
  end
  error "a bracket stays open"
end

--- Calls body(first, last) for the braces of each function.
local function each_body(tokens, body)
  local i, has_parameters, has_value = 1, false, false
  while i <= #tokens do
    local text = tokens[i].text
    if text == "{" then
      local last = closing(tokens, i)
      if has_parameters and not has_value then
        body(i, last)
        has_parameters = false
      end
      i = last
    elseif text == ";" then
      has_parameters, has_value = false, false
    elseif text == ")" then
      has_parameters = true
    elseif text == "=" then
      has_value = true
    end
    i = i + 1
  end
end

--- If a declaration begins at token i of a body, the index of the token before its first initializer, or its last token.
local function skip_declarator(tokens, i)
  local j = i
  while TYPE_WORDS[tokens[j].text] do j = j + 1 end
  local first, second = tokens[j], tokens[j + 1]
  if first.kind ~= "name" or KEYWORDS[first.text] then return nil end
  if j == i and not (second.kind == "name" or second.text == "*") then return nil end
  if tokens[i].text == "static" or second.text == "{" then -- a table, or a type
    while tokens[j].text ~= ";" do j = tokens[j].text:match "[%[({]" and closing(tokens, j) + 1 or j + 1 end
    return j
  end
  while not tokens[j].text:match "^[=;]$" do j = j + 1 end
  return j
end

--- True: the bracket at `close` ends a cast, so that what follows is unary.
local function ends_cast(tokens, close)
  local open, depth = close, 0
  repeat
    if tokens[open].text == ")" then depth = depth + 1 end
    if tokens[open].text == "(" then depth = depth - 1 end
    open = open - 1
  until depth == 0
  local before = tokens[open]
  if before.kind == "name" and not KEYWORDS[before.text] or before.text == ")" or before.text == "]" then return false end
  if before.text == "if" or before.text == "while" or before.text == "for" or before.text == "switch" then return true end
  for j = open + 2, close - 1 do
    if tokens[j].kind ~= "name" and tokens[j].text ~= "*" then return false end
  end
  local last = tokens[close - 1].text
  return last == "*" or last:match "_t$" ~= nil or last:match "^mp_" ~= nil or last == "int" or last == "char" or last == "double" or
      last == "long" or last == "unsigned" or last == "lua_Integer" or last == "lua_Number" or last == "void"
end

local function is_binary(tokens, i)
  local before = tokens[i - 1]
  if before.text == ")" then return not ends_cast(tokens, i - 1) end
  return before.text == "]" or before.kind == "number" or before.kind == "name" and not KEYWORDS[before.text]
end

--- The changes of one file as a list of {file, line, at, length, from, to}.
local function changes_of(path, void)
  local source = read(path)
  local tokens, changes = tokenize(source), {}
  local orders = (os.getenv "ORDERS" or "") ~= ""
  local untouched = {} -- lines
  local number = 0
  for line in (source .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    for _, word in ipairs(UNTOUCHED) do untouched[number] = untouched[number] or line:find(word, 1, true) ~= nil end
  end

  local function add(first, last, from, to)
    for i = first, last do
      if untouched[tokens[i].line] then return end
    end
    local at = tokens[first].at
    changes[#changes + 1] = { path, tokens[first].line, at, tokens[last].at + #tokens[last].text - at, from, to }
  end

  --- A condition without an operator of its own is negated.
  local function negate(i)
    local close = closing(tokens, i + 1)
    for j = i + 2, close - 1 do
      if tokens[j].text:match "^[!=<>]=?$" or tokens[j].text == "&&" or tokens[j].text == "||" then return end
    end
    local first, last = tokens[i + 2], tokens[close - 1]
    if first.kind == "name" and not HINTS[first.text] then
      local text = source:sub(first.at, last.at + #last.text - 1)
      if not text:find "\n" then add(i + 2, close - 1, text, "!(" .. text .. ")") end
    end
  end

  each_body(tokens, function(open, close)
    local i, begins, heads = open + 1, true, {} -- begins: a statement may begin here; heads: where those of `for` end
    while i < close do
      local token = tokens[i]
      local text = token.text
      local declared = begins and skip_declarator(tokens, i)
      local next_text = tokens[i + 1].text
      begins = false
      if declared then
        i = declared
        begins = tokens[i].text == ";"
      elseif text:lower():match "assert$" and next_text == "(" then
        i = closing(tokens, i + 1)
      elseif text == "case" then
        while tokens[i].text ~= ":" do i = i + 1 end
        begins = true
      elseif text:match "^[;{}]$" or text == "else" or text == "do" then
        begins = true
      elseif orders then
        if ORDERS[text] then add(i, i, text, ORDERS[text]) end
        begins = text == ")" or text == ":"
      elseif (void[text] or HINTS[text]) and next_text == "(" and tokens[closing(tokens, i + 1) + 1].text == ";" then
        local last = closing(tokens, i + 1)
        local before = tokens[i - 1].text
        if void[text] and (before:match "^[;{}):]$" or before == "else" or before == "do") then
          add(i, last, text .. "(...)", "(void)0")
        end
        if HINTS[text] then i = last end
      else
        if text == "for" then heads[#heads + 1] = closing(tokens, i + 1) end
        if text == "if" then negate(i) end
        local in_head = #heads > 0 and i < heads[#heads]
        local to = SWAPS[text] or BINARY_SWAPS[text] and is_binary(tokens, i) and BINARY_SWAPS[text]
        if to and not (in_head and (text == "++" or text == "--")) then
          add(i, i, text, to)
        elseif text == "!" then
          add(i, i, "!", "")
        end
        if #heads > 0 and i == heads[#heads] then heads[#heads] = nil end
        begins = text == ")" and not ends_cast(tokens, i) or text == "(" and tokens[i - 1].text == "for"
      end
      i = i + 1
    end
  end)
  return changes
end

local function learn_void(void, path)
  for name in read(path):gmatch "%f[%w_]void%s+([%w_]+)%s*%(" do void[name] = true end
end

local function all_changes(files)
  local void, all = {}, {}
  for _, name in ipairs(VOID) do void[name] = true end
  local pipe <close> = assert(io.popen "find engine bindings -name '*.[ch]'")
  for path in pipe:lines() do learn_void(void, path) end
  for _, path in ipairs(files) do learn_void(void, path) end
  for _, path in ipairs(files) do
    for _, change in ipairs(changes_of(path, void)) do all[#all + 1] = change end
  end
  return all
end

local function by_place(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  return a[3] < b[3]
end

local function write(changes)
  table.sort(changes, by_place)
  for _, change in ipairs(changes) do print(table.concat(change, "\t")) end
end

local commands = {}

function commands.list(count, seed, ...)
  math.randomseed(tonumber(seed))
  local all = {}
  for _, change in ipairs(all_changes { ... }) do
    if count == "all" or not change[5]:match "^%d" or math.random(4) == 1 then all[#all + 1] = change end
  end
  local n = math.min(tonumber(count) or #all, #all)
  for i = 1, n do
    local j = math.random(i, #all)
    all[i], all[j] = all[j], all[i]
  end
  write(table.move(all, 1, n, 1, {}))
end

function commands.at(places, ...)
  local all, found = all_changes { ... }, {}
  for place in places:gmatch "%S+" do
    local path, line, from, to = place:match "^([^:]+):(%d+):?([^:]*):?(.*)$"
    local any = false
    for _, change in ipairs(all) do
      if change[1] == path and change[2] == tonumber(line) and (from == "" or change[5]:find(from, 1, true)) and
        (to == "" or change[6] == to) then
        found[#found + 1], any = change, true
      end
    end
    if not any then
      io.stderr:write("there is nothing to change at ", place, "\n")
      os.exit(1)
    end
  end
  write(found)
end

function commands.apply(from, to, offset, length, text)
  local source = read(from)
  local at, n = tonumber(offset), tonumber(length)
  local lines = source:sub(at, at + n - 1):gsub("[^\n]", "") -- what follows keeps its lines
  local file <close> = assert(io.open(to, "wb"))
  assert(file:write(source:sub(1, at - 1), text, lines, source:sub(at + n)))
end

commands[arg[1]](table.unpack(arg, 2))
