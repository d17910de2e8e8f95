// Real files through the program: what comes out of an import and of a release is held against the files themselves, by definitions written out anew here
// (include/commonhold/import.h says them), sharing no code with the program.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { charter, root, ok } from "./server.mjs";
import { contentOf as promptContent, mapping, readCsv } from "./prompts.mjs";
import { until, World } from "./world.mjs";

const shared = resolve(root, process.env.COMMONHOLD_SHARED_DATA ?? "../shared/data");
const oasst = join(shared, "oasst-en-validation.jsonl.gz");
const prompts = ["2025-12", "2026-01", "2026-02"].map((month) => join(shared, `prompts-${month}.csv.gz`));
const skip = [oasst, ...prompts].every(existsSync) ? false : `the files are not in ${shared}`;

const sha256 = (text) => createHash("sha256").update(text).digest("hex");

// ---- the files, read independently ----

// Canonical JSON in which a number that is no safe integer keeps its text: numbers were read as strings that begin with MARK.
const MARK = "\u0001";
function readJson(text) {
  return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) => (token[0] === '"' ? token : `"\\u0001${token}"`)));
}
const number = (value) => (typeof value === "string" && value[0] === MARK ? value.slice(1) : value);
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value && typeof value === "object") return `{${Object.keys(value).sort().map((k) => `${JSON.stringify(k)}:${canonical(value[k])}`).join(",")}}`;
  if (typeof value === "string" && value[0] === MARK) return value.slice(1);
  return JSON.stringify(value);
}

const EMOJI = { "+1": "thumbs_up", "-1": "thumbs_down", red_flag: "flag" };
const zip = (lists, ...names) => (lists?.name ?? []).map((_, i) => Object.fromEntries(names.map((n) => [n, lists[n][i]])));

function readOasst() {
  const rows = gunzipSync(readFileSync(oasst)).toString("utf8").split("\n").filter(Boolean).map(readJson);
  const byId = new Map(rows.map((r) => [r.message_id, r]));
  const kinds = { chat: [], preference: [], signal: [], feedback: [] };
  const isLive = (r) => !r.deleted && (r.parent_id === null || (byId.has(r.parent_id) && isLive(byId.get(r.parent_id))));
  const path = (r) => (r.parent_id === null ? [] : path(byId.get(r.parent_id))).concat(r);
  const turn = (r) => ({ role: r.role === "assistant" ? "assistant" : "user", content: r.text });
  const rank = (r) => (r.rank === null ? null : Number(number(r.rank)));
  const pairs = (replies) => {
    const ranked = replies.filter((r) => r.role === "assistant" && rank(r) !== null);
    return ranked.flatMap((a) => ranked.filter((b) => rank(a) < rank(b)).map((b) => [a, b]));
  };
  const replies = new Map();
  for (const r of rows) if (r.parent_id !== null) replies.set(r.parent_id, [...(replies.get(r.parent_id) ?? []), r]);
  const live = rows.filter(isLive);
  for (const r of live) {
    const answers = (replies.get(r.message_id) ?? []).filter(isLive), steps = path(r);
    if (!answers.length && steps.some((s) => s.role === "assistant")) kinds.chat.push({ messages: steps.map(turn) });
    for (const [better, worse] of pairs(answers)) kinds.preference.push({ prompt: steps.map(turn), chosen: [turn(better)], rejected: [turn(worse)], ranks: [better.rank, worse.rank] });
    const target = { system: "openassistant", id: r.message_id };
    for (const mark of zip(r.emojis, "name", "count")) if (EMOJI[mark.name]) kinds.signal.push({ target, signal: EMOJI[mark.name], count: mark.count });
    if (r.labels?.name?.length) kinds.feedback.push({ target, ratings: zip(r.labels, "name", "value", "count").map((l) => ({ name: l.name, value: l.value, raters: l.count })) });
  }
  const contents = Object.values(kinds).flat().map(canonical);
  return {
    rows, live, kinds, contents, hashes: contents.map(sha256),
    deleted: rows.filter((r) => r.deleted), ranked: [...replies.values()].flatMap(pairs).length, orphans: rows.filter((r) => !r.deleted && !isLive(r)),
  };
}

// ---- the program ----

let world, ada, lab, file, months;
const summary = (err) => {
  const m = err.match(/^(\d+) rows: (\d+) approved, (\d+) held for moderation, (\d+) rejected, (\d+) there already, (\d+) refused, (\d+) deleted at the source$/m);
  assert.ok(m, err.slice(-2000));
  const [rows, approved, held, rejected, already, refused, deleted] = m.slice(1).map(Number);
  return { rows, approved, held, rejected, already, refused, deleted };
};
const pool = (slug) => world.sql(`SELECT encode(c.content_sha256, 'hex') FROM contribution c JOIN coop o ON o.id = c.coop_id WHERE o.slug = '${slug}'`).flat();
const sorted = (list) => [...list].sort();

before(async () => {
  if (skip) return;
  file = readOasst();
  months = prompts.map((path) => readCsv(gunzipSync(readFileSync(path)).toString("utf8")));
  world = await World.begin({ clock: "2026-01-10T09:00:00Z" });
  ada = await world.person("Ada");
  lab = await world.person("Lab");
  for (const slug of ["trees", "trees-again", "prompts"]) {
    ok(201, await ada.post("/api/v1/coops", { slug, charter: charter({ release: { uses: ["train.gen"], purposes: ["research"] }, access: { mode: "gated_auto", terms: "Be kind." } }) }));
    ok(200, await ada.put(`/api/v1/coops/${slug}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
    ok(201, await ada.post(`/api/v1/coops/${slug}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] }));
  }
});
after(() => world?.end());

test("the file is what it is said to be", { skip }, () => {
  assert.equal(file.rows.length, 2022);
  assert.equal(file.deleted.length, 40);
  assert.equal(file.ranked, 1026);
  assert.deepEqual(months.map((m) => m.length), [828, 1138, 1344]);
});

test("OpenAssistant's trees, by the command", { skip }, () => {
  const { status, out, err } = world.run(["import", "--coop", "trees", "--as", ada.email, "--format", "openassistant", "--lang", "en", "--json", oasst]);
  assert.equal(status, 0, err);
  const counts = summary(err);
  const distinct = new Set(file.hashes).size;
  assert.equal(counts.rows, 2022);
  assert.equal(counts.deleted, 40 + file.orphans.filter((r) => file.deleted.some((d) => d.message_id === r.parent_id)).length);
  assert.equal(counts.refused, 0);
  assert.equal(counts.rejected, 0);
  assert.equal(counts.approved + counts.held, distinct);
  assert.equal(counts.already, file.hashes.length - distinct);
  const told = out.trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(told.length, file.hashes.length, "a verdict for each");
  assert.deepEqual(sorted(pool("trees")), sorted(new Set(file.hashes)), "the pool is exactly what the file gives");
  const kinds = Object.fromEntries(Object.entries(file.kinds).map(([kind, list]) => [kind, new Set(list.map(canonical)).size]));
  assert.ok(kinds.preference <= 1026 && kinds.preference > 1000);
  const stored = world.sql("SELECT c.kind, count(*) FROM contribution c JOIN coop o ON o.id = c.coop_id WHERE o.slug = 'trees' GROUP BY 1");
  assert.deepEqual(sorted(stored.map((r) => Number(r[1]))), sorted(Object.values(kinds)));
  assert.ok(file.kinds.signal.length > 1000 && file.kinds.feedback.length > 1000);
});

test("the same by the API, and once more", { skip }, async () => {
  const send = (slug, body) => ada.request("POST", `/api/v1/coops/${slug}/contributions/import?format=openassistant&lang=en`, { body, type: "application/gzip" });
  const bytes = readFileSync(oasst);
  const report = ok(200, await send("trees-again", bytes));
  const distinct = new Set(file.hashes).size;
  assert.deepEqual([report.rows, report.emitted, report.refused, report.duplicates], [2022, file.hashes.length, 0, file.hashes.length - distinct]);
  assert.equal(report.approved + report.pending, distinct);
  assert.equal(report.deleted_at_source, 40);
  const lost = file.orphans.filter((r) => !file.rows.some((p) => p.message_id === r.parent_id)).map((r) => file.rows.indexOf(r) + 1);
  assert.ok(lost.every((line) => report.problems.some((p) => p.line === line && p.code === "parent_missing")), JSON.stringify(report.problems.slice(0, 5)));
  assert.deepEqual(sorted(pool("trees-again")), sorted(pool("trees")));
  const again = ok(200, await send("trees-again", gunzipSync(bytes)));
  assert.deepEqual([again.approved, again.pending, again.duplicates], [0, 0, file.hashes.length]);
  assert.equal(pool("trees-again").length, distinct);
});

test("nothing marked deleted is in the pool", { skip }, async () => {
  const gone = new Set(file.deleted.map((r) => r.message_id));
  const items = [];
  for (let cursor = ""; cursor !== null;) {
    const page = ok(200, await ada.get(`/api/v1/coops/trees/contributions?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`));
    items.push(...page.items);
    cursor = page.next;
  }
  assert.equal(items.length, new Set(file.hashes).size);
  const known = new Set(file.live.map((r) => r.message_id));
  for (const item of items) {
    const ids = item.circumstances.source.ids;
    assert.ok(ids.length > 0);
    for (const id of ids) {
      assert.ok(!gone.has(id), `${item.id} holds the deleted ${id}`);
      assert.ok(known.has(id));
    }
  }
  const users = new Set(file.rows.map((r) => r.user_id));
  assert.ok(!items.some((i) => (i.circumstances.source.authors ?? []).some((a) => users.has(a))), "authors are pseudonyms of ours");
});

test("three months of prompts, as the collection grew", { skip }, async () => {
  const seen = new Set();
  for (const [i, path] of prompts.entries()) {
    const contents = months[i].map(promptContent).map(sha256);
    const fresh = new Set(contents.filter((h) => !seen.has(h)));
    const already = contents.length - fresh.size;
    if (i < 2) {
      const query = `format=csv&mapping=${encodeURIComponent(JSON.stringify(mapping))}`;
      const report = ok(200, await ada.request("POST", `/api/v1/coops/prompts/contributions/import?${query}`, { body: readFileSync(path), type: "application/gzip" }));
      assert.deepEqual([report.rows, report.emitted, report.duplicates, report.refused, report.problems], [contents.length, contents.length, already, 0, []]);
      assert.equal(report.approved + report.pending, fresh.size);
    } else {
      const at = join(world.dir, "mapping.json");
      writeFileSync(at, JSON.stringify(mapping));
      const { status, err } = world.run(["import", "--coop", "prompts", "--as", ada.email, "--format", "csv", "--mapping", at, path]);
      assert.equal(status, 0, err);
      const counts = summary(err);
      assert.deepEqual([counts.rows, counts.already, counts.refused, counts.rejected, counts.deleted], [contents.length, already, 0, 0, 0]);
      assert.equal(counts.approved + counts.held, fresh.size);
    }
    for (const hash of fresh) seen.add(hash);
    assert.deepEqual(sorted(pool("prompts")), sorted(seen), path);
  }
});

test("what is released stands in the files, word for word", { skip }, async () => {
  const slugs = ["trees", "prompts"];
  const held = Object.fromEntries(slugs.map((slug) => [slug, new Set(world.sql(`SELECT c.id FROM contribution c JOIN coop o ON o.id = c.coop_id JOIN moderation_decision d ON d.coop_id = c.coop_id AND d.contribution_id = c.id WHERE o.slug = '${slug}' AND d.decision = 'hold'`).flat())]));
  const ballots = {};
  await world.at("2026-02-01T06:00:05Z");
  for (const slug of slugs) ballots[slug] = (await until(() => ada.get(`/api/v1/coops/${slug}/ballots`), (a) => a.body.items.length, `${slug} is frozen`)).body.items[0].id;
  await world.at("2026-02-08T06:00:10Z");
  for (const slug of slugs) {
    await until(() => ada.get(`/api/v1/coops/${slug}/ballots/${ballots[slug]}`), (a) => a.body.may_vote);
    ok(200, await ada.put(`/api/v1/coops/${slug}/ballots/${ballots[slug]}/vote`, { choice: "for" }));
  }
  await world.at("2026-02-10T06:00:20Z");
  for (const slug of slugs) await until(() => ada.get(`/api/v1/coops/${slug}/ballots/${ballots[slug]}`), (a) => a.body.state === "passed");
  await world.at("2026-02-11T06:00:30Z");
  const texts = new Set([...file.live.map((r) => r.text), ...months.flat().flatMap((r) => [r.prompt, r.act])]);
  const expected = { trees: new Set(file.hashes), prompts: new Set(months.flat().map(promptContent).map(sha256)) };
  for (const slug of slugs) {
    const coop = `/api/v1/coops/${slug}`;
    const release = (await until(() => ada.get(`${coop}/releases/latest`), (a) => a.body?.state === "published", `${slug} is published`)).body;
    const { terms_sha256 } = ok(200, await lab.get(`${coop}/access-terms`));
    ok(201, await lab.post(`${coop}/access-requests`, { purpose: "research", description: "Checking what is there", terms_sha256 }));
    const hashes = [], ids = [];
    for (const entry of ok(200, await lab.get(`${coop}/releases/latest/files`)).items.filter((f) => f.path.startsWith("data/"))) {
      const answer = await lab.get(`${coop}/releases/latest/files/${entry.path}`);
      ok(200, answer);
      const lines = gunzipSync(answer.bytes).toString("utf8").split("\n").filter(Boolean);
      assert.equal(lines.length, entry.rows);
      for (const line of lines) {
        const row = readJson(line);
        hashes.push(sha256(canonical(row.content)));
        ids.push(row.rid.split(":").at(-1));
        const said = [row.content.messages, row.content.prompt, row.content.chosen, row.content.rejected].flatMap((m) => (Array.isArray(m) ? m.map((t) => t.content) : []));
        for (const text of [...said, row.content.input, row.content.title].filter((t) => t !== undefined)) assert.ok(texts.has(text), `${row.rid} says what no file says: ${text.slice(0, 200)}`);
      }
    }
    assert.equal(hashes.length, release.rows);
    assert.equal(new Set(hashes).size, hashes.length, "each content once");
    for (const hash of hashes) assert.ok(expected[slug].has(hash), "each row is content of the files");
    assert.equal(hashes.length, expected[slug].size - held[slug].size, "all of it but what waits for moderation");
    assert.ok(!ids.some((id) => held[slug].has(id)), "what waits for moderation is not in it");
  }
});
