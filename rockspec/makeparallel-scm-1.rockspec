-- Made by rockspec/generate.lua; `make rockspecs` makes it anew.
rockspec_format = "3.0"
package = "makeparallel"
version = "scm-1"
source = {
  url = "git+https://github.com/makeparallel/makeparallel.git",
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
        "bindings/chunk.c",
        "bindings/embed.c",
        "bindings/errors.c",
        "bindings/events.c",
        "bindings/function.c",
        "bindings/handle.c",
        "bindings/host.c",
        "bindings/intask.c",
        "bindings/interrupt.c",
        "bindings/ledger.c",
        "bindings/logging.c",
        "bindings/map.c",
        "bindings/module.c",
        "bindings/names.c",
        "bindings/options.c",
        "bindings/poolobject.c",
        "bindings/room.c",
        "bindings/runner.c",
        "bindings/task.c",
        "bindings/value_decode.c",
        "bindings/value_encode.c",
        "bindings/vm.c",
        "bindings/wait.c",
        "engine/admit.c",
        "engine/alloc.c",
        "engine/bytes.c",
        "engine/deadline.c",
        "engine/finish.c",
        "engine/graph.c",
        "engine/heap.c",
        "engine/inbox.c",
        "engine/jobs.c",
        "engine/log.c",
        "engine/mailbox.c",
        "engine/os.c",
        "engine/park.c",
        "engine/pool.c",
        "engine/scheduler.c",
        "engine/status.c",
        "engine/stop.c",
        "engine/store.c",
        "engine/task.c",
        "engine/timers.c",
        "engine/wait.c",
      },
      incdirs = { "engine" },
      libraries = { "pthread" },
    },
    ["makeparallel.adapter"] = "lua/makeparallel/adapter.lua",
    ["makeparallel.check"] = "lua/makeparallel/check.lua",
    ["makeparallel.command.doctor"] = "lua/makeparallel/command/doctor.lua",
    ["makeparallel.command"] = "lua/makeparallel/command/init.lua",
    ["makeparallel.command.map"] = "lua/makeparallel/command/map.lua",
    ["makeparallel.copas"] = "lua/makeparallel/copas.lua",
    ["makeparallel.cqueues"] = "lua/makeparallel/cqueues.lua",
    ["makeparallel.each"] = "lua/makeparallel/each.lua",
    ["makeparallel.errors"] = "lua/makeparallel/errors.lua",
    ["makeparallel.gather"] = "lua/makeparallel/gather.lua",
    ["makeparallel.go"] = "lua/makeparallel/go.lua",
    ["makeparallel.imap"] = "lua/makeparallel/imap.lua",
    ["makeparallel"] = "lua/makeparallel/init.lua",
    ["makeparallel.inworker"] = "lua/makeparallel/inworker.lua",
    ["makeparallel.luv"] = "lua/makeparallel/luv.lua",
    ["makeparallel.map"] = "lua/makeparallel/map.lua",
    ["makeparallel.pace"] = "lua/makeparallel/pace.lua",
    ["makeparallel.pools"] = "lua/makeparallel/pools.lua",
    ["makeparallel.progress"] = "lua/makeparallel/progress.lua",
    ["makeparallel.reduce"] = "lua/makeparallel/reduce.lua",
    ["makeparallel.stream"] = "lua/makeparallel/stream.lua",
    ["makeparallel.timers"] = "lua/makeparallel/timers.lua",
  },
  install = {
    bin = { makeparallel = "rockspec/makeparallel" },
  },
}
test = {
  type = "command",
  command = "make check",
}
