# What the system may do to us, done on purpose (engine/fault.h); included by tests/tests.mk.
#
#   make faults
#   make BUILD=build/asan CC=clang SAN=address,undefined faults

faults: ## fail every call to the system in turn, in the engine and below Lua
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/faults EXTRA_CFLAGS="$(EXTRA_CFLAGS) -DMP_FAULTS" run-faults

ifneq ($(findstring MP_FAULTS,$(EXTRA_CFLAGS)),)
FAULTS := $(BUILD)/tests/faults/test_faults

$(FAULTS): %: %.o $(UNIT_SUPPORT) $(SUPPORT_OUT)/faults.o $(LIB)
	@$(CC) -o $@ $^ $(LDFLAGS) -lcmocka -lm

# The sweeps of tests/unit_lua fail calls to the system in this build.
FAULTS += $(UNIT_LUA_OUT)/test_memory $(UNIT_LUA_OUT)/test_memory_stopping

run-faults: $(FAULTS)
	@for program in $(FAULTS); do \
	  if $(RUNNER) $$program >$$program.log 2>&1; then \
	    printf '%-24s failed %s\n' "$${program##*/}" "$$(sed -n 's/^failed: //p; s/^swept: \(.*\) of failure/\1/p' $$program.log)"; \
	  else \
	    cat $$program.log; exit 1; \
	  fi; \
	done

-include $(BUILD)/tests/faults/test_faults.d $(SUPPORT_OUT)/faults.d
endif

.PHONY: faults run-faults
