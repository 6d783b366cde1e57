-- README, guide and the READMEs of folders: the programs in them run and print what they say, and they name what there is and no more.
local compat = require "makeparallel.compat"
local docs = require "docs"
local mp = require "makeparallel"
local support = require "support"

local README <const>, GUIDE <const> = "README.md", "lua/GUIDE.md"
local PAGES <const> = {}
for path in assert(io.popen "find . -name '*.md' -not -path './build/*' -not -path './.*/*' | sort"):lines() do
  PAGES[#PAGES + 1] = path:sub(3)
end

local text_of <const> = {}
for _, page in ipairs(PAGES) do text_of[page] = support.read(page) end

for _, page in ipairs(PAGES) do
  local programs <const> = docs.programs(text_of[page])
  if #programs > 0 then
    describe(page, function()
      for _, program in ipairs(programs) do
        it(("runs what it shows at line %d"):format(program.line), function()
          local missing <const> = docs.missing(program)
          if missing then pending(missing .. " is not installed") end
          assert.is_nil(docs.problem(program))
        end)
      end
    end)
  end
end

it("fragments are few", function()
  local count = 0
  for _, page in ipairs(PAGES) do
    for _, block in ipairs(docs.blocks(text_of[page])) do
      if block.language == "lua" and block.note ~= "" then count = count + 1 end
    end
  end
  assert.is_true(count <= 3)
end)

--
-- What is checked can fail
--

describe("a program in the documents", function()
  local function problem(...)
    return docs.problem(docs.blocks("```lua\n" .. table.concat({ ... }, "\n") .. "\n```")[1])
  end

  it("passes when comments and output agree", function()
    assert.is_nil(problem("print(1, 2)  --> 1 2", "for i = 1, 2 do", "  print(i)", "end", "--> 1", "--> 2"))
    assert.is_nil(problem("print(", "  'a\\nb'", ")", "--> a", "--> b"))
    assert.is_nil(problem('require("makeparallel").spawn(print, "there"):get() --> there'))
  end)

  it("fails when they do not", function()
    assert.matches("line 2: .*printed: 1", problem "print(1) --> 2")
    assert.matches("line 3: .*printed: nothing more", problem "print(1) --> 1\n--> 2")
    assert.matches("line 3: .*no comment has it: 2", problem("print(1) --> 1", "print(2)"))
    assert.matches("printed: nothing more", problem "local x = 1 --> 1")
    assert.matches("a worker printed", problem 'require("makeparallel").spawn(print, "there"):get()')
    assert.matches("ended with 1: .*example.lua:1: boom", problem 'error "boom"')
  end)
end)

--
-- Names
--

local meta <const> = support.read "lua/makeparallel/meta.lua"

-- Of the Lua programs in the guide, and of what it sets in code within sentences.
local code, spans = {}, {}
for _, program in ipairs(docs.programs(text_of[GUIDE])) do code[#code + 1] = program.code end
for span in text_of[GUIDE]:gsub("```.-```", ""):gmatch "`([^`\n]+)`" do spans[#spans + 1] = span end
local shown <const>, told <const> = table.concat(code, "\n"), table.concat(spans, "\n")

-- The class that each method's owner is, and the words by which the guide calls one.
local OWNERS <const> = { "handle", "task", "pool", "context", "graph", "routine", "bar", "memo", "timer", "counter" }

local function methods_of(owner)
  local names = {}
  for name in meta:gmatch("\nfunction " .. owner .. ":([%a_]+)") do names[name] = true end
  return names
end

-- [class] = {names of fields, in the order of declaration}
local function classes()
  local found, class = {}, nil
  for line in meta:gmatch "(.-)\n" do
    class = line:match "^%-%-%-@class (%S+)" or line:find "^%-%-%-" and class or nil
    if class and not found[class] then found[class] = {} end
    local field = class and line:match "^%-%-%-@field ([%w_]+)"
    if field then table.insert(found[class], field) end
  end
  return found
end

describe("the guide", function()
  it("has every function of the module in a program", function()
    for name in meta:gmatch "\nfunction mp%.([%a_]+)" do
      assert.is_truthy(shown:find("%f[%a_]mp%." .. name .. "%f[^%w_]"), "mp." .. name)
    end
    for name in meta:gmatch "\nfunction adapter%.([%a_]+)" do
      assert.is_truthy(shown:find("%." .. name .. "%("), name)
    end
    for name in meta:gmatch "\nfunction compat%.([%a_]+)" do
      assert.is_truthy(shown:find("mp%." .. name .. "%f[^%w_]"), "compat." .. name)
    end
  end)

  it("has every method in a program", function()
    local count = 0
    for _, owner in ipairs(OWNERS) do
      for name in pairs(methods_of(owner)) do
        assert.is_truthy(shown:find("[:.]" .. name .. "%f[^%w_]"), owner .. ":" .. name)
        count = count + 1
      end
    end
    assert.is_true(count > 50)
  end)

  it("has every option in a program, and every field of what is returned somewhere in code", function()
    local options = 0
    for class, fields in pairs(classes()) do
      for _, name in ipairs(fields) do
        if class:find "Options$" or class:find "Limits$" then
          assert.is_truthy(shown:find("%f[%w_]" .. name .. " = "), class .. ": " .. name)
          options = options + 1
        else
          local word = "%f[%w_]" .. name .. "%f[^%w_]"
          assert.is_truthy(shown:find(word) or told:find(word), class .. ": " .. name)
        end
      end
    end
    assert.is_true(options > 50)
  end)

  it("names only what there is", function()
    for name in (shown .. "\n" .. told):gmatch "%f[%w_]mp%.([%a_]+)" do
      assert.is_not_nil(compat[name], "mp." .. name)
    end
    for _, owner in ipairs(OWNERS) do
      local methods = methods_of(owner)
      for name in told:gmatch("%f[%w_]" .. owner .. ":([%a_]+)") do
        assert.is_true(methods[name], owner .. ":" .. name)
      end
    end
  end)

  it("tells of every kind of error and every status", function()
    for class, field in pairs { Error = "kind", Handle = "status" } do
      local values = class == "Error" and meta:match "@field kind (%S+)" or meta:match "@alias makeparallel.Status (%S+)"
      for value in values:gmatch '"(%a+)"' do
        assert.is_truthy(told:find('"' .. value .. '"', 1, true), field .. " " .. value)
      end
    end
  end)

  it("has links that lead somewhere", function()
    local anchors = {}
    for title in text_of[GUIDE]:gmatch "\n#+ ([^\n]+)" do
      anchors["#" .. title:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")] = true
    end
    for target in text_of[GUIDE]:gmatch "%]%(([^)]+)%)" do
      if target:sub(1, 1) == "#" then
        assert.is_true(anchors[target], target)
      else
        assert.is_truthy(io.open("lua/" .. target), target)
      end
    end
  end)
end)

describe("the README", function()
  it("names only what there is", function()
    for name in text_of[README]:gmatch "%f[%w_]mp%.([%a_]+)" do
      assert.is_not_nil(mp[name], name)
    end
    local handle <const> = methods_of "handle"
    for name in text_of[README]:gmatch "%f[%w_]handle:([%a_]+)" do
      assert.is_true(handle[name], name)
    end
  end)

  it("names every function", function()
    for name in meta:gmatch "\nfunction mp%.([%a_]+)" do
      assert.is_truthy(text_of[README]:find("%f[%a_]mp%." .. name .. "%f[^%w_]"), "mp." .. name)
    end
  end)

  it("names every option of a task", function()
    local listed <const> = assert(text_of[README]:match "Options are `([^`]+)`")
    local names = {}
    for name in listed:gmatch "%S+" do names[#names + 1] = name end
    local declared = classes()["makeparallel.TaskOptions"]
    table.sort(names)
    table.sort(declared)
    assert.same(declared, names)
  end)

  it("shows a program in C that compiles and runs", function()
    local compiler <const>, library <const> = os.getenv "TEST_CC", os.getenv "TEST_LIB"
    if not compiler then pending "only under make spec" end
    local count = 0
    for _, block in ipairs(docs.blocks(text_of[README])) do
      if block.language == "c" then
        count = count + 1
        local source <close> = support.temporary_file(block.code)
        local program <close> = support.temporary_file()
        local errors <close> = support.temporary_file()
        local command = ("{ %s -Iengine -x c %s -x none %s -o %s && %s; } 2>%s"):format(compiler, source.path, library, program.path,
          program.path, errors.path)
        assert.is_true(os.execute(command), errors:read())
      end
    end
    assert.equal(1, count)
  end)
end)
