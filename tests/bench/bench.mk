# Benchmarks. Every tests/bench/bench_<name>.c is a program that measures and prints, with its peer in the same run where there is one.
#
# bench        builds (without sanitizers) and runs each; results also in build/bench/<name>.txt; BENCH=json runs one

BENCH ?= $(patsubst tests/bench/bench_%.c,%,$(wildcard tests/bench/bench_*.c))

.PHONY: bench
bench: $(BENCH:%=$(BUILD)/bench/%)
	@for name in $(BENCH); do echo "  BENCH $$name"; $(BUILD)/bench/$$name | tee $(BUILD)/bench/$$name.txt || exit 1; done

$(BUILD)/bench/%: $(BUILD)/tests/bench/bench_%.o $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
.PRECIOUS: $(BUILD)/tests/bench/%.o
