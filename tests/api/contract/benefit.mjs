// A release earns something: it is split, checked by an outsider with nothing of the program's, taken back, recorded again and paid.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const canonical = (line) => JSON.stringify(line, Object.keys(line).sort());

function rootOf(hashes) {
  if (hashes.length === 1) return hashes[0];
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  return sha256(Buffer.from([1]), rootOf(hashes.slice(0, split)), rootOf(hashes.slice(split)));
}

// Hamilton's method, equal remainders in the order in which they stand.
function splitAgain(amount, weights) {
  const total = weights.reduce((a, b) => a + b, 0n);
  const parts = weights.map((w, at) => ({ at, units: (amount * w) / total, rest: (amount * w) % total }));
  let left = amount - parts.reduce((a, p) => a + p.units, 0n);
  for (const p of [...parts].sort((a, b) => (a.rest === b.rest ? a.at - b.at : a.rest > b.rest ? -1 : 1))) if (left-- > 0n) p.units++;
  return parts.map((p) => p.units);
}

export default function (here) {
  const { anyone, coop, ok } = here;
  const income = { release: "1.0.0", amount: "1000.01", currency: "CHF", source: "A laboratory", note: "=SUM(A1)" };
  let recorded;

  test("an income is recorded by an admin and split by the charter", async () => {
    const { ada, carl } = here.people();
    assert.equal((await carl.post(`${coop}/benefits`, income)).status, 403);
    for (const [over, pointer] of [[{ amount: "1.001" }, "/amount"], [{ amount: "0" }, "/amount"], [{ amount: "-1" }, "/amount"], [{ currency: "chf" }, "/currency"], [{ source: "" }, "/source"], [{ to: "me" }, "/to"]]) {
      const refused = await ada.post(`${coop}/benefits`, { ...income, ...over });
      assert.equal(refused.status, 422, JSON.stringify(over));
      assert.equal(refused.body.errors[0].pointer, pointer);
    }
    assert.equal((await ada.post(`${coop}/benefits`, { ...income, release: "9.9.9" })).status, 404);
    const once = { headers: { "idempotency-key": "income-1" } };
    recorded = ok(201, await ada.post(`${coop}/benefits`, income, once));
    assert.equal(ok(201, await ada.post(`${coop}/benefits`, income, once)).id, recorded.id);
    assert.deepEqual([recorded.amount, recorded.contributors + recorded.commons, recorded.reversed_by], ["1000.01", 100, null]);
    assert.deepEqual(ok(200, await anyone().get(`${coop}/benefits`)).items.map((i) => i.id), [recorded.id]);
    assert.equal(ok(200, await anyone().get(`${coop}/benefits/${recorded.id}`)).shares_root, recorded.shares_root);
  });

  test("anybody splits it again and finds the root that the log has", async () => {
    const { items } = ok(200, await anyone().get(`${coop}/benefits/${recorded.id}/shares`));
    assert.ok(items.every((s) => !("member" in s) && !("who" in s)), "no names");
    const leaves = items.map(({ no, weight, units, commitment }) => sha256(Buffer.from([0]), canonical({ no, weight, amount: units, commitment })));
    assert.equal(rootOf(leaves).toString("hex"), recorded.shares_root);
    const log = ok(200, await anyone().get(`${coop}/log/entries?limit=20`)).items.find((e) => e.entry.t === "benefit.recorded");
    assert.ok(JSON.stringify(log.entry).includes(recorded.shares_root));
    const [commons, ...members] = items.map((s) => ({ units: BigInt(s.units), weight: BigInt(s.weight) }));
    assert.equal(members.reduce((a, m) => a + m.weight, 0n), BigInt(recorded.weight_total));
    const [ours, theirs] = splitAgain(100001n, [BigInt(recorded.contributors), BigInt(recorded.commons)]);
    assert.equal(commons.units, theirs);
    assert.deepEqual(splitAgain(ours, members.map((m) => m.weight)), members.map((m) => m.units));
    const csv = await anyone().get(`${coop}/benefits/${recorded.id}/shares.csv`);
    ok(200, csv);
    assert.equal(csv.text.trim().split("\r\n").length, items.length + 1);
    assert.match((await here.people().ada.get(`${coop}/benefits/${recorded.id}/shares.csv`)).text, /"the commons"/);
  });

  test("a member finds which share is theirs, and is paid it", async () => {
    const { ada, carl, lab } = here.people();
    const mine = ok(200, await carl.get(`${coop}/members/me/benefits`));
    const [line] = mine.lines;
    const { items } = ok(200, await anyone().get(`${coop}/benefits/${recorded.id}/shares`));
    const me = ok(200, await carl.get(`${coop}/members/me`)).member.id;
    assert.equal(sha256(Buffer.from(line.salt, "hex"), sha256(me)).toString("hex"), items[line.no].commitment);
    assert.equal(line.amount, items[line.no].amount);
    assert.equal(mine.balances[0].open, line.amount);
    assert.equal((await lab.get(`${coop}/members/me/benefits`)).status, 404);
    const pay = { member: me, amount: line.amount, currency: "CHF", reference: "Bank transfer" };
    assert.equal((await ada.post(`${coop}/benefit-payments`, { ...pay, amount: "100000" })).body.reason, "more_than_owed");
    assert.equal((await ada.post(`${coop}/benefit-payments`, { ...pay, member: recorded.id })).status, 422);
    ok(201, await ada.post(`${coop}/benefit-payments`, pay));
    assert.equal(ok(200, await ada.get(`${coop}/benefit-payments`)).items.length, 1);
    assert.equal((await carl.get(`${coop}/benefit-payments`)).status, 403);
    assert.match(ok(200, await carl.get(`${coop}/members/me/benefits`)).balances[0].open, /^0\.00$/);
    const csv = (await carl.get(`${coop}/members/me/benefits.csv`)).text;
    assert.match(csv, /,payment,,"Bank transfer",-/);
  });

  test("a wrong entry is taken back by one that mirrors it", async () => {
    const { ada } = here.people();
    const back = ok(201, await ada.post(`${coop}/benefits/${recorded.id}/reverse`, { reason: "It was for another release." }));
    assert.deepEqual([back.amount, back.reverses], ["-1000.01", recorded.id]);
    assert.equal((await ada.post(`${coop}/benefits/${recorded.id}/reverse`, { reason: "Again." })).body.reason, "reversed");
    assert.equal(ok(200, await anyone().get(`${coop}/benefits/${recorded.id}`)).reversed_by, back.id);
  });
}
