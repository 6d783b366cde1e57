-- A bar on the terminal, redrawn in place on stderr.
local core = require "makeparallel.core"

local WIDTH <const> = 40
local REDRAW_EVERY <const> = 0.05

local progress = {}

local bar_methods = {}
local bar_mt = { __index = bar_methods }

--- A bar for `total` steps, or nil where stderr is no terminal.
function progress.bar(total, label)
  if total < 1 or not core.is_terminal() then return nil end
  return setmetatable({ total = total, label = label or "", started = core.now(), drawn = 0, done = 0 }, bar_mt)
end

function bar_methods:update(done)
  local now = core.now()
  self.done = done
  if now - self.drawn < REDRAW_EVERY and done < self.total then return end
  self.drawn = now
  local filled = math.floor(WIDTH * done / self.total)
  local bar = ("#"):rep(filled) .. ("."):rep(WIDTH - filled)
  io.stderr:write(("\r%s[%s] %3d%% %.1f s"):format(self.label, bar, 100 * done // self.total, now - self.started))
  if done >= self.total then io.stderr:write "\n" end
end

return progress
