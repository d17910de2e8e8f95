// Keys and peers: the chain that anybody may read, a new key, and another co-op that is met from its keys.json. Two live instances are in peer.test.mjs.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { charter } from "../server.mjs";

const base32 = (bytes) => {
  let bits = "";
  for (const b of bytes) bits += b.toString(2).padStart(8, "0");
  return bits.match(/.{5}/g).map((five) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(five, 2)]).join("");
};

// The keys.json of a co-op that has one key.
const stranger = () => {
  const key = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  const digest = createHash("sha256").update(key).digest();
  return { chain: { keys: [{ key: key.toString("hex"), no: 1 }], name: base32(digest.subarray(0, 10)), v: 1 }, fingerprint: digest.toString("hex") };
};

export default function (here) {
  const { anyone, coop, ok } = here;

  test("anybody reads the co-op's keys, and an admin hands over to a new one", async () => {
    const { ada, carl } = here.people();
    const before = ok(200, await anyone().get(`${coop}/keys.json`));
    assert.equal(before.keys.length, 1);
    assert.equal((await carl.post(`${coop}/keys`)).status, 403);
    const after = ok(201, await ada.post(`${coop}/keys`));
    assert.deepEqual(after.keys[0], before.keys[0]);
    assert.equal(after.name, before.name);
    assert.deepEqual(ok(200, await anyone().get(`${coop}/keys.json`)), after);
  });

  test("another co-op is met from its keys, confirmed by its fingerprint, and refused", async () => {
    const { ada, bea, carl } = here.people();
    const other = stranger();
    assert.equal((await carl.post(`${coop}/peers`, { keys: other.chain })).status, 403);
    assert.equal((await ada.post(`${coop}/peers`, {})).status, 422);
    const peer = ok(201, await ada.post(`${coop}/peers`, { keys: other.chain }));
    assert.equal(peer.state, "seen");
    assert.equal(peer.fingerprint.replaceAll(" ", ""), other.fingerprint);
    const at = `${coop}/peers/${peer.id}`;
    assert.equal((await ada.post(`${at}/confirm`, { fingerprint: stranger().fingerprint })).body.errors[0].pointer, "/fingerprint");
    assert.equal(ok(200, await ada.post(`${at}/confirm`, { fingerprint: other.fingerprint })).state, "confirmed");
    assert.equal((await ada.post(`${at}/refresh`)).status, 409, "nobody knows where it is");
    assert.equal(ok(200, await bea.get(at)).name, other.chain.name);
    assert.equal(ok(200, await ada.post(`${at}/refuse`)).state, "refused");
    assert.ok(ok(200, await ada.get(`${coop}/peers`)).items.some((p) => p.name === other.chain.name));
    assert.equal((await anyone().get(`${coop}/peers`)).status, 401);
  });

  test("a co-op of the same instance is met by its address, and looked at again", async () => {
    const { ada } = here.people();
    const neighbour = ok(201, await ada.post("/api/v1/coops", { slug: "neighbours", charter: charter({ name: "Neighbours" }) }));
    const peer = ok(201, await ada.post(`${coop}/peers`, { url: here.world().url, name: "neighbours" }));
    assert.deepEqual([peer.here, peer.name, peer.title], [true, neighbour.key_name, "Neighbours"]);
    const rotated = ok(201, await ada.post("/api/v1/coops/neighbours/keys"));
    assert.deepEqual(ok(200, await ada.post(`${coop}/peers/${peer.id}/refresh`)).keys, rotated);
  });
}
