# The shared library, the one-file engine, installing and uninstalling; included by the top Makefile.
#
#   make install PREFIX=/opt/makeparallel            DESTDIR=… for packagers; LIBDIR, INCLUDEDIR, LUA_SHAREDIR, LUA_LIBDIR, BINDIR

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
LUA_SHAREDIR ?= $(PREFIX)/share/lua/5.4
LUA_LIBDIR ?= $(PREFIX)/lib/lua/5.4
DESTDIR ?=
INSTALL ?= install

VERSION := $(shell sed -n 's/^\#define MP_VERSION "\(.*\)"$$/\1/p' engine/makeparallel.h)
MAJOR := $(word 1,$(subst ., ,$(VERSION)))
MINOR := $(word 2,$(subst ., ,$(VERSION)))
SONAME := libmakeparallel.so.$(MAJOR)
SHARED := $(BUILD)/libmakeparallel.so.$(VERSION)

LUA_LIB := $(BUILD)/libmakeparallel_lua.a

PUBLIC_HEADERS := engine/makeparallel.h bindings/makeparallel_lua.h
PC_FILES := makeparallel.pc makeparallel_lua.pc
# meta.lua declares types for editors and is never loaded.
LUA_FILES := $(filter-out lua/makeparallel/meta.lua,$(sort $(wildcard lua/makeparallel/*.lua lua/makeparallel/*/*.lua)))
CMAKE_FILES := makeparallelConfig.cmake makeparallelConfigVersion.cmake

# Everything install puts down, for uninstall: one list, so that neither forgets what the other does.
INSTALLED_FILES = $(addprefix $(INCLUDEDIR)/,$(notdir $(PUBLIC_HEADERS))) \
  $(addprefix $(LIBDIR)/,$(notdir $(LIB) $(LUA_LIB) $(SHARED)) libmakeparallel.so $(SONAME) $(PC_FILES:%=pkgconfig/%)) \
  $(addprefix $(LIBDIR)/cmake/makeparallel/,$(CMAKE_FILES)) \
  $(LUA_FILES:lua/%=$(LUA_SHAREDIR)/%) $(LUA_LIBDIR)/makeparallel/core.so $(BINDIR)/makeparallel
# Folders that are ours alone, deepest first.
INSTALLED_FOLDERS = $(LIBDIR)/cmake/makeparallel $(LUA_LIBDIR)/makeparallel \
  $(addprefix $(LUA_SHAREDIR)/,$(patsubst lua/%/,%,$(shell printf '%s\n' $(dir $(LUA_FILES)) | sort -ru)))

FILL = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' -e 's|@VERSION@|$(VERSION)|g' \
  -e 's|@MAJOR@|$(MAJOR)|g' -e 's|@MINOR@|$(MINOR)|g' -e 's|@SONAME@|$(SONAME)|g' -e 's|@SHARED_FILE@|$(notdir $(SHARED))|g' \
  -e "s|@RELATIVE_INCLUDEDIR@|$$(realpath -m --relative-to='$(LIBDIR)' '$(INCLUDEDIR)')|g"

$(SHARED): $(ENGINE_OBJ)
	@echo "  LD  $@"
	@$(CC) -shared -o $@ $^ $(LDFLAGS) $(NODELETE) -Wl,-soname,$(SONAME)

# For programs that embed Lua: they link it, an engine in either form, and the Lua that they have.
$(LUA_LIB): $(BINDINGS_OBJ)
	@echo "  AR  $@"
	@rm -f $@
	@ar rcs $@ $^

shared: $(SHARED) ## the engine as a shared library

install: $(LIB) $(LUA_LIB) $(SHARED) $(MODULE) ## install everything: PREFIX=, DESTDIR=
	@$(INSTALL) -d "$(DESTDIR)$(INCLUDEDIR)" "$(DESTDIR)$(LIBDIR)/pkgconfig" "$(DESTDIR)$(LIBDIR)/cmake/makeparallel" \
	  "$(DESTDIR)$(LUA_LIBDIR)/makeparallel" "$(DESTDIR)$(BINDIR)"
	@$(INSTALL) -m 644 $(PUBLIC_HEADERS) "$(DESTDIR)$(INCLUDEDIR)"
	@$(INSTALL) -m 644 $(LIB) $(LUA_LIB) $(SHARED) "$(DESTDIR)$(LIBDIR)"
	@ln -sf $(notdir $(SHARED)) "$(DESTDIR)$(LIBDIR)/$(SONAME)"
	@ln -sf $(SONAME) "$(DESTDIR)$(LIBDIR)/libmakeparallel.so"
	@for file in $(PC_FILES); do $(FILL) engine/install/$$file.in >"$(DESTDIR)$(LIBDIR)/pkgconfig/$$file"; done
	@for file in $(CMAKE_FILES); do $(FILL) engine/install/$$file.in >"$(DESTDIR)$(LIBDIR)/cmake/makeparallel/$$file"; done
	@for file in $(LUA_FILES:lua/%=%); do \
	  $(INSTALL) -D -m 644 lua/$$file "$(DESTDIR)$(LUA_SHAREDIR)/$$file" || exit 1; \
	done
	@$(INSTALL) -m 644 $(MODULE) "$(DESTDIR)$(LUA_LIBDIR)/makeparallel/core.so"
	@sed -e '1s|.*|#!/usr/bin/env $(LUA)|' \
	  -e '2s|.*|package.path = "$(LUA_SHAREDIR)/?.lua;$(LUA_SHAREDIR)/?/init.lua;" .. package.path|' \
	  -e '3s|.*|package.cpath = "$(LUA_LIBDIR)/?.so;" .. package.cpath|' rockspec/makeparallel >"$(DESTDIR)$(BINDIR)/makeparallel"
	@chmod 755 "$(DESTDIR)$(BINDIR)/makeparallel"
	@chmod 644 $(addprefix "$(DESTDIR)$(LIBDIR)"/,$(PC_FILES:%=pkgconfig/%) $(CMAKE_FILES:%=cmake/makeparallel/%))
	@echo "installed below $(DESTDIR)$(PREFIX)"

uninstall: ## remove what install put down: the same PREFIX= and DESTDIR=
	@for file in $(INSTALLED_FILES); do rm -f "$(DESTDIR)$$file"; done
	@for folder in $(INSTALLED_FOLDERS); do rmdir "$(DESTDIR)$$folder" 2>/dev/null || true; done

AMALGAMATION := build/amalgamation/makeparallel.c

$(AMALGAMATION): engine/amalgamate.awk $(wildcard engine/*.[ch])
	@mkdir -p $(@D)
	@awk -f engine/amalgamate.awk $(ENGINE) >$@.new && mv $@.new $@
	@cp engine/makeparallel.h $(@D)

amalgamation: $(AMALGAMATION) ## the engine as two files (build/amalgamation/makeparallel.c and .h)

.PHONY: shared install uninstall amalgamation
