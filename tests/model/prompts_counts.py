#!/usr/bin/env python3
"""What importing a file of prompts with the mapping in tests/unit/test_csv.c must give: rows, contributors, and a digest, by Python's own csv module."""
import csv
import gzip
import hashlib
import json
import sys

csv.field_size_limit(1 << 30)


def content(row):
    made = {"input": row["prompt"], "title": row["act"], "format": row["type"].lower()}
    if row["for_devs"] == "TRUE":
        made["tags"] = ["for_devs"]
    return json.dumps({key: value for key, value in made.items() if value}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


with gzip.open(sys.argv[1], "rt", encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
contents = [content(row) for row in rows]
print(json.dumps({
    "rows": len(rows),
    "distinct": len(set(contents)),
    "authors": sum(len([name for name in row["contributor"].split(",") if name.strip()]) for row in rows),
    "digest": hashlib.sha256("".join(line + "\n" for line in contents).encode()).hexdigest(),
}))
