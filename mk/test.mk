# Tests and the demo. Both install what they need, then build in a make of their own, since the Makefile asks pkg-config when it is read.
#
# test        every suite; the last line is "N passed, N failed, N skipped". SUITES="unit api" runs some
# demo        from nothing to a verified release, then serves; DEMO=exit stops after verifying

SUITES ?= architecture unit model fuzz api browser demo

.PHONY: test demo
test: deps-test
	@$(MAKE) --no-print-directory asan all
	@tests/run.sh $(SUITES)

demo: deps
	@echo "Building …"
	@$(MAKE) --no-print-directory all
	@COMMONHOLD_LOG=$${COMMONHOLD_LOG:-warn} COMMONHOLD_LOG_FORMAT=$${COMMONHOLD_LOG_FORMAT:-plain} COMMONHOLD_DIR=$${COMMONHOLD_DIR:-./var} tools/demo.sh
