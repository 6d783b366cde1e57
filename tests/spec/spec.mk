# The specs in Lua (busted) and the stress programs; included by the top Makefile.
#
#   make spec                             all of them; MP_SCALE=10 for larger sizes, MP_SEED to repeat a random failure
#   make spec SPEC=tests/spec/map_spec.lua
#   make stress-lua                       small; STRESS_ARGS="workers scale seed" for more
#   make BUILD=build/asan CC=clang SAN=address,undefined spec stress-lua
#   make spec RUN="gdb --args"            RUN is put before the interpreter

SPEC ?= tests/spec
SPEC_SECONDS ?= 600
STRESS_ARGS ?=
BUSTED ?= $(shell command -v busted)
TEST_LUA ?= $(LUA)

# A sanitizer either is in the interpreter (TEST_LUA has a rule to build it) or is loaded before Debian's: TEST_LUA=lua5.4.
SAN_RUNTIME := $(if $(findstring address,$(SAN)),asan,$(if $(findstring thread,$(SAN)),tsan))
PRELOAD := $(if $(and $(SAN_RUNTIME),$(filter lua%,$(notdir $(TEST_LUA)))),$(if $(filter $(BUILD)/%,$(TEST_LUA)),,$(shell $(CC) -print-file-name=libclang_rt.$(SAN_RUNTIME)-x86_64.so)))

SPEC_ENV = LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;$(CURDIR)/tests/spec/?.lua;$(CURDIR)/tests/support/?.lua;;' \
  LUA_CPATH='$(CURDIR)/$(BUILD)/lua/?.so;$(CURDIR)/$(BUILD)/tests/?.so;;' TEST_LUA='$(abspath $(shell command -v $(TEST_LUA) || echo $(TEST_LUA)))' TEST_SAN='$(SAN)' \
  TEST_CC='$(CC) $(CFLAGS)' TEST_LIB='$(LIB) $(LDFLAGS)' \
  $(if $(PRELOAD),LD_PRELOAD='$(PRELOAD)')
SPEC_LUA = $(RUN) timeout $(SPEC_SECONDS) $(TEST_LUA)

$(BUILD)/tests/process.so: tests/support/process.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(LUA_CFLAGS) -shared -o $@ $< $(LDFLAGS)

spec: module lib $(BUILD)/tests/process.so $(filter $(BUILD)/%,$(TEST_LUA)) ## the specs in Lua
	@$(SPEC_ENV) $(SPEC_LUA) $(BUSTED) --pattern=_spec $(SPEC)

stress-lua: module $(filter $(BUILD)/%,$(TEST_LUA)) ## the stress programs in Lua
	@for program in $(sort $(wildcard tests/stress/*.lua)); do \
	  echo "-- $$program" && $(SPEC_ENV) $(SPEC_LUA) $$program $(STRESS_ARGS) || exit 1; \
	done

.PHONY: spec stress-lua
