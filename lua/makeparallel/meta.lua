---@meta makeparallel
-- Types of everything public (LuaCATS). Never loaded: editors and tests read it. Times are in seconds.

---@class makeparallel
---@field _VERSION string
---@field _DESCRIPTION string
---@field _COPYRIGHT string
local mp = {}

---What a task can run: a Lua function, `"module.fn"`, or `mp.source[[...]]`. Where a task stands in its place, what it runs is meant, with its options.
---@alias makeparallel.Runnable function|string|makeparallel.Source|makeparallel.Task

---@alias makeparallel.Status "waiting"|"queued"|"running"|"done"|"failed"|"cancelled"|"timeout"

---Lua source, compiled in the worker; `...` are the arguments.
---@class makeparallel.Source

---@class makeparallel.TaskOptions
---@field name? string shown in errors, logs and `handle:name()`
---@field timeout? number seconds from submission until the handle ends with "timeout", whatever the task does
---@field priority? integer 0 is normal; higher runs before, lower after; first come first served among equals
---@field after? makeparallel.Handle[]|makeparallel.Handle starts when these are done; receives nothing from them
---@field on_complete? fun(...) called with the results when done
---@field on_error? fun(err: makeparallel.Error) called when it ends otherwise, or its result cannot be rebuilt here
---@field on_progress? fun(fraction: number, note?: string)
---@field metadata? table copied into `handle:metadata()`
---@field pool? makeparallel.Pool default: the default pool
---@field retry? integer|makeparallel.RetryOptions it is called again in the worker when it fails: so many times at once, or as told
---@field memory_limit? integer bytes, at least 65536, that it may allocate; past it, it ends with an error of kind "memory" that nothing catches

---A function with options. Calling it submits: a handle among the arguments is a dependency, and the function gets its value.
---@class makeparallel.Task
---@overload fun(...): makeparallel.Handle
local task = {}

---Another task with these options beside or in place of its own.
---@param options makeparallel.TaskOptions
---@return makeparallel.Task
function task:with(options) end

---Submits and waits.
---@return any ...
function task:call(...) end

---@class makeparallel.Error
---@field kind "error"|"cancelled"|"timeout"|"dependency"|"memory"|"send"|"shutdown"
---@field message string
---@field value any what the task raised, if it can be sent
---@field traceback? string the worker's
---@field task? string the task's name
---@field task_id? integer
---@field elapsed? number
---@field cause? makeparallel.Error the error of the dependency, or the one passed on
---@field index? integer of the item that failed, in map, imap and each

---@class makeparallel.Handle
local handle = {}

---The results; raises the task's error, or one of kind "timeout" when it has not ended in time.
---@param timeout? number
---@return any ...
function handle:get(timeout) end

---As pcall: true and the results, or false and the error; also where the results cannot be rebuilt here.
---@param timeout? number
---@return boolean ok
---@return any ...
function handle:pget(timeout) end

---False while it has not ended, else true and the results (or the error raised). Never waits.
---@return boolean ended
---@return any ...
function handle:try_get() end

---@param timeout? number
---@return boolean ended
function handle:wait(timeout) end

---Inside a coroutine yields until the task has ended (mp.poll or mp.run resumes it), elsewhere waits; then as get.
---@return any ...
function handle:await() end

---@return boolean
function handle:is_ready() end

---@return boolean
function handle:is_cancelled() end

---@return makeparallel.Status
function handle:status() end

---@return integer
function handle:id() end

---@return string?
function handle:name() end

---The last fraction reported, 0 to 1.
---@return number
function handle:progress() end

---Seconds since it was submitted, of these waiting, of these running; frozen at the end.
---@return number total
---@return number waiting
---@return number running
function handle:elapsed() end

---@return number?
function handle:timeout() end

---Ends it now; afterwards it is decided whether the outcome is "cancelled", which is returned. A task that runs is stopped as the pool's
---cancel_mode can. With a grace it has so many seconds to stop by itself, and its own end counts.
---@param grace? number
---@return boolean cancelled
function handle:cancel(grace) end

---@return table
function handle:metadata() end

---@param key any
---@param value any
---@return makeparallel.Handle self
function handle:set_metadata(key, value) end

---@param key any
---@return any
function handle:get_metadata(key) end

---@param callback fun(...)
---@return makeparallel.Handle self
function handle:on_complete(callback) end

---@param callback fun(err: makeparallel.Error)
---@return makeparallel.Handle self
function handle:on_error(callback) end

---@param callback fun(fraction: number, note?: string)
---@return makeparallel.Handle self
function handle:on_progress(callback) end

---The same as cancel, as the Python package spells it; so are the next six.
---@param seconds? number
---@return boolean cancelled
function handle:cancel_with_timeout(seconds) end

---The first value of `elapsed`.
---@return number seconds
function handle:elapsed_time() end

---@return string?
function handle:get_name() end

---@return integer
function handle:get_task_id() end

---@return number
function handle:get_progress() end

---@return number?
function handle:get_timeout() end

---@return table
function handle:get_all_metadata() end

---@param fn makeparallel.Runnable
---@param options? makeparallel.TaskOptions
---@return makeparallel.Task
function mp.parallel(fn, options) end

---The same without reading clocks: `elapsed` stays 0.
---@param fn makeparallel.Runnable
---@param options? makeparallel.TaskOptions
---@return makeparallel.Task
function mp.parallel_fast(fn, options) end

---The same as parallel.
---@param fn makeparallel.Runnable
---@param options? makeparallel.TaskOptions
---@return makeparallel.Task
function mp.parallel_pool(fn, options) end

---The task's first argument is the priority of the call: `task(9, ...)`; the function does not get it.
---@param fn makeparallel.Runnable
---@param options? makeparallel.TaskOptions
---@return makeparallel.Task
function mp.parallel_priority(fn, options) end

---The function's first argument is a table of what the tasks in `after` returned, with `n`.
---@param fn makeparallel.Runnable
---@param options? makeparallel.TaskOptions
---@return makeparallel.Task
function mp.parallel_with_deps(fn, options) end

---@param fn makeparallel.Runnable
---@return makeparallel.Handle
function mp.spawn(fn, ...) end

---@param text string
---@return makeparallel.Source
function mp.source(text) end

---Lets tables with this metatable travel. Call it in a module that workers require too. A metatable's `__mp_pack(object)` may give a
---plain value to send in the object's place, and `__mp_unpack(value)` make the object from it.
---@generic T: table
---@param name string
---@param metatable T
---@return T metatable
function mp.class(name, metatable) end

---@class makeparallel.MapOptions
---@field chunk? integer items in a task; default: as many as take about a millisecond
---@field on_error? "raise"|"skip"|"none" raise the first error and cancel the rest; leave the item out; leave nil
---@field progress? boolean|"plain"|fun(done: integer, total: integer) true: a bar, where stderr is a terminal; "plain": elsewhere lines
---@field timeout? number for all of it
---@field seed? integer math.random is seeded from this and the item's index, so results do not depend on the number of workers
---@field name? string
---@field priority? integer
---@field pool? makeparallel.Pool

---@class makeparallel.ItemError
---@field index integer
---@field message string
---@field error makeparallel.Error with `index`, and as `value` what the item raised

---fn(item) for each item; the results in order, with `n`.
---@param fn makeparallel.Runnable|makeparallel.Task
---@param list any[]
---@param options? makeparallel.MapOptions
---@return any[] results
---@return makeparallel.ItemError[] errors
function mp.map(fn, list, options) end

---The same as map.
---@param fn makeparallel.Runnable|makeparallel.Task
---@param list any[]
---@param options? makeparallel.MapOptions
---@return any[] results
---@return makeparallel.ItemError[] errors
function mp.parallel_map(fn, list, options) end

---@class makeparallel.ImapOptions
---@field window? integer items read ahead of the one given out; default 32768
---@field chunk? integer items in a task; default: as many as take about a millisecond
---@field on_error? "raise"|"skip"|"none" raise in the item's place; leave it out; give nil and, as third value, the message
---@field unordered? boolean give what is ready first; the index tells whose it is
---@field progress? boolean|"plain"|fun(done: integer, total?: integer)
---@field timeout? number for all of it
---@field seed? integer as for map
---@field name? string
---@field priority? integer
---@field pool? makeparallel.Pool

---For a generic `for`: index and fn's first result for each item, in order, reading a bounded number of items ahead. Behind `fn` comes a
---list; or an iterator alone, as from gmatch; or what pairs, io.lines and the like return, three or four values, all of which fn gets
---(as many for each item as for the first). Options are last. Leaving the loop early cancels the rest and closes the iterator.
---@param fn makeparallel.Runnable|makeparallel.Task
---@param source any[]|function
---@return fun(): integer?, any, string?
function mp.imap(fn, source, ...) end

---@class makeparallel.EachOptions
---@field chunk? integer numbers in a task; default: as many as take about a millisecond
---@field ranges? boolean fn(from, to, step) once a task, in place of fn(i)
---@field on_error? "raise"|"skip" raise the first error and cancel the rest; go on and tell
---@field progress? boolean|"plain"|fun(done: integer, total: integer)
---@field timeout? number for all of it
---@field seed? integer math.random is seeded from this and the number
---@field name? string
---@field priority? integer
---@field pool? makeparallel.Pool

---fn(i) for i = first, last, step (default 1) on all workers, for what it does there; waits for all.
---@param first integer
---@param last integer
---@param fn makeparallel.Runnable|makeparallel.Task
---@param options? makeparallel.EachOptions
---@overload fun(first: integer, last: integer, step: integer, fn: makeparallel.Runnable, options?: makeparallel.EachOptions): integer, table
---@return integer count how many numbers there were
---@return makeparallel.ItemError[] errors
function mp.each(first, last, fn, options) end

---@class makeparallel.ReduceOptions
---@field initial? any combined before the first; what an empty list gives
---@field chunk? integer items that a worker combines in one go; default: the list in 128 such blocks
---@field progress? boolean|"plain"|fun(done: integer, total: integer)
---@field timeout? number for all of it
---@field seed? integer as for map
---@field name? string
---@field priority? integer
---@field pool? makeparallel.Pool

---combine(combine(map(list[1]), map(list[2])), map(list[3])) ...; combine must be associative. The order in which it is called depends on
---the list's length and `chunk` alone, so floating point sums have the same digits at any number of workers.
---@param map makeparallel.Runnable|makeparallel.Task
---@param combine function|string
---@param list any[]
---@param options? makeparallel.ReduceOptions
---@return any
function mp.reduce(map, combine, list, options) end

---Waits for all. Results in order, with `n`; a task that returned several values gives a packed table.
---@param handles makeparallel.Handle[]
---@param options? { on_error?: "raise"|"skip"|"none", timeout?: number }
---@return any[] results
---@return { index: integer, error: makeparallel.Error }[] errors
function mp.gather(handles, options) end

---For a generic `for`: each handle once, with its index, as they end. Leaving the loop early cancels the rest.
---@param handles makeparallel.Handle[]
---@param timeout? number
---@return fun(): makeparallel.Handle?, integer?
function mp.as_completed(handles, timeout) end

---@param handles makeparallel.Handle[]
---@param timeout? number
---@return makeparallel.Handle? ended nil at the timeout
---@return integer? index
function mp.wait_any(handles, timeout) end

---@param handles makeparallel.Handle[]
---@param timeout? number
---@return boolean ended false at the timeout
function mp.wait_all(handles, timeout) end

---@class makeparallel.ContextOptions
---@field timeout? number seconds for all that is submitted, and for what waits for it
---@field pool? makeparallel.Pool
---@field on_error? "raise"|"none" on leaving raise the first failure and cancel the rest (default); leave failures in their handles

---Tasks that do not outlive a block: `local ctx <close> = mp.context{timeout = 10}`. Leaving it waits for all; an error that leaves the
---block cancels them. A task that its user cancelled is no failure.
---@class makeparallel.Context
local context = {}

---@param options? makeparallel.ContextOptions
---@return makeparallel.Context
function mp.context(options) end

---The same as context.
---@param options? makeparallel.ContextOptions
---@return makeparallel.Context
function mp.ParallelContext(options) end

---@param fn makeparallel.Runnable|makeparallel.Task
---@return makeparallel.Handle
function context:submit(fn, ...) end

---@param fn makeparallel.Runnable|makeparallel.Task
---@param list any[]
---@param options? makeparallel.MapOptions
---@return any[] results
---@return makeparallel.ItemError[] errors
function context:map(fn, list, options) end

---Asks all that has not ended to stop.
function context:cancel() end

---Leaves it before its block ends.
function context:close() end

---@class makeparallel.NodeOptions : makeparallel.TaskOptions
---@field needs? string[] names of tasks whose values are the first arguments, in this order
---@field after? string[] names of tasks that must have ended well before
---@field args? any[] further arguments

---Tasks with names and what each needs; may run any number of times.
---@class makeparallel.Graph
local graph = {}

---@return makeparallel.Graph
function mp.graph() end

---What it needs may be added later.
---@param name string
---@param fn makeparallel.Runnable|makeparallel.Task
---@param options? makeparallel.NodeOptions
---@return makeparallel.Graph self
function graph:add(name, fn, options) end

---@class makeparallel.GraphReport
---@field done string[] in the order in which they ended
---@field failed string[]
---@field skipped string[] because something they need failed
---@field errors table<string, makeparallel.Error> of those that failed

---@class makeparallel.RunOptions
---@field timeout? number seconds for all
---@field pool? makeparallel.Pool
---@field on_error? "raise"|"none" raise the first failure and cancel the rest (default); go on with what does not depend on it
---@field results? string[] names of those whose values are returned; default: all. The others are never copied into this state

---Results by name; several values as a packed table. A cycle or an unknown name is an error before anything runs.
---@param options? makeparallel.RunOptions
---@return table<string, any> results
---@return makeparallel.GraphReport report
function graph:run(options) end

---@param format "dot"|"mermaid"
---@return string
function graph:export(format) end

---A function that measures its calls. Of a task it measures the submission; see profiled for what runs in workers.
---@class makeparallel.Timer
---@field last? number seconds of the last call
---@field total number seconds of all
---@field count integer
---@overload fun(...): any
local timer = {}

---@param fn function
---@param report? fun(seconds: number, timer: makeparallel.Timer) called after each call
---@return makeparallel.Timer
function mp.timer(fn, report) end

function timer:reset() end

---@class makeparallel.CallCounter
---@field call_count integer
---@overload fun(...): any
local counter = {}

---@param fn function
---@return makeparallel.CallCounter
function mp.CallCounter(fn) end

function counter:reset() end

---@class makeparallel.RetryOptions
---@field max_attempts? integer default 4
---@field backoff? "exponential"|"fixed"|"linear" how delays grow
---@field initial_delay? number seconds before the second attempt; default 0.1
---@field max_delay? number seconds; default 60
---@field jitter? number 0 to 1: each delay is shortened by a random part of it, up to this
---@field retry_if? fun(err: any, attempt: integer): any false or nil: the error is raised at once

---A function that is called again, at once, when it fails: up to `max_retries` times (3). The last error is raised as it is. A task that
---is cancelled is not tried again. Around a task it gives a task, and the attempts are made in the worker; so does the task's option `retry`.
---@generic T: function|makeparallel.Task
---@param fn T
---@param max_retries? integer|makeparallel.RetryOptions
---@return T
function mp.retry(fn, max_retries) end

---With delays between; a worker runs other tasks meanwhile. Attempts are logged (area "retry", level debug).
---@generic T: function|makeparallel.Task
---@param fn T
---@param options? makeparallel.RetryOptions
---@return T
function mp.retry_backoff(fn, options) end

---@class makeparallel.RetryCachedOptions : makeparallel.RetryOptions
---@field cache_failures? boolean an error is kept, too, and raised again
---@field max? integer
---@field max_bytes? integer
---@field ttl? number

---memoize around retry_backoff, without delays unless asked.
---@param fn function|makeparallel.Task
---@param options? makeparallel.RetryCachedOptions
---@return makeparallel.Memo
function mp.retry_cached(fn, options) end

---@class makeparallel.MemoLimits
---@field max? integer results kept, those used last; default 65,536
---@field max_bytes? integer of all keys and results
---@field ttl? number seconds a result is kept

---@class makeparallel.MemoOptions : makeparallel.MemoLimits
---@field cache_errors? boolean an error is kept, too, and raised again

---@class makeparallel.CacheInfo : makeparallel.MemoLimits
---@field hits integer
---@field misses integer
---@field entries integer
---@field bytes integer
---@field evicted integer
---@field expired integer

---A function that remembers its results.
---@class makeparallel.Memo
---@overload fun(...): any
local memo = {}

---Results for equal arguments are computed once in this Lua state. Tables count by content, functions and userdata by identity; one
---coroutine waits for what another is computing. Sent to a worker it begins there with an empty cache.
---@param fn function|makeparallel.Task
---@param options? makeparallel.MemoOptions
---@return makeparallel.Memo
function mp.memoize(fn, options) end

---One cache for this state and every worker that the function travels to. What cannot be encoded is not kept; arguments must mean the
---same in every state.
---@param fn function
---@param options? makeparallel.MemoLimits
---@return makeparallel.Memo
function mp.memoize_fast(fn, options) end

---@return makeparallel.CacheInfo
function memo:cache_info() end

---Forgets all results.
function memo:cache_clear() end

---A function or task whose calls are counted under the name, wherever they run. A call counts when it ends.
---@generic T: function|makeparallel.Task
---@param fn T
---@param name? string default: where it is defined
---@return T
function mp.profiled(fn, name) end

---@class makeparallel.Metrics
---@field total integer total == completed + failed
---@field completed integer
---@field failed integer
---@field total_ms number
---@field average_ms number
---@field min_ms number
---@field max_ms number
---@field p50_ms number percentiles are right to within 7 %
---@field p90_ms number
---@field p99_ms number

---Of one name, or nil if nothing has it; without a name of all together.
---@param name? string
---@return makeparallel.Metrics?
function mp.get_metrics(name) end

---@return table<string, makeparallel.Metrics>
function mp.get_all_metrics() end

---Counts begin anew; names stay.
function mp.reset_metrics() end

---@param format "prometheus"|"json"
---@return string
function mp.export_metrics(format) end

---Inside a task: how far it is, 0 to 1. From elsewhere with the handle first.
---@param fraction number
---@param note? string
---@overload fun(task: makeparallel.Handle|integer, fraction: number, note?: string)
function mp.report_progress(fraction, note) end

---Inside a task: was it asked to stop? A task that saw true counts as cancelled however it ends.
---@return boolean
function mp.cancelled() end

---In a coroutine of mp.go yields. In a task ends with an error as soon as the task is cancelled; elsewhere callbacks and coroutines run.
---@param seconds number
function mp.sleep(seconds) end

---The monotonic clock.
---@return number seconds
function mp.now() end

---The handle of the task that runs here, or nil.
---@return makeparallel.Handle?
function mp.current() end

---@return integer?
function mp.get_current_task_id() end

---Delivers callbacks, and lets coroutines whose sleep is over go on; begins no callback once `budget` seconds have passed.
---@param budget? number
---@return integer delivered
---@return integer left
function mp.poll(budget) end

---Runs callbacks and coroutines until nothing is left to wait for. With fn, which runs in a coroutine, returns what it returned or raises
---its error. Then raises the first error of a coroutine that nobody awaited; the next call raises the next.
---@param fn? function
---@return any ... fn's results; without fn how many callbacks were delivered
function mp.run(fn, ...) end

---Calls fn(...) in a coroutine of this state, at once, up to where it first waits. What waits there: `handle:await()`, `mp.sleep`, and
---`await` of another such coroutine.
---@param fn function
---@return makeparallel.Routine
function mp.go(fn, ...) end

---A coroutine that mp.go started. `<close>` cancels it.
---@class makeparallel.Routine
local routine = {}

---In a coroutine yields until it has ended, elsewhere runs callbacks and coroutines meanwhile; its results, or its error raised.
---@return any ...
function routine:await() end

---As await, but never yields; raises an error of kind "timeout" when it has not ended in time.
---@param timeout? number
---@return any ...
function routine:get(timeout) end

---@param timeout? number
---@return boolean ok
---@return any ...
function routine:pget(timeout) end

---@param timeout? number
---@return boolean ended
function routine:wait(timeout) end

---@return boolean
function routine:is_ready() end

---@return "running"|"done"|"failed"|"cancelled"
function routine:status() end

---Ends it where it waits, closing its variables. False if it had ended, or calls this itself.
---@return boolean cancelled
function routine:cancel() end

---A descriptor that is readable when poll has work of the pool (or the handle's pool); default: the default pool.
---@param of? makeparallel.Pool|makeparallel.Handle
---@return integer
function mp.fd(of) end

---@class makeparallel.ProgressOptions
---@field label? string
---@field plain? boolean lines in place of a bar, also on a terminal
---@field width? integer columns; default: the terminal's
---@field output? file*|{ write: fun(self, text: string) } default: stderr
---@field terminal? boolean whether the output is one; default: stderr may be, others are not
---@field clock? fun(): number default: mp.now

---A bar: on a terminal redrawn ten times a second at most, several one below the other; elsewhere a line each 10 % or 5 seconds. For
---handles it moves by itself, whenever callbacks run. Colours unless NO_COLOR is set.
---@param of? integer|makeparallel.Handle|makeparallel.Handle[] how many steps; nil: nobody knows
---@param options? makeparallel.ProgressOptions
---@return makeparallel.Bar
function mp.progress(of, options) end

---`<close>` ends it.
---@class makeparallel.Bar
local bar = {}

---So many are done; at the total it ends. The note is shown behind.
---@param done number
---@param note? string
---@return makeparallel.Bar self
function bar:update(done, note) end

---So many more; default 1.
---@param n? number
---@param note? string
---@return makeparallel.Bar self
function bar:add(n, note) end

---Ends it as it stands.
function bar:close() end

---@class makeparallel.PoolOptions
---@field workers? integer 1 to 1024; default: the cores this process may use
---@field stack_size? integer bytes, at least 1 MiB; default 8 MiB
---@field setup? function runs in each worker's state when it is made
---@field preload? string[] modules that each worker's state requires when it is made
---@field isolate? "none"|"env"|"state" globals of a worker persist; a fresh environment for each task; a fresh state
---@field cancel_mode? "signal"|"hook"|"cooperative" how Lua that runs is stopped: by SIGURG to the worker (default), at no cost until then;
---by a count hook, where signals are forbidden, at up to twice the time; or not at all: the task must look at mp.cancelled()
---@field worker_memory_limit? integer bytes, at least 1 MiB, that a worker's state may hold
---@field max_concurrent_tasks? integer tasks that have not ended
---@field max_queue? integer tasks that have not started
---@field max_queue_bytes? integer the same in bytes
---@field memory_limit_percent? integer 1 to 100: of the system's memory (or the cgroup's) in use by whomever, above which no task is taken
---@field when_full? "block"|"error"|"caller" wait for room (then nil and "queue full"); raise at once; run it on this thread, in a state of its own
---@field full_timeout? number seconds to wait for room; default: no limit, inside a task 30
---@field trace? string a file to write, anew: which worker ran which task, and when; for ui.perfetto.dev or chrome://tracing
---@field log? string|false|fun(level: string, area: string, line: string) as MAKEPARALLEL_LOG: "debug", "pool=trace,callback=error"; false: off

---Sets options of the default pool; false gives one back. A running pool is replaced if nothing is left to do in it.
---@param options makeparallel.PoolOptions
function mp.configure(options) end

---@param options integer|makeparallel.PoolOptions an integer: the number of workers
function mp.configure_thread_pool(options) end

---Of the default pool; now, if it runs. nil: no limit.
---@param max integer? tasks that have not ended
function mp.set_max_concurrent_tasks(max) end

---Of the default pool; now, if it runs. nil: no limit.
---@param percent integer? of the system's memory (or the cgroup's), 1 to 100
function mp.configure_memory_limit(percent) end

---@class makeparallel.Pool
local pool = {}

---A further pool, with workers of its own. When it is dropped it ends, and cancels what is unfinished; a handle keeps its pool until its result was asked for.
---@param options? makeparallel.PoolOptions
---@return makeparallel.Pool
function mp.pool(options) end

---@class makeparallel.Info
---@field workers integer
---@field workers_extra integer threads that stand in for workers that wait
---@field submitted integer submitted == finished + those that are not
---@field finished integer finished == done + failed + cancelled + timed_out
---@field done integer
---@field failed integer
---@field cancelled integer
---@field timed_out integer
---@field waiting integer
---@field running integer
---@field stuck integer workers set aside because their task is over and does not return
---@field refused integer submissions that found the pool full
---@field peak integer the most tasks at a time, while there are limits
---@field queue integer tasks that have not started, while there are limits
---@field queue_bytes integer
---@field messages_dropped integer progress that found a mailbox full
---@field callback_errors integer
---@field bytes integer held by the engine
---@field shut_down boolean

---@return makeparallel.Info
function pool:info() end

---@param fn makeparallel.Runnable
---@param options? makeparallel.TaskOptions
---@return makeparallel.Task
function pool:parallel(fn, options) end

---@param fn makeparallel.Runnable
---@return makeparallel.Handle
function pool:spawn(fn, ...) end

---@param fn makeparallel.Runnable|makeparallel.Task
---@param list any[]
---@param options? makeparallel.MapOptions
---@return any[] results
---@return makeparallel.ItemError[] errors
function pool:map(fn, list, options) end

---@param fn makeparallel.Runnable|makeparallel.Task
---@param source any[]|function
---@return fun(): integer?, any, string?
function pool:imap(fn, source, ...) end

---@param first integer
---@param last integer
---@param fn makeparallel.Runnable|makeparallel.Task
---@param options? makeparallel.EachOptions
---@return integer count
---@return makeparallel.ItemError[] errors
function pool:each(first, last, fn, options) end

---@param map makeparallel.Runnable|makeparallel.Task
---@param combine function|string
---@param list any[]
---@param options? makeparallel.ReduceOptions
---@return any
function pool:reduce(map, combine, list, options) end

---@class makeparallel.ShutdownOptions
---@field timeout? number seconds for what runs; default 30
---@field cancel_pending? boolean default true; false lets what has not started run

---@class makeparallel.Report
---@field done integer
---@field cancelled integer
---@field stuck integer workers still inside a task

---@param options? makeparallel.ShutdownOptions
---@return makeparallel.Report
function pool:shutdown(options) end

---@return makeparallel.Info
function mp.get_thread_pool_info() end

---Tasks submitted and not finished.
---@return integer
function mp.get_active_task_count() end

---Of the default pool; no other starts until reset_shutdown.
---@param options? makeparallel.ShutdownOptions
---@return makeparallel.Report
function mp.shutdown(options) end

---Lets the next use start a new default pool.
function mp.reset_shutdown() end

---`require "makeparallel.luv"`, `.cqueues` or `.copas`: makeparallel in an event loop.
---@class makeparallel.Adapter
local adapter = {}

---From now on the loop delivers callbacks of the default pool, runs coroutines of mp.go, and does not end by itself.
---@param controller? any for cqueues: the controller; default: the one that runs here
function adapter.attach(controller) end

---Ends that. Before the default pool is configured anew or shut down.
function adapter.detach() end

---In a coroutine of the loop: lets the others go on until the task has ended; its results, or its error raised.
---@param handle makeparallel.Handle
---@param timeout? number raises an error of kind "timeout"
---@return any ...
function adapter.await(handle, timeout) end

---`require "makeparallel.compat"`: this module under the spellings of the Python package, where they differ. Its parallel..., retry...,
---and memoize... also take the options of a decorator first and return what wraps a function; gather, shutdown, configure_thread_pool and
---report_progress take arguments by position; metrics have the package's field names, too.
---@class makeparallel.compat : makeparallel
local compat = {}

---Accepted and without effect: priorities are always on.
function compat.start_priority_worker() end

---Accepted and without effect.
function compat.stop_priority_worker() end

---@param handles makeparallel.Handle[]
---@param on_error? "raise"|"skip"|"none"
---@param timeout? number
---@return any[] results
function compat.gather(handles, on_error, timeout) end

---@param workers? integer
---@param stack_size? integer
function compat.configure_thread_pool(workers, stack_size) end

---With the package's fields, too: `configured`, `current_num_threads`.
---@return makeparallel.Info
function compat.get_thread_pool_info() end

---Whether all tasks have ended, and the report; with a table of options only the report.
---@param timeout? number
---@param cancel_pending? boolean
---@return boolean ended
---@return makeparallel.Report
---@overload fun(options: { timeout?: number, cancel_pending?: boolean }): makeparallel.Report
function compat.shutdown(timeout, cancel_pending) end

---@param timeout? number|makeparallel.ContextOptions seconds for all that is submitted
---@return makeparallel.Context
function compat.ParallelContext(timeout) end

---@param fraction number
---@param task? makeparallel.Handle|integer
function compat.report_progress(fraction, task) end

return mp
