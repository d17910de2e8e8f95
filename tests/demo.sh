#!/usr/bin/env bash
# `make demo` with DEMO=exit, as a stranger runs it: ends well, says where to look, and stock tools accept what it made. One test a claim.
set -uo pipefail
cd "$(dirname "$0")/.."
n=0
check() { # name, command …
	local name=$1
	shift
	n=$((n + 1))
	if "$@" >/tmp/demo-check.$$ 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		sed 's/^/#   /' /tmp/demo-check.$$ | tail -n 20
	fi
}
dir=$(mktemp -d)
out=$dir/out
export COMMONHOLD_DIR=$dir/var COMMONHOLD_LISTEN=127.0.0.1:0
check "the demo ends with exit status 0" bash -c "DEMO=exit make --no-print-directory demo >'$out' 2>'$dir/err' </dev/null || { cat '$dir/err'; exit 1; }"
value() { grep "^$1=" "$out" | tail -n 1 | cut -d= -f2-; }
check "its last five lines say where to look" bash -c "[ \"\$(tail -n 5 '$out' | cut -d= -f1 | tr '\n' ' ')\" = 'url sign_in artefact public_key verify ' ]"
artefact=$(value artefact)
check "sha256sum accepts the artefact" bash -c "cd '$artefact' && sha256sum --strict --quiet -c SHA256SUMS"
check "minisign accepts its signature" bash -c "minisign -V -P '$(value public_key)' -m '$artefact/SHA256SUMS'"
check "the verify line verifies" bash -c "$(value verify)"
check "a changed byte is noticed" bash -c "f=\$(ls '$artefact'/data/*/*.gz | head -n 1); printf x >>\"\$f\"; ! $(value verify)"
check "a second demo starts afresh" bash -c "DEMO=exit make --no-print-directory demo >/dev/null 2>&1 </dev/null"
rm -rf "$dir" /tmp/demo-check.$$
echo "1..$n"
