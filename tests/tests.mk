# What tests need and how they run; included by the top Makefile.

PACKAGES_BUILD := gcc make pkg-config lua5.4 liblua5.4-dev
PACKAGES_CHECK := clang clang-format clang-tidy libclang-rt-14-dev lua-busted lua-check libcmocka-dev lua-argparse lua-penlight lua-cjson lua-lpeg lua-filesystem \
  lua-luv lua-cqueues lua-copas lua-socket

# $(call install,PACKAGES): names and installs what is missing (Debian; elsewhere it says what is needed).
define install
	@sh tests/support/install.sh $(1)
endef

deps-build:
	$(call install,$(PACKAGES_BUILD))

deps: ## install what building and testing need
	$(call install,$(PACKAGES_BUILD) $(PACKAGES_CHECK) $(PACKAGES_MODELS))

# The interpreter for Lua tests: Debian's, or with a sanitizer one of our own that has it too.
TEST_LUA := $(if $(SAN),$(BUILD)/tests/lua,$(LUA))
LUA_LIBS ?= $(shell pkg-config --libs lua5.4 2>/dev/null || echo -llua5.4)

# What a program that Lua is linked to needs beside it, to be understood by a sanitizer.
LUA_SAN_SOURCES := $(if $(findstring thread,$(SAN)),tests/support/longjmp.c)

$(BUILD)/tests/lua: tests/support/lua.c $(LUA_SAN_SOURCES)
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(CFLAGS) $(LUA_CFLAGS) $^ -o $@ $(LDFLAGS) -Wl,-E $(LUA_LIBS) -lm -ldl

-include tests/unit/unit.mk tests/unit_lua/unit_lua.mk tests/spec/spec.mk tests/models/models.mk tests/ports/ports.mk tests/packaging/packaging.mk tests/faults/faults.mk tests/bugs/bugs.mk tests/valgrind/valgrind.mk tests/mutants/mutants.mk

# One build, everything that runs on it.
check-build: module unit unit-lua spec stress stress-lua

check: deps ## install what is missing and run every test: gcc, clang, sanitizers, fuzzing, examples, lint
	@$(MAKE) --no-print-directory layers lint check-rockspecs models
	@echo "== gcc" && $(MAKE) --no-print-directory CC=gcc check-build examples
	@echo "== clang, small capacities" && $(MAKE) --no-print-directory BUILD=build/clang CC=clang DEBUG=1 EXTRA_CFLAGS="-O1 -DMP_DEQUE_CAPACITY=2" SWEEP_STRIDE=3 check-build
	@echo "== address, leaks, undefined behaviour" && $(MAKE) --no-print-directory BUILD=build/asan CC=clang SAN=address,undefined check-build
	@echo "== threads" && $(MAKE) --no-print-directory BUILD=build/tsan CC=clang SAN=thread check-build
	@echo "== a system that fails" && $(MAKE) --no-print-directory faults bugs-quick
	@echo "== fuzzing" && $(MAKE) --no-print-directory fuzz
	@echo "== benchmarks, once each" && $(MAKE) --no-print-directory bench-quick
	@echo "== other platforms, those that are quick" && $(MAKE) --no-print-directory port-pedantic port-i386 port-fallback
	@echo "== as it is installed" && $(MAKE) --no-print-directory check-amalgamation check-install check-rock
	@echo "all tests passed"

# For the minutes between two changes: one compiler, no sanitizer, every fifth allocation that fails instead of each.
quick: ## most of what `make check` tests, with gcc alone, in a minute or two: unit tests, specs, small stress programs
	@$(MAKE) --no-print-directory -j2 module lib unit-programs $(UNIT_LUA)
	@$(MAKE) --no-print-directory SWEEP_STRIDE=5 unit unit-lua stress stress-lua spec

layers: module ## check that dependencies point one way, down the floors of each folder's README
	@CC=$(CC) LUA=$(LUA) sh tests/support/layers_test.sh
	@LUA=$(LUA) sh tests/support/layers.sh $(MODULE) $(BUILD)

C_SOURCES = $(shell find engine bindings tests examples -name '*.[ch]' -o -name '*.cpp')

# Lua's own library calls strerror in every state that opens it, so the bindings may too.
TIDY = clang-tidy --quiet $(ENGINE) -- -std=c11 && clang-tidy --quiet --checks=-concurrency-mt-unsafe $(BINDINGS) -- -std=c11 -Iengine -Ibindings $(LUA_CFLAGS)

lint: ## luacheck over everything in Lua; C as clang-format has it, 100 columns; clang-tidy, the locks of the engine; counts asserts
	@luacheck -q .
	@clang-format --dry-run -Werror $(C_SOURCES)
	@awk 'length($$0) > 100 { print FILENAME ":" FNR ": more than 100 columns"; bad = 1 } END { exit bad }' \
	  $(C_SOURCES)
	@mkdir -p $(BUILD) && { $(TIDY); } >$(BUILD)/clang-tidy.log 2>&1 || { cat $(BUILD)/clang-tidy.log; exit 1; }
	@for file in $(ENGINE); do clang -fsyntax-only -std=c11 $(WARN) -Wthread-safety $$file || exit 1; done
	@sh tests/support/asserts.sh engine bindings

format: ## clang-format over everything in C
	@clang-format -i $(C_SOURCES)

$(BUILD)/examples/%: examples/%.c $(LIB)
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(CFLAGS) -Iengine $^ -o $@ $(LDFLAGS) -lm

# Programs that embed Lua link the engine, the bindings and Lua itself.
$(BUILD)/examples/embed/%: examples/embed/%.c $(BINDINGS_OBJ) $(ENGINE_OBJ)
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(CFLAGS) $(LUA_CFLAGS) -Iengine -Ibindings $^ -o $@ $(LDFLAGS) $(LUA_LIBS) -lm

EXAMPLES := frame sessions embed/smallest embed/game

examples: module $(EXAMPLES:%=$(BUILD)/examples/%) ## run the examples on small input and check what they print
	@eval "$$($(MAKE) -s env)"; sh tests/support/examples.sh $(LUA) $(BUILD)/examples

.PHONY: deps deps-build check check-build quick layers lint format examples
