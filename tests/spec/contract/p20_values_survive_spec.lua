-- Promise 20: decode(encode(v)) equals v for every kind that is accepted. Each kind alone: values_spec; what is refused: refusals_spec.
local support = require "support"
local _ENV <const> = support.globals(_ENV) -- luacheck: ignore

describe("a value sent to a worker and back", function()
  it(("is equal for random graphs (MP_SEED=%d)"):format(support.seed), function()
    math.randomseed(support.seed)
    for i = 1, support.scaled(1000) do
      local graph <const> = support.random_graph(math.random, 30)
      local ok, where = support.equal(graph, support.round_trip(graph))
      if not ok then error(("graph %d: %s"):format(i, where)) end
    end
  end)

  it(("is equal through closures, as one of several arguments and results (MP_SEED=%d)"):format(support.seed), function()
    math.randomseed(support.seed)
    for i = 1, support.scaled(200) do
      local a <const>, b <const> = support.random_graph(math.random, 20), support.random_graph(math.random, 20)
      local carried <const> = support.round_trip({ a, b, a, function() return b end })
      local ok, where = support.equal({ a, b, a, b }, { carried[1], carried[2], carried[3], carried[4]() })
      if not ok then error(("graph %d: %s"):format(i, where)) end
    end
  end)
end)
