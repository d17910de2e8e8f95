// Two live instances try an agreement out without content, and then make a release together: the same numbers, the same digest, two votes, two signatures.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { agreementIs, allow, askMembers, beginTwo, closed, contribute, propose, untilHeard, vote, voteOn, voting } from "./partners.mjs";
import { ok } from "./server.mjs";
import { until } from "./world.mjs";

let north, south, agreement, joint;

const both = (at) => Promise.all([north.at(at), south.at(at)]);
const days = (instant, n, minutes = 0) => new Date(Date.parse(instant) + n * 86400000 + minutes * 60000).toISOString().replace(".000Z", "Z");
const see = (world) => world.admin.get(`${world.coop}/joint-releases/${joint.id}`);
const becomes = (world, state) => untilHeard([north, south], () => see(world), (a) => a.body?.state === state, `${world.slug}: ${state}`);

before(async () => {
  [north, south] = await beginTwo();
  for (const world of [north, south]) {
    await allow(world);
    for (const text of [`a story of ${world.slug}`, "a story that both have"]) await contribute(world, text);
  }
  agreement = await propose(north, south, { cadence: "P1D", joint: "us" });
});
after(async () => {
  await Promise.all([north?.end(), south?.end()]);
});

test("before anybody votes both sides read the same numbers", async () => {
  for (const world of [north, south]) ok(201, await world.admin.post(`${world.coop}/agreements/${agreement.sha256}/previews`));
  const runs = [];
  for (const world of [north, south]) runs.push(ok(200, await untilHeard([north, south], () => world.member.get(`${world.coop}/agreements/${agreement.sha256}/dry-run`), (a) => a.status === 200, "the dry run")));
  assert.equal(runs[0].sha256, runs[1].sha256);
  assert.equal(runs[0].document.duplicates, 1);
  assert.equal(runs[0].document.joint.outcomes.include, 3);
  const own = ok(200, await south.member.get(`${south.coop}/agreements/${agreement.sha256}/dry-run/mine`));
  assert.deepEqual([own.items, own.in_joint, own.at_partner], [2, 2, 2]);
});

test("the pools are merged under the agreement that both voted for", async () => {
  for (const world of [north, south]) await askMembers(world, agreement.sha256);
  await both(voting);
  for (const world of [north, south]) await voteOn(world, agreement.sha256);
  await both(closed);
  for (const world of [north, south]) await agreementIs(world, agreement.sha256, "in_effect");
  await both(days(closed, 1, 60));
  for (const world of [north, south]) await untilHeard([north, south], async () => ({ n: Number(world.sql("SELECT count(*) FROM contribution")[0][0]) }), (a) => a.n === 3, `${world.slug}: the other's story`);
});

// What is too long for a message is told by its digest, asked for over HTTP with a proof of who asks, and held against that digest.
async function papersAreGot() {
  const sha256 = (hex) => createHash("sha256").update(Buffer.from(hex, "hex")).digest("hex");
  const leaves = "0a".repeat(64), of = `joint_id = '${joint.id}'`;
  const fetchThem = (digest) => south.sql(`INSERT INTO job (id, kind, key, args, state, due, queued_at) VALUES (gen_random_uuid(), 'joint.fetch', '${digest}',
    '{"coop":"' || (SELECT id FROM coop) || '","joint":"${joint.id}","manifest":"","leaves":"${digest}"}', 'waiting', '2020-01-01', '2020-01-01')`);
  const got = () => ({ leaves: south.sql(`SELECT coalesce(encode(their_leaves, 'hex'), 'none') FROM release_joint WHERE ${of}`)[0][0] });
  const before = got().leaves;
  north.sql(`UPDATE release_joint SET our_leaves = '\\x${leaves}' WHERE ${of}`);
  assert.equal((await fetch(`${north.url}/api/v1/coops/${north.key}/merge/agreements/${agreement.sha256}/joint-releases/${joint.id}/leaves`)).status, 401, "nobody else is given any");
  fetchThem(sha256("0b".repeat(32)));
  await until(async () => ({ said: String(south.sql("SELECT coalesce(max(last_error), '-') FROM job WHERE kind = 'joint.fetch'")) }), (a) => /is not what it told/.test(a.said), "what is not what was told is refused");
  assert.equal(got().leaves, before);
  south.sql("DELETE FROM job WHERE kind = 'joint.fetch'");
  fetchThem(sha256(leaves));
  await until(async () => got(), (a) => a.leaves === leaves, "the leaves");
  south.sql(`UPDATE release_joint SET their_leaves = NULL WHERE ${of}`);
  north.sql(`UPDATE release_joint SET our_leaves = NULL WHERE ${of}`);
}

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
  await papersAreGot();
  await both(days(joint.cutoff_at, 7, 30));
  await vote(north, sides[0].ballot, [north.admin]);
  await vote(south, sides[1].ballot, [south.admin]);
  await both(days(joint.cutoff_at, 10, 60));
  await becomes(south, "joined");
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
