-- Writes the rockspecs, or with --check says whether they are as they should be: `make rockspecs`, `make check-rockspecs`. What goes into
-- them follows from the files in engine/, bindings/ and lua/, and the version from engine/makeparallel.h.

local TEMPLATE <const> = [==[
-- Made by rockspec/generate.lua; `make rockspecs` makes it anew.
rockspec_format = "3.0"
package = "makeparallel"
version = "@VERSION@-1"
source = {
  url = "git+https://github.com/makeparallel/makeparallel.git",@TAG@
}
description = {
  summary = "All cores from Lua: tasks, dependencies, callbacks",
  detailed = [[
Wrap a function, call it, get a handle at once and the result later. Each worker thread runs its own lua_State on a
task engine written in C11; handles given as arguments are dependencies; callbacks come back to the main state.]],
  license = "MIT",
  labels = { "parallel", "threads", "concurrency", "tasks" },
}
dependencies = {
  "lua >= 5.4, < 5.5",
}
build = {
  type = "builtin",
  modules = {
    ["makeparallel.core"] = {
      sources = {
@SOURCES@
      },
      incdirs = { "engine", "bindings" },
      libraries = { "pthread" },
    },
@MODULES@
  },
  install = {
    bin = { makeparallel = "rockspec/makeparallel" },
  },
}
test = {
  type = "command",
  command = "make check",
}
]==]

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local function files(patterns)
  local found <const> = {}
  local list <close> = assert(io.popen("LC_ALL=C ls " .. patterns .. " 2>/dev/null"))
  for path in list:lines() do
    found[#found + 1] = path
  end
  return found
end

local function sources()
  local lines <const> = {}
  for _, path in ipairs(files "bindings/*/*.c engine/*.c") do
    lines[#lines + 1] = ('        "%s",'):format(path)
  end
  return table.concat(lines, "\n")
end

-- Modules of lua/, but for the declarations of types, which are never loaded.
local function modules()
  local lines <const> = {}
  for _, path in ipairs(files "lua/makeparallel/*.lua lua/makeparallel/*/*.lua") do
    local name <const> = path:match("^lua/(.*)%.lua$"):gsub("/init$", ""):gsub("/", ".")
    if name ~= "makeparallel.meta" then lines[#lines + 1] = ('    ["%s"] = "%s",'):format(name, path) end
  end
  return table.concat(lines, "\n")
end

local function rockspec(version, tag)
  local tag_line <const> = tag and ('\n  tag = "%s",'):format(tag) or ""
  local values <const> = { VERSION = version, TAG = tag_line, SOURCES = sources(), MODULES = modules() }
  return (TEMPLATE:gsub("@(%u+)@", values))
end

local release <const> = read("engine/makeparallel.h"):match '#define MP_VERSION "([^"]+)"'
local wanted <const> = {
  ["rockspec/makeparallel-scm-1.rockspec"] = rockspec "scm",
  [("rockspec/makeparallel-%s-1.rockspec"):format(release)] = rockspec(release, "v" .. release),
}

if arg[1] == "--check" then
  for _, path in ipairs(files "rockspec/*.rockspec") do
    assert(wanted[path], path .. " is of another version")
  end
  for path, text in pairs(wanted) do
    assert(read(path) == text, path .. " does not name what is in the tree; run `make rockspecs`")
  end
  print "rockspecs: as the tree is"
else
  for path, text in pairs(wanted) do
    local file <close> = assert(io.open(path, "w"))
    file:write(text)
  end
end
