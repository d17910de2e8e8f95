#!/usr/bin/env bash
# Arrows go one way (architecture.md): fails when an include, a clock or a dependency breaks that. One test a rule.
set -uo pipefail
cd "$(dirname "$0")/.."
n=0
verdict() { # name, offending lines
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf '%s\n' "$2" | sed 's/^/#   /'
	fi
}

verdict "policy depends on nothing of ours" "$(grep -nE '#include ("commonhold/|<commonhold/|")' policy/*.c policy/*.h | grep -vE '"(commonhold/policy[a-z_]*\.h|policy/[a-z_]+\.(h|def)|[a-z_]+\.(h|def))"')"
verdict "policy does no I/O and reads no clock" "$(grep -nE '\b(fopen|printf|fprintf|open|read|write|malloc|calloc|realloc|free|clock_gettime|time)\(' policy/*.c | grep -vE '(snprintf|//|\*)')"
verdict "the clock is read in one place" "$(grep -nE '\b(clock_gettime|gettimeofday|time)\(' -r server policy | grep -vE 'server/base/clock\.c|server/job/runner\.c|pthread|CLOCK_REALTIME|server/store/|/\*|\* ')"
verdict "no SQL says now()" "$(grep -nE '\bnow\(\)|current_timestamp' -r sql server --include=*.sql --include=*.c -i | grep -vE 'commonhold_now\(\)|clock_now\(\)|clock_timestamp|ticks_now|_now\(\)')"
verdict "civetweb is known to the engine alone" "$(grep -ln 'civetweb.h' -r server include | grep -vE 'server/web/(engine|stream|interpose|guard|body|file|server)\.c|server/web/web\.h')"
verdict "libpq is known to the store alone" "$(grep -ln 'libpq' -r server include | grep -v '^server/store/' | grep -v 'include/commonhold/db.h')"
verdict "libcurl is known to the HTTP client and the mailer alone" "$(grep -ln 'curl/curl.h' -r server include | grep -vE 'server/(base/fetch[a-z_]*|notify/smtp)\.c')"

# Domains, lowest first; each may use those below it.
order=(account coop pool ballot release access benefit motion checkup erasure merge)
# The headers of a domain that has more than the one of its name.
more() {
	case $1 in
	coop) echo "coop|guest" ;;
	pool) echo "pool|origin|origin_take" ;;
	merge) echo "merge|peer|terms|agreement|message|bundle|near|joint|preview|onward|fork|lineage|link" ;;
	erasure) echo "erasure|erasure_statement|mirror|mirror_sync|holdings|adapter" ;;
	release) echo "release|release_joint" ;;
	*) echo "$1" ;;
	esac
}
bad=""
for i in "${!order[@]}"; do
	for j in "${!order[@]}"; do
		if [ "$j" -gt "$i" ] && [ -d "server/${order[$i]}" ]; then
			bad+=$(grep -nE "#include \"commonhold/($(more "${order[$j]}"))(_api)?\.h\"" -r "server/${order[$i]}" || true)
		fi
	done
done
verdict "domains use those below them and never back" "$bad"
verdict "base, store, web, ledger and notify know no domain" "$(grep -nE '#include "commonhold/(account|coop|pool|ballot|release|access|benefit|motion|checkup|release_joint|tombstone|erasure|erasure_statement|mirror|mirror_sync|holdings|adapter|guest|origin|origin_take|peer|terms|agreement|message|bundle|merge|near|joint|preview|onward|fork|lineage|link)(_api)?\.h"' -r server/base server/store server/web server/job server/ledger server/notify)"
verdict "operations know no HTTP" "$(grep -lE '#include "commonhold/(http|routes|template|chart)\.h"' server/*/*.c server/*/*/*.c | grep -vE '_(api|pages|identify|hooks)\.c$|^server/web/|_http\.c$|server/release/documents\.c|server/notify/render\.c|^server/job/|hub_')"
verdict "no file is longer than 900 lines" "$(wc -l server/*/*/*.[ch] server/*/*.[ch] server/*.[ch] policy/*.[ch] include/commonhold/*.h tests/unit/*.[ch] | awk '$1 > 900 && $2 != "total" { print $2 ": " $1 }')"
verdict "nothing sounds unfinished" "$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' -r server policy include sql templates --include=*.c --include=*.h --include=*.sql --include=*.mustache)"
echo "1..$n"
