# Other machines, libraries and compilers: what can be run here is run; included by the top Makefile. See README.md beside it.
#
#   make ports             all of them
#   make port-aarch64      one

PACKAGES_MUSL := musl-tools linux-libc-dev
PACKAGES_AARCH64 := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
PACKAGES_I386 := libc6-dev-i386 lib32gcc-12-dev
PACKAGES_PEDANTIC := clang g++

PORTS := port-pedantic port-fallback port-i386 port-musl port-aarch64
PORT_MAKE = $(MAKE) --no-print-directory CMOCKA_CFLAGS=-Itests/ports CMOCKA_LIBS=
# Debian's gcc-multilib, which has this folder as a link, cannot be installed beside a cross compiler.
ASM_HEADERS ?= /usr/include/$(shell gcc -print-multiarch 2>/dev/null)

# $(call port,VARIABLES,TARGETS): builds side by side, then runs one after the other.
define port
	@$(PORT_MAKE) -j$(shell nproc) $(1) unit-programs
	@$(PORT_MAKE) $(1) $(2)
endef

ports: $(PORTS) ## other C libraries, machines and standards: build and test for each

port-pedantic: deps-build ## the engine as plain C11, its header as C++17, by gcc and clang
	$(call install,--lean $(PACKAGES_PEDANTIC))
	@sh tests/ports/pedantic.sh

# A thread of the host that waits looks for signals every 50 ms: that is no idling without a wake-up.
port-fallback: deps-build ## without futex, eventfd and what else only Linux has, and without -z nodelete
	$(call install,--lean $(PACKAGES_CHECK))
	$(call port,BUILD=build/fallback EXTRA_CFLAGS=-DMP_PORTABLE NODELETE= SPEC=tests/spec/contract SKIP=promise_22_idle_costs_nothing,unit stress spec)

port-i386: deps-build ## 32-bit x86
	$(call install,--lean $(PACKAGES_I386))
	@mkdir -p build/i386 && echo 'int main(void) { return 0; }' | gcc -m32 -x c - -o build/i386/runs
	@if build/i386/runs 2>/dev/null; then \
	  $(MAKE) --no-print-directory port-i386-runs; \
	else \
	  echo "this kernel runs no 32-bit programs: built only"; \
	  $(PORT_MAKE) -j2 BUILD=build/i386 CC="gcc -m32" EXTRA_CFLAGS="-isystem $(ASM_HEADERS) -Wno-psabi" lib unit-programs; \
	fi

port-i386-runs:
	$(call port,BUILD=build/i386 CC="gcc -m32" EXTRA_CFLAGS="-isystem $(ASM_HEADERS) -Wno-psabi",unit stress)

port-musl: deps-build ## musl in place of glibc
	$(call install,--lean $(PACKAGES_MUSL))
	$(call port,BUILD=build/musl CC=musl-gcc EXTRA_CFLAGS="-idirafter /usr/include -idirafter $(ASM_HEADERS)",unit stress)

# qemu-user dies of a fork while other threads run, and takes half a minute to start and end 400 pools.
port-aarch64: export UNIT_EMULATED := 1
port-aarch64: deps-build ## 64-bit ARM, in an emulator
	$(call install,--lean $(PACKAGES_AARCH64))
	$(call port,BUILD=build/aarch64 CC=aarch64-linux-gnu-gcc RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
	  SKIP="promise_17_fork promise_14_shutdown promise_11_nothing_leaks soak waits",unit stress)

.PHONY: ports $(PORTS) port-i386-runs
