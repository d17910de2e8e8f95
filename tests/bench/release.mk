# The release's bench: one million contributions in a throwaway cluster.
#
# bench-release  freezing, building against psql | tee | gzip, a second release, submission against COPY, memory; build/bench/release.json
#                BENCH_ITEMS=1000000 contributions in the pool, BENCH_LINES=100000 in a batch, BENCH_RUNS=5, BENCH_PARTS="build submit"

BENCH_ITEMS ?= 1000000
BENCH_LINES ?= 100000
BENCH_RUNS ?= 5
BENCH_PARTS ?= build submit
BENCH_RELEASE_OBJ := $(patsubst %.c,$(BUILD)/%.o,tests/bench/bench_release.c $(wildcard tests/bench/release/*.c))

.PHONY: bench-release
bench-release: deps-test
	@$(MAKE) --no-print-directory $(BUILD)/bench/release
	@BENCH_ITEMS=$(BENCH_ITEMS) BENCH_LINES=$(BENCH_LINES) BENCH_RUNS=$(BENCH_RUNS) BENCH_PARTS="$(BENCH_PARTS)" $(BUILD)/bench/release

$(BUILD)/bench/release: $(BENCH_RELEASE_OBJ) $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
