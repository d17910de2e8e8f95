# A part of bench-erasure: a redaction of 1,000 rows in a million applied by the mirror tool, rows side by side and scattered, against fetching the release whole.
#
# bench-erasure-mirror  BENCH_ITEMS=1000000 rows; its figures alone

ERASURE_PARTS += $(BUILD)/bench/erasure_mirror

$(BUILD)/bench/erasure_mirror: $(BUILD)/tests/bench/bench_erasure_mirror.o $(BUILD)/unit/libshared.a $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

.PHONY: bench-erasure-mirror
bench-erasure-mirror: $(BUILD)/bench/erasure_mirror
	@$(BUILD)/bench/erasure_mirror
