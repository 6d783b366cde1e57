# The Spin models of the engine's protocols; included by tests/tests.mk. See README.md here.

MODELS := $(sort $(wildcard tests/models/*.pml))
PACKAGES_MODELS := spin

models: ## check the Spin models, and that each of their seeded bugs is caught: MODELS=
	$(call install,$(PACKAGES_MODELS))
	@CC=$(CC) sh tests/models/run.sh $(BUILD)/models $(MODELS)

.PHONY: models
