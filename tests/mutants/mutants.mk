# Small changes of the C sources and the tests that notice them (mutants.lua, run.sh); included by tests/tests.mk.

N ?= 40
JOBS ?= 2
ONLY ?=
ORDERS ?=
FILES ?= $(ENGINE) $(BINDINGS)

mutants: ## change N places of the C sources, chosen by SEED, one at a time, and see which test notices: FILES=, JOBS=, ONLY=file:line:from:to, ORDERS=1
	@ORDERS= $(LUA) tests/mutants/mutants.lua list all 1 tests/mutants/example.c | cut -f 2,5,6 | diff tests/mutants/example.txt -
	@LUA=$(LUA) N=$(N) SEED=$(SEED) JOBS=$(JOBS) ONLY='$(ONLY)' ORDERS=$(ORDERS) sh tests/mutants/run.sh $(BUILD)/mutants $(FILES)

.PHONY: mutants
