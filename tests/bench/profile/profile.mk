# Where the time of one case goes; included by bench.mk.

SUITE ?=
PROFILE_ARGS ?=

$(BUILD)/profile/lua: tests/support/lua.c
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(CFLAGS) $(LUA_CFLAGS) $< -o $@ -Wl,-E $(LUA_WHOLE)

profile: ## where the time goes, by function and part: CASE=tiny SUITE=lua PROFILE_ARGS="--tool callgrind"
	$(call install,$(PACKAGES_BUILD) linux-perf valgrind libc6-dbg)
	@$(MAKE) --no-print-directory bench-programs $(BUILD)/profile/lua
	@$(LUA) tests/bench/profile/profile.lua $(BUILD) "$(CASE)" "$(SUITE)" $(PROFILE_ARGS)

.PHONY: profile
