# The release's bench: one million contributions in a throwaway cluster.
#
# bench-release  freezing, building against psql | tee | gzip, a second release, submission against COPY, HTTP against Fastify and pg, memory; build/bench/release.json
#                BENCH_ITEMS=1000000 contributions in the pool, BENCH_LINES=100000 in a batch, BENCH_RUNS=5, BENCH_PARTS="build submit http"

BENCH_ITEMS ?= 1000000
BENCH_LINES ?= 100000
BENCH_RUNS ?= 5
BENCH_PARTS ?= build submit http
BENCH_RELEASE_OBJ := $(patsubst %.c,$(BUILD)/%.o,tests/bench/bench_release.c $(wildcard tests/bench/release/*.c))
BENCH_PEER := $(BUILD)/bench/peer

.PHONY: bench-release
bench-release: deps-test
	@$(MAKE) --no-print-directory $(BUILD)/commonhold $(BUILD)/bench/release $(BENCH_PEER)/.installed
	@BENCH_ITEMS=$(BENCH_ITEMS) BENCH_LINES=$(BENCH_LINES) BENCH_RUNS=$(BENCH_RUNS) BENCH_PARTS="$(BENCH_PARTS)" BENCH_SERVER=$(BUILD)/commonhold BENCH_PEER=$(BENCH_PEER) $(BUILD)/bench/release

$(BUILD)/bench/release: $(BENCH_RELEASE_OBJ) $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The peer's packages, as its lock file says, under build/.
$(BENCH_PEER)/.installed: tests/bench/release/package.json tests/bench/release/package-lock.json tests/bench/release/peer.mjs
	@mkdir -p $(@D)
	@cp $^ $(@D)/
	@cd $(@D) && npm ci --no-fund --no-audit --ignore-scripts >npm.log 2>&1 || { cat npm.log; exit 1; }
	@touch $@
