// Delegations under concurrent clients: people make, accept, decline, revoke, leave and come back at the same time, and what must hold always holds.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { World } from "./world.mjs";
import { charter } from "./server.mjs";

const coop = "/api/v1/coops/alpine", CAP = 2, PEOPLE = 8;
let world, people, seed = Number(process.env.COMMONHOLD_SEED ?? Date.now() % 1e9);

// A small generator of its own, so that a seed repeats what was asked (the interleaving is the machine's).
const roll = (n) => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % n;
};

before(async () => {
  console.log(`# seed ${seed}`);
  world = await World.begin({ clock: "2026-03-01T09:00:00Z", env: { COMMONHOLD_RATE_LIMIT: "0" } });
  people = await Promise.all(Array.from({ length: PEOPLE }, (_, i) => world.person(`P${i}`)));
  const draft = charter({ membership: { admission: "open" }, delegation: { scopes: ["coop", "topic"], depth: 3, cap: CAP, profile: "de" } });
  assert.equal((await people[0].post("/api/v1/coops", { slug: "alpine", charter: draft })).status, 201);
  for (const p of people.slice(1)) assert.equal((await p.post(`${coop}/members`)).status, 201);
  for (const p of people) p.member = (await p.get(`${coop}/members/me`)).body.member.id;
});
after(() => world?.end());

const allowed = new Set([200, 201, 204, 403, 404, 409, 422, 503]);
async function act(p, i) {
  const said = (answer) => assert.ok(allowed.has(answer.status), `${answer.status}: ${answer.text}`);
  const mine = async (role) => (await p.get(`${coop}/delegations?role=${role}`)).body?.items ?? [];
  const pick = (list) => list[roll(list.length)];
  switch (roll(10)) {
    case 0: case 1: case 2: case 3:
      return said(await p.post(`${coop}/delegations`, { question: roll(2) ? "vote" : "consent", ...(roll(2) ? { scope: "coop" } : { scope: "topic", topics: [] }), delegate: people[roll(PEOPLE)].member }));
    case 4: case 5: case 6: {
      const asked = await mine("asked");
      return asked.length ? said(await p.post(`${coop}/delegations/${pick(asked).id}/accept`)) : undefined;
    }
    case 7: {
      const d = await mine("delegate");
      return d.length ? said(await p.post(`${coop}/delegations/${pick(d).id}/decline`, {})) : undefined;
    }
    case 8: {
      const d = await mine("principal");
      return d.length ? said(await p.delete(`${coop}/delegations/${pick(d).id}`)) : undefined;
    }
    default:
      if (i === 0 || roll(3)) return undefined;
      said(await p.delete(`${coop}/members/me`));
      return said(await p.post(`${coop}/members`));
  }
}

const holds = (what, sql) => assert.deepEqual(world.sql(sql), [], what);

test("caps, ends and history hold whatever people do at the same time", async () => {
  for (let round = 0; round < 3; round++) {
    await Promise.all(people.map(async (p, i) => {
      for (let k = 0; k < 12; k++) await act(p, i);
    }));
    holds("nobody decides for more members than the cap", `SELECT delegate_no, question FROM delegation_now WHERE state = 'standing' AND delegate_no >= 0 GROUP BY 1, 2 HAVING count(DISTINCT principal_no) > ${CAP}`);
    holds("one delegation a matter", "SELECT principal_no FROM delegation_now WHERE state IN ('asked', 'standing', 'suspended') GROUP BY coop_id, principal_no, question, scope, topics, target HAVING count(*) > 1");
    holds("whoever left neither decides nor is decided for", "SELECT n.edge FROM delegation_now n JOIN delegation d ON d.id = n.delegation_id JOIN membership_event e ON e.member_id IN (d.principal_id, d.delegate_id) AND e.to_state = 'left' AND e.seq > 0 WHERE n.state IN ('asked', 'standing') AND EXISTS (SELECT FROM membership m WHERE m.id IN (d.principal_id, d.delegate_id) AND m.state = 'left')");
    holds("the picture is what the events say", `SELECT n.edge, n.state, last.kind FROM delegation_now n CROSS JOIN LATERAL (SELECT kind FROM delegation_event e WHERE e.delegation_id = n.delegation_id AND e.kind <> 'cut' ORDER BY seq DESC LIMIT 1) last
      WHERE n.state <> CASE last.kind WHEN 'made' THEN 'asked' WHEN 'accepted' THEN 'standing' WHEN 'confirmed' THEN 'standing' ELSE last.kind END`);
    holds("nobody delegates to themselves", "SELECT 1 FROM delegation_now WHERE principal_no = delegate_no");
  }
  const made = Number(world.sql("SELECT count(*) FROM delegation")[0][0]), standing = Number(world.sql("SELECT count(*) FROM delegation_event WHERE kind = 'accepted'")[0][0]);
  assert.ok(made > 20 && standing > 3, `${made} made, ${standing} accepted`);
});

test("of several requests accepted at the same moment as many count as the cap allows", async () => {
  const delegate = people[0];
  for (const role of ["delegate", "asked"])
    for (const d of (await delegate.get(`${coop}/delegations?role=${role}`)).body.items) assert.ok((await delegate.post(`${coop}/delegations/${d.id}/decline`, {})).status < 300);
  const ids = [];
  for (const p of people.slice(1, 6)) {
    const made = await p.post(`${coop}/delegations`, { question: "vote", scope: "coop", delegate: delegate.member });
    assert.equal(made.status, 201, made.text);
    ids.push(made.body.delegation.id);
  }
  const answers = await Promise.all(ids.map((id) => delegate.post(`${coop}/delegations/${id}/accept`)));
  assert.equal(answers.filter((a) => a.status === 200).length, CAP);
  for (const a of answers.filter((x) => x.status !== 200)) assert.equal(a.body.reason, "delegation_cap", a.text);
});
