// Mirrors: registered with proof of their key, what they hold, what they owe and confirm, and what the public sees. Here duties are put there by hand; how they come about is for the tests of
// deletion.
import { test } from "node:test";
import assert from "node:assert/strict";
import { Signer } from "../signer.mjs";

export default function (here) {
  const { anyone, coop, ok } = here;
  const now = () => here.world().sql("SELECT max(at) FROM log_leaf")[0][0].replace(" ", "T").replace(/\.\d+/, "").replace(/\+00$/, "Z");
  const register = (who, key, over = {}) => who.post(`${coop}/mirrors`, { name: "Alpine copy", kind: "pull", public_key: key.publicKey.toString("hex"), proof: key.proof("alpine", now()), ...over });
  let mirror, key;

  test("a mirror is registered with proof of its key, by an admin or the holder of a grant", async () => {
    const { ada, bea, carl } = here.people();
    key = new Signer();
    assert.equal((await register(anyone(), key)).status, 401);
    assert.equal((await register(carl, key)).body.reason, "no_grant");
    assert.equal((await register(ada, key, { proof: new Signer().proof("alpine", now()) })).body.errors[0].pointer, "/proof");
    assert.equal((await register(ada, key, { kind: "carrier pigeon" })).status, 422);
    const made = ok(201, await register(ada, key));
    assert.equal(made.secret, null);
    mirror = made.mirror;
    assert.deepEqual([mirror.key, mirror.seen_upto, mirror.owes], [key.key, -1, false]);
    assert.equal((await register(bea, new Signer())).status, 409, "by that name there is one");
    assert.equal(ok(200, await ada.get(`${coop}/mirrors/${mirror.id}`)).account, ada.account);
    assert.equal((await carl.get(`${coop}/mirrors/${mirror.id}`)).status, 404);
    const seen = ok(200, await anyone().get(`${coop}/mirrors`)).items.find((m) => m.id === mirror.id);
    assert.deepEqual([seen.name, seen.account, seen.url], ["Alpine copy", null, null]);
  });

  test("a webhook has a secret that is shown once, and a new one when asked", async () => {
    const { ada } = here.people();
    const hook = new Signer();
    const made = ok(201, await register(ada, hook, { name: "Hook", kind: "webhook", url: "https://mirror.invalid/hook" }));
    assert.match(made.secret, /^whsec_/);
    assert.notEqual(ok(201, await ada.post(`${coop}/mirrors/${made.mirror.id}/secret`)).secret, made.secret);
    assert.equal((await ada.post(`${coop}/mirrors/${mirror.id}/secret`)).status, 409);
    const private_ = await register(ada, new Signer(), { name: "Inside", kind: "webhook", url: "https://192.168.0.1/" });
    assert.equal(private_.body.errors[0].pointer, "/url");
    assert.equal(ok(200, await ada.post(`${coop}/mirrors/${made.mirror.id}/state`, { state: "suspended", reason: "Moving." })).state, "suspended");
    ok(200, await ada.post(`${coop}/mirrors/${made.mirror.id}/state`, { state: "active" }));
    here.world().sql(`UPDATE delivery SET state = 'dead', lease = NULL, lease_until = NULL, ended_at = created_at WHERE mirror_id = '${made.mirror.id}' AND state IN ('waiting', 'sending')`);
    const [dead] = ok(200, await ada.get(`${coop}/deliveries?state=dead`)).items;
    assert.equal(dead.mirror_name, "Hook");
    assert.equal(ok(200, await ada.post(`${coop}/deliveries/${dead.id}/repeat`)).state, "waiting");
    assert.equal(ok(200, await ada.post(`${coop}/mirrors/${made.mirror.id}/state`, { state: "ended" })).state, "ended");
    assert.equal((await ada.post(`${coop}/mirrors/${made.mirror.id}/state`, { state: "active" })).status, 409);
  });

  test("it says what it holds", async () => {
    const { ada } = here.people();
    assert.ok(ok(200, await ada.put(`${coop}/mirrors/${mirror.id}/holdings`, { releases: ["1.0.0"] })).told_at);
    assert.equal((await ada.put(`${coop}/mirrors/${mirror.id}/holdings`, { releases: ["7.7.7"] })).status, 422);
  });

  test("duties are listed for those who owe them, for admins and, once overdue, for everybody", async () => {
    const { ada, carl, lab } = here.people();
    const world = here.world();
    const owe = (kind, column, id, account, step) => world.sql(`INSERT INTO duty (coop_id, id, erasure_id, kind, ${column}, account_id, first_idx, upto, releases, announced_at, due_at, step)
      SELECT id, gen_random_uuid(), gen_random_uuid(), '${kind}', '${id}', '${account}', 1000000, 1000000, '{1.0.0}', '2026-01-11', '2026-01-18', ${step} FROM coop WHERE slug = 'alpine'`);
    owe("mirror", "mirror_id", mirror.id, ada.account, 4);
    const [[grant]] = world.sql(`SELECT id FROM access_grant WHERE account_id = '${lab.account}' LIMIT 1`);
    owe("grant", "grant_id", grant, lab.account, 0);
    const all = ok(200, await ada.get(`${coop}/duties?state=overdue`)).items;
    assert.equal(all.length, 2);
    assert.ok(all[0].deletion);
    const mine = ok(200, await lab.get(`${coop}/duties`)).items;
    assert.deepEqual(mine.map((d) => [d.grant, d.deletion, d.id]), [[grant, null, null]]);
    assert.deepEqual(ok(200, await carl.get(`${coop}/duties`)).items, []);
    const overdue = ok(200, await anyone().get(`${coop}/duties/overdue`)).items;
    assert.deepEqual(overdue.map((d) => [d.name, d.step]), [["Alpine copy", "listed"]]);

    const receipt = ok(201, await lab.post(`${coop}/grants/${grant}/receipts`, { method: "deleted", models_affected: "None." }));
    assert.equal(receipt.grant, grant);
    assert.equal((await carl.post(`${coop}/grants/${grant}/receipts`, { method: "deleted" })).status, 404);
    assert.deepEqual(ok(200, await lab.get(`${coop}/grants/${grant}/receipts`)).items.map((t) => t.id), [receipt.id]);
  });

  test("a receipt is taken from whoever has the key, once, and never beyond the feed", async () => {
    const { ada, carl } = here.people();
    const path = `${coop}/mirrors/${mirror.id}/receipts`;
    const send = (envelope) => anyone().post(path, envelope);
    assert.equal((await send(new Signer().receipt(mirror.id, { at: now(), upto: -1 }))).body.reason, "receipt_forged");
    assert.equal((await send(key.receipt(crypto.randomUUID(), { at: now(), upto: -1 }))).body.reason, "wrong_mirror");
    assert.equal((await send(key.receipt(mirror.id, { at: "2031-01-01T00:00:00Z", upto: -1 }))).body.reason, "future");
    assert.equal((await send(key.receipt(mirror.id, { at: now(), upto: 1000000 }))).body.reason, "beyond_feed");
    const good = key.receipt(mirror.id, { at: now(), upto: -1, releases: ["1.0.0"], method: "never-held" });
    const taken = ok(201, await send(good));
    assert.deepEqual([taken.method, taken.upto, taken.releases], ["never-held", -1, ["1.0.0"]]);
    assert.equal((await send(good)).body.reason, "replayed");
    assert.deepEqual(ok(200, await ada.get(path)).items.map((t) => t.id), [taken.id]);
    assert.equal((await carl.get(path)).status, 404);
    here.world().sql("DELETE FROM duty WHERE upto = 1000000");
    assert.equal(ok(200, await ada.post(`${coop}/mirrors/${mirror.id}/state`, { state: "ended", reason: "Done." })).state, "ended");
  });
}
