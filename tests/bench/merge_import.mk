# The import half of merging's bench (merge.mk): a million records of 1 KB with half duplicates against a staging COPY plus INSERT … ON CONFLICT of the bare rows; near duplicates. BENCH_ITEMS, BENCH_RUNS
MERGE_PARTS += $(BUILD)/bench/merge_import

$(BUILD)/bench/merge_import: $(BUILD)/tests/bench/bench_merge_import.o $(BUILD)/tests/bench/merge_bench.o $(BUILD)/unit/libshared.a $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
