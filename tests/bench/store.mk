# The store's bench needs a cluster, which the tests' fixture makes.
#
# bench-store  pooled look-ups against pgbench, COPY streams against psql; build/bench/store.json

.PHONY: bench-store
bench-store: $(BUILD)/bench/store
	@$<
$(BUILD)/bench/store: $(BUILD)/tests/bench/bench_store.o $(BUILD)/unit/libshared.a $(BUILD)/libcommonhold.a $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
