#!/usr/bin/env bash
# figures.sh NAME FILE: lines "name unit v1 … vN" of a bench's parts into build/bench/NAME.json, with medians.
set -euo pipefail
mkdir -p build/bench
awk -v bench="$1" '
{
	n = NF - 2
	for (i = 1; i <= n; i++) v[i] = $(i + 2) + 0
	for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] > v[j]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	all = all sprintf("%s\"%s\":{\"median\":%.4f,\"min\":%.4f,\"max\":%.4f,\"n\":%d,\"unit\":\"%s\"}", all == "" ? "" : ",", $1, v[int((n + 1) / 2)], v[1], v[n], n, $2)
}
END { printf("{\"bench\":\"%s\",\"figures\":{%s}}\n", bench, all) }' "$2" >"build/bench/$1.json"
echo "build/bench/$1.json"
