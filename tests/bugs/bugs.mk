# Deliberate mistakes and the tests that find them (engine/bug.h, bugs.txt); included by tests/tests.mk.

BUGS ?=
# A cheap one of each part of the code, for make check.
BUGS_QUICK := RETRACT_FORGETS DROP_TWICE HANDLES_KEPT

bugs: ## build each seeded bug and see that the tests find it: BUGS="NAME ..."
	@CC=$(CC) sh tests/bugs/run.sh $(BUILD)/bug $(BUGS)

bugs-quick:
	@CC=$(CC) sh tests/bugs/run.sh $(BUILD)/bug $(BUGS_QUICK)

.PHONY: bugs bugs-quick
