# What users build and install, as they would; included by the top Makefile.

PACKAGES_PACKAGING := luarocks lua-argparse cmake pkg-config g++ clang

check-rockspecs: ## do the rockspecs name what is in the tree?
	@$(LUA) rockspec/generate.lua --check

rockspecs: ## write the rockspecs
	@$(LUA) rockspec/generate.lua

ROCK_TREE := $(CURDIR)/build/rock

# The specs against the installed rock: nothing of the checkout's module is on the paths.
check-rock: deps check-rockspecs $(BUILD)/tests/process.so ## lint, make, pack and install the rock offline; the specs against it
	$(call install,$(PACKAGES_PACKAGING))
	@sh tests/packaging/rock.sh $(ROCK_TREE)
	@LUA_PATH='$(ROCK_TREE)/share/lua/5.4/?.lua;$(ROCK_TREE)/share/lua/5.4/?/init.lua;$(CURDIR)/tests/spec/?.lua;'\
	'$(CURDIR)/tests/support/?.lua;;' LUA_CPATH='$(ROCK_TREE)/lib/lua/5.4/?.so;$(CURDIR)/$(BUILD)/tests/?.so;;' TEST_LUA='$(shell command -v $(LUA))' $(LUA) $(BUSTED) --pattern=_spec $(SPEC)

check-install: deps-build ## install into an empty folder; build with pkg-config, CMake and as C++, run as a user without rights
	$(call install,$(PACKAGES_PACKAGING))
	@MAKE='$(MAKE) --no-print-directory' sh tests/packaging/install.sh

# The engine's tests, linked against the one file.
check-amalgamation: deps amalgamation ## the one-file engine: as plain C11 by gcc and clang, with the engine's tests
	$(call install,clang)
	@for cc in gcc clang; do \
	  echo "-- $$cc"; \
	  out=build/amalgamation/$$cc; mkdir -p $$out; \
	  $$cc -std=c11 -pedantic -Wall -Wextra -Werror -O2 -g -c $(AMALGAMATION) -o $$out/makeparallel.o || exit 1; \
	  $(MAKE) --no-print-directory CC=$$cc BUILD=$$out ENGINE_OBJ=$$out/makeparallel.o unit || exit 1; \
	done

.PHONY: check-rockspecs rockspecs check-rock check-install check-amalgamation
