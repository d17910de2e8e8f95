# Fuzzing. Every tests/fuzz/fuzz_<name>.c is a libFuzzer target; its seeds are in tests/fuzz/corpus/<name>/, and what was found
# once stays there as a regression.
#
# fuzz         each target for FUZZ_SECONDS from its corpus (needs clang); FUZZ=json runs one
# fuzz-replay  each corpus once, through the sanitizer build; part of `make test`

FUZZ_SECONDS ?= 30
FUZZ_CC ?= clang
FUZZ_SAN := address,undefined -fno-sanitize-recover=undefined
FUZZ_ALL := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ ?= $(FUZZ_ALL)
FUZZ_BUILD := BUILD=build/fuzz CC=$(FUZZ_CC) OPT="-O1 -g -fno-omit-frame-pointer" SAN="-fsanitize=fuzzer-no-link,$(FUZZ_SAN)" HARDEN="-fPIE" WARN="-Wall"
REPLAY_BUILD := BUILD=build/asan OPT="-O1 -g -fno-omit-frame-pointer" SAN="-fsanitize=$(FUZZ_SAN)" HARDEN="-fPIE"

.PHONY: fuzz fuzz-replay fuzz-replay-build
# New inputs go to build/fuzz/found/, so that the committed corpus stays small.
fuzz:
	@$(MAKE) --no-print-directory $(FUZZ_BUILD) $(FUZZ:%=build/fuzz/bin/%)
	@for name in $(FUZZ); do \
		mkdir -p build/fuzz/found/$$name tests/fuzz/corpus/$$name; \
		echo "  FUZZ $$name"; \
		build/fuzz/bin/$$name -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
			-artifact_prefix=build/fuzz/found/$$name- build/fuzz/found/$$name tests/fuzz/corpus/$$name || exit 1; \
	done

fuzz-replay-build:
	@$(MAKE) --no-print-directory $(REPLAY_BUILD) $(FUZZ_ALL:%=build/asan/replay/%)
fuzz-replay: fuzz-replay-build
	@for name in $(FUZZ_ALL); do build/asan/replay/$$name tests/fuzz/corpus/$$name || exit 1; done

$(BUILD)/bin/%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer,$(FUZZ_SAN) -o $@ $^ $(LDLIBS)
$(BUILD)/replay/%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
.PRECIOUS: $(BUILD)/tests/fuzz/%.o
