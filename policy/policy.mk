# The policy engine by itself.
#
# test-deep       the engine against its model on 10^8 random cases, some 40 minutes; a failure prints the seed of its world
# test-mutation   mutants of the kernel and the licence matrix: each must fail a test
# coverage        lines and branches of policy/ that its tests reach
# install-policy  libcommonhold-policy.a, its headers and commonhold-policy.pc under PREFIX (default /usr/local)

PREFIX ?= /usr/local
DESTDIR ?=
POLICY_VERSION := 1.0.0
POLICY_HEADERS := $(wildcard include/commonhold/policy*.h)
POLICY_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_policy_*.c))
POLICY_FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_policy_*.c))

# The matrix is data that licence.c includes.
$(BUILD)/policy/licence.o: policy/licences.def

$(BUILD)/model/policy-driver: $(BUILD)/tests/model/driver.o $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^

.PHONY: test-deep test-mutation coverage install-policy
test-deep:
	@POLICY_CASES=$${POLICY_CASES:-100000000} POLICY_SEED=$${POLICY_SEED:-1000000000} tests/model/run_policy.sh

test-mutation:
	@python3 tests/mutation/policy_mutants.py

# The tests by themselves need nothing but the engine, cmocka and jansson.
COVERAGE := build/coverage
coverage:
	@rm -rf $(COVERAGE) && mkdir -p $(COVERAGE)
	@$(MAKE) --no-print-directory -s BUILD=$(COVERAGE) WARN=-Wall OPT="-O0 -g --coverage -fprofile-abs-path" HARDEN= SAN=--coverage \
		$(POLICY_TESTS:%=$(COVERAGE)/policy/%) $(POLICY_FUZZ:%=$(COVERAGE)/policy/fuzz_%) $(COVERAGE)/model/policy-driver
	@export COMMONHOLD_SHARED_DATA=$${COMMONHOLD_SHARED_DATA:-$(abspath ../shared/data)}; \
		for t in $(POLICY_TESTS); do $(COVERAGE)/policy/$$t >$(COVERAGE)/$$t.log 2>&1 || { cat $(COVERAGE)/$$t.log; exit 1; }; done
	@for t in $(POLICY_FUZZ); do $(COVERAGE)/policy/fuzz_$$t tests/fuzz/corpus/$$t || exit 1; done
	@python3 tests/model/differential.py $(COVERAGE)/model/policy-driver --cases 60000
	@gcovr --root . --filter 'policy/' --exclude-throw-branches --branches --object-directory $(COVERAGE) $(COVERAGE) | tee $(COVERAGE)/branches.txt
	@gcovr --root . --filter 'policy/' --object-directory $(COVERAGE) $(COVERAGE) | tail -n 4

$(BUILD)/policy/test_policy_%: $(BUILD)/tests/unit/test_policy_%.o $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka -ljansson

$(BUILD)/policy/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(BUILD)/libcommonhold-policy.a
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^

$(BUILD)/commonhold-policy.pc: policy/commonhold-policy.pc.in
	@mkdir -p $(@D)
	@sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(POLICY_VERSION)|' $< >$@
all: $(BUILD)/commonhold-policy.pc

install-policy: $(BUILD)/libcommonhold-policy.a $(BUILD)/commonhold-policy.pc
	@install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/commonhold
	@install -m 644 $(BUILD)/libcommonhold-policy.a $(DESTDIR)$(PREFIX)/lib/
	@install -m 644 $(POLICY_HEADERS) $(DESTDIR)$(PREFIX)/include/commonhold/
	@sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(POLICY_VERSION)|' policy/commonhold-policy.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/commonhold-policy.pc
