# Deletion's bench, in parts: each a program that appends lines "name unit v1 … v5" to the file that COMMONHOLD_BENCH_FIGURES names. A part that is a file of its own adds itself
# with `ERASURE_PARTS += …` in its .mk.
#
# bench-erasure  one request over 10,000 items in 100 releases of a pool of a million; the parts that others add; build/bench/erasure.json. BENCH_ITEMS=1000000

ERASURE_PARTS += $(BUILD)/bench/erasure

.PHONY: bench-erasure
bench-erasure:
	@$(MAKE) --no-print-directory $(ERASURE_PARTS)
	@rm -f $(BUILD)/bench/erasure.figures
	@for part in $(ERASURE_PARTS); do COMMONHOLD_BENCH_FIGURES=$(abspath $(BUILD)/bench/erasure.figures) $$part || exit 1; done
	@tests/bench/figures.sh erasure $(BUILD)/bench/erasure.figures
$(BUILD)/bench/erasure: $(BUILD)/tests/bench/bench_erasure.o $(BUILD)/unit/libshared.a $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
