// Bundles as a partner gets them: with a proof by its key, and no other way. What is in them, and two live instances, are in bundle.test.mjs.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const base32 = (bytes) => {
  let bits = "";
  for (const b of bytes) bits += b.toString(2).padStart(8, "0");
  return bits.match(/.{5}/g).map((five) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(five, 2)]).join("");
};
const sha256 = (text) => createHash("sha256").update(text).digest();

export default function (here) {
  const { anyone, coop, ok } = here;

  test("the partner of an agreement lists what waits for it and gets its files, whole and in part", async () => {
    const world = here.world(), { ada } = here.people();
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const key = publicKey.export({ type: "spki", format: "der" }).subarray(-32), name = base32(sha256(key).subarray(0, 10));
    const peer = ok(201, await ada.post(`${coop}/peers`, { keys: { keys: [{ key: key.toString("hex"), no: 1 }], name, v: 1 } }));
    const now = new Date(ok(200, await ada.post(`${coop}/peers/${peer.id}/confirm`, { fingerprint: sha256(key).toString("hex") })).state_at);
    const to = ok(200, await anyone().get(coop)).key_name;
    const [[home, id]] = world.sql("SELECT r.coop_id, r.agreement_id FROM agreement_revision r JOIN coop k ON k.id = r.coop_id WHERE k.slug = 'alpine' ORDER BY r.made_at LIMIT 1");
    const [[was, state]] = world.sql(`SELECT a.peer_id, r.state FROM agreement a JOIN agreement_revision r ON r.coop_id = a.coop_id AND r.agreement_id = a.id WHERE a.coop_id = '${home}' AND a.id = '${id}' ORDER BY r.revision LIMIT 1`);
    const digest = world.sql(`SELECT encode(digest, 'hex') FROM agreement_revision WHERE coop_id = '${home}' AND agreement_id = '${id}' LIMIT 1`)[0][0];
    const text = '{"keys":[]}', file = { lines: 0, path: "keys.json", raw_sha256: sha256(text).toString("hex"), raw_size: text.length, sha256: sha256(text).toString("hex"), size: text.length };
    const manifest = JSON.stringify({ files: [file] });
    world.sql(`SET session_replication_role = replica;
      UPDATE agreement SET peer_id = '${peer.id}' WHERE coop_id = '${home}' AND id = '${id}';
      UPDATE agreement_revision SET state = 'in_effect', ballot_id = gen_random_uuid(), assent_ours = '{}', assent_theirs = '{}', effect_at = commonhold_now() WHERE coop_id = '${home}' AND agreement_id = '${id}' AND encode(digest, 'hex') = '${digest}';
      INSERT INTO bundle_flow (coop_id, agreement_id, seq, digest, root) VALUES ('${home}', '${id}', 1, sha256('a'), sha256('b'));
      INSERT INTO bundle_out (coop_id, agreement_id, seq, digest, manifest, state, made_at) VALUES ('${home}', '${id}', 1, sha256('a'), '${manifest}', 'ready', commonhold_now())`);
    const dir = join(world.dir, "bundles", home, id, "00000001");
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "keys.json"), text);
    const proof = (taken, at = now) => {
      const type = "application/vnd.commonhold.bundle-request+json";
      const said = JSON.stringify({ agreement: digest, at: at.toISOString().replace(/\.\d+Z/, "Z"), from: name, taken, to, v: 1 });
      const signed = sign(null, Buffer.from(`DSSEv1 ${type.length} ${type} ${said.length} ${said}`), privateKey).toString("base64");
      const envelope = { payload: Buffer.from(said).toString("base64"), payloadType: type, signatures: [{ keyid: sha256(key).toString("hex"), sig: signed }] };
      return { "commonhold-proof": Buffer.from(JSON.stringify(envelope)).toString("base64url") };
    };
    const lines = '{"a":1}\n{"b":2}\n', previewed = sha256(lines).toString("hex"), preview = `${coop}/merge/agreements/${digest}/previews/${previewed}`;
    world.sql(`INSERT INTO merge_preview (coop_id, agreement_id, agreement, ours, digest, as_of, items, people, size, body, people_no, kept_at) VALUES ('${home}', '${id}', '\\x${digest}', true, '\\x${previewed}',
      commonhold_now(), 1, 1, ${lines.length}, '${lines}', '', commonhold_now()) ON CONFLICT (coop_id, agreement_id, ours) DO UPDATE SET agreement = EXCLUDED.agreement, digest = EXCLUDED.digest, size = EXCLUDED.size, body = EXCLUDED.body`);
    assert.equal((await anyone().get(preview)).status, 401);
    assert.equal((await anyone().get(preview, { headers: proof(0) })).text, lines);
    const behind = await anyone().get(preview, { headers: { ...proof(0), range: "bytes=8-" } });
    assert.deepEqual([behind.status, behind.text], [206, lines.slice(8)]);
    assert.equal((await anyone().get(preview.replace(previewed, digest), { headers: proof(0) })).status, 410);
    const at = `${coop}/merge/agreements/${digest}/bundles`;
    const listed = ok(200, await anyone().get(at, { headers: proof(0) }));
    assert.deepEqual(listed.items.map((b) => [b.seq, b.state]), [[1, "ready"]]);
    assert.equal((await anyone().get(at)).status, 401);
    assert.equal((await anyone().get(at, { headers: proof(0, new Date("2020-01-01T00:00:00Z")) })).status, 401);
    const whole = await anyone().get(`${at}/1/keys.json`, { headers: proof(0) });
    assert.deepEqual([whole.status, whole.text], [200, text]);
    const part = await anyone().get(`${at}/1/keys.json`, { headers: { ...proof(0), range: "bytes=2-" } });
    assert.deepEqual([part.status, part.text], [206, text.slice(2)]);
    assert.equal((await anyone().get(`${at}/1/bundle.tar`, { headers: proof(0) })).status, 404);
    assert.deepEqual(ok(200, await anyone().get(at, { headers: proof(1) })).items.map((b) => b.state), ["taken"]);
    assert.equal((await anyone().get(`${at}/1/keys.json`, { headers: proof(1) })).status, 410);
    // What a message is too short for: the leaves of a joint release, to this partner alone.
    const leaves = Buffer.alloc(64, 7), joint = randomUUID();
    world.sql(`SET session_replication_role = replica;
      INSERT INTO release_joint (coop_id, joint_id, release_id, agreement_id, maker, partner, partner_key, partner_keys, document, document_sha256, partner_charter, our_leaves, partner_state, made_at)
      VALUES ('${home}', '${joint}', gen_random_uuid(), '${id}', true, '${name}', '\\x${key.toString("hex")}', '{}', '{}', sha256('{}'), '{}', '\\x${leaves.toString("hex")}', 'proposed', commonhold_now())`);
    const paper = `${coop}/merge/agreements/${digest}/joint-releases/${joint}`;
    const got = await anyone().get(`${paper}/leaves`, { headers: proof(0) });
    assert.deepEqual([got.status, got.text], [200, leaves.toString()]);
    assert.equal((await anyone().get(`${paper}/leaves`)).status, 401);
    assert.equal((await anyone().get(`${paper}/manifest`, { headers: proof(0) })).status, 404);
    world.sql(`DELETE FROM release_joint WHERE joint_id = '${joint}'`);
    world.sql(`SET session_replication_role = replica; UPDATE agreement SET peer_id = '${was}' WHERE coop_id = '${home}' AND id = '${id}';
      UPDATE agreement_revision SET state = '${state}' WHERE coop_id = '${home}' AND agreement_id = '${id}' AND encode(digest, 'hex') = '${digest}'`);
  });
}
