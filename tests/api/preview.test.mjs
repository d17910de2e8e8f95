// A preview too large for a message, between two live instances: announced, fetched in parts, held against its digest; what is refused is seen.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { allow, beginTwo, contribute, propose, untilHeard } from "./partners.mjs";
import { stand } from "./proxy.mjs";
import { ok } from "./server.mjs";

const rows = Number(process.env.COMMONHOLD_PREVIEW_ROWS ?? 20_000); // sanitizers are slow: 100,000 with the plain build
let north, south, digest, proxy, made;

const at = (world, what) => `${world.coop}/agreements/${digest}/${what}`;
const theirs = async (world) => ok(200, await world.admin.get(at(world, "previews"))).items.find((p) => !p.ours);
const refusals = () => south.admin.get(`${south.coop}/merge/refusals`);
const asked = () => proxy.seen.filter(({ url }) => url.endsWith(`/previews/${made.sha256}`));
const retry = () => south.sql("UPDATE job SET due = queued_at WHERE due <> queued_at AND kind = 'preview.fetch' AND state = 'waiting'");

before(async () => {
  [north, south] = await beginTwo();
  for (const world of [north, south]) {
    await allow(world);
    await contribute(world, "a story that both have");
  }
  proxy = await stand(north);
  // As many more as the preview is to have: what is in them nobody reads.
  north.sql(`SET session_replication_role = replica;
    INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, more, leaf, salt)
      SELECT coop_id, gen_random_uuid(), item_no + n, member_id, member_no, shard, kind, licence, lang, sha256(n::text::bytea), bytes, submitted_at, word, more, leaf, salt
      FROM contribution, generate_series(1, ${rows - 1}) n;
    UPDATE pool_head SET next_item = ${rows}`);
  digest = (await propose(north, south, {})).sha256;
});
after(async () => {
  proxy?.server.closeAllConnections();
  proxy?.server.close();
  await Promise.all([north?.end(), south?.end()]);
});

test("a preview of many rows is fetched, and goes on where it was cut off", async () => {
  south.sql(`UPDATE peer SET url = '${proxy.url}'`);
  let cuts = 1;
  proxy.server.how = (request) => (/previews/.test(request.url) && cuts-- > 0 ? "cut" : undefined);
  made = ok(201, await north.admin.post(at(north, "previews")));
  assert.equal(made.items, rows);
  assert.ok(made.size > 64 * 1024);
  await untilHeard([north, south], async () => asked(), (a) => a.length >= 1, "the preview to be asked for");
  const came = await untilHeard([north, south], async () => (retry(), theirs(south)), (p) => p, "the preview to arrive");
  assert.deepEqual([came.sha256, came.items, came.size], [made.sha256, rows, made.size]);
  assert.match(asked()[1].range ?? "", /^bytes=[1-9]\d*-$/);
});

test("the dry run over it is the same on both sides", async () => {
  ok(201, await south.admin.post(at(south, "previews")));
  const runs = [];
  for (const world of [north, south]) runs.push(ok(200, await untilHeard([north, south], () => world.admin.get(at(world, "dry-run")), (a) => a.status === 200, "the dry run")));
  assert.equal(runs[0].sha256, runs[1].sha256);
  assert.equal(runs[0].document.duplicates, 1);
  assert.equal(runs[0].document.joint.outcomes.include, rows);
});

test("a preview with another digest than was announced is refused, and admins see it", async () => {
  await Promise.all([north, south].map((world) => world.at("2026-01-12T09:00:00Z")));
  proxy.server.how = (request) => (/previews/.test(request.url) ? "other" : undefined);
  const before = (await theirs(south)).sha256;
  made = ok(201, await north.admin.post(at(north, "previews")));
  await untilHeard([north, south], refusals, (a) => a.body.items.some((r) => r.code === "preview_digest"), "the refusal");
  assert.equal((await theirs(south)).sha256, before);
});

test("nobody but the partner is given a preview", async () => {
  const file = `${north.coop}/merge/agreements/${digest}/previews/${made.sha256}`;
  assert.equal((await north.client().get(file)).status, 401);
  assert.equal((await north.client().get(file, { headers: { "commonhold-proof": "e30" } })).status, 401);
  const own = await north.admin.get(at(north, "previews/ours"));
  assert.equal(createHash("sha256").update(own.text).digest("hex"), made.sha256);
});

test("it is made once a day at most", async () => {
  const soon = await north.admin.post(at(north, "previews"));
  assert.deepEqual([soon.status, soon.body.reason], [409, "preview_too_soon"]);
});
