# makeparallel: build, run, test. `make help` lists every target.
#
# Variants are built side by side by giving BUILD, CC and SAN:
#   make BUILD=build/asan CC=clang SAN=address,undefined lib module

BUILD ?= build
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
LUA ?= lua5.4
SAN ?=
OPT ?= -O2 -g
LUA_CFLAGS ?= $(shell pkg-config --cflags lua5.4 2>/dev/null || echo -I/usr/include/lua5.4)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wpointer-arith -Wvla
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
# clang 14's ThreadSanitizer takes a thread-local block that malloc happens to place at 4096 n + 16 for one with glibc 2.19's header, reads a
# size from whatever stands before it, and dies one run in nine (sanitizer_tls_get_addr.cpp). With static blocks it never looks.
SANFLAGS += $(if $(findstring thread,$(SAN)),-ftls-model=initial-exec)
CFLAGS := -std=c11 $(OPT) $(WARN) -fPIC -fvisibility=hidden $(SANFLAGS) $(EXTRA_CFLAGS)
LDFLAGS := -pthread $(SANFLAGS)
# Asserts are for the tests: DEBUG=1 has them, and so has every sanitizer; what is shipped has none.
DEBUG ?=
ASSERTS := $(if $(DEBUG)$(SAN),,-DNDEBUG)
# A worker that is stuck may outlive whoever loaded the module. The engine also pins itself (mp_os_pin) where the linker has no such flag.
NODELETE ?= -Wl,-z,nodelete

ENGINE := $(sort $(wildcard engine/*.c))
BINDINGS := $(sort $(wildcard bindings/*/*.c))
ENGINE_OBJ := $(ENGINE:%.c=$(BUILD)/%.o)
BINDINGS_OBJ := $(BINDINGS:%.c=$(BUILD)/%.o)
LIB := $(BUILD)/libmakeparallel.a
MODULE := $(BUILD)/lua/makeparallel/core.so

.DEFAULT_GOAL := help

help: ## list every target
	@awk -F':.*## ' '/^[a-z0-9_-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: deps-build ## install what is missing, build, and count the words of this machine's headers and licences
	@$(MAKE) --no-print-directory module
	@eval "$$($(MAKE) -s env)"; $(LUA) examples/wordcount.lua

lib: $(LIB) ## the engine as a static C library (build/libmakeparallel.a)
module: $(MODULE) ## the Lua module (build/lua/makeparallel/core.so)

env: ## print the exports with which lua5.4 uses this checkout: eval "$(make -s env)"
	@echo "export LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;;' LUA_CPATH='$(CURDIR)/$(BUILD)/lua/?.so;;'"

$(LIB): $(ENGINE_OBJ)
	@echo "  AR  $@"
	@rm -f $@
	@ar rcs $@ $^

$(MODULE): $(BINDINGS_OBJ) $(ENGINE_OBJ)
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(CC) -shared -o $@ $^ $(LDFLAGS) $(NODELETE) -Wl,--no-undefined-version

# The engine is compiled without Lua on its include path; the bindings see only its public header.
$(BUILD)/engine/%.o: engine/%.c
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(CFLAGS) $(ASSERTS) -MMD -MP -c $< -o $@

$(BUILD)/bindings/%.o: bindings/%.c
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(CFLAGS) $(ASSERTS) $(LUA_CFLAGS) -Iengine -Ibindings -MMD -MP -c $< -o $@

-include $(ENGINE_OBJ:.o=.d) $(BINDINGS_OBJ:.o=.d)

clean: ## remove everything that was built
	rm -rf build

include engine/install/install.mk
include tests/tests.mk
-include tests/bench/bench.mk

.PHONY: help demo lib module env clean
