// The signed statement about a request: what its schema says, checked by the program's own tool and by node's crypto; not for others.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { charter, binary } from "../server.mjs";

export default function (here) {
  const { anyone, ok, until } = here;
  const coop = "/api/v1/coops/leaving";
  const der = Buffer.from("302a300506032b6570032100", "hex");

  async function validator() {
    const ajv = new Ajv2020({ strict: false });
    addFormats(ajv);
    ajv.addSchema(ok(200, await anyone().get("/api/v1/schemas/dsse.json")), "dsse.json");
    ajv.addSchema(ok(200, await anyone().get("/api/v1/schemas/keychain.json")), "keychain.json");
    return ajv.compile(ok(200, await anyone().get("/api/v1/schemas/erasure_statement.json")));
  }

  // The README's own lines for tools that everybody has, as they stand there; with another key they say no.
  function asTheReadmeSays(envelope, key) {
    const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
    const lines = readme.match(/\n# with openssl and jq alone[^\n]*\n([\s\S]*?)```/)[1];
    const folder = mkdtempSync(join(tmpdir(), "ch-"));
    writeFileSync(join(folder, "deletion.dsse.json"), JSON.stringify(envelope));
    const run = (hex) => spawnSync("bash", ["-euo", "pipefail", "-c", lines], { cwd: folder, encoding: "utf8", env: { ...process.env, KEY: hex } });
    const right = run(key), wrong = run("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert.match(right.stdout, /Verified Successfully/, right.stdout + right.stderr);
    assert.notEqual(wrong.status, 0);
    rmSync(folder, { recursive: true, force: true });
  }

  test("a statement tells what was asked and done, under the co-op's key", async () => {
    const { ada, bea, carl } = here.people();
    ok(201, await ada.post("/api/v1/coops", { slug: "leaving", charter: charter({ name: "Leaving co-op" }) }));
    ok(201, await bea.post(`${coop}/members`));
    ok(200, await bea.put(`${coop}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
    const item = ok(201, await bea.post(`${coop}/contributions`, { kind: "example", lang: "en", content: { input: "Who goes?", output: "This." } }));
    const asked = ok(201, await bea.post(`${coop}/deletions`, { kind: "erase", items: [item.id] }));
    const at = `${coop}/deletions/${asked.id}`;
    await until(() => bea.get(at), (answer) => answer.body.state === "completed", "the deletion");
    const envelope = ok(200, await bea.get(`${at}/statement`));
    assert.equal((await carl.get(`${at}/statement`)).status, 404);
    assert.equal((await anyone().get(`${at}/statement`)).status, 401);
    ok(200, await ada.get(`${at}/statement`));

    const body = Buffer.from(envelope.payload, "base64"), said = JSON.parse(body), validate = await validator();
    assert.ok(validate(said), JSON.stringify(validate.errors));
    assert.deepEqual(said.items, [{ held: false, rid: item.rid, tombstone: 0 }]);
    assert.deepEqual([said.releases, said.recipients, said.request.state], [[], [], "completed"]);
    const key = Buffer.from(said.coop.public_key, "base64").subarray(10);
    const type = envelope.payloadType, signed = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${body.length} `), body]);
    assert.ok(verify(null, signed, createPublicKey({ key: Buffer.concat([der, key]), format: "der", type: "spki" }), Buffer.from(envelope.signatures[0].sig, "base64")));

    asTheReadmeSays(envelope, key.toString("hex"));
    const folder = mkdtempSync(join(tmpdir(), "ch-")), file = join(folder, "statement.json");
    const check = (text, ...args) => {
      writeFileSync(file, text);
      return spawnSync(binary, ["statement", file, ...args], { encoding: "utf8" });
    };
    assert.equal(check(JSON.stringify(envelope)).status, 0);
    assert.match(check(JSON.stringify(envelope), "--key", key.toString("hex")).stdout, /The co-op whose key you gave says this/);
    // The co-op changes its key: a statement of later is checked with the key of before, and not with somebody else's.
    ok(201, await ada.post(`${coop}/keys`));
    const later = ok(200, await bea.get(`${at}/statement`));
    assert.ok(validate(JSON.parse(Buffer.from(later.payload, "base64"))), JSON.stringify(validate.errors));
    const checked = check(JSON.stringify(later), "--key", key.toString("hex"));
    assert.equal(checked.status, 0, checked.stdout + checked.stderr);
    assert.equal(check(JSON.stringify(later), "--key", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").status, 1);
    const forged = (change) => {
      const other = structuredClone(said);
      change(other);
      return check(JSON.stringify({ ...envelope, payload: Buffer.from(JSON.stringify(other)).toString("base64") }));
    };
    assert.match(forged((s) => { s.request.completed = "2020-01-01T00:00:00Z"; }).stdout, /FAIL\s+signature[\s\S]*FAIL\s+times/);
    assert.match(forged((s) => { s.items[0].tombstone = 7; }).stdout, /FAIL\s+items/);
    assert.match(forged((s) => { s.tombstones.last = 7; }).stdout, /FAIL\s+feed/);
    assert.match(forged((s) => { s.checkpoint = s.checkpoint.replace("\n", "\n1"); }).stdout, /FAIL\s+log/);
    assert.match(forged((s) => { s.recipients_in_all.confirmed = 3; }).stdout, /FAIL\s+recipients/);
    assert.equal(check("{}").status, 1);
    assert.equal(check(JSON.stringify(envelope), "--key", "zz").status, 2);
    rmSync(folder, { recursive: true, force: true });
  });
}
