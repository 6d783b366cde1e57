# Benchmarks; included by the top Makefile. See tests/bench/README.md.

PACKAGES_BENCH := lua-luv lua-cjson libtbb-dev libuv1-dev libomp-14-dev g++ clang
BENCH_ARGS ?=

-include tests/bench/engine/engine.mk

$(BUILD)/bench/lua/clock.so: tests/bench/lua/clock.c
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(CC) $(CFLAGS) -D_POSIX_C_SOURCE=200809L $(LUA_CFLAGS) -shared $< -o $@

bench-programs: module bench-engine-programs $(BUILD)/bench/lua/clock.so

BENCH_RUN = $(LUA) tests/bench/run.lua $(BUILD)

bench: ## figures beside peers: BENCH_ARGS="--suite lua --case trip --reps 9"
	$(call install,$(PACKAGES_BUILD) $(PACKAGES_BENCH))
	@$(MAKE) --no-print-directory bench-programs
	@$(BENCH_RUN) $(BENCH_ARGS)

bench-quick: bench-programs ## every benchmark once, small: does it run?
	@$(BENCH_RUN) --quick

.PHONY: bench bench-programs bench-quick bench-engine-programs
