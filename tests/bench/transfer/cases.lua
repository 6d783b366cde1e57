-- The cases of the transfer suite: values as transfer.h makes them, encoded in one state and decoded in another; ns of CPU for both.
return {
  { name = "floats", label = "1,000 numbers", goal = "<= every peer" },
  { name = "records", label = "200 records", goal = "<= every peer" },
  { name = "small", label = "arguments of a call", goal = "<= every peer" },
}
