# The log's bench needs a cluster, which the tests' fixture makes.
#
# bench-ledger  appending against a plain INSERT, single appends, proofs; build/bench/ledger.json
# bench-gzip    the release's gzip writer against gzip; build/bench/gzip.json

.PHONY: bench-ledger bench-gzip
bench-ledger: $(BUILD)/bench/ledger
	@$<
bench-gzip: $(BUILD)/bench/gzip
	@$<
$(BUILD)/bench/ledger: $(BUILD)/tests/bench/bench_ledger.o $(BUILD)/unit/libshared.a $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
