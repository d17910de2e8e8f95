# Debian packages. A second run finds everything there, says nothing and takes some hundredths of a second.
#
# The Makefile asks pkg-config when it is read, so what needs the packages runs in a make of its own after them:
#     demo: deps
#     	@$(MAKE) --no-print-directory all && …

DEPS := build-essential pkg-config libpq-dev libcivetweb-dev libjansson-dev libjwt-dev libcurl4-openssl-dev libssl-dev libsodium-dev zlib1g-dev \
	libzstd-dev libdeflate-dev libical-dev libpcre2-dev libcmark-dev libqrencode-dev postgresql-15 util-linux ca-certificates
DEPS_TEST := libcmocka-dev zstd postgresql-15-pgtap minisign nginx-light chromium clang-14 libclang-rt-14-dev llvm-14 'node>=18:nodejs' 'npm>=0:npm' \
	python3 curl openssl fonts-dejavu-core fonts-noto-core fonts-noto-color-emoji

.PHONY: deps deps-test
deps:
	@tools/deps.sh $(DEPS)
deps-test:
	@tools/deps.sh $(DEPS) $(DEPS_TEST)
