# Unit and stress programs of the engine under valgrind; included by tests/tests.mk.
#
# valgrind runs one thread at a time: without --fair-sched a worker that never sleeps may keep all others waiting for ever.
# Nothing is suppressed. helgrind knows no atomics: in this build they tell it what they order (engine/atomic.h).

PACKAGES_VALGRIND := valgrind

valgrind: ## memcheck and helgrind over unit and stress programs of the engine
	$(call install,$(PACKAGES_VALGRIND))
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/valgrind OPT="-O1 -g" EXTRA_CFLAGS="$(EXTRA_CFLAGS) -DMP_HELGRIND" run-valgrind

# Those that take seconds there, and not minutes.
VALGRIND_PROGRAMS := $(addprefix $(UNIT_OUT)/,test_cancel test_deadline test_inbox test_jobs test_mailbox test_notify test_park \
    test_scheduler test_shutdown test_stop test_task test_wait) \
  $(addprefix $(STRESS_OUT)/,roundtrips promise_02_an_end_never_changes)

run-valgrind: $(VALGRIND_PROGRAMS)
	@failed=0; for program in $(VALGRIND_PROGRAMS); do for tool in "memcheck --leak-check=full" helgrind; do \
	  valgrind -q --fair-sched=try --error-exitcode=9 --tool=$$tool $$program 2 1 1 >$$program.log 2>&1 || \
	    { failed=1; echo "$$tool: $$program FAILED"; cat $$program.log; }; \
	done; done; [ $$failed -ne 0 ] || echo "valgrind: $(words $(VALGRIND_PROGRAMS)) programs, nothing found"; exit $$failed

.PHONY: valgrind run-valgrind
