#!/usr/bin/env bash
# The policy commands over one small document: what they say, and their exit status. TAP.
set -uo pipefail
cd "$(dirname "$0")/../.."
program=build/asan/commonhold
document=tests/model/policy_document.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
verdict() { # name, status of the check
	n=$((n + 1))
	if [ "$2" -eq 0 ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; fi
}
says() { # name, expected exit status, expected text, command...
	local name=$1 status=$2 text=$3 got
	shift 3
	"$@" >"$work/out" 2>&1
	got=$?
	[ "$got" -eq "$status" ] && grep -qF -- "$text" "$work/out"
	verdict "$name" $?
	grep -qF -- "$text" "$work/out" || sed 's/^/#   /' "$work/out"
}
sed 's/"train.gen", "search"/"search"/; s/P7D/P1D/' "$document" >"$work/other.json"
sed 's/"train.gen", "search"/"flying"/' "$document" >"$work/bad.json"
echo '{"release": 5}' >"$work/empty.json"
says explains_who_decided 0 "PREF_DENY  The use train.gen is denied.  by statement 2 (delegate)" "$program" explain "$document"
says explains_what_would_change_it 0 "delegate: take back statement 2" "$program" explain --item i1 "$document"
says explains_when 0 "in by itself from 2026-11-04T00:00:00Z" "$program" explain --item i2 "$document"
says explains_as_json 0 '"rule":"tightened-by-delegate"' "$program" explain --json --item i1 "$document"
says an_unknown_item_is_said 1 'no item "i9"' "$program" explain --item i9 "$document"
says a_shadowed_rule_is_found 1 "rule 2 (very low): every item it meets is already decided" "$program" policy check "$document"
says a_word_out_of_the_vocabulary_is_named 1 "/release/uses/0" "$program" policy check "$work/bad.json"
says a_document_without_a_release_is_refused 1 'needs a "release"' "$program" policy check "$work/empty.json"
says a_document_equals_itself 0 "decide alike" "$program" policy diff "$document" "$document"
says a_difference_has_a_witness 1 "first: hold EMBARGO_UNTIL" "$program" policy diff "$document" "$work/other.json"
says what_if_counts_and_lists 0 "2 items come in, 0 go out" "$program" policy what-if "$document" "$work/other.json"
says wrong_usage_is_said 2 "usage: commonhold policy check" "$program" policy nonsense
says help_is_given 0 "usage: commonhold explain" "$program" explain --help
says a_missing_file_is_said 1 "cannot be read" "$program" explain "$work/none.json"
echo "1..$n"
