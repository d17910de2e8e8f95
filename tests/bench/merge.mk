# Merging's bench, in parts: each a program that appends lines "name unit v1 … v5" to the file that COMMONHOLD_BENCH_FIGURES names. A part that is a file of its own adds itself
# with `MERGE_PARTS += …` in its .mk.
#
# bench-merge    a million records of 1 KB exported against psql … COPY | zstd at the same level; the parts that others add; build/bench/merge.json. BENCH_ITEMS=1000000 BENCH_RUNS=5

MERGE_PARTS += $(BUILD)/bench/merge

.PHONY: bench-merge
bench-merge:
	@$(MAKE) --no-print-directory $(MERGE_PARTS)
	@rm -f $(BUILD)/bench/merge.figures
	@for part in $(MERGE_PARTS); do COMMONHOLD_BENCH_FIGURES=$(abspath $(BUILD)/bench/merge.figures) $$part || exit 1; done
	@tests/bench/figures.sh merge $(BUILD)/bench/merge.figures
$(BUILD)/bench/merge: $(BUILD)/tests/bench/bench_merge.o $(BUILD)/tests/bench/merge_bench.o $(BUILD)/unit/libshared.a $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
