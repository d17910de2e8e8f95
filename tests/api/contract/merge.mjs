// What merging could not settle, near duplicates, and the state that both sides come to. Bundles between two live instances are elsewhere.
import { test } from "node:test";
import assert from "node:assert/strict";

export default function (here) {
  const { coop, ok } = here;

  test("an admin sees what contradicts itself with its proof, and decides with a reason", async () => {
    const { ada, carl } = here.people();
    here.world().sql(`INSERT INTO merge_conflict (coop_id, id, kind, home, rid, mark, detail, proof, found_at) SELECT id, gen_random_uuid(), 'equivocation', 'aaaaaaaaaaaaaaa2',
      'dc:aaaaaaaaaaaaaaa2:' || gen_random_uuid(), sha256('a'), '{"about":"record"}', '{"first":{"leaf":1},"second":{"leaf":2}}', commonhold_now() FROM coop WHERE slug = 'alpine'`);
    assert.equal((await carl.get(`${coop}/merge/conflicts`)).status, 403);
    const [found] = ok(200, await ada.get(`${coop}/merge/conflicts?limit=5`)).items;
    assert.deepEqual([found.kind, found.proof, found.decision, found.decisions], ["equivocation", null, null, ["keep_out"]]);
    assert.deepEqual(ok(200, await ada.get(`${coop}/merge/conflicts/${found.id}`)).proof, { first: { leaf: 1 }, second: { leaf: 2 } });
    const wrong = await ada.post(`${coop}/merge/conflicts/${found.id}/decision`, { decision: "take_the_first", reason: "It came first." });
    assert.equal(wrong.status, 422);
    const decided = ok(200, await ada.post(`${coop}/merge/conflicts/${found.id}/decision`, { decision: "keep_out", reason: "Their admins are asked." }));
    assert.equal(decided.decision, "keep_out");
    assert.equal((await ada.post(`${coop}/merge/conflicts/${found.id}/decision`, { decision: "keep_out", reason: "Again." })).status, 409);
    assert.equal(ok(200, await ada.get(`${coop}/merge/conflicts`)).items.length, 0);
    assert.equal(ok(200, await ada.get(`${coop}/merge/conflicts?all=true`)).items.length, 1);
  });

  test("near duplicates are shown as advice, and the state of what was exchanged as a digest", async () => {
    const { ada, carl } = here.people();
    assert.equal((await carl.get(`${coop}/merge/near`)).status, 403);
    const near = ok(200, await ada.get(`${coop}/merge/near`));
    assert.deepEqual([near.run.at, near.run.fair, near.items], [null, true, []]);
    const state = ok(200, await ada.get(`${coop}/merge/state`));
    assert.match(state.digest, /^[0-9a-f]{64}$/);
    assert.equal((await ada.get(`${coop}/merge/state?agreement=none`)).status, 422);
  });
}
