# Commonhold. `make demo` and `make test` are all that a newcomer needs; README.md says more.
#
# all        the program, build/commonhold, and build/libcommonhold-policy.a
# run        serve on http://127.0.0.1:8080 with an embedded PostgreSQL in ./var
# demo       two co-ops, one release, from nothing to verified; DEMO=exit stops afterwards
# test       everything: unit and API tests on the sanitizer build, SQL, pages in Chromium
# asan       the sanitizer build alone, build/asan/commonhold
# bench      every benchmark, each against its peer in the same run; results in build/bench/
# deps       Debian packages for building and running; deps-test adds those for testing

MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
BUILD ?= build

CC := gcc
PKGS := libpq jansson libjwt libcurl libsodium libcrypto zlib libzstd libdeflate libical libpcre2-8 libcmark libqrencode
WARN := -Wall -Wextra -Werror -Wshadow -Wvla -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wno-missing-field-initializers -Wformat=2 -Wundef -Wpointer-arith -Wcast-align -Wnull-dereference -Wimplicit-fallthrough
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE -fstack-clash-protection -fcf-protection
OPT ?= -O2 -g
CPPFLAGS += -Iinclude -I. -D_GNU_SOURCE -include commonhold/banned.h
CFLAGS = -std=gnu17 $(OPT) $(WARN) $(HARDEN) $(SAN)
LDFLAGS = -pie -Wl,-z,relro,-z,now -rdynamic $(SAN)
LDLIBS = $(shell pkg-config --libs $(PKGS)) -lcivetweb -lpthread -ldl -lm
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)

POLICY_SRC := $(wildcard policy/*.c)
SERVER_SRC := $(filter-out server/main.c,$(wildcard server/*.c server/*/*.c server/*/*/*.c))
ASSET_FILES := $(sort $(wildcard sql/*.sql sql/*/*.sql schemas/*.json templates/*.mustache templates/*/*.mustache templates/static/* licences/*.txt))
UNIT := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
UNIT_SHARED := $(filter-out $(UNIT:%=tests/unit/%.c),$(wildcard tests/unit/*.c))

POLICY_OBJ := $(POLICY_SRC:%.c=$(BUILD)/%.o)
SERVER_OBJ := $(SERVER_SRC:%.c=$(BUILD)/%.o) $(BUILD)/assets.o

.PHONY: all asan clean unit run
all: $(BUILD)/commonhold $(BUILD)/libcommonhold-policy.a

$(BUILD)/commonhold: $(BUILD)/server/main.o $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libcommonhold.a: $(SERVER_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(BUILD)/libcommonhold-policy.a: $(POLICY_OBJ)
	@rm -f $@ && ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/assets.c: tools/embed.sh $(ASSET_FILES) $(BUILD)/assets.list
	@mkdir -p $(@D)
	@tools/embed.sh $(ASSET_FILES) >$@.tmp && mv $@.tmp $@
$(BUILD)/assets.o: $(BUILD)/assets.c $(ASSET_FILES)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
# Notices files that were added or removed.
$(BUILD)/assets.list: FORCE
	@mkdir -p $(@D)
	@echo '$(ASSET_FILES)' | cmp -s - $@ || echo '$(ASSET_FILES)' >$@
FORCE:

asan:
	@$(MAKE) --no-print-directory BUILD=build/asan OPT="-O1 -g -fno-omit-frame-pointer" \
		SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined" HARDEN="-fPIE" all

# What the tests share, such as fixture.c; each takes from it what it uses.
$(BUILD)/unit/libshared.a: $(UNIT_SHARED:%.c=$(BUILD)/%.o)
	@mkdir -p $(@D) && rm -f $@ && ar rcs $@ $^
$(BUILD)/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/unit/libshared.a $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
.SECONDARY:
unit: $(UNIT:%=$(BUILD)/unit/%)

run: all
	@$(BUILD)/commonhold serve

clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
-include $(wildcard mk/*.mk policy/*.mk tests/*/*.mk tests/*/*/*.mk)
