# What tests need and how they run; included by the top Makefile.

PACKAGES_BUILD := gcc make lua5.4 liblua5.4-dev
PACKAGES_CHECK := clang libclang-rt-14-dev lua-busted lua-check libcmocka-dev

# $(call install,PACKAGES): names and installs what is missing (Debian; elsewhere it says what is needed).
define install
	@sh tests/support/install.sh $(1)
endef

deps-build:
	$(call install,$(PACKAGES_BUILD))

deps: ## install what building and testing need
	$(call install,$(PACKAGES_BUILD) $(PACKAGES_CHECK))

.PHONY: deps deps-build
