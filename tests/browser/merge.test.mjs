// Two co-ops on two live instances come together by their pages: they meet, compare fingerprints and charters, draft, propose, try it out, vote, and it comes into effect. One side has script,
// the other has none; every page without serious findings of axe, in light and dark, and no wider than a phone.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { charter, ok } from "../api/server.mjs";
import { World, until } from "../api/world.mjs";
import { launch, sit } from "./chromium.mjs";
import { look, pressed, tabTo } from "./inspect.mjs";

const start = "2026-01-10T09:00:00Z", tried = "2026-01-14T09:05:00Z", voting = "2026-01-21T09:30:00Z", closed = "2026-01-23T10:00:00Z";
const env = { COMMONHOLD_ALLOW_PRIVATE: "yes" };
const worlds = [];
let north, south, browser, digest;
const found = [];

async function begin(slug, name, more) {
  const world = await World.begin({ clock: start, env });
  worlds.push(world);
  Object.assign(world, { slug, at_coop: `/coops/${slug}`, api: `/api/v1/coops/${slug}` });
  world.admin = await world.person(`Admin of ${name}`);
  world.member = await world.person(`Member of ${name}`);
  ok(201, await world.admin.post("/api/v1/coops", { slug, charter: charter({ name, ...more }) }));
  ok(201, await world.member.post(`${world.api}/members`));
  for (const who of [world.admin, world.member]) {
    ok(200, await who.put(`${world.api}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
    ok(201, await who.post(`${world.api}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] }));
    for (const n of [1, 2, 3])
      ok(201, await who.post(`${world.api}/contributions`, { kind: "example", lang: "en", content: { input: n === 1 ? "What do both say?" : `What says ${slug} ${n}, ${who === world.admin}?`, output: "An answer." } }).then((a) => (a.status === 200 ? { ...a, status: 201 } : a)));
  }
  return world;
}

async function sitDown() {
  for (const [world, script] of [[north, true], [south, false]]) {
    await world.ada?.context.close();
    await world.max?.context.close();
    world.ada = await sit(browser, world, { script });
    await world.ada.signIn(world.admin.email, world.admin.password);
    world.max = await sit(browser, world, { script: !script });
    await world.max.signIn(world.member.email, world.member.password);
  }
}

async function both(clock) {
  await Promise.all([north.at(clock), south.at(clock)]);
  await sitDown();
}

const fingerprint = (world) => /fingerprint\s+(.*)/.exec(world.server.command(["key", "show", "--coop", world.slug]))[1];
const agreement = (world) => `${world.at_coop}/agreements/${digest}`;
// Loads a page of somebody until it says so.
const awaited = (somebody, path, words) => until(async () => { await somebody.page.goto(new URL(path, somebody.page.url()).href); return somebody.text(); }, (text) => words.test(text), `${words} on ${path}`);
async function sound(path, somebody = north.ada) {
  await somebody.go(path);
  await look(somebody.page, path, found);
}

before(async () => {
  [north, south, browser] = await Promise.all([begin("north-words", "North words", {}), begin("south-words", "South words", { embargo: "P2D" }), launch()]);
  await sitDown();
});
after(async () => {
  const complaints = [north, south].flatMap((w) => [...w?.ada?.complaints ?? [], ...w?.max?.complaints ?? []]);
  await browser?.close();
  for (const world of worlds) await world.end();
  assert.deepEqual(complaints, []);
});

test("an admin meets the other co-op and is told what is wrong with an address, beside its field", async () => {
  const { ada, max } = north;
  await ada.go(north.at_coop);
  await ada.follow("Partners and merges", ada.page.getByRole("navigation", { name: "North words" }));
  await ada.reads("This co-op knows no other yet.", "Our own key", fingerprint(north));
  await ada.fill("Address of its server", "nowhere");
  await ada.fill("Name of the co-op there", south.slug);
  await ada.press("Meet it");
  assert.match(await ada.page.locator("#url-wrong").innerText(), /address/i);
  assert.equal(await ada.page.getByLabel("Name of the co-op there").inputValue(), south.slug, "what was written is still there");
  await ada.fill("Address of its server", `${south.url}/coops/south-words`);
  await ada.press("Meet it");
  await ada.reads("You have met.", "Is it really them?", "not confirmed", "South words");
  north.peer = ada.at();
  await max.go(north.peer);
  assert.equal(await max.page.getByRole("button", { name: "Confirm this partner" }).count(), 0, "members read, admins act");
  await max.reads("not confirmed", fingerprint(south));
});

test("the fingerprint is typed, a wrong one refused, by keyboard alone", async () => {
  const { ada } = north;
  await ada.fill("Fingerprint that they told you", fingerprint(north));
  await ada.press("Confirm this partner");
  assert.ok((await ada.page.locator("#fingerprint-wrong").innerText()).length > 10);
  await ada.go(north.peer);
  await tabTo(ada.page, "Fingerprint that they told you");
  await ada.page.keyboard.type(fingerprint(south).toUpperCase());
  await tabTo(ada.page, "Confirm this partner");
  await pressed(ada.page);
  await ada.reads("Confirmed.", "confirmed");
  await ada.press("Look again");
  await ada.reads("Looked: its keys are those that we know.");
});

test("the other one does the same from a file, refuses, and confirms after all, without script", async () => {
  const { ada } = south, file = join(south.dir, "keys-of-north.json");
  writeFileSync(file, (await north.admin.get(`${north.api}/keys.json`)).text);
  await ada.go(`${south.at_coop}/peers`);
  await ada.open("From a file");
  await ada.page.getByLabel("Its file keys.json").setInputFiles(file);
  await ada.page.locator("#file_url").fill(north.url);
  await ada.press("Meet it from the file");
  await ada.press("Refuse it");
  await ada.reads("Nothing is taken from this co-op.");
  await ada.fill("Fingerprint that they told you", fingerprint(north));
  await ada.press("Confirm this partner");
  await ada.reads("Confirmed.");
  south.peer = ada.at();
});

test("both charters stand side by side: numbers, what would be taken, what is the same", async () => {
  const { max } = north;
  await max.go(north.peer);
  await max.follow("Compare the charters");
  await max.reads("In numbers", "What a merge would take", "2 days", "What is the same");
  assert.equal(await max.page.locator("svg.chart + details table").count(), 1, "a table behind the picture");
  await sound(`${north.peer}/diff`);
});

test("a draft begins with the strictest, says beside its fields what no charter allows, and is proposed", async () => {
  const { ada } = north, { page } = ada;
  await ada.go(`${north.peer}/diff`);
  await look(page, `${north.peer}/diff of an admin`, found);
  for (const width of [390, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    const below = await page.evaluate(() => {
      const button = [...document.querySelectorAll("main .actions")].find((e) => /Draft an agreement/.test(e.textContent)), next = (button.closest("form") ?? button).nextElementSibling;
      return next.getBoundingClientRect().top - button.getBoundingClientRect().bottom;
    });
    assert.ok(below >= 16, `${below} pixels below the button at ${width}`);
  }
  await ada.follow("Draft an agreement");
  assert.equal(await page.getByLabel("Days before it may be released").inputValue(), "2", "the longer wait of both");
  await ada.fill("Days before it may be released", "1");
  await page.getByLabel("Last day").fill("2029-01-01");
  await ada.fill("Days of notice before it ends", "10");
  await page.getByLabel("We make them").check();
  await ada.press("Draft it");
  assert.match(await page.locator("#embargo-wrong").innerText(), /South words/);
  assert.match(await page.locator("#ends-wrong").innerText(), /a year at most/);
  assert.equal(await page.getByLabel("Days of notice before it ends").inputValue(), "10", "what was written is still there");
  await look(page, `${north.peer}/draft, refused`, found);
  await ada.fill("Days before it may be released", "3");
  await page.getByLabel("Last day").fill("");
  await ada.press("Draft it");
  await ada.reads("It is drafted.", "draft", "A contribution waits 3 days", "10 days’ notice", "What happens next", "North words makes them");
  digest = /[0-9a-f]{64}$/.exec(ada.at())[0];
  await sound(agreement(north));
  await ada.press("Propose it");
  await ada.reads("on its way to the partner", "proposed");
  await awaited(south.ada, agreement(south), /Put it to the vote/);
  await south.ada.reads("A contribution waits 3 days");
});

test("it is tried out on both sides before anybody votes, and each member sees what it would mean for theirs", async () => {
  await both(tried);
  const { ada } = north;
  await ada.go(agreement(north));
  await ada.follow("See the dry run");
  await ada.reads("no preview yet");
  await ada.press("Make our preview");
  await ada.reads("has to make theirs");
  await sound(`${agreement(north)}/dry-run`);
  await south.ada.go(`${agreement(south)}/dry-run`);
  await south.ada.press("Make our preview");
  await awaited(south.ada, `${agreement(south)}/dry-run`, /By outcome/);
  await awaited(ada, `${agreement(north)}/dry-run`, /By outcome/);
  await ada.reads("People concerned", "Duplicates and conflicts", "Licences", "What this would mean for yours");
  const numbers = async (somebody) => [...(await somebody.text()).matchAll(/SHA-256 ([0-9a-f]{64})/g)].map((m) => m[1]);
  assert.deepEqual(await numbers(ada), await numbers(south.ada), "both come to the same document");
  await ada.reads(/9\s+contributions in a joint release/, /1\s+contents that both pools have/, "Published under");
  for (const chart of await ada.page.locator("svg.chart").all())
    assert.equal(await chart.evaluate((e) => e.nextElementSibling?.localName), "details", "a table behind every picture");
  await north.max.go(`${agreement(north)}/dry-run`);
  await north.max.reads("What this would mean for yours", "Only you see this.");
  assert.equal(await north.max.page.getByRole("button", { name: /preview/ }).count(), 0);
  await sound(`${agreement(north)}/dry-run`);
});

test("both vote on the same text, and it comes into effect", async () => {
  for (const world of [north, south]) {
    await world.ada.go(agreement(world));
    await world.ada.press("Put it to the vote");
    await world.ada.reads("Voting begins on 21 January 2026");
  }
  await both(voting);
  for (const world of [north, south])
    for (const who of [world.ada, world.max]) {
      await awaited(who, agreement(world), /members vote until/);
      await who.follow("open");
      await who.reads("The agreement with", "A contribution waits 3 days", "What it would do", "these numbers stay as they are here");
      await who.page.locator("input[name=choice][value=for]").check();
      await who.press("Vote");
    }
  await both(closed);
  for (const world of [north, south]) {
    await awaited(world.ada, agreement(world), /It lasts until/);
    await world.ada.reads("in effect", "passed, 2 for and 0 against");
    assert.equal(await world.ada.page.getByText("Result that it vouches for").count(), 2, "both have signed");
  }
  await sound(agreement(north));
});

test("either suspends at once, and only who did it lifts that; notice is given with a reason", async () => {
  const { ada } = south;
  await ada.go(agreement(south));
  await ada.open("Suspend it");
  await ada.fill("Why it is suspended", "A question came up.");
  await ada.press("Suspend");
  await ada.reads("It rests from now on.", "suspended", "A question came up.");
  await awaited(north.ada, agreement(north), /only they can lift that/);
  assert.equal(await north.ada.page.getByRole("button", { name: "Lift our suspension" }).count(), 0);
  await ada.press("Lift our suspension");
  await awaited(north.ada, agreement(north), /It lasts until/);
});

test("a joint release is proposed by its maker, and both see where it stands", async () => {
  const { ada } = north;
  await ada.go(`${north.at_coop}/joint-releases`);
  await ada.press("Propose it", ada.page.locator("main"));
  await ada.reads("It is proposed.", "waits for its cut-off", "we make it");
  await awaited(south.ada, `${south.at_coop}/joint-releases`, /they make it/);
  assert.equal(await south.ada.page.getByRole("button", { name: "Propose it" }).count(), 0);
});

test("what was said and what was refused is there for admins alone", async () => {
  await north.client().post(`${north.api}/merge/inbox`, { payload: "e30=", payloadType: "x", signatures: [{ keyid: "", sig: "AA==" }] });
  await north.ada.go(`${north.at_coop}/refusals`);
  await north.ada.reads("What was refused", "a stranger");
  await north.ada.go(`${north.at_coop}/messages`);
  await north.ada.reads("An agreement is proposed", "delivered", "Signed assent to an agreement");
  await north.max.go(`${north.at_coop}/refusals`, 403);
  await north.max.go(`${north.at_coop}/messages`, 403);
});

test("a renewal begins with what stands", async () => {
  const { ada } = north;
  await ada.go(agreement(north));
  await ada.follow("Renew it");
  await ada.reads("Renew the agreement with South words");
  assert.equal(await ada.page.getByLabel("Days before it may be released").inputValue(), "3");
  await ada.press("Draft it");
  await ada.reads("revision 2", "It is drafted.");
});

test("the pages are sound for everybody", async () => {
  for (const path of [`${north.at_coop}/peers`, north.peer, `${north.peer}/draft`, agreement(north), `${north.at_coop}/joint-releases`, `${north.at_coop}/refusals`, `${north.at_coop}/messages`]) await sound(path);
  assert.deepEqual(found, []);
});
