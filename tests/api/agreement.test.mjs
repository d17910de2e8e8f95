// Two live instances make an agreement, and what happens between them when one is away, lies or stops.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { createServer } from "node:http";
import { agreementAt, agreementIs, askMembers, beginTwo, closed, tryOut, voteOn, voting } from "./partners.mjs";
import { ok } from "./server.mjs";
import { until } from "./world.mjs";

let north, south, agreement;

const both = (at) => Promise.all([north.at(at), south.at(at)]);
const one = (world) => agreementAt(world, agreement.sha256);
const becomes = (world, state) => agreementIs(world, agreement.sha256, state);

before(async () => {
  [north, south] = await beginTwo([{}, { embargo: "P2D" }]);
});
after(async () => {
  await Promise.all([north?.end(), south?.end()]);
});

test("each sees the other's charter beside its own, fetched, signed and checked", async () => {
  const here = ok(200, await north.member.get(`${north.coop}/merge/diff?with=${north.peer}`)), there = ok(200, await south.member.get(`${south.coop}/merge/diff?with=${south.peer}`));
  assert.deepEqual(here.common, there.common);
  assert.equal(here.theirs.sha256, there.ours.sha256);
  assert.deepEqual(here.counts, there.counts);
  assert.equal(here.lines.find((l) => l.pointer === "/embargo").verdict, "stricter");
});

test("a proposal waits for a partner that is away, and arrives when it is back", async () => {
  const draft = ok(201, await north.admin.post(`${north.coop}/agreements`, { peer: north.peer, terms: { notice: "P10D", cadence: "P1D" } }));
  agreement = draft;
  await south.pause();
  ok(200, await north.admin.post(`${north.coop}/agreements/${draft.sha256}/propose`));
  await until(() => north.admin.get(`${north.coop}/merge/messages`), (a) => a.body.items.some((m) => m.attempts > 0), "an attempt");
  await both("2026-01-10T09:05:00Z");
  const there = (await becomes(south, "proposed")).body;
  assert.deepEqual(there.document, draft.document);
  assert.equal(createHash("sha256").update(south.sql(`SELECT document FROM agreement_revision`)[0].join("|")).digest("hex"), draft.sha256);
});

test("both vote on the same digest, sign, and it is in effect at both", async () => {
  const early = await north.admin.post(`${north.coop}/agreements/${agreement.sha256}/ballot`);
  assert.deepEqual([early.status, early.body.reason], [409, "dry_run_missing"]);
  const [tried] = await tryOut([north, south], agreement.sha256);
  for (const world of [north, south]) await askMembers(world, agreement.sha256);
  await both(voting);
  const { ballot } = ok(200, await one(south));
  const about = ok(200, await south.member.get(`${south.coop}/ballots/${ballot}`)).about;
  assert.deepEqual([about.kind, about.agreement, about.dry_run, about.no_dry_run], ["merge", agreement.sha256, { ...tried, ...about.dry_run }, null]);
  assert.deepEqual([about.dry_run.sha256, about.dry_run.document], [tried.sha256, tried.document]);
  const page = await (await fetch(`${south.url}/coops/${south.slug}/ballots/${ballot}`, { headers: { cookie: south.member.cookie } })).text();
  assert.match(page, /The agreement with north-words/);
  assert.match(page, /A contribution waits 2 days/);
  for (const world of [north, south]) await voteOn(world, agreement.sha256);
  await both(closed);
  const here = (await becomes(north, "in_effect")).body, there = (await becomes(south, "in_effect")).body;
  const payload = (envelope) => JSON.parse(Buffer.from(envelope.payload, "base64"));
  assert.deepEqual(here.assent_ours, there.assent_theirs);
  assert.deepEqual(here.assent_theirs, there.assent_ours);
  assert.equal(payload(here.assent_ours).agreement, agreement.sha256);
  assert.equal(payload(here.assent_theirs).coop, south.key);
  assert.ok(here.flows && there.flows);
});

test("a suspension reaches the partner at once, and only who made it lifts it", async () => {
  ok(200, await south.admin.post(`${south.coop}/agreements/${agreement.sha256}/suspend`, { reason: "A question came up." }));
  assert.deepEqual((await becomes(north, "suspended")).body.suspended_by, ["partner"]);
  const { note } = ok(200, await north.member.get(`${north.coop}/agreements/${agreement.sha256}/history`)).items.findLast((e) => e.state === "suspended");
  assert.equal(note, "The partner suspended it, and says why: A question came up.");
  assert.equal((await north.admin.post(`${north.coop}/agreements/${agreement.sha256}/resume`)).status, 409);
  ok(200, await south.admin.post(`${south.coop}/agreements/${agreement.sha256}/resume`));
  await becomes(north, "in_effect");
});

test("replays, forgeries and strangers are refused over HTTP and change nothing", async () => {
  const sent = south.sql("SELECT envelope FROM message_out WHERE state = 'delivered' ORDER BY seq").map((row) => JSON.parse(row.join("|")));
  for (const envelope of sent) assert.equal(ok(200, await north.client().post(`${north.coop}/merge/inbox`, envelope)).taken, "before");
  assert.equal((await one(north)).body.state, "in_effect");
  const said = JSON.parse(Buffer.from(sent.at(-1).payload, "base64"));
  const forge = (over) => ({ ...sent.at(-1), payload: Buffer.from(JSON.stringify({ ...said, ...over })).toString("base64") });
  for (const [over, reason] of [[{ id: "00000000-0000-4000-8000-000000000000" }, "bad_signature"], [{ from: "a".repeat(16) }, "stranger"], [{ to: "b".repeat(16) }, "not_for_us"], [{ v: 2 }, "no_message"]]) {
    const refused = await north.client().post(`${north.coop}/merge/inbox`, forge(over));
    assert.equal(refused.status, 422, refused.text);
    assert.equal(refused.body.reason ?? refused.body.code, reason, refused.text);
  }
  assert.equal((await north.client().post(`${north.coop}/merge/inbox`, sent[0], { headers: {} })).status, 200);
  const seen = ok(200, await north.admin.get(`${north.coop}/merge/refusals`)).items.map((r) => r.code);
  for (const code of ["bad_signature", "stranger", "not_for_us", "no_message"]) assert.ok(seen.includes(code), `${code} in ${seen}`);
  assert.equal((await north.member.get(`${north.coop}/merge/refusals`)).status, 403);
});

const suspended = async () => ok(200, await north.admin.get(`${north.coop}/merge/messages`)).items.find((m) => m.type === "agreement.suspended" && m.way === "out");

test("a partner that answers with redirects, slowly or endlessly holds nothing up", async () => {
  const liar = createServer((request, response) => {
    if (request.url.endsWith("/merge/charter")) {
      response.writeHead(302, { location: `${south.url}${south.coop}/merge/charter` });
      response.end();
    } else {
      response.writeHead(200, { "content-type": "application/json" });
      const more = setInterval(() => response.write("x".repeat(65536)), 1);
      response.on("close", () => clearInterval(more));
    }
  });
  await new Promise((resolve) => liar.listen(0, "127.0.0.1", resolve));
  north.sql(`UPDATE peer SET url = 'http://127.0.0.1:${liar.address().port}'`);
  try {
    const diff = await north.member.get(`${north.coop}/merge/diff?with=${north.peer}`);
    assert.equal(diff.status, 503, diff.text);
    ok(200, await north.admin.post(`${north.coop}/agreements/${agreement.sha256}/suspend`, { reason: "While it is asked." }));
    const tried = await until(() => suspended(), (m) => m.attempts > 0, "an attempt");
    assert.equal(tried.state, "waiting");
  } finally {
    north.sql(`UPDATE peer SET url = '${south.url}'`);
    liar.closeAllConnections();
    await new Promise((resolve) => liar.close(resolve));
  }
  assert.equal((await north.admin.post(`${north.coop}/merge/messages/${(await suspended()).id}/again`)).status, 204);
  await becomes(south, "suspended");
  ok(200, await north.admin.post(`${north.coop}/agreements/${agreement.sha256}/resume`));
  await becomes(south, "in_effect");
});

test("messages go as files where the instances cannot reach each other", async () => {
  const lost = "http://127.0.0.1:9";
  north.sql(`UPDATE peer SET url = '${lost}'`);
  ok(200, await north.admin.post(`${north.coop}/agreements/${agreement.sha256}/end`, { reason: "It was a good time." }));
  const file = join(south.dir, "messages.ndjson");
  const out = north.run(["message", "export", north.slug]);
  assert.equal(out.status, 0, out.err);
  writeFileSync(file, out.out);
  const taken = south.run(["message", "import", south.slug, file]);
  assert.equal(taken.status, 0, taken.err);
  const n = out.out.trim().split("\n").length; // bundles are announced, too
  assert.match(taken.out, new RegExp(`taken=${n}\n`));
  assert.match(south.run(["message", "import", south.slug, file]).out, new RegExp(`again=${n}\n`));
  const here = (await becomes(north, "ending")).body, there = (await becomes(south, "ending")).body;
  assert.equal(here.ends_at, there.ends_at);
  writeFileSync(file, "nonsense\n");
  assert.equal(south.run(["message", "import", south.slug, file]).status, 1);
  assert.equal(south.run(["message", "import", south.slug]).status, 2);
  north.sql(`UPDATE peer SET url = '${south.url}'`);
});

test("it ends at both on the day of the notice", async () => {
  const { ends_at } = ok(200, await one(north));
  await both(new Date(Date.parse(ends_at) + 3600e3).toISOString());
  await becomes(north, "ended");
  await becomes(south, "ended");
});
