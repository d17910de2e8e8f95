// What members propose: an amendment with its difference and what-if, a pledge that is set by a vote and joined, an amendment that nobody may make, and what is taken back.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

const hex = (text) => createHash("sha256").update(text).digest("hex");

export default function (here) {
  const { anyone, coop, ok, until } = here;
  const motions = `${coop}/motions`;
  const reason = "Because we want it so.";
  let amendment, pledge, control;

  test("an amendment is proposed on the version in force, with the field and the reason where it cannot stand", async () => {
    const { carl, lab } = here.people();
    const now = ok(200, await carl.get(`${coop}/charters/current`));
    const propose = (over, more = {}) => carl.post(`${coop}/charters`, { document: { ...now.document, ...over }, based_on: now.version, reason, ...more });
    for (const [over, pointer, reasonable] of [
      [{}, "/document", /changes nothing/], [{ gate: { rule: "approval_quorum", n: 1, d: 0 } }, "/document/gate/d", /part of nothing/],
      [{ amendment: { rule: "n_of_m_admins", n: 9 } }, "/document/amendment", /Nobody could change the charter again/],
      [{ proposals: { seconders: 50 } }, "/document/proposals/seconders", /Nobody could propose/],
      [{ cadence: { ...now.document.cadence, notice: "P1D" } }, "/document/cadence/notice", /seven days/], [{ sharing: "sometimes" }, "/document/sharing", /one of/],
    ]) {
      const refused = await propose(over);
      assert.equal(refused.status, 422, refused.text);
      assert.equal(refused.body.errors[0].pointer, pointer, refused.text);
      assert.match(refused.body.errors[0].detail, reasonable, refused.text);
    }
    assert.equal((await propose({ embargo: "P1D" }, { based_on: 7 })).status, 412);
    assert.equal((await propose({ embargo: "P1D" }, { reason: "" })).status, 422);
    assert.equal((await lab.post(`${coop}/charters`, { document: now.document, reason })).status, 403);
    amendment = ok(201, await propose({ release: { ...now.document.release, purposes: ["research", "commercial"] } }));
    assert.equal(amendment.state, "notice");
    assert.equal(amendment.charter, 1);
    const term = amendment.terms.find((t) => t.pointer === "/release/purposes");
    assert.deepEqual([term.material, term.widens], ["consent", true], JSON.stringify(term));
    assert.match(term.after, /commercial/);
    const ballot = ok(200, await carl.get(`${coop}/ballots/${amendment.ballot}`));
    assert.deepEqual([ballot.kind, ballot.subject, ballot.digest], ["charter", amendment.id, amendment.sha256]);
    assert.ok(Date.parse(ballot.opens_at) - Date.parse(ballot.created_at) >= 7 * 86400e3);
    assert.equal(ok(200, await carl.get(`${motions}/${amendment.id}`)).terms.length, amendment.terms.length);
    assert.equal(ok(200, await carl.get(`${motions}?kind=charter`)).items[0].id, amendment.id);
    assert.equal((await anyone().get(motions)).status, 401);
  });

  test("what it would change stands there before anybody votes", async () => {
    const { ada } = here.people();
    const answer = await until(() => ada.get(`${motions}/${amendment.id}/what-if`), (a) => a.status === 200, "the comparison");
    const { at_once: once, when_confirmed: confirmed } = answer.body;
    assert.equal(once.then.items, 0, "nobody has consented to the new purpose");
    assert.equal(once.lost.items, once.now.items);
    assert.ok(once.reasons.some((r) => r.reason === "CONSENT_NOTICE_SUPERSEDED" && r.gained > 0));
    assert.ok(confirmed.reasons.some((r) => r.reason === "PURPOSE_NOT_COVERED"), "to confirm the old words does not cover the new purpose");
    assert.equal((await ada.get(`${motions}/${crypto.randomUUID()}/what-if`)).status, 404);
  });

  test("its proposer withdraws it, and nobody else", async () => {
    const { ada, carl } = here.people();
    assert.equal((await ada.delete(`${motions}/${amendment.id}`)).status, 403);
    assert.equal(ok(200, await carl.delete(`${motions}/${amendment.id}`)).state, "withdrawn");
    assert.equal(ok(200, await carl.get(`${coop}/ballots/${amendment.ballot}`)).state, "cancelled");
  });

  test("a motion that needs a seconder finds one", async () => {
    const { ada, carl } = here.people();
    const charter = ok(200, await ada.get(`${coop}/charters/1`)).document;
    ok(201, await ada.post("/api/v1/coops", { slug: "second", charter: { ...charter, name: "Second", proposals: { seconders: 1 }, membership: { admission: "open" } } }));
    ok(201, await carl.post("/api/v1/coops/second/members"));
    const seeking = ok(201, await ada.post("/api/v1/coops/second/motions", { kind: "toggle", reason, document: { act: "set", control: "quality_freeze" } }));
    assert.deepEqual([seeking.state, seeking.ballot, seeking.seconders], ["seeking", null, 1]);
    assert.equal((await ada.post(`/api/v1/coops/second/motions/${seeking.id}/seconds`)).body.reason, "own_motion");
    assert.equal(ok(200, await carl.post(`/api/v1/coops/second/motions/${seeking.id}/seconds`)).state, "notice");
  });

  test("a pledge is proposed, voted on, set and joined", async () => {
    const { ada, bea, carl } = here.people();
    const body = { kind: "toggle", reason, document: { act: "set", control: "assurance", amount: 2 } };
    for (const [over, pointer] of [[{ control: "curfew" }, "/document/control"], [{ amount: 99 }, "/document/amount"], [{ until: "2026-02-12T00:00:00Z" }, "/document/until"]]) {
      const refused = await carl.post(motions, { ...body, document: { ...body.document, ...over } });
      assert.deepEqual([refused.status, refused.body.errors[0].pointer], [422, pointer], refused.text);
    }
    const headers = { "idempotency-key": "pledge-1" };
    pledge = ok(201, await carl.post(motions, body, { headers }));
    assert.equal(ok(201, await carl.post(motions, body, { headers })).id, pledge.id);
    assert.equal(pledge.sha256, hex(JSON.stringify(pledge.document)), "the digest is of the document as it stands there");
    assert.equal(ok(200, await anyone().get(`${coop}/controls`)).items.length, 0);
    await here.world().at(new Date(Date.parse(pledge.opens_at) + 5000).toISOString());
    await until(() => carl.get(`${coop}/ballots/${pledge.ballot}`), (a) => a.body.state === "open", "the open ballot");
    for (const who of [ada, bea, carl]) ok(200, await who.put(`${coop}/ballots/${pledge.ballot}/vote`, { choice: "for" }));
    await here.world().at(new Date(Date.parse(pledge.closes_at) + 5000).toISOString());
    await until(() => carl.get(`${motions}/${pledge.id}`), (a) => a.body.effect_at, "the effect");
    const standing = ok(200, await anyone().get(`${coop}/controls`));
    assert.match(standing.limits, /cannot undo a licence/);
    control = standing.items[0];
    assert.deepEqual([control.kind, control.amount, control.pledged, control.ballot], ["assurance", 2, 0, pledge.ballot]);
    assert.equal(ok(200, await carl.get(`${coop}/controls/${control.id}`)).joined, false);
    assert.equal(ok(200, await carl.put(`${coop}/controls/${control.id}/pledge`, { joined: true })).pledged, 1);
    assert.equal(ok(200, await carl.put(`${coop}/controls/${control.id}/pledge`, { joined: false })).pledged, 0);
  });

  test("what it holds back says so, until enough have joined", async () => {
    const { bea, carl } = here.people();
    const receipt = ok(201, await carl.post(`${coop}/contributions`, { kind: "example", lang: "en", content: { input: "Under a pledge?", output: "Yes." } }));
    const sealed = ok(200, await carl.get(`${coop}/contributions/${receipt.id}/decision`));
    assert.equal(sealed.outcome, "hold");
    const line = sealed.reasons.find((r) => r.reason === "ASSURANCE_UNMET");
    assert.equal(line.control, control.id);
    assert.match(line.text, /Because we want it so/);
    ok(200, await carl.put(`${coop}/controls/${control.id}/pledge`, { joined: true }));
    const reached = ok(200, await bea.put(`${coop}/controls/${control.id}/pledge`, { joined: true }));
    assert.deepEqual([reached.stands, reached.lift_cause], [false, "pledge"]);
    assert.equal(ok(200, await carl.get(`${coop}/contributions/${receipt.id}/decision`)).outcome, "include");
    assert.equal(ok(200, await anyone().get(`${coop}/controls`)).items.length, 0);
    assert.equal(ok(200, await anyone().get(`${coop}/controls?all=true`)).items.length, 1);
  });
}
