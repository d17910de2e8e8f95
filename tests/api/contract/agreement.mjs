// Two co-ops of one instance: their charters side by side, an agreement drafted, proposed, put to the vote, taken back. Two live instances are in agreement.test.mjs.
import { test } from "node:test";
import assert from "node:assert/strict";
import { charter } from "../server.mjs";

export default function (here) {
  const { anyone, coop, ok, until } = here;
  const there = "/api/v1/coops/lowland";
  let peer, draft;

  const meet = async (admin, from, name) => {
    const found = ok(201, await admin.post(`${from}/peers`, { url: here.world().url, name }));
    return ok(200, await admin.post(`${from}/peers/${found.id}/confirm`, { fingerprint: found.fingerprint }));
  };

  test("two charters are laid side by side, a peer's or one that comes along", async () => {
    const { ada, bea, carl } = here.people();
    ok(201, await bea.post("/api/v1/coops", { slug: "lowland", charter: charter({ name: "Lowland", embargo: "P3D", release: { uses: ["train.gen", "search"], purposes: ["research"], audience: "gated_manual", k_contributors: 3 } }) }));
    peer = await meet(ada, coop, "lowland");
    await meet(bea, there, "alpine");
    const diff = ok(200, await carl.get(`${coop}/merge/diff?with=${peer.id}`));
    assert.ok(diff.possible);
    assert.deepEqual(diff.common.uses, ["train.gen"]);
    assert.equal(diff.lines.find((l) => l.pointer === "/release/uses").verdict, "stricter");
    assert.equal(diff.lines.length, diff.counts.same + diff.counts.stricter + diff.counts.blocks + diff.counts.own);
    const blocked = ok(200, await carl.post(`${coop}/merge/diff`, { charter: charter({ release: { uses: ["search"], purposes: ["research"] } }) }));
    assert.equal(blocked.possible, false);
    assert.equal(blocked.lines.find((l) => l.pointer === "/release/uses").verdict, "blocks");
    const signed = ok(200, await anyone().get(`${there}/merge/charter`));
    assert.deepEqual(ok(200, await carl.post(`${coop}/merge/diff`, { signed, peer: peer.id })).common, diff.common);
    assert.equal((await anyone().get(`${coop}/merge/diff?with=${peer.id}`)).status, 401);
  });

  test("an agreement is drafted no looser than either charter, proposed, and told to the partner", async () => {
    const { ada, bea, carl } = here.people();
    assert.equal((await carl.post(`${coop}/agreements`, { peer: peer.id, terms: {} })).status, 403);
    const looser = await ada.post(`${coop}/agreements`, { peer: peer.id, terms: { embargo: "P1D" } });
    assert.equal(looser.status, 422);
    assert.equal(looser.body.errors[0].pointer, "/terms/embargo");
    draft = ok(201, await ada.post(`${coop}/agreements`, { peer: peer.id, terms: { k: 4 } }));
    assert.equal(draft.state, "drafted");
    assert.equal((await bea.get(`${there}/agreements/${draft.sha256}`)).status, 404);
    assert.equal(ok(200, await ada.post(`${coop}/agreements/${draft.sha256}/propose`)).state, "proposed");
    const seen = await until(() => bea.get(`${there}/agreements/${draft.sha256}`), (a) => a.status === 200, "the proposal");
    assert.deepEqual([seen.body.state, seen.body.proposed_here, seen.body.partner.coop], ["proposed", false, draft.document.parties.find((p) => p.name !== "Lowland").coop]);
    assert.deepEqual(seen.body.document, draft.document);
    assert.ok(seen.body.words.some((l) => /4 people/.test(l.text)));
    assert.equal(ok(200, await carl.get(`${coop}/agreements?state=proposed`)).items.length, 1);
  });

  test("it is put to the vote, and taken back", async () => {
    const { ada, bea } = here.people();
    const untried = await bea.post(`${there}/agreements/${draft.sha256}/ballot`);
    assert.deepEqual([untried.status, untried.body.reason], [409, "dry_run_missing"]);
    const voting = ok(200, await bea.post(`${there}/agreements/${draft.sha256}/ballot/untried`, { reason: "They cannot make a preview this year." }));
    assert.equal(voting.state, "voting");
    const ballot = ok(200, await bea.get(`${there}/ballots/${voting.ballot}`));
    assert.deepEqual([ballot.kind, ballot.digest], ["merge", draft.sha256]);
    assert.deepEqual([ballot.about.dry_run, ballot.about.no_dry_run], [null, "They cannot make a preview this year."]);
    ok(200, await ada.post(`${coop}/agreements/${draft.sha256}/withdraw`, { reason: "We thought again." }));
    await until(() => bea.get(`${there}/agreements/${draft.sha256}`), (a) => a.body.state === "withdrawn", "the withdrawal");
    const events = ok(200, await ada.get(`${coop}/agreements/${draft.sha256}/history`)).items;
    assert.deepEqual(events.map((e) => e.state), ["drafted", "proposed", "withdrawn"]);
    for (const what of ["suspend", "end"]) assert.equal((await ada.post(`${coop}/agreements/${draft.sha256}/${what}`, { reason: "Too late." })).status, 409);
    assert.equal((await ada.post(`${coop}/agreements/${draft.sha256}/resume`)).status, 409);
  });

  test("what is in effect is suspended, resumed and ended by an admin", async () => {
    const { ada } = here.people();
    const again = ok(201, await ada.post(`${coop}/agreements`, { peer: peer.id, terms: { k: 5 } }));
    here.world().sql(`UPDATE agreement_revision SET state = 'in_effect', assent_ours = '{"payload":"","payloadType":"","signatures":[{"keyid":"","sig":""}]}', assent_theirs = '{"payload":"","payloadType":"","signatures":[{"keyid":"","sig":""}]}', ballot_id = (SELECT id FROM ballot b WHERE b.coop_id = agreement_revision.coop_id LIMIT 1), effect_at = made_at WHERE digest = '\\x${again.sha256}'`);
    const one = `${coop}/agreements/${again.sha256}`;
    assert.deepEqual(ok(200, await ada.post(`${one}/suspend`, { reason: "A question came up." })).suspended_by, ["us"]);
    assert.equal(ok(200, await ada.post(`${one}/resume`)).state, "in_effect");
    assert.equal(ok(200, await ada.post(`${one}/end`, { reason: "It is enough." })).state, "ending");
  });

  test("messages are carried as files, tried again, and what is refused is seen", async () => {
    const { ada, bea, carl } = here.people();
    const refused = await until(() => ada.get(`${coop}/merge/messages`), (a) => a.body.items.some((m) => m.state === "dead"), "a refusal by the partner");
    const dead = refused.body.items.find((m) => m.state === "dead");
    assert.match(dead.error, /no such agreement/i);
    assert.equal((await ada.post(`${coop}/merge/messages/${dead.id}/again`)).status, 204);
    assert.equal((await carl.get(`${coop}/merge/messages`)).status, 403);
    const lines = await ada.get(`${coop}/merge/outbox?peer=${peer.id}`);
    assert.equal(lines.status, 200, lines.text);
    const done = ok(200, await bea.post(`${there}/merge/messages`, { lines: `${lines.text}\nnonsense\n` }));
    assert.ok(done.refused >= 1);
    const seen = ok(200, await bea.get(`${there}/merge/refusals`)).items;
    assert.ok(seen.some((r) => r.code === "unknown_agreement" && r.title === "Alpine Voices"), JSON.stringify(seen));
    const forged = await anyone().post(`${there}/merge/inbox`, { payload: "e30=", payloadType: "application/vnd.commonhold.message+json", signatures: [{ keyid: "00", sig: "AA==" }] });
    assert.equal(forged.status, 422);
    const envelope = await until(() => ada.get(`${coop}/merge/messages`), (a) => a.body.items.every((m) => m.state !== "waiting"), "the outbox to be empty").then(() => here.world().sql("SELECT envelope FROM message_out WHERE state = 'delivered' LIMIT 1")[0].join("|"));
    assert.equal(ok(200, await anyone().post(`${there}/merge/inbox`, JSON.parse(envelope))).taken, "before");
  });
}
