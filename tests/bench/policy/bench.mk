# bench-policy   how fast the policy engine decides, explains and resolves delegations, beside a plain loop and beside the
#                engines that npm offers, on the same cases with identical outcomes checked; results in build/bench/policy.json
#
# The peers are installed under build/ from the pinned package.json here. A compiled policy for opa-wasm needs the opa program,
# which no registry of ours offers, so that peer is not in the run.

POLICY_BENCH := build/bench/policy
.PHONY: bench-policy
bench-policy: $(POLICY_BENCH)/node_modules/.installed
	@$(MAKE) --no-print-directory BUILD=build $(POLICY_BENCH)/engine
	@echo "  BENCH policy"
	@$(POLICY_BENCH)/engine $(POLICY_BENCH)
	@node tests/bench/policy/peers.mjs $(POLICY_BENCH) build/bench/policy.json

$(POLICY_BENCH)/node_modules/.installed: tests/bench/policy/package.json tests/bench/policy/package-lock.json
	@mkdir -p $(POLICY_BENCH)
	@cp tests/bench/policy/package.json tests/bench/policy/package-lock.json $(POLICY_BENCH)/
	@cd $(POLICY_BENCH) && npm install --no-audit --no-fund --loglevel=error && touch node_modules/.installed
$(POLICY_BENCH)/engine: $(BUILD)/tests/bench/policy/engine.o $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^
