// A fork of the co-op on the same instance, from the offer to its lineage at the parent; and one person's accounts in both, linked. Two live instances are in merge_prompts.test.mjs.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman, randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Signer } from "../signer.mjs";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const hmac = (key, ...parts) => parts.reduce((h, p) => h.update(p), createHmac("sha256", key)).digest();
const nameOf = (key) => [...sha256(key).subarray(0, 10)].map((b) => b.toString(2).padStart(8, "0")).join("").match(/.{5}/g).map((five) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(five, 2)]).join("");

// The secret that two co-ops share, by definitions of its own: X25519 of their Ed25519 keys (RFC 7748, 4.1), then HKDF with the label and both keys.
function shared(signer, theirs, label) {
  const p = 2n ** 255n - 19n, mod = (x) => ((x % p) + p) % p;
  const power = (base, e) => { let out = 1n; for (let b = base; e > 0n; e >>= 1n, b = mod(b * b)) if (e & 1n) out = mod(out * b); return out; };
  const little = Buffer.from(theirs).reverse();
  const y = BigInt(`0x${little.toString("hex")}`) & (2n ** 255n - 1n), u = mod((1n + y) * power(mod(1n - y), p - 2n));
  const point = Buffer.from(u.toString(16).padStart(64, "0"), "hex").reverse();
  const seed = Buffer.from(signer.privateKey.export({ format: "jwk" }).d, "base64url"), scalar = createHash("sha512").update(seed).digest().subarray(0, 32);
  const agreed = diffieHellman({
    privateKey: createPrivateKey({ key: Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), scalar]), format: "der", type: "pkcs8" }),
    publicKey: createPublicKey({ key: Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), point]), format: "der", type: "spki" }),
  });
  const keys = [signer.publicKey, theirs].sort(Buffer.compare);
  return hmac(hmac("commonhold/pairwise/1", agreed), ...keys, label, Buffer.from([1]));
}

export default function (here) {
  const { anyone, coop, ok, until } = here;
  const fork = "/api/v1/coops/alpine-fork";
  let offer, claim;

  test("a fork is offered, answered by each for themselves, and taken back", async () => {
    const { ada, bea, carl } = here.people();
    const draft = (closes_at) => ({ title: "Alpine, elsewhere", place: here.world().url, reason: "We want to meet in person.", closes_at });
    assert.equal((await carl.post(`${coop}/forks`, draft("2026-02-12T00:00:00Z"))).body.errors[0].pointer, "/closes_at");
    const other = ok(201, await bea.post(`${coop}/forks`, draft("2026-03-10T00:00:00Z")));
    assert.equal(ok(200, await bea.delete(`${coop}/forks/${other.id}`)).state, "withdrawn");
    offer = ok(201, await ada.post(`${coop}/forks`, draft("2026-02-28T00:00:00Z")));
    assert.equal(offer.yes, 0);
    const said = ok(200, await ada.post(`${coop}/forks/${offer.id}/answer`, { yes: true }));
    claim = said.claim;
    assert.match(claim, /^([a-z2-7]{4}-){5}[a-z2-7]{4}$/);
    assert.equal(ok(200, await bea.post(`${coop}/forks/${offer.id}/answer`, { yes: false })).claim, null);
    assert.equal(ok(200, await carl.get(`${coop}/forks/${offer.id}`)).answered, false);
    assert.equal(ok(200, await ada.get(`${coop}/forks`)).items.length, 2);
    assert.equal((await anyone().get(`${coop}/forks`)).status, 401);
  });

  test("the fork is founded for the key that it asked with, begins with its parent's log, and is recognised", async () => {
    const world = here.world(), { ada } = here.people();
    const parent = ok(200, await anyone().get(coop));
    await world.at("2026-02-28T01:00:00Z");
    await until(() => ada.get(`${coop}/forks/${offer.id}`), (a) => a.body.state === "closed", "the end of the offer");
    const command = (...args) => world.server.command(["fork", ...args], "2026-02-28T01:00:00Z");
    const request = join(world.dir, "request.json"), out = join(world.dir, "export.tar");
    writeFileSync(request, command("request"));
    const exported = JSON.parse(command("export", "--coop", "alpine", "--offer", offer.id, "--request", request, "--json", out));
    assert.equal(exported.members, 1);
    assert.deepEqual(JSON.parse(command("check", "--json", out)), exported);
    const email = ok(200, await ada.get("/api/v1/me")).email;
    command("found", "--slug", "alpine-fork", "--as", email, "--parent", parent.key_name, out);
    const lineage = ok(200, await anyone().get(`${fork}/lineage`));
    assert.deepEqual(lineage.nodes.map((n) => n.depth), [1, 0]);
    assert.equal(lineage.nodes[0].name, parent.key_name);
    const { size, root } = lineage.nodes[0];
    assert.equal(size, exported.leaves);
    const head = Number((await anyone().get(`${fork}/log/checkpoint`)).text.split("\n")[1]);
    assert.ok(head > size);
    assert.equal(ok(200, await anyone().get(`${fork}/lineage/charters`)).items.length, exported.charters);
    ok(200, await anyone().get(`${fork}/lineage/signed`));
    ok(200, await anyone().get(`${fork}/lineage/kin`));
    const founded = ok(200, await ada.post(`${coop}/forks/${offer.id}/founded`, {}));
    assert.deepEqual([founded.state, founded.root], ["founded", root]);
    // A fork whose key is known here asks what its people say; nobody without that key is told.
    const signer = new Signer(), theirs = Buffer.from(ok(200, await anyone().get(`${coop}/keys.json`)).keys[0].key, "hex");
    const at = new Date(founded.state_at).toISOString().replace(/\.\d+Z/, "Z"), name = nameOf(signer.publicKey);
    const asked = signer.envelope("application/vnd.commonhold.fork-request+json", { at, coop: randomUUID(), key: signer.publicKey.toString("hex"), name, url: world.url, v: 1 });
    world.sql(`UPDATE fork_offer SET request = '${JSON.stringify(asked)}' WHERE id = '${offer.id}'`);
    const ask = (proof) => anyone().post(`${coop}/forks/${offer.id}/words`, { at, proof, since: 0 });
    const words = ok(200, await ask(hmac(shared(signer, theirs, "commonhold/fork/words/1"), `words\n${offer.id}\n${at}\n0`).toString("hex")));
    const told = JSON.parse(Buffer.from(words.payload, "base64"));
    assert.deepEqual([told.from, told.upto, told.lines.length], [parent.key_name, exported.members, exported.members]);
    assert.equal((await ask("0".repeat(64))).status, 404);
    assert.equal(ok(200, await anyone().get(`${coop}/lineage`)).nodes.at(-1).depth, -1);
    assert.equal(ok(200, await ada.post(`${fork}/claims`, { claim })).items, exported.items);
    assert.equal((await ada.post(`${fork}/claims`, { claim: (claim[0] === "b" ? "c" : "b") + claim.slice(1) })).status, 404);
  });

  test("an account in each is linked by a code that is given at one and brought to the other", async () => {
    const world = here.world(), { ada } = here.people();
    const there = ok(201, await ada.post(`${coop}/peers`, { url: world.url, name: "alpine-fork" }));
    ok(200, await ada.post(`${coop}/peers/${there.id}/confirm`, { fingerprint: there.fingerprint }));
    const back = ok(200, await ada.get(`${fork}/peers`)).items[0];
    assert.equal(back.state, "confirmed", "the fork knows its parent from its founding");
    // From the fork to the parent: towards the fork, the account at the parent is claimed already.
    const given = ok(201, await ada.post(`${fork}/links`, { peer: back.id }));
    assert.equal(given.link.state, "offered");
    const proof = { peer: there.id, code: given.code };
    ok(200, await until(() => ada.post(`${coop}/links/prove`, proof), (a) => a.status !== 422, "the code"));
    await until(() => ada.get(`${fork}/links`), (a) => a.body.items.some((l) => l.id === given.link.id && l.state === "standing"), "the link");
    const [link] = ok(200, await ada.get(`${coop}/links`)).items;
    assert.equal(ok(200, await ada.delete(`${coop}/links/${link.id}`)).state, "ended");
    const holds = ok(200, await ada.get(`${coop}/members/me/holds`)).items;
    assert.deepEqual(holds.filter((h) => h.how === "moved").map((h) => h.title), ["Alpine, elsewhere"]);
  });
}
