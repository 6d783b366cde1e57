_ENV = require("support").globals(_ENV)
local support <const> = require "support"

local has_script <const> = os.execute "command -v script >/dev/null 2>&1"

-- `script` gives the command a terminal.
local function on_terminal(source)
  return support.run_child(source, { shell = "script -qec '%s' /dev/null >%s 2>%s </dev/null" })
end

describe("the bar of map's option progress", function()
  it("is not drawn where stderr is no terminal", function()
    local child <const> = support.run_child [[
      local mp = require "makeparallel"
      mp.map(math.abs, { 1, 2, 3 }, { progress = true })
      print(require("makeparallel.progress").bar(10))
    ]]
    assert.same({ "nil\n", "" }, { child.stdout, child.stderr })
  end)

  it("is drawn on a terminal up to 100 %", function()
    if not has_script then return pending "needs script(1)" end
    local child <const> = on_terminal [[
      local mp = require "makeparallel"
      mp.map(mp.sleep, { 0.06, 0, 0.06, 0 }, { progress = true, chunk = 1 })
    ]]
    assert.matches("\r%[#*%.*%] +%d+%% %d+%.%d s", child.stdout)
    assert.matches("%[########################################%] 100%%", child.stdout)
  end)

  it("is not drawn for nothing", function()
    if not has_script then return pending "needs script(1)" end
    local child <const> = on_terminal [[
      local mp = require "makeparallel"
      mp.map(mp.sleep, {}, { progress = true })
    ]]
    assert.equal("", child.stdout)
  end)
end)
