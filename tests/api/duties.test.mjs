// A deletion from the request to the last confirmation, over HTTP alone: who is told, who owes what by when, what is confirmed and what follows when nobody does.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ok } from "./server.mjs";
import { published, until } from "./published.mjs";
import { Signer, webhookIsSigned } from "./signer.mjs";

const coop = "/api/v1/coops/alpine";
const env = { COMMONHOLD_ALLOW_PRIVATE: "yes" };
const today = "2026-02-12T10:00:00Z";
const key = new Signer();
let here, lab, reader, receiver, heard = [], mirror, secret, grants = {}, version, deletion, folder, kept;

const page = (answer) => ok(200, answer).items;

async function granted(who) {
  const terms = ok(200, await who.get(`${coop}/access-terms`));
  const asked = ok(201, await who.post(`${coop}/access-requests`, { purpose: "research", description: "To see what comes of it.", organisation: `Laboratory of ${who.email}`, terms_sha256: terms.terms_sha256 }));
  return ok(200, await here.admin.post(`${coop}/access-requests/${asked.id}/decision`, { decision: "grant" })).grant;
}

// The mirror tool, as cron would run it.
const sync = () => JSON.parse(here.server.command(["mirror", "sync", join(folder, "copy"), `${here.server.url}${coop}`, "--trust-first", "--token-file", join(folder, "token"), "--mirror", kept.id, "--json"], today));

async function download(who) {
  const files = await who.get(`${coop}/releases/latest/files/manifest.json`);
  ok(200, files);
}

before(async () => {
  receiver = fork(new URL("receiver.mjs", import.meta.url).pathname, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const port = await new Promise((resolve) => receiver.once("message", (m) => resolve(m.port)));
  receiver.on("message", (m) => heard.push(m));
  here = await published();
  await here.at(today, env);
  lab = await here.newcomer("Lab");
  reader = await here.newcomer("Reader");
  for (const who of [lab, reader]) {
    grants[who.email] = await granted(who);
    await download(who);
  }
  version = ok(200, await lab.get(`${coop}/releases/latest`)).version;
  const made = ok(201, await lab.post(`${coop}/mirrors`, { name: "Lab copy", kind: "webhook", url: `http://127.0.0.1:${port}/hook`, public_key: key.publicKey.toString("hex"), proof: key.proof("alpine", today) }));
  ({ mirror, secret } = made);
  ok(200, await lab.put(`${coop}/mirrors/${mirror.id}/holdings`, { releases: [version] }));
  folder = mkdtempSync(join(tmpdir(), "ch-"));
  const own = JSON.parse(here.server.command(["mirror", "key", join(folder, "copy"), "--coop", "alpine", "--json"], today));
  kept = ok(201, await lab.post(`${coop}/mirrors`, { name: "Tool copy", kind: "pull", public_key: own.public_key, proof: own.proof })).mirror;
  writeFileSync(join(folder, "token"), lab.token, { mode: 0o600 });
  assert.equal(sync().version, version);
});
after(async () => {
  if (folder) rmSync(folder, { recursive: true, force: true });
  receiver?.disconnect();
  await here?.stop();
});

test("a deletion is announced to mirrors and to the grantee, and each owes a receipt", async () => {
  const [item] = page(await here.member.get(`${coop}/contributions`));
  deletion = ok(201, await here.member.post(`${coop}/deletions`, { kind: "erase", scope: "items", items: [item.id] }));
  await until("the deletion to be announced", async () => ok(200, await here.member.get(`${coop}/deletions/${deletion.id}`)).state === "propagating");
  const got = await until("the webhook", async () => heard.find((m) => JSON.parse(m.body).data.upto >= 0));
  assert.ok(webhookIsSigned(secret, got));
  assert.ok(!got.body.includes(item.id));
  const duties = page(await here.admin.get(`${coop}/duties`));
  assert.deepEqual(duties.map((d) => [d.deletion, d.releases.includes(version), Boolean(d.mirror), Boolean(d.grant)]).sort((a, b) => a[2] - b[2]),
    [[deletion.id, true, false, true], [deletion.id, true, true, false], [deletion.id, true, true, false]]);
  const [mine] = page(await reader.get(`${coop}/duties`));
  assert.deepEqual([mine.grant, mine.deletion, mine.step], [grants[reader.email], null, "announced"]);
  assert.equal((await reader.get(`${coop}/releases/${version}/files/manifest.json`)).status, 410);
});

test("the mirror tool deals with it and returns a receipt that confirms", async () => {
  await until("the release without it", async () => ok(200, await lab.get(`${coop}/releases/latest`)).version !== version);
  const run = sync();
  assert.notEqual(run.version, version);
  assert.equal(run.receipt, "sent", JSON.stringify(run));
  const [receipt] = page(await lab.get(`${coop}/mirrors/${kept.id}/receipts`));
  assert.deepEqual([receipt.method, receipt.releases, receipt.doubtful], ["patched", [run.version], false]);
  const duty = page(await here.admin.get(`${coop}/duties`)).find((d) => d.mirror === kept.id);
  assert.equal(duty.method, "patched");
  assert.ok(duty.confirmed_at);
});

test("a receipt that lies about what is held is refused; the true one confirms", async () => {
  const { upto } = page(await lab.get(`${coop}/duties`))[0];
  const send = (said) => here.anyone().post(`${coop}/mirrors/${mirror.id}/receipts`, key.receipt(mirror.id, { at: today, upto, ...said }));
  assert.equal((await send({ releases: [version] })).body.reason, "still_held");
  assert.equal((await send({ upto: upto + 1 })).body.reason, "beyond_feed");
  const taken = ok(201, await send({ method: "deleted" }));
  assert.equal(taken.doubtful, false);
  assert.deepEqual(page(await lab.get(`${coop}/duties`)), []);
  const log = page(await here.anyone().get(`${coop}/log/entries`)).map((e) => JSON.stringify(e));
  assert.ok(log.some((e) => e.includes("deletion.receipt")), log.join("\n").slice(0, 2000));
  assert.equal(ok(200, await here.member.get(`${coop}/deletions/${deletion.id}`)).state, "propagating", "one is still owed");
});

test("who does not confirm is reminded, gets no new grants, is listed, and loses what they have", async () => {
  const [{ due_at: due }] = page(await reader.get(`${coop}/duties`));
  const day = (n) => new Date(Date.parse(due) + n * 86400e3 + 3600e3).toISOString().replace(/\.\d+/, "");
  const step = async () => page(await reader.get(`${coop}/duties`))[0]?.step;
  for (const [n, wanted] of [[4, "blocked"], [8, "listed"], [15, "revoked"]]) {
    await here.at(day(n), env);
    await until(`step ${wanted}`, async () => (await step()) === wanted);
  }
  const [listed] = page(await here.anyone().get(`${coop}/duties/overdue`));
  assert.deepEqual([listed.name, listed.grant, listed.deletion], [`Laboratory of ${reader.email}`, null, null]);
  assert.ok(page(await reader.get(`${coop}/grants?mine=true`)).every((g) => g.revoked_at));
  const terms = ok(200, await reader.get(`${coop}/access-terms`));
  const refused = await reader.post(`${coop}/access-requests`, { purpose: "research", description: "Once more, with feeling.", organisation: "A lab", terms_sha256: terms.terms_sha256 });
  assert.equal(refused.body.reason, "deletion_overdue", refused.text);
  assert.match((await here.anyone().get("/metrics")).text, /commonhold_duties_outstanding 1\n/);
});

test("a receipt that comes late lifts block and listing and completes the deletion", async () => {
  ok(201, await reader.post(`${coop}/grants/${grants[reader.email]}/receipts`, { method: "deleted" }));
  assert.deepEqual(page(await here.anyone().get(`${coop}/duties/overdue`)), []);
  await until("the deletion to be completed", async () => ok(200, await here.member.get(`${coop}/deletions/${deletion.id}`)).state === "completed");
  await granted(reader);
});
