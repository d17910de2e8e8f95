// Three live instances in a chain: the first lets the second pass its items on, the second's agreement with the third does, too. The third has never heard of the first.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { agreementIs, allow, askMembers, begin, closed, contribute, meet, propose, tryOut, untilHeard, voteOn, voting } from "./partners.mjs";
import { ok } from "./server.mjs";

let north, south, east;
const pairs = [];
const all = () => [north, south, east];
const everywhere = (at) => Promise.all(all().map((world) => world.at(at)));
const contents = (world, item) => Number(world.sql(`SELECT count(*) FROM contribution_content WHERE id = '${item.id}'`)[0][0]);
const holds = (world, item, count = 1) => untilHeard(all(), async () => ({ there: contents(world, item) }), (a) => a.there === count, `${world.slug}: ${count ? "has" : "has no"} ${item.id}`);
const coops = async (world, deletion) => ok(200, await world.member.get(`${world.coop}/deletions/${deletion.id}/coops`)).items;
const feed = async (world) => (await (await fetch(`${world.url}${world.coop}/tombstones`)).text()).trim().split("\n").map((line) => JSON.parse(line)).filter((line) => line.rid);
const agreementId = (world, digest) => world.sql(`SELECT agreement_id FROM agreement_revision WHERE encode(digest, 'hex') = '${digest}'`)[0][0];
const kept = (world, item) => world.sql(`SELECT word & 16384 <> 0 FROM contribution WHERE id = '${item.id}'`)[0]?.[0];

before(async () => {
  [north, south, east] = await Promise.all(["north-words", "south-words", "east-words"].map((slug) => begin(slug)));
  for (const world of all()) await allow(world);
  for (const [from, to] of [[north, south], [south, east]]) {
    const peer = await meet(from, to);
    await meet(to, from);
    const { sha256 } = await propose(from, to, { cadence: "P1D", onward: true }, peer);
    await tryOut([from, to], sha256);
    for (const world of [from, to]) await askMembers(world, sha256);
    pairs.push({ sha256, worlds: [from, to] });
  }
  await everywhere(voting);
  for (const pair of pairs) for (const world of pair.worlds) await voteOn(world, pair.sha256);
  north.first = await contribute(north, "first of the north");
  north.second = await contribute(north, "second of the north");
  east.own = await contribute(east, "one of the east");
  await everywhere(closed);
  for (const pair of pairs) for (const world of pair.worlds) await agreementIs(world, pair.sha256, "in_effect");
});
after(async () => {
  await Promise.all([north, south, east].map((world) => world?.end()));
});

test("the middle passes on what each end lets it pass on, with the home's own words, to a co-op that has never heard of it", async () => {
  await holds(south, north.first);
  await holds(south, east.own);
  await everywhere("2026-01-20T11:00:00Z");
  await everywhere("2026-01-21T12:00:00Z");
  for (const item of [north.first, north.second]) await holds(east, item);
  await holds(north, east.own);
  assert.deepEqual(east.sql(`SELECT count(*) FROM peer WHERE name = '${north.key}'`), [["0"]]);
  const lines = (world) => world.sql(`SELECT line FROM guest WHERE home = '${north.key}' ORDER BY line`);
  assert.deepEqual(lines(east), lines(south));
  const states = async () => Promise.all([south, east].map(async (world) => ok(200, await world.admin.get(`${world.coop}/merge/state?agreement=${agreementId(world, pairs[1].sha256)}`))));
  const [a, b] = await untilHeard(all(), states, ([x, y]) => x.digest === y.digest, "both ends of a pair to hold the same");
  assert.equal(a.records, b.records);
  assert.equal(a.records, 3);
  const everything = await Promise.all(all().map(async (world) => ok(200, await world.admin.get(`${world.coop}/merge/state`))));
  assert.deepEqual(everything.map((s) => s.digest), everything.map(() => everything[0].digest));
});

test("what the first erases goes from the last, and the person reads the receipts of both, each as it was signed", async () => {
  const asked = ok(201, await north.member.post(`${north.coop}/deletions`, { kind: "erase", items: [north.first.id] }));
  for (const world of [south, east]) await holds(world, north.first, 0);
  const confirmed = (list) => [south, east].every((world) => list.find((h) => h.coop === world.key)?.confirmed_at);
  const list = await untilHeard(all(), () => coops(north, asked), confirmed, "both receipts");
  for (const [world, through] of [[south, null], [east, south.key]]) {
    const holder = list.find((h) => h.coop === world.key);
    assert.equal(holder.method, "deleted");
    assert.equal(holder.through, through);
    const said = holder.receipts.map((r) => JSON.parse(Buffer.from(JSON.parse(r.receipt).payload, "base64"))).find((r) => r.by === world.key);
    assert.equal(said.feed, north.key);
  }
  assert.ok((await feed(east)).some((t) => t.rid[0] === north.first.rid && t.kind === "erase"), "a tombstone with the home's id");
  const page = await (await fetch(`${north.url}/coops/${north.slug}/deletions/${asked.id}`, { headers: { cookie: north.member.cookie } })).text();
  for (const world of [south, east]) assert.match(page, new RegExp(world.slug));
});

test("it does not come back, and what the last erases goes from the first", async () => {
  const asked = ok(201, await east.member.post(`${east.coop}/deletions`, { kind: "erase", items: [east.own.id] }));
  for (const world of [south, north]) await holds(world, east.own, 0);
  await untilHeard(all(), () => coops(east, asked), (list) => [south, north].every((world) => list.find((h) => h.coop === world.key)?.confirmed_at), "both receipts");
  await everywhere("2026-01-22T13:00:00Z");
  await everywhere("2026-01-23T14:00:00Z");
  for (const world of all()) for (const item of [north.first, east.own]) assert.equal(contents(world, item), 0);
  assert.equal(contents(east, north.second), 1);
});

test("when the agreement before it rests, it is out farther on; and nothing was refused on the way", async () => {
  assert.equal(kept(east, north.second), "f");
  ok(200, await north.admin.post(`${north.coop}/agreements/${pairs[0].sha256}/suspend`, { reason: "For a while." }));
  await agreementIs(south, pairs[0].sha256, "suspended");
  await everywhere("2026-01-24T15:00:00Z");
  await untilHeard(all(), async () => kept(east, north.second), (out) => out === "t", "the east to leave it out");
  // nobody is given bundles while it rests, and none is taken that was on its way when it came to rest
  for (const world of all()) assert.deepEqual(world.sql("SELECT code, sentence FROM refusal WHERE code NOT IN ('partner_refuses', 'unknown_agreement')"), []);
});
