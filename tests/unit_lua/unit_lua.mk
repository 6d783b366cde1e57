# Unit tests of the bindings (cmocka, linked with Lua itself) and the decoder's fuzzer; included by the top Makefile.
#
#   make unit-lua
#   make BUILD=build/asan CC=clang SAN=address,undefined unit-lua
#   make fuzz FUZZ_SECONDS=600

LUA_LIBS ?= $(shell pkg-config --libs lua5.4 2>/dev/null || echo -llua5.4)
FUZZ_SECONDS ?= 20
FUZZ_CC ?= clang
# Under a sanitizer each of the 27,000 points of failure costs 3 to 10 times as much: every fifth has to do.
SWEEP_STRIDE ?= $(if $(findstring thread,$(SAN)),25,$(if $(SAN),5,1))

UNIT_LUA_OUT := $(BUILD)/tests/unit_lua
UNIT_LUA := $(patsubst tests/unit_lua/%.c,$(UNIT_LUA_OUT)/%,$(sort $(wildcard tests/unit_lua/test_*.c)))
UNIT_LUA_SAN := $(LUA_SAN_SOURCES:tests/%.c=$(UNIT_LUA_OUT)/%.o)
UNIT_LUA_SUPPORT := $(UNIT_LUA_SAN) $(addprefix $(UNIT_LUA_OUT)/,support.o sweep.o support/fault_alloc.o $(if $(findstring MP_FAULTS,$(EXTRA_CFLAGS)),support/faults.o))
UNIT_LUA_CFLAGS := -D_GNU_SOURCE $(LUA_CFLAGS) -Iengine -Ibindings -Itests/support -Itests/fuzz -MMD -MP
# Where the tests put allocators of their own: see tests/unit_lua/support.h.
UNIT_LUA_WRAP := -Wl,--wrap=lua_newstate,--wrap=mp_pool_create,--wrap=calloc

$(UNIT_LUA_OUT)/%.o: tests/unit_lua/%.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(UNIT_LUA_CFLAGS) -c $< -o $@

$(UNIT_LUA_OUT)/support/%.o: tests/support/%.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(UNIT_LUA_CFLAGS) -c $< -o $@

$(UNIT_LUA_OUT)/fuzz/%.o: tests/fuzz/%.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(UNIT_LUA_CFLAGS) -c $< -o $@

$(filter-out %/test_corpus %/test_embed,$(UNIT_LUA)): %: %.o $(UNIT_LUA_SUPPORT) $(BINDINGS_OBJ) $(ENGINE_OBJ)
	@$(CC) -o $@ $^ $(LDFLAGS) $(UNIT_LUA_WRAP) $(LUA_LIBS) -lcmocka -lm

# This one keeps the fuzzer's state, and its allocator, instead of a laboratory's.
$(UNIT_LUA_OUT)/test_corpus: %: %.o $(UNIT_LUA_SAN) $(UNIT_LUA_OUT)/fuzz/harness.o $(BINDINGS_OBJ) $(ENGINE_OBJ)
	@$(CC) -o $@ $^ $(LDFLAGS) $(LUA_LIBS) -lcmocka -lm

# This one is a program of its own, with the allocators it brings.
$(UNIT_LUA_OUT)/test_embed: %: %.o $(UNIT_LUA_SAN) $(BINDINGS_OBJ) $(ENGINE_OBJ)
	@$(CC) -o $@ $^ $(LDFLAGS) $(LUA_LIBS) -lcmocka -lm

# One line for a program that passes, everything it said for one that fails.
unit-lua: $(UNIT_LUA) ## the bindings' unit tests
	@export SWEEP_STRIDE=$(SWEEP_STRIDE) UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1; \
	failed=0; for program in $(UNIT_LUA); do \
	  name=$${program##*/}; \
	  if $(RUNNER) $$program >$$program.log 2>&1; then \
	    printf '%-20s %s\n' "$$name" "$$(sed -n -e 's/^\[==========\] \(.*\) run\.$$/\1/p' -e 's/^swept: /swept /p' $$program.log | sort -r | tr '\n' ' ')"; \
	  else \
	    failed=1; echo "$$name FAILED"; cat $$program.log; \
	  fi; \
	done; exit $$failed

FUZZ_OUT := $(BUILD)/fuzz
FUZZ_SOURCES := tests/fuzz/decode.c tests/fuzz/harness.c $(BINDINGS) $(ENGINE)

$(FUZZ_OUT)/decode: $(FUZZ_SOURCES) $(wildcard bindings/*.h bindings/*/*.h engine/*.h tests/fuzz/*.h)
	@mkdir -p $(@D)
	@$(FUZZ_CC) -std=c11 -O1 -g $(WARN) $(UNIT_LUA_CFLAGS:-M%=) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	  -pthread -o $@ $(FUZZ_SOURCES) $(LUA_LIBS) -lm

fuzz: $(FUZZ_OUT)/decode ## feed the decoder damaged messages: FUZZ_SECONDS=
	@mkdir -p $(FUZZ_OUT)/corpus && cp tests/fuzz/corpus/* $(FUZZ_OUT)/corpus/
	@if $(FUZZ_OUT)/decode -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -print_final_stats=1 \
	  -artifact_prefix=$(FUZZ_OUT)/ $(FUZZ_OUT)/corpus >$(FUZZ_OUT)/decode.log 2>&1; then \
	  sed -n -e 's/^stat::number_of_executed_units: *\(.*\)/fuzz decode          \1 executions/p' \
	    -e 's/^stat::average_exec_per_sec: *\(.*\)/                     \1 a second/p' $(FUZZ_OUT)/decode.log; \
	else \
	  cat $(FUZZ_OUT)/decode.log; exit 1; \
	fi

-include $(UNIT_LUA:=.d) $(UNIT_LUA_SUPPORT:.o=.d) $(UNIT_LUA_OUT)/fuzz/harness.d

.PHONY: unit-lua fuzz
