// A large pool is forked, parent and fork each take other items (some of them the same), and both are merged again by an agreement and bundles. Seconds and peak memory of each step, and in the end both hold what
// was put in, each content once. Needs /usr/bin/time.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { agreementIs, allow, askMembers, env, meet, propose, tryOut, voteOn } from "../api/partners.mjs";
import { mapping, writeCsv } from "../api/prompts.mjs";
import { binary, charter, ok } from "../api/server.mjs";
import { World, until } from "../api/world.mjs";

const ITEMS = Number(process.env.BENCH_FORK_ITEMS ?? 100_000), MORE = ITEMS / 2, SAME = ITEMS / 4;
const row = (what, n) => ({ act: `${what} ${n}`, prompt: `${what} ${n}: ${"what is to be said of it, and of what comes after it? ".repeat(15)}`, for_devs: "FALSE", type: "TEXT", contributor: "one" });
const rows = (what, n) => Array.from({ length: n }, (_, i) => row(what, i));

const told = (name, seconds, kilobytes) => console.log(`${name.padEnd(28)} ${seconds.toFixed(2).padStart(9)} s ${(kilobytes / 1024).toFixed(0).padStart(7)} MB`);
// A command of the program, while its server runs.
function step(name, world, clock, args) {
  const settings = { ...world.server.settings, COMMONHOLD_CLOCK: clock };
  // The server's own jobs write bundles too: who meets one at it tries again.
  let done;
  for (let tries = 0; tries < 5 && (!done || /SQLSTATE 40001/.test(done.stderr)); tries++) done = spawnSync("/usr/bin/time", ["-f", "took %e %M", binary, ...args], { env: settings, encoding: "utf8", maxBuffer: 1 << 28 });
  assert.equal(done.status, 0, `${name}: ${done.stderr.slice(-2000)}`);
  const [, seconds, kilobytes] = done.stderr.match(/took (\S+) (\d+)/);
  told(name, Number(seconds), Number(kilobytes));
  return done.stdout;
}
function take(name, world, clock, some) {
  const file = join(world.dir, `${name.replaceAll(" ", "-")}.csv`), map = join(world.dir, "mapping.json");
  writeFileSync(map, JSON.stringify(mapping));
  writeFileSync(file, writeCsv(some));
  step(name, world, clock, ["import", "--coop", world.slug, "--as", world.admin.email, "--format", "csv", "--mapping", map, file]);
}
const count = (world, what) => Number(world.sql(`SELECT count(*) FROM ${what}`)[0][0]);
async function waited(name, what) {
  const began = performance.now();
  await what();
  told(name, (performance.now() - began) / 1000, 0);
}

const [parent, fork] = await Promise.all([World.begin({ clock: "2026-01-05T09:00:00Z", env }), World.begin({ clock: "2026-01-05T09:00:00Z", env })]);
const at = async (clock) => { for (const world of [parent, fork]) await world.at(clock); };
try {
  for (const [world, slug] of [[parent, "elder"], [fork, "younger"]]) Object.assign(world, { slug, coop: `/api/v1/coops/${slug}`, admin: await world.person(`Admin of ${slug}`) });
  parent.key = ok(201, await parent.admin.post("/api/v1/coops", { slug: parent.slug, charter: charter({ name: "Elder", release: { uses: ["train.gen"], purposes: ["research"], k_contributors: 1 },
    moderation: { mode: "approve", pii: { action: "approve" } }, access: { mode: "gated_auto", terms: "Be kind." }, retention: { raw: "P0D" } }) })).key_name;
  await allow(parent, parent.admin);
  take("parent takes items", parent, "2026-01-05T09:10:00Z", rows("First", ITEMS));

  const offer = ok(201, await parent.admin.post(`${parent.coop}/forks`, { title: "Younger", place: fork.url, reason: "We want to go on by ourselves.", closes_at: "2026-01-13T09:00:00Z" }));
  ok(200, await parent.admin.post(`${parent.coop}/forks/${offer.id}/answer`, { yes: true }));
  const clock = "2026-01-13T09:30:00Z", request = join(parent.dir, "request.json"), out = join(parent.dir, "export.tar");
  await at(clock);
  await until(() => parent.admin.get(`${parent.coop}/forks/${offer.id}`), (a) => a.body.state === "closed", "the end of the offer");
  writeFileSync(request, fork.server.command(["fork", "request"], clock));
  step("fork export", parent, clock, ["fork", "export", "--coop", parent.slug, "--offer", offer.id, "--request", request, out]);
  step("fork check", fork, clock, ["fork", "check", out]);
  step("fork found", fork, clock, ["fork", "found", "--slug", fork.slug, "--as", fork.admin.email, "--parent", parent.key, out]);
  assert.equal(count(fork, "contribution"), ITEMS);
  await allow(fork, fork.admin);

  take("parent takes more", parent, clock, [...rows("Both", SAME), ...rows("Elder", MORE - SAME)]);
  take("fork takes more", fork, clock, [...rows("Both", SAME), ...rows("Younger", MORE - SAME)]);

  parent.peer = await meet(parent, fork);
  let agreement;
  await waited("dry run of both", async () => {
    agreement = (await propose(parent, fork, { cadence: "P30D" })).sha256;
    await tryOut([parent, fork], agreement);
  });
  for (const world of [parent, fork]) await askMembers(world, agreement);
  await at("2026-01-20T11:30:00Z");
  for (const world of [parent, fork]) await voteOn(world, agreement, [world.admin]);
  await at("2026-01-22T12:00:00Z");
  await Promise.all([parent, fork].map((world) => agreementIs(world, agreement, "in_effect")));

  const later = "2026-01-22T13:00:00Z";
  for (const [from, to] of [[parent, fork], [fork, parent]]) {
    const path = join(from.dir, "bundle.tar");
    step(`bundle export of ${from.slug}`, from, later, ["bundle", "export", "--coop", from.slug, "--agreement", agreement, "--whole", path]);
    step(`bundle import by ${to.slug}`, to, later, ["bundle", "import", "--coop", to.slug, path]);
  }
  const expected = ITEMS + 2 * MORE - SAME;
  for (const world of [parent, fork]) {
    assert.equal(count(world, "contribution WHERE (word & 12288) = 0"), expected, `${world.slug}: each content once`);
    assert.equal(Number(world.sql("SELECT count(DISTINCT content_sha256) FROM contribution WHERE (word & 12288) = 0")[0][0]), expected, `${world.slug}: distinct contents`);
    assert.equal(count(world, "item_origin"), SAME, `${world.slug}: contents that both had brought`);
  }
  console.log(`both hold ${expected} items; ${SAME} have two origins`);
} finally {
  await Promise.all([parent.end(), fork.end()]);
}
