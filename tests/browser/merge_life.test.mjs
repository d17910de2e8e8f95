// What happens while an agreement between two live instances is in effect, and after it, on the pages: what merging could not settle, records in other words, files carried by hand, a partner that shows other keys,
// a joint release that is ended, and the end by notice. Everything comes about by what people and servers do. One side has script, the other has none.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { execFileSync } from "node:child_process";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ok } from "../api/server.mjs";
import { until } from "../api/world.mjs";
import { again, agree, agreementIs, allow, beginTwo, closed } from "../api/partners.mjs";
import { launch, sit } from "./chromium.mjs";
import { look } from "./inspect.mjs";

const found = [];
let north, south, browser, digest;

const give = async (world, output, input = "What is it?") => ok(201, await world.member.post(`${world.coop}/contributions`, { kind: "example", lang: "en", content: { input, output } }));
const record = async (world, schema, data) => ok(201, await world.member.post(`${world.coop}/contributions`, { kind: "record", lang: "en", content: { schema, data } }));

async function sitDown() {
  for (const [world, script] of [[north, true], [south, false]]) {
    for (const who of [world.ada, world.max]) await who?.context.close();
    world.ada = await sit(browser, world, { script });
    await world.ada.signIn(world.admin.email, world.admin.password);
    world.max = await sit(browser, world, { script });
    await world.max.signIn(world.member.email, world.member.password);
  }
}
const moved = (clock) => Promise.all([north, south].map((world) => world.at(clock)));
const state = (world, wanted) => agreementIs(world, digest, wanted);
const awaited = (somebody, path, words) => until(async () => { await somebody.page.goto(new URL(path, somebody.page.url()).href); return somebody.text(); }, (text) => words.test(text), `${words} on ${path}`);
async function sound(somebody, path) {
  await somebody.go(path);
  await look(somebody.page, path, found);
}

before(async () => {
  const rules = (name, schema) => ({ name, records: { [schema]: { type: "object" } } });
  [[north, south], browser] = await Promise.all([beginTwo([rules("North words", "tale"), rules("South words", "story")]), launch()]);
  for (const world of [north, south]) {
    world.home = `/coops/${world.slug}`;
    for (const who of [world.admin, world.member]) await allow(world, who);
  }
  const schemas = { version: 1, maps: [{ home: south.key, from: "story", to: "tale", fields: { title: "name", mood: { is: "feeling", values: { glad: "happy" } } } }] };
  ({ sha256: digest } = await agree(north, south, { cadence: "P1D", joint: "us", notice: "P10D", ending: "erase", schemas }));
  await moved(closed);
  for (const world of [north, south]) await state(world, "in_effect");
  await sitDown();
});
after(async () => {
  const complaints = [north, south].flatMap((w) => [...w?.ada?.complaints ?? [], ...w?.max?.complaints ?? []]);
  await browser?.close();
  for (const world of [north, south]) await world?.end();
  assert.deepEqual(complaints, []);
});

// Nobody answers at the address that a co-op knows its partner by: what passes goes as files.
const cutOff = (world) => world.sql("UPDATE peer SET url = 'http://127.0.0.1:9'");
const joined = (world, other) => world.sql(`UPDATE peer SET url = '${other.url}'`);
async function saved(somebody, click, path) {
  const [download] = await Promise.all([somebody.page.waitForEvent("download"), click()]);
  await download.saveAs(path);
  assert.ok(readFileSync(path).length > 100, `${path} has something in it`);
  return path;
}
async function takes(somebody, home, label, file, button) {
  await somebody.go(`${home}/messages`);
  await somebody.open("Give and take files");
  await somebody.page.getByLabel(label).setInputFiles(file);
  await somebody.press(button);
  return somebody.page.locator("body").innerText();
}

const tale = "Long ago a bear lived in the wood behind the mill and slept through every winter until the snow on the roof began to melt and the river rose again";
test("a bundle goes over as a file: given by a page here, taken by a page there, twice is once", async () => {
  const gone = await give(north, "Something that is taken back at once.", "What was erased?");
  await until(() => north.admin.get(`${north.coop}/merge/messages`), (a) => a.body.items.every((m) => m.state !== "waiting"), "quiet");
  const request = ok(201, await north.member.post(`${north.coop}/deletions`, { kind: "erase", items: [gone.id] }));
  await until(() => north.member.get(`${north.coop}/deletions/${request.id}`), (a) => ["propagating", "completed"].includes(a.body?.state), "the erasure");
  cutOff(north);
  await give(south, "Something that is taken back at once.", "What was erased?");
  await give(south, tale);
  await give(north, `${tale}, they say`);
  await give(north, "Quite another story, about a fish.");
  north.kept = await record(south, "story", { name: "The bear", feeling: "glad" });
  const { page } = south.ada;
  await south.ada.go(`${south.home}/messages`);
  await south.ada.open("Give and take files");
  const file = await saved(south.ada, () => page.getByRole("button", { name: "Give me the bundle for North words" }).click(), join(south.dir, "carried.tar"));
  assert.match(await takes(north.ada, north.home, "Their bundle", file, "Take the bundle in"), /Taken in\. Contributions: 3, of which new here 2/);
  assert.match(await takes(north.ada, north.home, "Their bundle", file, "Take the bundle in"), /That bundle was taken before/);
  const wrong = join(north.dir, "no.tar");
  writeFileSync(wrong, "This is no bundle.");
  await takes(north.ada, north.home, "Their bundle", wrong, "Take the bundle in");
  assert.equal(await north.ada.page.locator("[role=alert]").count(), 1, "what is no bundle is refused on the page");
  await look(north.ada.page, `${north.home}/messages, a bundle refused`, found);
});

test("what came and was erased here before waits among the conflicts, with words for people", async () => {
  const { ada } = north;
  await ada.go(north.home);
  await ada.reads("Waits for you", /conflicts? of merging to be decided/);
  await ada.follow(/conflicts? of merging to be decided/);
  await ada.reads("Was erased here", "From South words");
  await ada.follow("Was erased here");
  await ada.reads("The content of this record was erased here.", "South words", "Licence", "Place in its home’s log");
  assert.doesNotMatch(await ada.text(), /commitment/i);
  await look(ada.page, `${north.home}/conflicts/one`, found);
  await ada.tick("Keep it out");
  await ada.fill("Why", "Our member took it back.");
  await ada.press("Decide");
  assert.doesNotMatch(await ada.text(), /Was erased here/);
});

test("near duplicates of both pools stand in groups, by what they say, after a bundle was taken in", async () => {
  const { ada } = north;
  await awaited(ada, `${north.home}/conflicts`, /texts were compared/);
  await ada.reads("Group 1: 2 texts", "What each would lose");
  await ada.open("Group 1");
  await ada.reads("South words", "North words");
  await sound(ada, `${north.home}/conflicts`);
  await ada.open("Group 1");
  await ada.follow(/they say|Long ago|What is it/);
  await ada.reads("What it says", "Long ago a bear lived in the wood");
});

test("a record of their schema stands beside the same in our words", async () => {
  const { ada } = north;
  await ada.go(`${north.home}/items/${north.kept.id}`);
  await ada.reads(/from South words/i, "As it came", "The bear", "glad", "In our words", "happy");
  const ours = await ada.page.getByRole("region", { name: "In our words" }).innerText();
  assert.match(ours, /tale/);
  assert.match(ours, /happy/);
  await look(ada.page, `${north.home}/items/record`, found);
  await north.max.go(`${north.home}/items/${north.kept.id}`, 403);
});

// The South says one thing, is set back to what it was before, and says another: what an instance does that was restored from a backup, or that lies.
async function twoHistories() {
  const clock = "2026-01-19T11:10:00Z", before = `${south.dir}-before`, first = `${south.dir}-first`, files = [join(north.dir, "one.tar"), join(north.dir, "two.tar")];
  const swap = async (from, to, then) => {
    await south.pause();
    renameSync(south.dir, to);
    renameSync(from, south.dir);
    await south.at(then);
  };
  const says = async (text, file) => {
    await give(south, text, "What happened?");
    const made = south.run(["bundle", "export", "--coop", south.slug, "--agreement", digest, file], { at: "2026-01-19T11:15:00Z" }); // the server's clock has run on
    assert.match(made.out, /: 1 records, /, made.err);
  };
  await until(async () => Number(south.sql("SELECT count(*) FROM job WHERE state = 'running' OR (state = 'waiting' AND due < '2026-01-19T11:05:00Z')")[0][0]), (n) => n === 0, "the South to be quiet");
  await south.pause();
  execFileSync("cp", ["-a", south.dir, before]);
  await south.at(clock);
  await says("This is what happened.", files[0]);
  await swap(before, first, clock);
  await says("It was not like that.", files[1]);
  await swap(first, before, "2026-01-19T11:20:00Z");
  rmSync(before, { recursive: true });
  await north.at("2026-01-19T11:20:00Z");
  return files;
}

test("two bundles that cannot both be true: the second is refused, the proof is both signed heads, and it is decided with a reason", async () => {
  for (const world of [north, south]) cutOff(world);
  await moved("2026-01-19T11:00:00Z");
  const [one, two] = await twoHistories();
  const { ada } = north;
  assert.match(await takes(ada, north.home, "Their bundle", one, "Take the bundle in"), /Taken in\. Contributions: 1, of which new here 1/);
  await takes(ada, north.home, "Their bundle", two, "Take the bundle in");
  assert.equal(await ada.page.locator("[role=alert]").count(), 1, "what contradicts the first is refused on the page");
  await ada.go(`${north.home}/conflicts`);
  await ada.reads("has signed two states of its log that cannot both be true", "From South words");
  await look(ada.page, `${north.home}/conflicts with two histories`, found);
  await ada.follow("A rewritten log");
  await ada.open("The proof");
  const proof = JSON.parse(north.sql("SELECT proof FROM merge_conflict WHERE kind = 'equivocation'")[0].join("|"));
  const [a, b] = [proof.first, proof.second].map((note) => note.split("\n"));
  assert.deepEqual([a[0], a[1], a[2] === b[2]], [b[0], b[1], false], "one log, one size, two roots");
  await ada.reads(a[2], b[2]);
  await look(ada.page, `${north.home}/conflicts/two histories`, found);
  await ada.tick("Keep it out");
  await ada.page.getByLabel("Why", { exact: true }).fill("   ");
  await ada.press("Decide");
  assert.equal(await ada.page.locator("#reason-wrong").innerText(), "Say why.");
  assert.ok(await ada.page.getByLabel("Keep it out").isChecked(), "what was chosen is still there");
  await ada.fill("Why", "Their log was rewritten.");
  await ada.press("Decide");
  assert.doesNotMatch(await ada.text(), /has signed two states/);
  await ada.follow("Also those that were decided");
  await ada.follow("A rewritten log");
  await ada.reads("Their log was rewritten.", "Keep it out");
  await north.max.go(`${north.home}/conflicts`, 403);
  joined(south, north);
});

test("messages that wait go over as a file", async () => {
  joined(north, south);
  cutOff(south);
  const { ada } = south;
  await ada.go(`${south.home}/agreements/${digest}`);
  await ada.open("Suspend it");
  await ada.fill("Why it is suspended", "A question came up.");
  await ada.press("Suspend");
  await ada.go(`${south.home}/messages`);
  await ada.open("Give and take files");
  const file = await saved(ada, () => ada.page.getByRole("link", { name: "Messages that wait" }).click(), join(south.dir, "messages.ndjson"));
  assert.match(await takes(north.ada, north.home, "Their messages", file, "Take the messages"), /Taken: \d+\. There before: \d+\. Refused: 0\./);
  await north.ada.go(`${north.home}/agreements/${digest}`);
  await north.ada.reads("suspended", "The partner suspended it, and says why: A question came up.", "only they can lift that");
  await look(north.ada.page, `${north.home}/agreements/suspended`, found);
  joined(south, north);
  await ada.go(`${south.home}/agreements/${digest}`);
  await ada.press("Lift our suspension");
  await state(north, "in_effect");
});

test("a joint release is ended with a reason, and both say so", async () => {
  const { ada } = north;
  await ada.go(`${north.home}/joint-releases`);
  await ada.press("Propose it", ada.page.locator("main"));
  await ada.reads("It is proposed.");
  await awaited(south.ada, `${south.home}/joint-releases`, /they make it/);
  await south.ada.open("End it");
  await south.ada.fill("Why", "It is too early for us.");
  await sound(ada, `${north.home}/joint-releases`);
  await south.ada.press("End it");
  await south.ada.reads("It is too early for us.");
  await until(async () => { await Promise.all([north, south].map(again)); await ada.go(`${north.home}/joint-releases`); return ada.text(); }, (text) => /too early for us/.test(text), "the end of the joint release");
  await look(ada.page, `${north.home}/joint-releases, ended`, found);
});

test("a partner that shows other keys is suspect: admins are told, its page says what to do, and it is confirmed anew", async () => {
  const real = await (await fetch(`${south.url}${south.coop}/keys.json`)).json();
  ok(201, await south.admin.post(`${south.coop}/keys`));
  const { ada } = north;
  await ada.go(`${north.home}/peers/${north.peer}`);
  await ada.press("Look again");
  await ada.reads("2, each handed over by the one before");
  // Somebody who stands between, and shows the keys of before.
  const between = createServer(async (request, answer) => {
    const theirs = await fetch(south.url + request.url);
    answer.writeHead(theirs.status, { "content-type": "application/json" });
    answer.end(request.url.endsWith("/keys.json") ? JSON.stringify(real) : await theirs.text());
  });
  await new Promise((resolve) => between.listen(0, "127.0.0.1", resolve));
  try {
    north.sql(`UPDATE peer SET url = 'http://127.0.0.1:${between.address().port}'`);
    await ada.press("Look again");
    await ada.reads("suspect", "This co-op showed other keys than those that we know.", "Ask its people by another way", "Is it really them?");
    await look(ada.page, `${north.home}/peers/suspect`, found);
    await ada.go("/inbox");
    await ada.reads("South words");
    await look(ada.page, "/inbox, a suspect partner", found);
    await ada.go("/");
    await ada.reads(/waits? for you/);
    await ada.go(north.home);
    await ada.follow("1 partner showed other keys than we knew");
    await ada.reads("suspect");
  } finally {
    between.close();
    joined(north, south);
  }
  await ada.follow("South words");
  await ada.fill("Fingerprint that they told you", /fingerprint\s+(.*)/.exec(south.server.command(["key", "show", "--coop", south.slug]))[1]);
  await ada.press("Confirm this partner");
  await ada.reads("Confirmed.");
});

test("notice is given on the page; what happens then is said, and when it is over what came is erased", async () => {
  const { ada } = south;
  await ada.go(`${south.home}/agreements/${digest}`);
  await ada.page.locator("summary", { hasText: /^End it$/ }).click();
  await ada.page.locator("#end-reason").fill("We go another way.");
  await ada.press("Give notice");
  await ada.reads("We go another way.");
  await state(north, "ending");
  await north.max.go(`${north.home}/agreements/${digest}`);
  await north.max.reads("The receiver erases what it holds", /ending|ends/);
  await sound(north.ada, `${north.home}/agreements/${digest}`);
  await moved("2026-01-30T12:00:00Z");
  await sitDown();
  for (const world of [north, south]) await state(world, "ended");
  await north.ada.go(`${north.home}/agreements/${digest}`);
  await north.ada.reads("ended");
  await look(north.ada.page, `${north.home}/agreements/ended`, found);
  await until(() => north.admin.get(`${north.coop}/contributions/${north.kept.id}`), (a) => a.status === 404 || a.body?.content == null, "the erasure of what came");
  await north.ada.go(`${north.home}/items/${north.kept.id}`);
  await north.ada.reads("Its content is gone.");
});

test("nothing serious was found on any of these pages, at any width", () => assert.deepEqual(found, []));
