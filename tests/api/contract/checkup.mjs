// A checkup from the window to the receipt: what is shown, what is refused, what is answered; and the receipt, checked with stock tools.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { charter } from "../server.mjs";

export default function (here) {
  const { ok, until } = here;
  const yearly = "/api/v1/coops/yearly";
  const mine = `${yearly}/members/me`;
  const confirmed = (checkup) => Object.fromEntries(checkup.lines.map((line) => [line.line, { answer: "confirm" }]));
  let shown, receipt;

  test("a checkup can be moved forward, and is closed before its window", async () => {
    const { ada, bea } = here.people();
    ok(201, await ada.post("/api/v1/coops", { slug: "yearly", charter: charter({ name: "Yearly co-op", membership: { admission: "open" } }) }));
    ok(201, await bea.post(`${yearly}/members`));
    const closed = ok(200, await bea.get(`${mine}/checkup`));
    assert.equal(closed.kind, "none");
    assert.equal(closed.shown, null);
    const refused = await bea.post(`${mine}/checkup`, { shown: "x", as_before: true });
    assert.equal(refused.status, 409);
    const before = Date.parse(closed.due_at), sooner = new Date(before - 90 * 86400e3).toISOString();
    assert.equal(Date.parse(ok(200, await bea.put(`${mine}/due`, { due_at: sooner })).due_at), Date.parse(sooner));
    assert.equal((await bea.put(`${mine}/due`, { due_at: new Date(before).toISOString() })).status, 422, "later is not for oneself to choose");
  });

  test("in the window every standing choice is a line, and nothing is ticked", async () => {
    const { ada, carl } = here.people();
    const soon = { admission: "open", checkup_every: "P1D", window: "PT23H59M56S", grace: "PT3S" };
    ok(201, await ada.post("/api/v1/coops", { slug: "soon", charter: charter({ name: "Soon co-op", membership: soon }) }));
    const coop = "/api/v1/coops/soon";
    ok(201, await carl.post(`${coop}/members`));
    ok(200, await carl.put(`${coop}/members/me/consent`, { purposes: ["research"], accept_defaults: true }));
    ok(201, await carl.post(`${coop}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }, { uses: ["search"], kind: "chat", effect: "deny" }] }));
    shown = await until(async () => ok(200, await carl.get(`${coop}/members/me/checkup`)), (checkup) => checkup.kind === "annual");
    assert.deepEqual(shown.lines.map((l) => l.line).sort(), ["attribution", "consent", "default", "licence", "membership", "use.search.chat", "use.train.gen"]);
    for (const line of shown.lines) assert.ok(line.answers.includes("confirm") && line.words && !("answer" in line));
    const all = ok(200, await carl.get("/api/v1/checkups")).items;
    assert.ok(all.some((c) => c.coop === "soon" && c.kind === "annual" && c.lines.length === 7));
  });

  test("lines that are left are named, and what changed since is shown anew", async () => {
    const { carl, bea } = here.people();
    const at = "/api/v1/coops/soon/members/me/checkup";
    const left = await carl.post(at, { shown: shown.shown, answers: { membership: { answer: "confirm" }, consent: { answer: "confirm" } } });
    assert.equal(left.status, 422);
    assert.deepEqual(left.body.errors.map((e) => e.pointer).sort(), ["attribution", "default", "licence", "use.search.chat", "use.train.gen"].map((l) => `/answers/${l}`));
    assert.equal((await carl.post(at, { shown: "1.2.3", as_before: true })).status, 422, "only what was shown can be answered");
    assert.equal((await bea.post(at, { shown: shown.shown, as_before: true })).status, 403);
    ok(200, await carl.put("/api/v1/coops/soon/members/me/licence", { licence: "CC0-1.0" }));
    const stale = await carl.post(at, { shown: shown.shown, as_before: true });
    assert.equal(stale.status, 412);
    shown = ok(200, await carl.get(at));
    const wrong = await carl.post(at, { shown: shown.shown, answers: { ...confirmed(shown), licence: { answer: "change", value: { licence: "MIT" } } } });
    assert.equal(wrong.status, 422);
    assert.equal(wrong.body.errors[0].pointer, "/answers/licence/value/licence");
  });

  test("answering gives a signed receipt, once for the same key", async () => {
    const { carl } = here.people();
    const at = "/api/v1/coops/soon/members/me/checkup";
    const answers = { ...confirmed(shown), "use.train.gen": { answer: "change", value: { effect: "allow_if", duties: ["credit"] } }, "use.search.chat": { answer: "end" } };
    const once = { headers: { "idempotency-key": "checkup-1" } };
    receipt = ok(201, await carl.post(at, { shown: shown.shown, answers }, once));
    assert.equal(ok(201, await carl.post(at, { shown: shown.shown, answers }, once)).id, receipt.id);
    const stands = ok(200, await carl.get("/api/v1/coops/soon/statements?current=true")).items;
    assert.deepEqual(stands.map((s) => [s.uses.join(), s.effect]), [["train.gen", "allow_if"]]);
    assert.equal(ok(200, await carl.get("/api/v1/coops/soon/members/me")).consent.state, "renewed");
    const listed = ok(200, await carl.get("/api/v1/coops/soon/members/me/receipts")).items;
    assert.deepEqual(listed.map((r) => r.id), [receipt.id]);
    assert.equal(ok(200, await carl.get(`/api/v1/coops/soon/members/me/receipts/${receipt.id}`)).sha256, receipt.sha256);
  });

  test("a receipt is checked without this program: minisign, and Ed25519 over BLAKE2b", async () => {
    const { ada, carl } = here.people();
    const at = `/api/v1/coops/soon/members/me/receipts/${receipt.id}`;
    const document = await carl.get(`${at}/document`), signature = await carl.get(`${at}/signature`);
    ok(200, document);
    ok(200, signature);
    assert.equal((await ada.get(`${at}/document`)).status, 404, "not even an admin reads it");
    assert.equal(createHash("sha256").update(document.bytes).digest("hex"), receipt.sha256);
    const said = JSON.parse(document.text);
    assert.deepEqual(said.checkup.lines.map((l) => [l.line, l.answer]).filter(([, a]) => a !== "confirm"), [["use.train.gen", "change"], ["use.search.chat", "end"]]);
    const key = said.signature.public_key;
    assert.equal(ok(200, await carl.get("/api/v1/coops/soon")).public_key, key);
    const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(key, "base64").subarray(10)]);
    const blob = Buffer.from(signature.text.split("\n")[1], "base64");
    const digest = createHash("blake2b512").update(document.bytes).digest();
    assert.ok(verify(null, digest, createPublicKey({ key: der, format: "der", type: "spki" }), blob.subarray(10)), "openssl's primitives agree");
    const dir = mkdtempSync(join(tmpdir(), "receipt-"));
    try {
      writeFileSync(join(dir, "receipt.json"), document.bytes);
      writeFileSync(join(dir, "receipt.json.minisig"), signature.text);
      const run = () => spawnSync("minisign", ["-V", "-P", key, "-m", join(dir, "receipt.json")], { encoding: "utf8" });
      const done = run();
      if (done.error?.code !== "ENOENT") {
        assert.equal(done.status, 0, done.stderr);
        writeFileSync(join(dir, "receipt.json"), document.text.replace("confirm", "CONFIRM"));
        assert.notEqual(run().status, 0);
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
    const log = ok(200, await carl.get("/api/v1/coops/soon/log/entries?limit=50")).items;
    assert.ok(log.some((e) => e.entry.t === "checkup.done" && e.entry.data.receipt_sha256 === receipt.sha256));
  });
}
