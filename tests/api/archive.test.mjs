// Everything held about a person, from one instance into another: two servers, two databases, two sets of keys.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { Client, charter, root, ok } from "./server.mjs";
import { untar, rows } from "./tar.mjs";
import { World } from "./world.mjs";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
let here, there, ada, eve, archive, bytes;

before(async () => {
  [here, there] = await Promise.all([World.begin({ clock: "2026-03-01T10:00:00Z" }), World.begin({ clock: "2026-03-02T10:00:00Z" })]);
  [ada, eve] = await Promise.all([here.person("Ada"), there.person("Ada elsewhere")]);
});
after(async () => {
  await Promise.all([here?.end(), there?.end()]);
});

const take = async (who, coop) => {
  const browser = new Client(who.url);
  const answer = await browser.post("/api/v1/me/archive", { current_password: who.password, ...(coop ? { coop } : {}) }, { headers: { cookie: who.cookie, "x-csrf-token": who.csrf } });
  ok(200, answer);
  return answer.bytes;
};
const contributions = (files) => [...files].filter(([name]) => /\/contributions-\d+\.jsonl$/.test(name)).flatMap(([, file]) => rows(file));

test("the archive is signed by the server, and fits its schema", async () => {
  ok(201, await ada.post("/api/v1/coops", { slug: "alpine", charter: charter() }));
  const items = [
    { kind: "example", lang: "rm", content: { input: "Allegra \u2028 \u0001", output: "0.10" }, prompted: "proactive", application: "Notebook", created: "2025-01-01T00:00:00Z" },
    { kind: "chat", content: { messages: [{ role: "user", content: "Hi" }, { role: "assistant", content: "Hello" }] }, ai_preferences: "train-ai=n" },
    { kind: "preference", content: { prompt: [{ role: "user", content: "?" }], chosen: [{ role: "assistant", content: "a" }], rejected: [{ role: "assistant", content: "b" }] } },
  ];
  for (const item of items) {
    const made = await ada.post("/api/v1/coops/alpine/contributions", item);
    if (made.status >= 300) assert.fail(made.text);
  }
  ok(201, await ada.post("/api/v1/coops/alpine/statements", { statements: [{ uses: ["eval"], effect: "deny" }, { uses: ["search"], effect: "allow" }] }));
  bytes = await take(ada);
  archive = untar(bytes);
  const manifest = JSON.parse(archive.get("archive.json"));
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats(ajv);
  const valid = ajv.compile(JSON.parse(readFileSync(join(root, "schemas/archive.json"))));
  assert.ok(valid(manifest), JSON.stringify(valid.errors));
  for (const member of manifest.members) {
    assert.equal(sha256(archive.get(member.path)), member.sha256, member.path);
    assert.equal(archive.get(member.path).length, member.size);
    if (member.rows !== undefined) assert.equal(rows(archive.get(member.path)).length, member.rows);
  }
  const envelope = JSON.parse(archive.get("archive.dsse.json"));
  const payload = Buffer.from(envelope.payload, "base64");
  assert.ok(payload.equals(archive.get("archive.json")));
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${envelope.payloadType.length} ${envelope.payloadType} ${payload.length} `), payload]);
  const key = createPublicKey({ key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(manifest.key, "hex")]), format: "der", type: "spki" });
  assert.ok(verify(null, signed, key, Buffer.from(envelope.signatures[0].sig, "base64")));
});

test("another instance takes it in, as it was and with nothing loosened", async () => {
  ok(201, await eve.post("/api/v1/coops", { slug: "valley", charter: charter() }));
  const key = JSON.parse(archive.get("archive.json")).key;
  assert.equal((await eve.request("POST", `/api/v1/coops/valley/archives?key=${"0".repeat(64)}`, { body: bytes, type: "application/x-tar" })).body.reason, "wrong_key");
  const report = ok(200, await eve.request("POST", `/api/v1/coops/valley/archives?key=${key}&from=alpine`, { body: bytes, type: "application/x-tar" }));
  assert.deepEqual([report.seen, report.approved, report.refused, report.denials], [3, 3, 0, 3]);
  assert.deepEqual(report.offers.filter((o) => o.kind === "statement").map((o) => [o.value.effect, o.value.uses, o.stricter]), [["deny", ["eval"], true], ["allow", ["search"], false]]);
  const back = untar(await take(eve));
  const essence = ({ processing, source, ...rest }) => rest;
  assert.deepEqual(contributions(back).map(essence), contributions(archive).map(essence));
  const item = contributions(back)[0];
  assert.ok(item.processing.find((step) => step.processor === "commonhold-archive" && step.note.includes(here.url)));
  const hashes = (files) => [...files].filter(([name]) => /\/items-\d+\.jsonl$/.test(name)).flatMap(([, file]) => rows(file).map((row) => row.content_sha256));
  assert.deepEqual(hashes(back), hashes(archive));
  const said = [...back].filter(([name]) => name.endsWith("statements.jsonl")).flatMap(([, file]) => rows(file));
  assert.equal(said.filter((s) => s.layer === 1 && s.effect === "deny" && s.uses.includes("eval")).length, 3);
  assert.equal(said.filter((s) => s.uses.includes("search")).length, 0, "a yes is offered, never taken over");
});

test("the command line takes it in as well, and refuses a changed one", async () => {
  const file = join(there.dir, "ada.tar");
  writeFileSync(file, bytes);
  const args = ["import", "--format", "commonhold-archive", "--coop", "valley", "--as", eve.email, file];
  const done = there.run(args);
  assert.equal(done.status, 0, done.err);
  assert.match(done.err, /3 contributions: 0 approved, 0 held for moderation, 3 there already/);
  const at = bytes.indexOf("Allegra");
  const changed = Buffer.from(bytes);
  changed[at] ^= 1;
  writeFileSync(file, changed);
  const refused = there.run(args);
  assert.equal(refused.status, 1);
  assert.match(refused.err, /has changed since the archive was made/);
});
