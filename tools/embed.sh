#!/usr/bin/env bash
# Writes a C file with the given files as a sorted table of entries; server/base/assets.c reads it.
set -euo pipefail
export LC_ALL=C
mapfile -t files < <(printf '%s\n' "$@" | sort)
echo "#include \"server/base/asset_entry.h\""
for i in "${!files[@]}"; do
	printf '__asm__(".section .rodata\\n.balign 16\\nasset_%d: .incbin \\"%s\\"\\nasset_%d_end: .byte 0\\n.previous\\n");\n' "$i" "${files[$i]}" "$i"
	printf 'extern const char asset_%d[], asset_%d_end[];\n' "$i" "$i"
done
echo 'const struct asset_entry asset_entries[] = {'
for i in "${!files[@]}"; do
	printf '\t{ "%s", asset_%d, asset_%d_end },\n' "${files[$i]}" "$i" "$i"
done
echo '};'
echo 'const size_t asset_entry_count = sizeof(asset_entries) / sizeof(asset_entries[0]);'
