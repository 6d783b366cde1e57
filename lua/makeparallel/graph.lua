-- mp.graph: tasks with names and what each needs; run as often as one likes. A need's value goes from task to task, not through this state.
local check = require "makeparallel.check"
local core = require "makeparallel.core"
local gather = require "makeparallel.gather"
local wrap = require "makeparallel.wrap"
local table <const> = table

local graph = {}

local RUN_OPTIONS <const> = { "timeout", "pool", "on_error", "results" }
local ON_ERROR <const> = { "raise", "none" }

local graph_methods = {}
local graph_mt = { __index = graph_methods, __name = "makeparallel.Graph" }

local function check_graph(self, what)
  if getmetatable(self) ~= graph_mt then
    error(("bad argument #1 to '%s' (graph expected, got %s)"):format(what, type(self)), 3)
  end
end

--
-- Building
--

-- A copy of a list of names, each once.
local function names_in(list, option, node)
  if list == nil then return {} end
  if type(list) ~= "table" then error(("%s must be a list of names, got %s"):format(option, type(list)), 0) end
  local names = {}
  for i, name in ipairs(list) do
    if type(name) ~= "string" then error(("%s must be a list of names, got %s in it"):format(option, type(name)), 0) end
    if name == node then error(("dependency cycle: %s -> %s"):format(node, node), 0) end
    names[i] = name
  end
  return names
end

local function make_node(name, fn, options)
  if options == nil then options = {} end
  if type(options) ~= "table" then error(("options must be a table, got %s"):format(type(options)), 0) end
  local of_task = { name = name }
  for key, value in pairs(options) do of_task[key] = value end
  of_task.needs, of_task.after, of_task.args = nil, nil, nil
  local args = options.args or {}
  if type(args) ~= "table" then error(("args must be a list, got %s"):format(type(args)), 0) end
  local count = args.n or #args
  local made, task = pcall(core.is_task(fn) and fn.with or core.parallel, fn, of_task)
  if not made then error(task, 0) end
  return {
    name = name,
    needs = names_in(options.needs, "needs", name),
    after = names_in(options.after, "after", name),
    args = table.move(args, 1, count, 1, { n = count }),
    task = task,
  }
end

--- Adds a task: fn(values of `needs` in their order, then `args`), after those in `after` have ended well; the other options are those
-- of mp.parallel. What it needs may be added later.
function graph_methods:add(name, fn, options)
  check_graph(self, "add")
  if type(name) ~= "string" then error(("bad argument #1 to 'add' (name expected, got %s)"):format(type(name)), 2) end
  if self.nodes[name] then error(("there is a task '%s' already"):format(name), 2) end
  if core.function_of(fn) == nil then
    error(("bad argument #2 to 'add' (function or module name expected, got %s)"):format(type(fn)), 2)
  end
  local node = wrap.checked(pcall(make_node, name, fn, options))
  self.nodes[name] = node
  self.order[#self.order + 1] = node
  self.sorted = nil
  return self
end

local function cycle_text(path, name)
  local first = 1
  while path[first] ~= name do first = first + 1 end
  return "dependency cycle: " .. table.concat(path, " -> ", first) .. " -> " .. name
end

-- Without recursion: `path` is the chain of nodes that are open, `at` how far each one's list of dependencies is done.
local function visit(self, root, state, sorted)
  local path, at = { root.name }, { 0 }
  state[root.name] = "open"
  while #path > 0 do
    local depth = #path
    local node = self.nodes[path[depth]]
    at[depth] = at[depth] + 1
    local name = node.needs[at[depth]] or node.after[at[depth] - #node.needs]
    if not name then
      state[node.name] = "closed"
      sorted[#sorted + 1] = node
      path[depth], at[depth] = nil, nil
    elseif not self.nodes[name] then
      error(("task '%s' needs '%s', which is not in the graph"):format(node.name, name), 0)
    elseif state[name] == "open" then
      error(cycle_text(path, name), 0)
    elseif not state[name] then
      state[name] = "open"
      path[depth + 1], at[depth + 1] = name, 0
    end
  end
end

local function sort(self)
  local state, sorted = {}, {}
  for _, node in ipairs(self.order) do
    if not state[node.name] then visit(self, node, state, sorted) end
  end
  return sorted
end

--
-- Running
--

local function submit(node, handles, within, pool)
  local arguments, after = {}, {}
  for i, name in ipairs(node.needs) do arguments[i] = handles[name] end
  for i, name in ipairs(node.after) do after[i] = handles[name] end
  table.move(node.args, 1, node.args.n, #node.needs + 1, arguments)
  local task = #after > 0 and node.task:with { after = after } or node.task
  if within.deadline or pool then task = core.rework(task, nil, check.left(within.deadline), pool) end
  return wrap.submit(within, task, table.unpack(arguments, 1, #node.needs + node.args.n))
end

local function submit_all(sorted, options, deadline, list, handles)
  local within = { what = "graph", unfinished = #sorted, timeout = options.timeout, deadline = deadline }
  for i, node in ipairs(sorted) do
    local handle = submit(node, handles, within, options.pool)
    handles[node.name], list[i] = handle, handle
  end
end

-- Returns the error of what failed.
local function take(report, results, name, ok, value, ...)
  if ok then
    report.done[#report.done + 1] = name
    if select("#", ...) > 0 then value = table.pack(value, ...) end
    results[name] = value
  elseif value.kind == "dependency" then
    report.skipped[#report.skipped + 1] = name
  else
    report.failed[#report.failed + 1] = name
    report.errors[name] = value
  end
  return not ok and value or nil
end

-- In the order in which they end; the first failure is raised, if so wanted, and the rest cancelled. Values that nobody wants stay encoded.
local function await(sorted, list, on_error, wanted)
  local results, report = {}, { done = {}, failed = {}, skipped = {}, errors = {} }
  for handle, i in gather.as_completed(list) do
    local name = sorted[i].name
    if wanted and not wanted[name] and handle:status() == "done" then
      report.done[#report.done + 1] = name
    else
      local err = take(report, results, name, handle:pget())
      if err ~= nil and on_error == "raise" then return nil, err end
    end
  end
  return results, report
end

-- The names in the option `results` as a set; nil: all.
local function wanted_results(self, list)
  if list == nil then return nil end
  local wanted = {}
  for _, name in ipairs(names_in(list, "results")) do
    if not self.nodes[name] then error(("results: '%s' is not in the graph"):format(name), 0) end
    wanted[name] = true
  end
  return wanted
end

--- Runs all: returns the results by name (several values as a packed table) and {done, failed, skipped: lists of names; errors: by name}.
-- timeout: seconds for all; pool; results: the names of those to return, in place of all; on_error: "raise" the first failure and cancel
-- the rest, or "none": what does not depend on it goes on.
function graph_methods:run(options)
  check_graph(self, "run")
  options = check.options(options, RUN_OPTIONS)
  local on_error = check.choice(options.on_error, "on_error", ON_ERROR)
  local deadline = check.deadline(options.timeout)
  check.pool(options.pool)
  local wanted = wrap.checked(pcall(wanted_results, self, options.results))
  self.sorted = self.sorted or wrap.checked(pcall(sort, self))
  local list = {}
  local stop <close> = setmetatable({}, { -- luacheck: ignore
    __close = function(_, err)
      for i = 1, err ~= nil and #list or 0 do list[i]:cancel() end
    end,
  })
  wrap.checked(pcall(submit_all, self.sorted, options, deadline, list, {}))
  local results, report = await(self.sorted, list, on_error, wanted)
  if results then return results, report end
  gather.wait_all(list)
  error(report, 0)
end

--
-- Showing
--

local function edges(self)
  local list = {}
  for _, node in ipairs(self.order) do
    for _, name in ipairs(node.needs) do list[#list + 1] = { from = name, to = node.name } end
    for _, name in ipairs(node.after) do list[#list + 1] = { from = name, to = node.name, dotted = true } end
  end
  return list
end

local function dot(self)
  local function quoted(name)
    return '"' .. name:gsub('[\\"]', "\\%0"):gsub("\n", "\\n") .. '"'
  end
  local lines = { "digraph {" }
  for _, node in ipairs(self.order) do lines[#lines + 1] = ("  %s;"):format(quoted(node.name)) end
  for _, edge in ipairs(edges(self)) do
    lines[#lines + 1] = ("  %s -> %s%s;"):format(quoted(edge.from), quoted(edge.to), edge.dotted and " [style=dashed]" or "")
  end
  return table.concat(lines, "\n") .. "\n}\n"
end

local function mermaid(self)
  local number, lines = {}, { "flowchart LR" }
  for i, node in ipairs(self.order) do
    number[node.name] = i
    local text = node.name:gsub('[&"<>#]', function(c) return ("#%d;"):format(c:byte()) end):gsub("\n", " ")
    lines[#lines + 1] = ('  t%d["%s"]'):format(i, text)
  end
  for _, edge in ipairs(edges(self)) do
    lines[#lines + 1] = ("  t%d %s t%d"):format(number[edge.from], edge.dotted and "-.->" or "-->", number[edge.to])
  end
  return table.concat(lines, "\n") .. "\n"
end

--- The graph as text: "dot" (Graphviz) or "mermaid". Dashed lines are `after`.
function graph_methods:export(format)
  check_graph(self, "export")
  if format ~= "dot" and format ~= "mermaid" then
    error(("bad argument #1 to 'export' ('dot' or 'mermaid' expected, got %s)"):format(tostring(format)), 2)
  end
  self.sorted = self.sorted or wrap.checked(pcall(sort, self))
  return format == "dot" and dot(self) or mermaid(self)
end

function graph.graph()
  return setmetatable({ nodes = {}, order = {} }, graph_mt)
end

return graph
