# bench-ballot  closing ballots with everybody's path and reason stored, one person's path; build/bench/ballot.json. MEMBERS=1000000 is the largest co-op.
#
# Figures of other modules that belong into the same file are made by the programs in BALLOT_PARTS (targets, run first): each adds lines "name unit v1 v2 v3 v4 v5" to the file
# that COMMONHOLD_BENCH_FIGURES names.

BALLOT_PARTS ?= $(BUILD)/bench/checkup

.PHONY: bench-ballot
bench-ballot: $(BUILD)/bench/ballot $(BALLOT_PARTS)
	@rm -f $(BUILD)/bench/ballot.figures
	@for part in $(BALLOT_PARTS); do COMMONHOLD_BENCH_FIGURES=$(BUILD)/bench/ballot.figures $$part || exit 1; done
	@COMMONHOLD_BENCH_FIGURES=$(BUILD)/bench/ballot.figures $<
