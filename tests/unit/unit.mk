# Unit tests (cmocka) and stress programs of the engine; included by the top Makefile.
#
#   make unit                                        every program of tests/unit
#   make stress SCALE=20 THREADS=4 SEED=7            every program of tests/stress
#   make BUILD=build/tsan CC=clang SAN=thread unit stress

SCALE ?= 1
THREADS ?= 2
SEED ?= 1
SOAK_SCALE ?= 20

UNIT_OUT := $(BUILD)/tests/unit
STRESS_OUT := $(BUILD)/tests/stress
SUPPORT_OUT := $(BUILD)/tests/support
# Programs that a port cannot run; tests/ports says why.
SKIP ?=
UNIT := $(filter-out $(SKIP:%=$(UNIT_OUT)/%),$(patsubst tests/unit/%.c,$(UNIT_OUT)/%,$(sort $(wildcard tests/unit/*.c))))
STRESS := $(filter-out $(SKIP:%=$(STRESS_OUT)/%),$(patsubst tests/stress/%.c,$(STRESS_OUT)/%,$(sort $(wildcard tests/stress/*.c))))
UNIT_SUPPORT := $(SUPPORT_OUT)/unit.o $(SUPPORT_OUT)/fault_alloc.o
STRESS_SUPPORT := $(SUPPORT_OUT)/stress.o $(SUPPORT_OUT)/watchdog.o $(SUPPORT_OUT)/fault_alloc.o
# Where there is no cmocka, a header of ours stands in: see tests/ports.
CMOCKA_CFLAGS ?=
CMOCKA_LIBS ?= -lcmocka
TEST_CFLAGS := -D_GNU_SOURCE $(CMOCKA_CFLAGS) -Iengine -Itests/support -MMD -MP

$(BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(TEST_CFLAGS) -c $< -o $@

$(UNIT): %: %.o $(UNIT_SUPPORT) $(LIB)
	@$(CC) -o $@ $^ $(LDFLAGS) $(CMOCKA_LIBS) -lm

# These stand between the engine and the system: see there.
$(UNIT_OUT)/promise_13_threads_that_cannot_be_created: LDFLAGS += -Wl,--wrap=pthread_create
$(UNIT_OUT)/promise_18_clocks: LDFLAGS += -Wl,--wrap=clock_gettime,--wrap=gettimeofday,--wrap=time

# Its actors are many enough for files of their own.
$(STRESS_OUT)/waits: $(SUPPORT_OUT)/actor.o $(SUPPORT_OUT)/steps.o
$(STRESS): %: %.o $(STRESS_SUPPORT) $(LIB)
	@$(CC) -o $@ $(filter-out $(LIB),$^) $(LIB) $(LDFLAGS) -lm

unit-programs: $(UNIT) $(STRESS)

# One line for a program that passes, everything it said for one that fails.
unit: $(UNIT) ## the engine's unit tests
	@failed=0; for program in $(UNIT); do \
	  name=$${program##*/}; \
	  if $(RUNNER) $$program >$$program.log 2>&1; then \
	    printf '%-42s %s\n' "$$name" "$$(sed -n 's/^\[==========\] \(.*\) run\.$$/\1/p' $$program.log | tail -1)"; \
	  else \
	    failed=1; echo "$$name FAILED"; cat $$program.log; \
	  fi; \
	done; exit $$failed

stress: $(STRESS) ## the engine's stress programs: SCALE=, THREADS=, SEED=
	@failed=0; for program in $(STRESS); do \
	  $(RUNNER) $$program $(THREADS) $(SCALE) $(SEED) || { failed=1; echo "$$program $(THREADS) $(SCALE) $(SEED) FAILED"; }; \
	done; exit $$failed

soak: $(STRESS_OUT)/soak ## ten million tasks of every kind in pools that come and go: SOAK_SCALE=, THREADS=, SEED=
	@$(RUNNER) $< $(THREADS) $(SOAK_SCALE) $(SEED)

-include $(UNIT:=.d) $(STRESS:=.d) $(SUPPORT_OUT)/actor.d $(SUPPORT_OUT)/steps.d $(UNIT_SUPPORT:.o=.d) $(STRESS_SUPPORT:.o=.d)

.PHONY: unit-programs unit stress soak
.SECONDARY:
