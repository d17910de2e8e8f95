#!/usr/bin/env python3
"""What importing an OpenAssistant file must give, derived from the file alone.

Shares no code with the importer; written from the rules in include/commonhold/import.h.
    oasst_counts.py FILE            counts, and a digest of the contents of each kind, as JSON
    oasst_counts.py --nested FILE   the same messages as nested trees, one a line
    oasst_counts.py --shuffled FILE the same rows in another order
"""
import collections
import gzip
import hashlib
import json
import random
import re
import sys

NUMBER = re.compile(r'"@@([^"]*)@@"')
SIGNALS = {"+1": "thumbs_up", "-1": "thumbs_down", "red_flag": "flag"}


def read(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n"), json.loads(line, parse_float=lambda digits: f"@@{digits}@@")


def canonical(value):
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return NUMBER.sub(r"\1", text)


def pairs_of(ranked):
    ranked = sorted(ranked, key=lambda row: row["rank"])
    return [(a, b) for i, a in enumerate(ranked) for b in ranked[i + 1:] if a["rank"] != b["rank"]]


def turn(row):
    return {"role": "assistant" if row["role"] == "assistant" else "user", "content": row["text"]}


def derive(rows):
    by_id = {row["message_id"]: row for row in rows}
    children = collections.defaultdict(list)
    for row in rows:
        children[row["parent_id"]].append(row)

    def path(row):
        """From the root to the row; None where an ancestor is not in the file."""
        steps = [row]
        while steps[-1]["parent_id"] is not None:
            parent = by_id.get(steps[-1]["parent_id"])
            if parent is None:
                return steps[::-1], False
            steps.append(parent)
        return steps[::-1], True

    counts = collections.Counter(rows=len(rows))
    contents = collections.defaultdict(list)
    live = {}
    for row in rows:
        steps, whole = path(row)
        if row["deleted"]:
            counts["deleted"] += 1
        elif any(step["deleted"] for step in steps):
            counts["under_deleted"] += 1
        elif not whole:
            counts["parent_missing"] += 1
        else:
            live[row["message_id"]] = steps
        marks = row["emojis"] or {"name": [], "count": []}
        counts["ignored"] += sum(1 for name in marks["name"] if name not in SIGNALS)

    is_ranked = lambda row: row["role"] == "assistant" and row["rank"] is not None
    for parent, replies in children.items():
        if parent is not None:
            counts["pairs_ranked"] += len(pairs_of([row for row in replies if is_ranked(row)]))

    for name, steps in live.items():
        row = steps[-1]
        replies = [child for child in children[name] if child["message_id"] in live]
        if not replies:
            if any(step["role"] == "assistant" for step in steps):
                contents["chat"].append({"messages": [turn(step) for step in steps]})
            else:
                counts["empty"] += 1
        for better, worse in pairs_of([child for child in replies if is_ranked(child)]):
            contents["preference"].append({"prompt": [turn(step) for step in steps], "chosen": [turn(better)], "rejected": [turn(worse)],
                                           "ranks": [better["rank"], worse["rank"]]})
        target = {"system": "openassistant", "id": name}
        marks = row["emojis"] or {"name": [], "count": []}
        for emoji, count in zip(marks["name"], marks["count"]):
            if emoji in SIGNALS:
                contents["signal"].append({"target": target, "signal": SIGNALS[emoji], "count": count})
        labels = row["labels"]
        if labels and labels["name"]:
            contents["feedback"].append({"target": target, "ratings": [
                {"name": label, "value": value, "raters": count} for label, value, count in zip(labels["name"], labels["value"], labels["count"])]})

    counts["pairs_withheld"] = counts["pairs_ranked"] - len(contents["preference"])
    digests = {}
    for kind in ("chat", "preference", "signal", "feedback"):
        lines = sorted(canonical(content).encode() for content in contents[kind])
        counts[kind] = len(lines)
        digests[kind] = hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
    return {"counts": counts, "digests": digests}


def nested(rows):
    children = collections.defaultdict(list)
    for row in rows:
        children[row["parent_id"]].append(row)

    def reply(row):
        labels, emojis = row["labels"], row["emojis"]
        tree = {key: value for key, value in row.items() if key not in ("labels", "emojis", "parent_id", "message_tree_id")}
        if labels:
            tree["labels"] = {n: {"value": v, "count": c} for n, v, c in zip(labels["name"], labels["value"], labels["count"])}
        if emojis:
            tree["emojis"] = dict(zip(emojis["name"], emojis["count"]))
        tree["replies"] = [reply(child) for child in children[row["message_id"]]]
        return tree

    for root in children[None]:
        print(NUMBER.sub(r"\1", json.dumps({"message_tree_id": root["message_tree_id"], "prompt": reply(root)})))


def main():
    lines = list(read(sys.argv[-1]))
    rows = [row for _, row in lines]
    if "--nested" in sys.argv:
        nested(rows)
    elif "--shuffled" in sys.argv:
        random.Random(1).shuffle(lines)
        print("\n".join(line for line, _ in lines))
    else:
        print(json.dumps(derive(rows), indent=1, sort_keys=True))


main()
