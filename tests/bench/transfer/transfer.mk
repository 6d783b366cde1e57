# Programs that measure how Lua values travel, ours and other formats; included by bench.mk.

TRANSFER_OUT := $(BENCH_OUT)/transfer
TRANSFER_FLAGS := -std=c11 -Itests/bench/engine $(LUA_CFLAGS)
TRANSFER_HEADERS := tests/bench/transfer/transfer.h tests/bench/engine/bench.h

$(TRANSFER_OUT)/ours: tests/bench/transfer/ours.c $(TRANSFER_HEADERS) $(BINDINGS_OBJ) $(ENGINE_OBJ)
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(BENCH_FLAGS) $(TRANSFER_FLAGS) -Iengine -Ibindings $(filter-out %.h,$^) -o $@ -pthread -Wl,-E $(LUA_WHOLE)
$(TRANSFER_OUT)/modules: tests/bench/transfer/modules.c $(TRANSFER_HEADERS)
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(BENCH_FLAGS) $(TRANSFER_FLAGS) $< -o $@ -pthread -Wl,-E $(LUA_WHOLE)
$(TRANSFER_OUT)/msgpack-c: tests/bench/transfer/msgpack-c.c $(TRANSFER_HEADERS)
	$(call peer,$(CC),c,msgpack.h,$(TRANSFER_FLAGS) -lmsgpackc $(LUA_WHOLE))

bench-transfer-programs: $(addprefix $(TRANSFER_OUT)/,ours modules msgpack-c)
