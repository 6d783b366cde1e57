-- The code blocks of Markdown files, and running those in Lua: each in a process of its own, what it prints held against its comments.
--
--   print(1 + 1)               --> 2
--   for i = 1, 2 do print(i) end
--   --> 1
--   --> 2
--
-- A comment belongs to the nearest line at or above it that printed something (or to a worker, whose prints have no line); several have
-- what was printed there line by line. Blanks count as one. A block that begins with "```lua fragment" is no program.
local support = require "support"

local docs = {}

local NAME <const> = "example.lua"

--- A list of {language, note, line, code}: all code blocks of the text.
function docs.blocks(text)
  local blocks, number, open = {}, 0, nil
  for line in (text .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    local language, note = line:match "^```(%S*)%s*(.-)%s*$"
    if open and language == "" then
      open.code = table.concat(open.lines, "\n") .. "\n"
      blocks[#blocks + 1], open = open, nil
    elseif open then
      open.lines[#open.lines + 1] = line
    elseif language then
      open = { language = language, note = note, line = number, lines = {} }
    end
  end
  return blocks
end

--- Those that are Lua programs.
function docs.programs(text)
  local programs = {}
  for _, block in ipairs(docs.blocks(text)) do
    if block.language == "lua" and block.note ~= "fragment" then programs[#programs + 1] = block end
  end
  return programs
end

local function normal(text)
  return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

-- A list of {line, text}: the comments that say what is printed.
local function comments(code)
  local list, number = {}, 0
  for line in code:gmatch "(.-)\n" do
    number = number + 1
    local text = line:match "^%s*%-%->%s?(.*)$" or line:match "%-%->%s?(.*)$"
    if text then list[#list + 1] = { line = number, text = normal(text) } end
  end
  return list
end

-- Marks what the program prints with the line it prints it from; what workers print has none.
local DRIVER <const> = [==[
local file = assert(io.open(arg[1]))
local code = file:read "a"
file:close()
package.path = package.path .. ";/usr/share/lua/5.2/?.lua" -- where Debian puts Copas
function print(...)
  local level, texts = 2, table.pack(...)
  local info = debug.getinfo(level, "Sl")
  while info and info.source ~= "@]==] .. NAME .. [==[" do
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
  local mark = info and ("\1%d\1"):format(info.currentline) or ""
  for i = 1, texts.n do texts[i] = tostring(texts[i]) end
  io.write(((table.concat(texts, "\t") .. "\n"):gsub("(.-)\n", mark .. "%0")))
end
assert(load(code, "@]==] .. NAME .. [==["))()
]==]

-- [line] = what was printed there; and what workers printed.
local function printed_lines(output)
  local printed, others = {}, {}
  for line in output:gmatch "(.-)\n" do
    local number, text = line:match "^\1(%d+)\1(.*)$"
    if number then
      number = math.tointeger(tonumber(number))
      printed[number] = printed[number] or {}
      table.insert(printed[number], normal(text))
    else
      others[#others + 1] = normal(line)
    end
  end
  return printed, others
end

local function take(list, text)
  for i, line in ipairs(list) do
    if line == text then return table.remove(list, i) end
  end
end

-- nil, or how what was printed differs from the comments.
local function difference(block, output)
  local printed, others = printed_lines(output)
  local function told(line, what, text)
    return ("line %d: %s\n  %s: %s"):format(block.line + line, block.lines[line], what, text)
  end
  for _, comment in ipairs(comments(block.code)) do
    local line = comment.line
    while line > 0 and not printed[line] do line = line - 1 end
    local lines = printed[line] or {}
    if lines[1] == comment.text then
      table.remove(lines, 1)
    elseif not take(others, comment.text) then
      return told(comment.line, "printed", lines[1] or "nothing more")
    end
  end
  for line = 1, #block.lines do
    if printed[line] and printed[line][1] then return told(line, "printed, and no comment has it", printed[line][1]) end
  end
  if others[1] then return "a worker printed, and no comment has it: " .. others[1] end
end

--- Runs the program: nil if all went as its comments say, else what is wrong.
function docs.problem(block)
  local script <close> = support.temporary_file(block.code)
  local child = support.run_child(DRIVER, { arguments = script.path })
  if child.code ~= 0 then return ("ended with %s: %s"):format(child.code, child.stderr) end
  return difference(block, child.stdout)
end

--- Modules of other people that the program requires and that are not installed.
function docs.missing(block)
  for name in block.code:gmatch 'require "([%w_]+)"' do
    local found = name == "makeparallel" or package.searchpath(name, package.path .. ";/usr/share/lua/5.2/?.lua")
      or package.searchpath(name, package.cpath) or package.loaded[name]
    if not found then return name end
  end
end

return docs
