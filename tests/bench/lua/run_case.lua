-- One repetition of one case: lua5.4 run_case.lua SUBJECT CASE SCALE. Exit 3: the subject has no such case.
local name, case, scale = arg[1], arg[2], tonumber(arg[3] or 1)
local subject = require("subjects." .. name)
local value = subject[case] and subject[case](scale)
if value == nil then os.exit(3) end
if value then require "report"(case, value) end -- false: it was reported already
if subject.stop then subject.stop() end
