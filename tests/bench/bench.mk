# Benchmarks; included by the top Makefile. See tests/bench/README.md.

PACKAGES_BENCH := lua-luv lua-cjson lua-messagepack libmsgpack-dev libtbb-dev libuv1-dev libomp-14-dev g++ clang
BENCH_ARGS ?=

COMMA := ,
# Debian's interpreter and shared library have no symbols for a profile, its static one has.
LUA_ARCHIVE := $(filter /%,$(shell $(CC) -print-file-name=liblua5.4.a))
LUA_WHOLE := $(if $(LUA_ARCHIVE),-Wl$(COMMA)--whole-archive $(LUA_ARCHIVE) -Wl$(COMMA)--no-whole-archive,$(LUA_LIBS)) -lm -ldl

-include tests/bench/engine/engine.mk tests/bench/transfer/transfer.mk tests/bench/profile/profile.mk

$(BUILD)/bench/lua/clock.so: tests/bench/lua/clock.c
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(CC) $(CFLAGS) -D_POSIX_C_SOURCE=200809L $(LUA_CFLAGS) -shared $< -o $@

bench-programs: module bench-engine-programs bench-transfer-programs $(BUILD)/bench/lua/clock.so

bench: ## figures beside peers: BENCH_ARGS="--suite lua --case trip --reps 9"
	$(call install,$(PACKAGES_BUILD) $(PACKAGES_BENCH))
	@$(MAKE) --no-print-directory bench-programs
	@$(LUA) tests/bench/run.lua $(BUILD) $(BENCH_ARGS)

bench-quick: bench-programs ## every benchmark once, small: does it run?
	@$(LUA) tests/bench/run.lua $(BUILD) --quick

bench-compare: ## two revisions by turns, ratio and spread: BASE=HEAD~1 CASES="tiny engine:fib" COMPARE_ARGS="--reps 9"
	$(call install,$(PACKAGES_BUILD) git)
	@$(MAKE) --no-print-directory bench-programs
	@$(LUA) tests/bench/compare.lua $(BUILD) "$(BASE)" "$(CASES)" $(COMPARE_ARGS)

bench-plot: ## draw build/bench.svg from the figures of the last whole `make bench`
	$(call install,gnuplot-nox)
	@$(LUA) tests/bench/plot.lua $(BUILD)

.PHONY: bench bench-programs bench-quick bench-engine-programs bench-transfer-programs bench-compare bench-plot
