// A member has an item erased that a release holds: over HTTP, from the request to the redaction release, and everything that a mirror relies on, checked with nothing of the program's
// but its answers.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { published, until } from "./published.mjs";
import { Contract } from "./contract.mjs";
import { Client, binary } from "./server.mjs";

let here, anyone, folder, key, origin, item;
const path = () => `/api/v1/coops/${here.slug}`;
const file = (version, name) => `${path()}/releases/${version}/files/${name}`;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const canonical = (v) => JSON.stringify(v, Object.keys(v).sort());
const ok = (answer) => {
  assert.equal(answer.status, 200, answer.text);
  return answer;
};
const good = (signature, bytes) => verify(null, bytes, key, Buffer.from(signature, "base64"));

// RFC 8032 by Node's own OpenSSL, from the verifier key of C2SP notes.
function keyOf(note) {
  const raw = Buffer.from(note.split("+").slice(2).join("+"), "base64").subarray(1);
  return createPublicKey({ key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]), format: "der", type: "spki" });
}

// What DSSE signs.
function opened(envelope) {
  const payload = Buffer.from(envelope.payload, "base64");
  const pae = Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(envelope.payloadType)} ${envelope.payloadType} ${payload.length} `), payload]);
  assert.ok(envelope.signatures.some((s) => good(s.sig, pae)), "signed by the co-op");
  return JSON.parse(payload);
}

// Follows a feed from where it begins; gives the tombstones and the head.
function follow(text, from = { upto: -1, digest: sha256(origin) }) {
  const lines = text.trimEnd().split("\n"), head = opened(JSON.parse(lines.pop())), seen = [];
  let { upto, digest } = from;
  for (const line of lines) {
    const t = JSON.parse(line), { sig, ...rest } = t;
    assert.equal(canonical(t), line, "canonical");
    assert.equal(t.idx, ++upto, "dense");
    assert.equal(t.prev, digest, "chained");
    assert.ok(good(sig, Buffer.from(`commonhold/tombstone/1\n${canonical(rest)}`)), "signed");
    digest = sha256(line);
    seen.push(t);
  }
  return { seen, head, upto, digest };
}

// A whole version, as a mirror keeps it.
async function download(version) {
  const at = join(folder, version);
  for (const f of ok(await anyone.get(`${path()}/releases/${version}/files`)).body.items.map((f) => f.path).concat(["manifest.json", "manifest.dsse.json", "SHA256SUMS", "SHA256SUMS.minisig", "checkpoint", "release.tlog-proof"])) {
    mkdirSync(join(at, dirname(f)), { recursive: true });
    writeFileSync(join(at, f), ok(await new Client(here.server.url).get(file(version, f))).bytes);
  }
  return at;
}

before(async () => {
  here = await published({ over: { release: { uses: ["train.gen"], purposes: ["research"], audience: "public", k_contributors: 1 }, access: { mode: "public" } } });
  anyone = (await Contract.of(here.server)).wrap(here.anyone());
  folder = mkdtempSync(join(tmpdir(), "ch-"));
});
after(async () => {
  await here?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

test("an empty feed is its signed head, and is not sent twice", async () => {
  await download("1.0.0");
  const manifest = ok(await anyone.get(file("1.0.0", "manifest.json"))).body;
  key = keyOf(manifest.log.verifier_key);
  origin = manifest.log.origin;
  const feed = ok(await anyone.get(`${path()}/tombstones`));
  assert.equal(feed.headers.get("content-type"), "application/x-ndjson");
  const { seen, head } = follow(feed.text);
  assert.deepEqual([seen.length, head.upto, head.log, head.chain], [0, -1, origin, sha256(origin)]);
  assert.ok(head.expires > head.created);
  assert.equal((await anyone.get(`${path()}/tombstones`, { headers: { "if-none-match": feed.headers.get("etag") } })).status, 304);
  const status = opened(ok(await anyone.get(`${path()}/status.json`)).body);
  assert.deepEqual([status.usable, status.withdrawn, status.min_usable, status.tombstones_upto], [["1.0.0"], [], "1.0.0", -1]);
});

test("what is no index and no number of lines is refused", async () => {
  for (const query of ["since=x", "since=-2", "since=1.5", "limit=0", "limit=-1", "limit=many", "other=1"]) assert.equal((await anyone.get(`${path()}/tombstones?${query}`)).status, 400, query);
  const { seen, head } = follow(ok(await anyone.get(`${path()}/tombstones?since=99`)).text, { upto: 99 });
  assert.deepEqual([seen.length, head.upto], [0, -1]); // whoever saw 99 sees that this is another feed, or an older one
  assert.equal((await anyone.get("/api/v1/coops/nowhere/tombstones")).status, 404);
});

test("the version that holds an erased item answers 410 and says where to go", async () => {
  const before = ok(await anyone.get(`${path()}/tombstones`)).headers.get("etag");
  item = ok(await here.member.get(`${path()}/contributions?limit=1`)).body.items[0];
  assert.equal((await here.member.post(`${path()}/deletions`, { kind: "erase", scope: "items", items: [item.id] })).status, 201);
  const second = await until("the redaction", async () => {
    const r = await anyone.get(`${path()}/releases/2.0.0`);
    return r.status === 200 && r.body.state === "published" && r.body;
  });
  assert.equal(second.redacts, here.release.id);
  assert.equal(second.rows, here.release.rows - 1);
  const patch = `${path()}/releases/2.0.0/files/patches/1.0.0--2.0.0.redact.jsonl`;
  const wanted = { version: "1.0.0", tombstones: { from: 0, upto: 0 }, feed: `${path()}/tombstones?since=-1`, move_to: "2.0.0", patch };
  const shard = ok(await anyone.get(`${path()}/releases/1.0.0/files`)).body.items.find((f) => f.path.startsWith("data/"));
  for (const name of [shard.path, "manifest.json", "README.md", "checkpoint"]) {
    const gone = await anyone.get(file("1.0.0", name));
    assert.equal(gone.status, 410, name);
    assert.match(gone.headers.get("content-type"), /^application\/problem\+json/);
    const { at, reason, ...rest } = gone.body.withdrawn;
    assert.deepEqual(rest, wanted);
    assert.ok(at && reason && !reason.includes(item.id));
  }
  const hub = await anyone.get(`/datasets/${here.slug}/releases/resolve/v1.0.0/${shard.path}`);
  assert.deepEqual([hub.status, hub.body.withdrawn.move_to, hub.body.withdrawn.patch], [410, "2.0.0", patch]);
  assert.equal((await anyone.get(`/api/datasets/${here.slug}/releases/tree/v1.0.0`)).status, 410);
  assert.equal((await anyone.get(file("latest", "manifest.json"))).body.version, "2.0.0");
  const first = ok(await anyone.get(`${path()}/releases/1.0.0`)).body;
  assert.equal(first.state, "withdrawn");
  assert.deepEqual(first.withdrawn.tombstones, { from: 0, upto: 0 });
  const status = opened(ok(await anyone.get(`${path()}/status.json`)).body);
  assert.deepEqual([status.usable, status.withdrawn, status.min_usable, status.tombstones_upto], [["2.0.0"], ["1.0.0"], "2.0.0", 0]);
  assert.equal((await anyone.get(`${path()}/tombstones`, { headers: { "if-none-match": before } })).status, 200);
});

test("its tombstone says what, why and until when, and nothing of whom", async () => {
  const feed = ok(await anyone.get(`${path()}/tombstones`)).text, { seen, head, digest } = follow(feed);
  assert.equal(seen.length, 1);
  const [t] = seen;
  assert.deepEqual([t.rid.length, t.rid[0].split(":")[2], t.kind, t.releases], [1, item.id, "erase", ["1.0.0"]]);
  assert.ok([t.t, t.effective, t.purge_by].every((instant) => instant.endsWith(":00:00Z")), "whole hours");
  assert.deepEqual([head.upto, head.chain], [0, digest]);
  assert.ok(!feed.includes("Max") && !feed.includes("asks"));
});

test("the patch makes the new shards of the old ones, byte for byte", async () => {
  const at = await download("2.0.0");
  const manifest = ok(await anyone.get(file("2.0.0", "manifest.json"))).body;
  const lines = ok(await anyone.get(file("2.0.0", "patches/1.0.0--2.0.0.redact.jsonl"))).text.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(manifest.redacts, "1.0.0");
  assert.deepEqual(manifest.tombstones, { count: 1, upto_index: 0 });
  const { readFileSync } = await import("node:fs");
  for (const line of lines) {
    const old = gunzipSync(readFileSync(join(folder, "1.0.0", line.path)));
    assert.equal(sha256(old), line.raw_sha256);
    const kept = old.toString().split("\n").slice(0, -1).filter((_, no) => !line.rows.includes(no)).map((row) => `${row}\n`).join("");
    assert.equal(sha256(kept), line.raw_sha256_after);
    assert.equal(kept, gunzipSync(readFileSync(join(at, line.path_after))).toString());
    assert.equal(sha256(readFileSync(join(at, line.path_after))), line.sha256_after);
    assert.ok(!kept.includes(item.id));
  }
  assert.equal(lines.flatMap((line) => line.rows).length, 1);
  const checked = spawnSync(binary, ["verify", at, "--base", join(folder, "1.0.0")], { encoding: "utf8" });
  assert.equal(checked.status, 0, checked.stdout);
  assert.match(checked.stdout, /patches .*gives exactly these shards: 1 rows went/);
  // The other way round it is no base.
  assert.equal(spawnSync(binary, ["verify", at, "--base", at], { encoding: "utf8" }).status, 1);
});

test("pages of the feed end where the next one begins", async () => {
  for (const i of [0, 1]) {
    const mine = ok(await here.admin.get(`${path()}/contributions?limit=10`)).body.items[i];
    assert.equal((await here.admin.post(`${path()}/deletions`, { kind: "withdraw_future", scope: "items", items: [mine.id] })).status, 201);
  }
  await until("their tombstones", async () => follow(ok(await anyone.get(`${path()}/tombstones`)).text).upto === 2);
  let at = { upto: -1, digest: sha256(origin) };
  for (let page = 0; page < 3; page++) {
    const next = follow(ok(await anyone.get(`${path()}/tombstones?since=${at.upto}&limit=1`)).text, at);
    assert.deepEqual([next.seen.length, next.upto, next.head.upto], [1, page, 2]);
    at = next;
  }
  assert.equal(at.digest, at.head.chain);
  // Withdrawn for the future: what is published stays.
  assert.equal(ok(await anyone.get(`${path()}/releases/2.0.0`)).body.state, "published");
});

test("the pages say that it was withdrawn, and what takes its place", async () => {
  const page = ok(await here.anyone().get(`/coops/${here.slug}/releases/${here.release.id}`)).text;
  assert.match(page, /Withdrawn on/);
  assert.match(page, /release 2\.0\.0/);
  assert.match(page, /patches\/1\.0\.0--2\.0\.0\.redact\.jsonl/);
  const second = ok(await anyone.get(`${path()}/releases/2.0.0`)).body.id;
  assert.match(ok(await here.anyone().get(`/coops/${here.slug}/releases/${second}`)).text, /without what was erased since/);
  for (const who of [here.member, here.admin])
    await until("the notice", async () => ok(await who.get("/api/v1/me/notices?limit=200")).body.items.some((n) => n.kind === "release.withdrawn"));
});
