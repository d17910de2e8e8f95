// A closed ballot's bundle: recounted by the program offline, and looked at with nothing of the program's: roots, paths, the log's commitments.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary } from "../server.mjs";

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const leaf = (line) => sha256(Buffer.from([0]), line);
const node = (left, right) => sha256(Buffer.from([1]), left, right);

function rootOf(hashes) {
  if (!hashes.length) return sha256("");
  if (hashes.length === 1) return hashes[0];
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  return node(rootOf(hashes.slice(0, split)), rootOf(hashes.slice(split)));
}
function rootFromPath(index, size, hash, path) { // RFC 9162 section 2.1.3.2
  let fn = index, sn = size - 1, r = hash;
  for (const p of path) {
    if (fn % 2 || fn === sn) {
      r = node(p, r);
      while (fn % 2 === 0 && fn !== 0) { fn >>= 1; sn >>= 1; }
    } else r = node(r, p);
    fn >>= 1;
    sn >>= 1;
  }
  assert.equal(sn, 0);
  return r;
}

export default function (here) {
  const { anyone, coop, ok, until } = here;
  const parts = { person: "people", vote: "votes", stance: "stances", delegation: "delegations", outcome: "outcomes" };
  let ballot, lines, header;

  test("a closed ballot's bundle is whole: its lines lead to the roots, the header to the log", async () => {
    const { ada } = here.people();
    ballot = ok(200, await ada.get(`${coop}/ballots?state=passed`)).items[0];
    const bundle = await until(() => anyone().get(`${coop}/ballots/${ballot.id}/proof`), (a) => a.status === 200, "the proof");
    lines = bundle.text.trimEnd().split("\n").map((text) => ({ text, o: JSON.parse(text) }));
    header = lines[0].o;
    for (const [kind, part] of Object.entries(parts)) {
      const texts = lines.slice(1).filter(({ o }) => o.t === kind).map(({ text }) => text);
      assert.equal(texts.length, header.sizes[part], part);
      assert.equal(rootOf(texts.map(leaf)).toString("hex"), header.roots[part], part);
    }
    const entries = [];
    for (let cursor = ""; ;) {
      const page = ok(200, await anyone().get(`${coop}/log/entries?limit=50${cursor}`));
      entries.push(...page.items);
      if (!page.next) break;
      cursor = `&cursor=${encodeURIComponent(page.next)}`;
    }
    const sealed = entries.find((e) => e.entry.t === "ballot.sealed" && e.entry.data.ballot === ballot.id);
    assert.equal(sealed.entry.data.bundle, sha256(lines[0].text).toString("hex"));
    const logged = entries.filter((e) => e.entry.t === "vote.cast" && e.entry.data.ballot === ballot.id).map((e) => e.entry.data.c).sort();
    assert.deepEqual(lines.filter(({ o }) => o.t === "vote").map(({ o }) => o.c).sort(), logged, "every vote that the log has a commitment to, and no other");
    assert.ok(lines.slice(1, -1).every(({ text }) => !/@|Ada|Bea/.test(text)), "no names");
  });

  test("`commonhold audit verify-ballot` counts it again and says no to a changed one", async () => {
    const dir = mkdtempSync(join(tmpdir(), "ch-audit-"));
    try {
      const file = join(dir, "ballot.ndjson"), text = lines.map((l) => l.text).join("\n") + "\n";
      const audit = (content, ...more) => {
        writeFileSync(file, content);
        return spawnSync(binary, ["audit", "verify-ballot", file, ...more], { encoding: "utf8" });
      };
      const good = audit(text, "--json");
      assert.equal(good.status, 0, good.stdout + good.stderr);
      const said = JSON.parse(good.stdout);
      assert.deepEqual([said.ok, said.passed, said.ballot], [true, true, ballot.id]);
      const tally = ok(200, await here.people().ada.get(`${coop}/ballots/${ballot.id}/tally`));
      assert.deepEqual([said.members.for, said.members.against, said.members.roll], [tally.members.for, tally.members.against, tally.members.roll]);
      const bad = audit(text.replace('"passed":true', '"passed":false'));
      assert.equal(bad.status, 1);
      assert.match(bad.stdout, /FAIL\S* +result/);
      assert.equal(audit(text, "--key", "00".repeat(32)).status, 1, "another's key");
      assert.equal(spawnSync(binary, ["audit", "verify-ballot"]).status, 2);
      assert.equal(spawnSync(binary, ["audit", "verify-ballot", join(dir, "nothing")]).status, 1);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("a member finds their own lines with a salt that only they are told", async () => {
    const { ada, lab } = here.people();
    const mine = ok(200, await ada.get(`${coop}/ballots/${ballot.id}/proof/mine`));
    assert.equal(sha256(Buffer.from(mine.salt, "hex"), sha256(mine.member)).toString("hex"), mine.commitment);
    assert.equal(JSON.parse(mine.person).c, mine.commitment);
    const path = (list) => list.map((h) => Buffer.from(h, "hex"));
    assert.equal(rootFromPath(mine.place, header.sizes.people, leaf(mine.person), path(mine.person_path)).toString("hex"), header.roots.people);
    assert.equal(rootFromPath(mine.outcome_index, header.sizes.outcomes, leaf(mine.outcome), path(mine.outcome_path)).toString("hex"), header.roots.outcomes);
    assert.equal(JSON.parse(mine.outcome).i, mine.place);
    assert.equal((await lab.get(`${coop}/ballots/${ballot.id}/proof/mine`)).status, 403);
    assert.equal((await anyone().get(`${coop}/ballots/${header.subject}/proof`)).status, 404);
  });
}
