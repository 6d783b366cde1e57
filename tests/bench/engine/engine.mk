# The engine's benchmark programs: ours, and those of the peers this machine has; included by bench.mk.

BENCH_OUT := $(BUILD)/bench
BENCH_FLAGS := -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror

# $(call peer,COMPILER,LANGUAGE,HEADER,FLAGS): builds $@ from $<, or leaves it out where the header is missing.
define peer
	@mkdir -p $(@D); rm -f $@; \
	if printf '\043include <$(3)>\n' | $(1) -x $(2) $(4) -E - >/dev/null 2>&1; then \
	  echo "  CC  $@" && $(1) $(BENCH_FLAGS) $< -o $@ $(4) -pthread; \
	else \
	  echo "  --  $(@F): $(3) is missing"; \
	fi
endef

$(BENCH_OUT)/ours $(BENCH_OUT)/growth: $(BENCH_OUT)/%: tests/bench/engine/%.c tests/bench/engine/ours.h tests/bench/engine/bench.h $(LIB)
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) -std=c11 $(BENCH_FLAGS) -Iengine $< -o $@ $(LIB) -pthread

$(BENCH_OUT)/tbb: tests/bench/engine/tbb.cpp tests/bench/engine/bench.h
	$(call peer,g++,c++,tbb/task_group.h,-std=c++17 -ltbb)
$(BENCH_OUT)/libuv: tests/bench/engine/libuv.c tests/bench/engine/bench.h
	$(call peer,gcc,c,uv.h,-std=c11 -luv)
$(BENCH_OUT)/libgomp: tests/bench/engine/openmp.c tests/bench/engine/bench.h
	$(call peer,gcc,c,omp.h,-std=c11 -fopenmp)
$(BENCH_OUT)/libomp: tests/bench/engine/openmp.c tests/bench/engine/bench.h
	$(call peer,clang,c,omp.h,-std=c11 -fopenmp -Wno-sign-compare) # of what it makes of a taskloop itself

$(BENCH_OUT)/bare: tests/bench/engine/bare.c tests/bench/engine/bench.h
	$(call peer,gcc,c,linux/futex.h,-std=c11)

# Large, so it is not installed for this: where it is, it takes part.
$(BENCH_OUT)/go: tests/bench/engine/go/main.go
	@mkdir -p $(@D); rm -f $@; \
	if command -v go >/dev/null; then \
	  echo "  GO  $@" && go build -o $@ $<; \
	else \
	  echo "  --  go: no Go"; \
	fi

bench-engine-programs: $(addprefix $(BENCH_OUT)/,ours growth tbb libuv libgomp libomp go bare)
