// Requests for deletion: one's own counts at once, a claim is answered, a denial goes to a ballot, agents ask within what they may, the law keeps what it must, an account goes.
import { test } from "node:test";
import assert from "node:assert/strict";

export default function (here) {
  const { coop, ok, until } = here;
  const deletions = `${coop}/deletions`;
  const input = (text) => ({ kind: "example", lang: "en", content: { input: text, output: `An answer to: ${text}` } });
  const contribute = async (who, text) => ok(201, await who.post(`${coop}/contributions`, input(text)));
  let asked, subject, claimed;

  test("a member's own request counts when it is answered, and the very same asked again is the same", async () => {
    const { carl, dora, ada } = here.people();
    const one = await contribute(carl, "Delete me"), two = await contribute(carl, "Me too");
    asked = ok(201, await carl.post(deletions, { kind: "erase", items: [one.id, two.rid] }));
    assert.deepEqual([asked.kind, asked.scope, asked.asker, asked.items, asked.reason_code, asked.mine], ["erase", "items", "member", 2, "consent_withdrawn", true]);
    assert.ok(asked.effective_at && asked.due_at > asked.received_at);
    assert.equal(ok(201, await carl.post(deletions, { kind: "erase", items: [two.id, one.id] })).id, asked.id);
    assert.notEqual((await carl.get(`${coop}/contributions/${one.id}/decision`)).body.outcome, "include");
    const done = (await until(() => carl.get(`${deletions}/${asked.id}`), (a) => a.body.state === "completed", "the end of the deletion")).body;
    assert.deepEqual(done.history.map((h) => h.event), ["received", "effective", "purged", "propagating", "completed"]);
    assert.ok(done.purged_at && done.backups_until && done.tombstones.last - done.tombstones.first >= 1);
    const items = ok(200, await carl.get(`${deletions}/${asked.id}/items?limit=1`));
    assert.equal(items.items.length, 1);
    assert.equal(ok(200, await carl.get(`${deletions}/${asked.id}/items?limit=5&cursor=${items.next}`)).items.length, 1);
    assert.equal(ok(200, await carl.get(deletions)).items[0].id, asked.id);
    assert.deepEqual(ok(200, await carl.get(`${deletions}/${asked.id}/coops`)).items, [], "no other co-op had them");
    assert.equal((await dora.get(`${deletions}/${asked.id}/coops`)).status, 404);
    assert.equal((await dora.get(`${deletions}/${asked.id}`)).status, 404);
    assert.equal((await carl.get(`${deletions}?which=queue`)).status, 403);
    assert.ok(ok(200, await ada.get(`${deletions}?which=all&state=completed`)).items.some((d) => d.id === asked.id));
    assert.equal((await carl.post(`${coop}/contributions`, input("Delete me"))).status, 410);
  });

  test("what cannot be asked is refused at its field", async () => {
    const { carl, dora } = here.people();
    const mine = await contribute(carl, "Mine and not hers");
    for (const [body, status, pointer] of [
      [{ kind: "erase", items: [mine.id, "nothing"] }, 422, "/items/1"], [{ kind: "embargo", items: [mine.id] }, 422, "/until"], [{ kind: "correct", items: [mine.id] }, 422, "/replacement"],
      [{ kind: "erase", scope: "coop", items: [mine.id] }, 422, "/items"], [{ kind: "erase" }, 422, "/items"], [{ kind: "correct", items: [mine.id], replacement: input("Mine and not hers") }, 422, "/replacement"],
    ]) {
      const answer = await carl.post(deletions, body);
      assert.equal(answer.status, status, answer.text);
      assert.equal(answer.body.errors[0].pointer, pointer, answer.text);
    }
    assert.equal((await dora.post(deletions, { kind: "erase", items: [mine.id] })).status, 404);
    const corrected = ok(201, await carl.post(deletions, { kind: "correct", items: [mine.id], replacement: input("Mine, put right") }));
    assert.equal(ok(200, await carl.get(`${coop}/contributions/${corrected.replacement}`)).content.input, "Mine, put right");
    const held = ok(201, await carl.post(deletions, { kind: "embargo", items: [corrected.replacement], until: "2031-01-01T00:00:00Z" }));
    assert.equal(ok(200, await carl.delete(`${deletions}/${held.id}`)).state, "cancelled");
    assert.equal((await carl.delete(`${deletions}/${corrected.id}`)).status, 409);
  });

  test("whoever an item is about claims it, an admin takes more time, denies, and the members decide", async () => {
    const { ada, bea, carl } = here.people();
    subject = here.wrap(await here.world().person("Subject"));
    const item = await contribute(carl, "Subject lives in Chur");
    claimed = ok(201, await subject.post(deletions, { kind: "erase", items: [item.rid], about_me: true, claim: "It has my name." }));
    assert.deepEqual([claimed.state, claimed.asker, claimed.claim, claimed.reason_code], ["verified", "subject", "It has my name.", "about_me"]);
    assert.equal(ok(200, await carl.get(`${coop}/contributions/${item.id}/decision`)).outcome === "include", false);
    assert.ok(ok(200, await ada.get(`${deletions}?which=queue`)).items.some((d) => d.id === claimed.id));
    assert.equal((await carl.post(`${deletions}/${claimed.id}/decision`, { decision: "accept" })).status, 403);
    const longer = ok(200, await ada.post(`${deletions}/${claimed.id}/decision`, { decision: "extend", reason: "We have to ask the contributor." }));
    assert.ok(longer.due_at > claimed.due_at);
    assert.equal(longer.extension.reason, "We have to ask the contributor.");
    const denied = ok(200, await bea.post(`${deletions}/${claimed.id}/decision`, { decision: "deny", code: "no_match", reason: "There are many Subjects." }));
    assert.deepEqual([denied.state, denied.denial.code], ["denied", "no_match"]);
    assert.equal((await carl.post(`${deletions}/${claimed.id}/appeal`, { reason: "Not mine to make." })).status, 404);
    const appealed = ok(200, await subject.post(`${deletions}/${claimed.id}/appeal`, { reason: "There is one in Chur." }));
    const ballot = ok(200, await ada.get(`${coop}/ballots/${appealed.appeal.ballot}`));
    assert.deepEqual([ballot.kind, ballot.subject], ["appeal", claimed.id]);
    assert.ok(!JSON.stringify(ballot).includes("Chur"));
  });

  test("an agent asks within what a member allowed, and the member confirms", async () => {
    const { carl, lab } = here.people();
    const agent = here.wrap(await here.world().person("Agent"));
    const account = ok(200, await agent.get("/api/v1/me")).id;
    const allowed = ok(201, await carl.post(`${coop}/agents`, { account, kinds: ["erase"], alone: false, until: new Date(Date.parse(asked.received_at) + 30 * 86400e3).toISOString() }));
    assert.deepEqual([allowed.kinds, allowed.mine, allowed.alone], [["erase"], true, false]);
    const [mandate] = ok(200, await agent.get(`${coop}/agents`)).items;
    assert.equal(mandate.mine, false);
    const item = await contribute(carl, "For my agent"), now = Date.parse(asked.received_at);
    const body = { kind: "erase", items: [item.id], for_member: mandate.member, issued_at: new Date(now).toISOString(), expires_at: new Date(now + 5 * 60e3).toISOString() };
    assert.equal((await lab.post(deletions, body)).status, 403);
    assert.equal((await agent.post(deletions, { ...body, issued_at: undefined })).body.errors[0].pointer, "/issued_at");
    const waiting = ok(201, await agent.post(deletions, body));
    assert.equal(waiting.state, "received");
    assert.ok(ok(200, await carl.post(`${deletions}/${waiting.id}/verification`)).effective_at);
    assert.ok(ok(200, await agent.delete(`${coop}/agents/${allowed.id}`)).ended_at);
  });

  test("the law may make the co-op keep the content of what is in nothing any more", async () => {
    const { ada, carl } = here.people();
    const item = await contribute(carl, "Evidence");
    assert.equal((await carl.post(`${coop}/holds`, { contribution: item.id, ground: "legal_claims", reason: "A court asks." })).status, 403);
    ok(201, await ada.post(`${coop}/holds`, { contribution: item.id, ground: "legal_claims", reason: "A court asks." }));
    const held = ok(201, await carl.post(deletions, { kind: "erase", items: [item.id] }));
    const done = (await until(() => carl.get(`${deletions}/${held.id}`), (a) => a.body.state === "completed", "the end of the deletion")).body;
    assert.equal(done.held, 1);
    assert.ok(ok(200, await ada.get(`${coop}/holds`)).items.some((h) => h.contribution === item.id));
    assert.ok(ok(200, await ada.delete(`${coop}/holds/${item.id}`)).lifted_at);
    await until(() => carl.get(`${deletions}/${held.id}`), (a) => a.body.held === 0, "what was held to go");
  });

  test("a whole account goes once it is proved to be the person's wish", async () => {
    const leaver = await here.world().person("Leaver");
    const browser = { headers: { cookie: leaver.cookie, "x-csrf-token": leaver.csrf } };
    const at = here.anyone(), me = "/api/v1/me/deletion";
    assert.equal((await at.get(me, browser)).status, 404);
    assert.equal((await leaver.post(me)).status, 403, "a token is no proof");
    const first = ok(201, await at.post(me, undefined, browser));
    assert.deepEqual([first.state, first.wanted, first.parts], ["received", "password", []]);
    assert.equal(ok(200, await at.get(me, browser)).id, first.id);
    assert.equal(ok(200, await at.delete(me, browser)).state, "cancelled");
    ok(201, await at.post(me, undefined, browser));
    assert.equal((await at.post(`${me}/verification`, { current_password: "not this one" }, browser)).status, 401);
    const going = ok(200, await at.post(`${me}/verification`, { current_password: leaver.password }, browser));
    assert.equal(going.proof, "password");
    await until(() => here.anyone().post("/api/v1/sessions", { email: leaver.email, password: leaver.password }), (a) => a.status === 401, "the account to be gone");
  });
}
