-- A service that runs tasks: each is a request by its name.
return require "tasks"
