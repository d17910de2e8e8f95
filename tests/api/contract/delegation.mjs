// Who decides for whom, over HTTP.
import { test } from "node:test";
import assert from "node:assert/strict";

export default function (here) {
  const { coop, ok } = here;

  test("a member lets another decide, who accepts, speaks and lays it down", async () => {
    const { ada, bea, carl, dora } = here.people();
    const at = (path = "") => `${coop}/delegations${path}`;
    const ids = {};
    for (const [name, who] of Object.entries({ ada, bea, carl })) ids[name] = ok(200, await who.get(`${coop}/members/me`)).member.id;
    const refused = async (body, code) => {
      const answer = await carl.post(at(), { question: "vote", scope: "coop", ...body });
      assert.ok(answer.status === 422 || answer.status === 409, answer.text);
      assert.equal(answer.body.reason, code, answer.text);
      assert.ok(answer.body.detail.length > 10);
    };
    await refused({ delegate: ids.carl }, "delegation_self");
    await refused({ delegate: "00000000-0000-4000-8000-000000000000" }, "delegation_stranger");
    await refused({ delegate: ids.ada, ends: "2020-01-01T00:00:00Z" }, "delegation_end");
    await refused({ delegate: ids.ada, scope: "topic" }, "delegation_topic");
    await refused({ delegate: ids.ada, scope: "topic", topics: ["train.gen"] }, "delegation_topic");
    await refused({ delegate: ids.ada, scope: "target", target: "00000000-0000-4000-8000-000000000000" }, "delegation_target");
    assert.equal((await carl.post(at(), { question: "vote" })).status, 422);

    const made = ok(201, await carl.post(at(), { question: "vote", scope: "coop", delegate: ids.bea }, { headers: { "idempotency-key": "carl-to-bea" } }));
    assert.equal(made.delegation.state, "asked");
    assert.deepEqual(made.warnings, []);
    const id = made.delegation.id;
    assert.equal(ok(200, await carl.get(at("/who"))).via, "none");
    assert.deepEqual(ok(200, await bea.get(at("?role=asked"))).items.map((d) => d.id), [id]);
    assert.equal((await ada.post(at(`/${id}/accept`))).status, 404);
    assert.equal((await ada.get(at(`/${id}`))).status, 404);
    assert.equal(ok(200, await bea.post(at(`/${id}/accept`))).counts, true);
    assert.deepEqual(ok(200, await bea.get(at("/represented"))).items.map((d) => d.principal), [ids.carl]);
    const who = ok(200, await carl.get(at("/who?question=vote&topic=release")));
    assert.equal(who.via, "decided");
    assert.equal(who.decider, ids.bea);
    assert.equal(who.path.length, 1);
    assert.equal((await carl.get(at("/who?question=vote&topic=train.gen"))).status, 400);
    assert.equal(ok(200, await carl.get(at("/who?on=2026-01-01T00:00:00Z"))).via, "none");
    assert.equal(ok(200, await carl.get(at(`/${id}`))).state, "standing");
    const preview = ok(200, await carl.get(at(`/${id}/preview`)));
    assert.ok(preview.changes.every((c) => c.differs && c.before.via === "decided" && c.after.via === "none"));
    const report = ok(200, await ada.get(at("/report?question=vote&topic=release")));
    assert.equal(report.represented, 1);
    assert.equal(report.top[0].member, ids.bea);
    assert.equal(report.top[0].weight, 2);

    // Circles are told of and not refused.
    const back = ok(201, await bea.post(at(), { question: "vote", scope: "coop", delegate: ids.carl }));
    assert.ok(back.warnings.some((w) => w.code === "cycle"));
    assert.equal(ok(200, await carl.post(at(`/${back.delegation.id}/decline`), { reason: "One of us has to decide." })).state, "declined");

    // Consent is another question.
    const consent = ok(201, await carl.post(at(), { question: "consent", scope: "topic", topics: ["search"], delegate: ids.bea })).delegation;
    ok(200, await bea.post(at(`/${consent.id}/accept`)));
    const said = ok(201, await bea.post(`${coop}/statements`, { as: "delegate", statements: [{ uses: ["search"], effect: "deny" }] }));
    assert.equal(said.items[0].layer, "delegate");
    assert.equal(ok(200, await bea.get(`${coop}/statements?as=delegate&current=true`)).items.length, 1);
    assert.equal(ok(200, await carl.get(at("/who?question=consent&topic=search"))).via, "decided");
    assert.equal(ok(200, await carl.get(at("/who?question=consent&topic=train.gen"))).via, "none");
    ok(201, await bea.post(`${coop}/statements`, { as: "delegate", statements: [{ uses: ["search"], effect: "none" }] }));

    // The board speaks by its resolution.
    ok(201, await carl.post(at(), { question: "consent", scope: "topic", topics: ["eval"], delegate: "board" }));
    assert.equal((await carl.post(`${coop}/statements`, { as: "board", statements: [{ uses: ["eval"], effect: "deny" }] })).body.reason, "not_board");
    assert.deepEqual(ok(201, await ada.post(`${coop}/statements`, { as: "board", statements: [{ uses: ["eval"], effect: "deny" }] })).items, []);
    assert.deepEqual(ok(201, await bea.post(`${coop}/statements`, { as: "board", statements: [{ uses: ["eval"], effect: "deny" }] })).items.map((s) => [s.layer, s.effect]), [["board", "deny"]]);
    assert.equal(ok(200, await carl.get(`${coop}/statements?as=board`)).items.length, 1);
    assert.equal(ok(200, await carl.get(at("/who?question=consent&topic=eval"))).via, "decided");
    for (const d of ok(200, await carl.get(at())).items) if (d.delegate_kind === "board") assert.equal((await carl.delete(at(`/${d.id}`))).status, 204);

    assert.equal((await carl.delete(at(`/${id}`))).status, 204);
    assert.equal((await carl.delete(at(`/${id}`))).body.reason, "delegation_over");
    assert.equal(ok(200, await bea.post(at(`/${consent.id}/decline`), {})).state, "ended");
    assert.equal(ok(200, await carl.get(at("?all=true"))).items.length, 3);
    assert.deepEqual(ok(200, await carl.get(at())).items, []);
    assert.ok((await here.anyone().get(at())).status >= 401);
    assert.ok((await dora.get(at())).status >= 403);
  });
}
