// Trying an agreement out without content, and a release that two co-ops of one instance make together. Votes and signatures are test_joint.c's.
import { test } from "node:test";
import assert from "node:assert/strict";

export default function (here) {
  const { anyone, coop, ok, until } = here;
  const there = "/api/v1/coops/lowland";
  let agreement, one, other;

  test("both sides try an agreement out from previews without content, and get the same document", async () => {
    const { ada, bea, carl } = here.people();
    const peer = ok(200, await ada.get(`${coop}/peers`)).items.find((p) => p.slug === "lowland");
    agreement = ok(201, await ada.post(`${coop}/agreements`, { peer: peer.id, terms: { joint: "us" } }));
    [one, other] = [`${coop}/agreements/${agreement.sha256}`, `${there}/agreements/${agreement.sha256}`];
    ok(200, await ada.post(`${one}/propose`));
    await until(() => bea.get(other), (a) => a.status === 200, "the proposal");
    assert.equal((await ada.get(`${one}/dry-run`)).status, 404);
    assert.equal((await carl.post(`${one}/previews`)).status, 403);
    const ours = ok(201, await ada.post(`${one}/previews`));
    assert.ok(ours.ours);
    const theirs = ok(201, await bea.post(`${other}/previews`));
    await until(() => bea.get(`${other}/previews`), (a) => a.body.items.length === 2, "our preview to arrive");
    assert.deepEqual(ok(200, await bea.get(`${other}/previews`)).items.map((p) => p.sha256), [theirs.sha256, ours.sha256]);
    const file = await ada.get(`${one}/previews/ours`);
    assert.equal(file.status, 200);
    assert.equal(ok(200, await bea.post(`${other}/previews/theirs`, { lines: file.text })).sha256, ours.sha256);
    assert.equal((await ada.post(`${one}/previews/theirs`, { lines: "{}\n" })).status, 422);
    await until(() => ada.get(`${one}/previews`), (a) => a.body.items.length === 2, "their preview to arrive");
    const here_ = ok(200, await ada.post(`${one}/dry-run`)), away = ok(200, await bea.post(`${other}/dry-run`));
    assert.equal(here_.sha256, away.sha256);
    assert.deepEqual(here_.document, away.document);
    assert.equal(here_.ours, away.theirs);
    assert.equal(ok(200, await carl.get(`${one}/dry-run`)).id, here_.id);
    const own = await carl.get(`${one}/dry-run/mine`);
    assert.ok([200, 404].includes(own.status));
    if (own.status === 404) {
      here.world().sql(`INSERT INTO dry_run_member (coop_id, dry_run_id, member_no, items, in_alone, in_joint, at_partner, lost) SELECT d.coop_id, d.id, m.number, 1, 1, 0, 0, '{"K_MIN":1}' FROM dry_run d JOIN membership m ON m.coop_id = d.coop_id WHERE d.id = '${here_.id}' ON CONFLICT DO NOTHING`);
      assert.ok(ok(200, await carl.get(`${one}/dry-run/mine`)).items >= 1);
    }
  });

  test("the members vote with the dry run before their eyes", async () => {
    const { bea } = here.people();
    const refused = await bea.post(`${other}/ballot/untried`, { reason: "We had no time." });
    assert.deepEqual([refused.status, refused.body.reason], [409, "dry_run_there"]);
    const { ballot } = ok(200, await bea.post(`${other}/ballot`));
    const tried = ok(200, await bea.get(`${other}/dry-run`));
    const { about } = ok(200, await bea.get(`${there}/ballots/${ballot}`));
    assert.deepEqual([about.no_dry_run, about.dry_run], [null, tried]);
    assert.deepEqual(ok(200, await bea.get(`${other}/dry-run?run=${tried.sha256}`)), tried);
    assert.equal((await bea.get(`${other}/dry-run?run=${"0".repeat(64)}`)).status, 404);
  });

  test("the maker proposes a joint release, the partner takes it up, either takes it back", async () => {
    const { ada, bea, carl } = here.people();
    assert.equal((await ada.post(`${coop}/joint-releases`, { agreement: agreement.document.id })).status, 409);
    here.world().sql(`UPDATE agreement_revision SET state = 'in_effect', assent_ours = '{}', assent_theirs = '{}', ballot_id = (SELECT id FROM ballot b WHERE b.coop_id = agreement_revision.coop_id LIMIT 1), effect_at = made_at WHERE digest = '\\x${agreement.sha256}'`);
    assert.equal((await carl.post(`${coop}/joint-releases`, { agreement: agreement.document.id })).status, 403);
    assert.equal((await bea.post(`${there}/joint-releases`, { agreement: agreement.document.id })).status, 422);
    const joint = ok(201, await ada.post(`${coop}/joint-releases`, { agreement: agreement.document.id }));
    assert.deepEqual([joint.maker, joint.state, joint.partner_title], [true, "scheduled", "Lowland"]);
    const seen = await until(() => anyone().get(`${there}/joint-releases/${joint.id}`), (a) => a.status === 200, "the proposal");
    assert.deepEqual(seen.body.document, joint.document);
    assert.equal(seen.body.maker, false);
    assert.equal(ok(200, await anyone().get(`${coop}/joint-releases`)).items.length, 1);
    assert.equal((await ada.post(`${coop}/joint-releases/${joint.id}/narrow`)).status, 409, "nothing differs yet");
    here.world().sql(`UPDATE release_joint SET ours = decode(repeat('01', 32 * 257), 'hex'), theirs = decode(repeat('02', 32 * 257), 'hex') WHERE joint_id = '${joint.id}' AND maker`);
    assert.equal((await carl.post(`${coop}/joint-releases/${joint.id}/narrow`)).status, 403);
    assert.equal(ok(200, await ada.post(`${coop}/joint-releases/${joint.id}/narrow`)).narrows, true);
    assert.equal(ok(200, await bea.post(`${there}/joint-releases/${joint.id}/withdraw`, { reason: "We thought again." })).state, "cancelled");
    const ended = await until(() => ada.get(`${coop}/joint-releases/${joint.id}`), (a) => a.body.state === "cancelled", "the end of it");
    assert.match(ended.body.why, /We thought again/);
  });
}
