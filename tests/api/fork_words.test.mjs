// A fork on another instance hears daily what the people who came along say at the parent, with no agreement between the two; over HTTP, and with the parent away or killed in between.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { allow, begin, contribute, env } from "./partners.mjs";
import { ok } from "./server.mjs";
import { World, until } from "./world.mjs";

const start = "2026-01-10T09:00:00Z";
const day = (n, time = "10:00:00") => `2026-01-${n}T${time}Z`;
let parent, fork, offer;

before(async () => {
  [parent, fork] = await Promise.all([begin("elder-words"), World.begin({ clock: start, env })]);
  Object.assign(fork, { slug: "younger-words", coop: "/api/v1/coops/younger-words", admin: await fork.person("Admin of the fork") });
});
after(async () => {
  await Promise.all([parent?.end(), fork?.end()]);
});

// Guests of the fork that deny a use now, and how often the co-op was told of something that it did not take.
const deniers = () => Number(fork.sql("SELECT count(DISTINCT guest_id) FROM guest_statement WHERE effect = 'deny' AND 'train.gen' = ANY (uses)")[0][0]);
const refusals = async () => ok(200, await fork.admin.get(`${fork.coop}/merge/refusals`)).items;
const say = async (effect) => ok(201, await parent.member.post(`${parent.coop}/statements`, { statements: [{ uses: ["train.gen"], effect }] }));

test("a member goes along with a fork on another instance", async () => {
  await allow(parent);
  await contribute(parent, "What does the elder say?");
  offer = ok(201, await parent.admin.post(`${parent.coop}/forks`, { title: "Younger words", place: fork.url, reason: "We want to go on by ourselves.", closes_at: day(18, "09:00:00") }));
  ok(200, await parent.member.post(`${parent.coop}/forks/${offer.id}/answer`, { yes: true }));
  const clock = day(18, "09:30:00");
  await Promise.all([parent.at(clock), fork.at(clock)]);
  await until(() => parent.admin.get(`${parent.coop}/forks/${offer.id}`), (a) => a.body.state === "closed", "the end of the offer");
  const request = join(parent.dir, "request.json"), out = join(parent.dir, "export.tar");
  writeFileSync(request, fork.server.command(["fork", "request"], clock));
  const exported = JSON.parse(parent.server.command(["fork", "export", "--coop", parent.slug, "--offer", offer.id, "--request", request, "--json", out], clock));
  assert.equal(exported.members, 1);
  fork.server.command(["fork", "found", "--slug", fork.slug, "--as", fork.admin.email, "--parent", parent.key, out], clock);
  assert.equal(deniers(), 0);
});

test("a no said at the parent counts at the fork the day after, with no agreement", async () => {
  await say("deny");
  await parent.at(day(19));
  await fork.at(day(19)); // last, so that its daily job finds the parent there
  await until(deniers, (n) => n === 1, "the no at the fork");
  assert.deepEqual(await refusals(), []);
});

test("what is said while the parent is killed and the fork is away is heard once both are back", async () => {
  await say("allow");
  await fork.pause();
  parent.server.child.kill("SIGKILL");
  await parent.server.exited;
  parent.server = undefined;
  await fork.at(day(20));
  // The parent does not answer: what was heard stands.
  await until(async () => fork.sql("SELECT count(*) FROM job WHERE kind = 'fork.feed' AND attempts > 0 AND args::text LIKE '%coop%'")[0][0], (n) => Number(n) > 0, "the try");
  assert.equal(deniers(), 1);
  await parent.at(day(21));
  await fork.at(day(21));
  await until(deniers, (n) => n === 0, "the person's own later yes at the fork");
  assert.deepEqual(await refusals(), []);
});

test("nobody but the fork is told what its people say", async () => {
  const ask = (body) => parent.client().post(`${parent.coop}/forks/${offer.id}/words`, body);
  assert.equal((await ask({ at: day(21), proof: "0".repeat(64), since: 0 })).status, 404);
  assert.equal((await ask({ at: day(21), proof: "no", since: 0 })).status, 422);
  assert.equal((await ask({})).status, 422);
});
