# A part of bench-erasure: the feed of tombstones over HTTP against psql's COPY, from the program without sanitizers.
#
# bench-erasure-feed  BENCH_TOMBSTONES=1000000 in the feed, BENCH_RUNS=5; adds its figures to build/bench/erasure.json

ERASURE_PARTS += $(BUILD)/bench/erasure_feed

$(BUILD)/bench/erasure_feed: tests/bench/erasure_feed.mjs $(BUILD)/commonhold
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nCOMMONHOLD_BINARY=%s exec node tests/bench/erasure_feed.mjs\n' "$(abspath $(BUILD)/commonhold)" >$@ && chmod +x $@

.PHONY: bench-erasure-feed
bench-erasure-feed: $(BUILD)/bench/erasure_feed
	@$(BUILD)/bench/erasure_feed
