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

run-faults: $(FAULTS)
	@$(RUNNER) $(FAULTS) >$(FAULTS).log 2>&1 || { cat $(FAULTS).log; exit 1; }
	@sed -n 's/^failed: /engine: failed /p' $(FAULTS).log

-include $(FAULTS).d $(SUPPORT_OUT)/faults.d
endif

.PHONY: faults run-faults
