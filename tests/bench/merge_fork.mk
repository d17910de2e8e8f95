# Two forks of one pool, merged: how long each step takes, and how much memory its process holds, from the program without sanitizers.
#
# bench-merge-fork  BENCH_FORK_ITEMS=100000 in the parent; by itself, since a run has no median

.PHONY: bench-merge-fork
bench-merge-fork: $(BUILD)/commonhold
	@COMMONHOLD_BINARY=$(abspath $(BUILD)/commonhold) node tests/bench/merge_fork.mjs
