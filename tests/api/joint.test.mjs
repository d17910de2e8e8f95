// Two live instances try an agreement out without content, and then make a release together: the same numbers, the same digest, two votes, two signatures.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { join } from "node:path";
import { charter } from "./server.mjs";
import { World, meet, until, untilHeard } from "./world.mjs";

const start = "2026-01-10T09:00:00Z", voting = "2026-01-17T09:30:00Z", closed = "2026-01-19T10:00:00Z";
const env = { COMMONHOLD_ALLOW_PRIVATE: "yes" };
let north, south, agreement, joint;

const ok = (status, answer) => {
  assert.equal(answer.status, status, answer.text);
  return answer.body;
};

async function found(world, slug) {
  world.slug = slug;
  world.coop = `/api/v1/coops/${slug}`;
  world.admin = await world.person(`Admin of ${slug}`);
  world.member = await world.person(`Member of ${slug}`);
  world.key = ok(201, await world.admin.post("/api/v1/coops", { slug, charter: charter({ name: slug }) })).key_name;
  ok(201, await world.member.post(`${world.coop}/members`));
  ok(200, await world.member.put(`${world.coop}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
  ok(201, await world.member.post(`${world.coop}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] }));
  for (const text of [`a story of ${slug}`, "a story that both have"])
    ok(201, await world.member.post(`${world.coop}/contributions`, { kind: "example", lang: "en", content: { input: text, output: "An answer." } }));
}

const both = (at) => Promise.all([north.at(at), south.at(at)]);
const days = (instant, n, minutes = 0) => new Date(Date.parse(instant) + n * 86400000 + minutes * 60000).toISOString().replace(".000Z", "Z");
const one = (world) => world.admin.get(`${world.coop}/agreements/${agreement.sha256}`);
const see = (world) => world.admin.get(`${world.coop}/joint-releases/${joint.id}`);
const becomes = (world, state) => untilHeard([north, south], () => see(world), (a) => a.body?.state === state, `${world.slug}: ${state}`);

async function vote(world, ballot, people) {
  await until(() => world.admin.get(`${world.coop}/ballots/${ballot}`), (a) => a.body.state === "open", "the ballot to open");
  for (const who of people) ok(200, await who.put(`${world.coop}/ballots/${ballot}/vote`, { choice: "for" }));
}

before(async () => {
  [north, south] = await Promise.all([World.begin({ clock: start, env }), World.begin({ clock: start, env })]);
  await found(north, "north-words");
  await found(south, "south-words");
  await Promise.all([meet(north, south), meet(south, north)]);
  agreement = ok(201, await north.admin.post(`${north.coop}/agreements`, { peer: north.peer, terms: { cadence: "P1D", joint: "us" } }));
  ok(200, await north.admin.post(`${north.coop}/agreements/${agreement.sha256}/propose`));
  await untilHeard([north, south], () => one(south), (a) => a.body?.state === "proposed", "the proposal");
});
after(async () => {
  await Promise.all([north?.end(), south?.end()]);
});

test("before anybody votes both sides read the same numbers", async () => {
  for (const world of [north, south]) ok(201, await world.admin.post(`${world.coop}/agreements/${agreement.sha256}/previews`));
  const runs = [];
  for (const world of [north, south]) runs.push(ok(200, await until(() => world.member.get(`${world.coop}/agreements/${agreement.sha256}/dry-run`), (a) => a.status === 200, "the dry run")));
  assert.equal(runs[0].sha256, runs[1].sha256);
  assert.equal(runs[0].document.duplicates, 1);
  assert.equal(runs[0].document.joint.outcomes.include, 4);
  const own = ok(200, await south.member.get(`${south.coop}/agreements/${agreement.sha256}/dry-run/mine`));
  assert.deepEqual([own.items, own.in_joint, own.at_partner], [2, 2, 2]);
});

test("the pools are merged under the agreement that both voted for", async () => {
  for (const world of [north, south]) ok(200, await world.admin.post(`${world.coop}/agreements/${agreement.sha256}/ballot`));
  await both(voting);
  for (const world of [north, south]) await vote(world, ok(200, await one(world)).ballot, [world.admin, world.member]);
  await both(closed);
  for (const world of [north, south]) await untilHeard([north, south], () => one(world), (a) => a.body?.state === "in_effect", "the agreement in effect");
  await both(days(closed, 1, 60));
  for (const world of [north, south]) await untilHeard([north, south], async () => ({ n: Number(world.sql("SELECT count(*) FROM contribution")[0][0]) }), (a) => a.n === 3, `${world.slug}: the other's story`);
});

test("a joint release is frozen alike, voted on in both, built by one and signed by both", async () => {
  joint = ok(201, await north.admin.post(`${north.coop}/joint-releases`, { agreement: agreement.document.id }));
  await untilHeard([north, south], () => see(south), (a) => a.status === 200, "the proposal");
  const of = (world) => `${world.url}${world.coop}/joint-releases/${joint.id}`;
  north.sql(`UPDATE release_joint SET differs = 'an item is in ours alone' WHERE joint_id = '${joint.id}'`);
  assert.equal((await see(north)).body.differs, "an item is in ours alone");
  assert.equal((await north.member.get(`${north.coop}/joint-releases/${joint.id}`)).body.differs, null, "what differs names items: admins alone");
  assert.equal((await fetch(of(north)).then((r) => r.json())).differs, null);
  north.sql(`UPDATE release_joint SET differs = NULL WHERE joint_id = '${joint.id}'`);
  await both(days(joint.cutoff_at, 0, 5));
  const sides = [(await becomes(north, "notice")).body, (await becomes(south, "notice")).body];
  assert.equal(sides[0].candidates_sha256, sides[1].candidates_sha256);
  assert.notEqual(sides[0].ballot, sides[1].ballot);
  await both(days(joint.cutoff_at, 7, 30));
  await vote(north, sides[0].ballot, [north.admin]);
  await vote(south, sides[1].ballot, [south.admin]);
  // What was on its way while the other started anew is tried again some minutes later by its sender's clock.
  for (const minutes of [0, 40, 100, 180, 300]) {
    await both(days(joint.cutoff_at, 10, 60 + minutes));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    if ((await see(south)).body.state === "joined") break;
  }
  const log = ok(200, await north.admin.get(`${north.coop}/merge/messages`)).items.filter((m) => m.state !== "delivered" && m.state !== "taken");
  assert.equal((await see(south)).body.state, "joined", JSON.stringify([log, (await see(north)).body]));
  const done = (await becomes(north, "published")).body;
  const listed = ok(200, await fetch(`${south.url}${south.coop}/joint-releases`).then(async (r) => ({ status: r.status, body: await r.json() }))).items[0];
  assert.deepEqual([listed.version, listed.url, listed.maker], [done.version, done.url, false]);
  const checked = north.run(["verify", join(north.dir, "releases", north.sql("SELECT id FROM coop")[0][0], done.release)]);
  assert.equal(checked.status, 0, checked.out + checked.err);
  assert.match(checked.out, /both voted on this set, and both signed/);
});

test("the partner withdraws it, and the maker gives it out no longer", async () => {
  ok(200, await south.admin.post(`${south.coop}/joint-releases/${joint.id}/withdraw`, { reason: "A mistake was found in it." }));
  await becomes(south, "left");
  assert.match((await becomes(north, "withdrawn")).body.why, /A mistake was found/);
});
