// Two live instances under an agreement: what a member takes back at one goes at the other, at once or when it is back, and they read who confirmed it.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { agree, agreementIs, allow, beginTwo, closed, contribute, untilHeard } from "./partners.mjs";
import { ok } from "./server.mjs";
import { until } from "./world.mjs";

let north, south, agreement;

const both = (at) => Promise.all([north.at(at), south.at(at)]);
const contents = (world, item) => Number(world.sql(`SELECT count(*) FROM contribution_content WHERE id = '${item.id}'`)[0][0]);
const holds = (world, item, count = 1) => untilHeard([north, south], async () => ({ there: contents(world, item) }), (a) => a.there === count, `${world.slug}: ${count ? "has" : "has no"} ${item.id}`);
const coops = async (world, deletion) => ok(200, await world.member.get(`${world.coop}/deletions/${deletion.id}/coops`)).items;
const feed = async (world) => (await (await fetch(`${world.url}${world.coop}/tombstones`)).text()).trim().split("\n").map((line) => JSON.parse(line)).filter((line) => line.rid);

before(async () => {
  [north, south] = await beginTwo();
  for (const world of [north, south]) await allow(world);
  agreement = await agree(north, south, { cadence: "P1D" });
  for (const world of [north, south]) {
    world.first = await contribute(world, `first of ${world.slug}`);
    world.second = await contribute(world, `second of ${world.slug}`);
  }
  await both(closed);
  for (const world of [north, south]) await agreementIs(world, agreement.sha256, "in_effect");
});
after(async () => {
  await Promise.all([north?.end(), south?.end()]);
});

test("the pools are shared both ways", async () => {
  for (const [from, to] of [[north, south], [south, north]]) for (const item of [from.first, from.second]) await holds(to, item);
});

test("what a member erases at home goes at the partner at once, in both directions, and the partner's receipt is the member's to read", async () => {
  for (const [home, partner] of [[north, south], [south, north]]) {
    const asked = ok(201, await home.member.post(`${home.coop}/deletions`, { kind: "erase", items: [home.first.id] }));
    await holds(partner, home.first, 0);
    const [holder] = await untilHeard([north, south], () => coops(home, asked), (list) => list[0]?.confirmed_at, "the receipt");
    assert.equal(holder.coop, partner.key);
    assert.equal(holder.method, "deleted");
    assert.equal(holder.through, null);
    const said = JSON.parse(Buffer.from(JSON.parse(holder.receipts[0].receipt).payload, "base64"));
    assert.equal(said.by, partner.key);
    assert.equal(said.feed, home.key);
    assert.ok((await feed(partner)).some((t) => t.rid[0] === home.first.rid && t.kind === "erase"), "a tombstone with the home's id");
    assert.equal(ok(200, await until(() => home.member.get(`${home.coop}/deletions/${asked.id}`), (a) => a.body.state === "completed", "the end")).tombstones.first >= 0, true);
    const page = await (await fetch(`${home.url}/coops/${home.slug}/deletions/${asked.id}`, { headers: { cookie: home.member.cookie } })).text();
    assert.match(page, new RegExp(partner.slug));
    assert.equal((await home.admin.get(`${home.coop}/deletions/${asked.id}/coops`)).status, 200);
  }
});

test("a partner that is away is shown as not having confirmed, and does so when it is back", async () => {
  await south.pause();
  const asked = ok(201, await north.member.post(`${north.coop}/deletions`, { kind: "erase", items: [north.second.id] }));
  const [waiting] = await untilHeard([north, south], () => coops(north, asked), (list) => list.length > 0, "the duty");
  assert.equal(waiting.confirmed_at, null);
  const page = await (await fetch(`${north.url}/coops/${north.slug}/deletions/${asked.id}`, { headers: { cookie: north.member.cookie } })).text();
  assert.match(page, /waiting/);
  await both("2026-01-19T14:00:00Z");
  await holds(south, north.second, 0);
  await north.at("2026-01-19T15:00:00Z");
  await south.at("2026-01-19T18:00:00Z");
  const [holder] = await untilHeard([north, south], () => coops(north, asked), (list) => list[0]?.confirmed_at, "the receipt");
  assert.equal(holder.method, "deleted");
});

test("what was erased does not come back by the next bundles", async () => {
  await both("2026-01-21T10:00:00Z");
  const third = await contribute(north, "third of the north");
  await both("2026-01-22T11:00:00Z");
  await holds(south, third);
  for (const item of [north.first, north.second]) assert.equal(contents(south, item), 0);
  for (const item of [south.first]) assert.equal(contents(north, item), 0);
  assert.equal(contents(north, south.second), 1);
});
