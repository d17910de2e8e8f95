// Letting somebody decide, as people do it: asked for, accepted, looked into, spoken by and revoked; by keyboard, on a phone, in the dark.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { World } from "../api/world.mjs";
import { charter } from "../api/server.mjs";
import { launch, sit, focused } from "./chromium.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const coop = "/coops/alpine", here = `${coop}/delegations`;
let world, browser, ada, bea, carl, beas;

before(async () => {
  [world, browser] = await Promise.all([World.begin({ clock: "2026-03-01T09:00:00Z" }), launch()]);
  [ada, bea, carl] = await Promise.all(["Ada", "Bea", "Carl"].map((name) => world.person(name)));
  const draft = charter({ membership: { admission: "open" }, delegation: { scopes: ["coop", "topic", "target"], depth: 1, cap: 9, profile: "ch" } });
  assert.equal((await ada.post("/api/v1/coops", { slug: "alpine", charter: draft })).status, 201);
  for (const who of [bea, carl]) assert.equal((await who.post(`/api/v1${coop}/members`)).status, 201);
  assert.equal((await bea.patch(`/api/v1${coop}/members/me`, { attribution: "public", public_name: "Bea Miller" })).status, 200);
  beas = (await bea.get(`/api/v1${coop}/members/me`)).body.member.id;
});
after(async () => {
  await browser?.close();
  await world?.end();
});

async function visitor(who, options) {
  const somebody = await sit(browser, world, options);
  await somebody.signIn(who.email, who.password);
  return somebody;
}

const serious = (page) => page.evaluate(async () => {
  const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
  return violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.slice(0, 2).map((n) => n.html).join(" | ")}`);
});

// Light and dark, and no wider than a phone.
async function sound(somebody, path) {
  const { page } = somebody, found = [];
  await somebody.go(path);
  await page.evaluate(axe);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    found.push(...(await serious(page)).map((v) => `${path}, ${colorScheme}: ${v}`));
  }
  await page.setViewportSize({ width: 390, height: 800 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) found.push(`${path}: ${wide} pixels wider than a phone`);
  await page.setViewportSize({ width: 1280, height: 900 });
  const text = await page.locator("main").innerText();
  if (/undefined|null|NaN|\{\{/.test(text)) found.push(`${path}: words that do not belong on a page`);
  return found;
}

async function tabTo(page, wanted) {
  for (let i = 0; i < 120; i++) {
    await page.keyboard.press("Tab");
    const f = await focused(page);
    if (!f) continue;
    assert.ok(f.seen, `the focus on ${f.tag} "${f.label}" is not visible`);
    if (wanted instanceof RegExp ? wanted.test(f.label) : f.label === wanted) return f;
  }
  throw new Error(`no way by keyboard to "${wanted}" on ${page.url()}`);
}
const pressed = (page, key = "Enter") => Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press(key)]);

test("by keyboard alone a member asks another to vote for them", async () => {
  const somebody = await visitor(carl), { page } = somebody;
  await somebody.go(here);
  await somebody.reads("undecided is never a yes");
  await tabTo(page, "Let somebody decide");
  await pressed(page);
  await somebody.reads("They cannot withdraw your consent");
  await tabTo(page, "the member named here");
  await page.keyboard.press("Space");
  await tabTo(page, "Name of the member, as others see it");
  await page.keyboard.type("bea miller");
  await tabTo(page, "all ballots");
  await page.keyboard.press("Space");
  await tabTo(page, "Delegate");
  await pressed(page);
  assert.equal(somebody.at(), here);
  await somebody.reads("Bea Miller", "waits for an answer");
  await somebody.go(`${here}/who`);
  await somebody.reads("Nobody decides for you", "waits to be accepted");
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("what cannot be is refused in words, and the form keeps what was written", async () => {
  const somebody = await visitor(carl, { script: false });
  await somebody.go(`${here}/new`);
  await somebody.tick("the member named here");
  await somebody.fill("Name of the member, as others see it", "Nobody Known");
  await somebody.tick("ballots of these kinds");
  await somebody.press("Delegate");
  await somebody.reads("No current member is called so");
  assert.equal(await somebody.page.getByLabel("Name of the member, as others see it").inputValue(), "Nobody Known");
  await somebody.fill("Name of the member, as others see it", "Bea Miller");
  await somebody.press("Delegate");
  await somebody.reads("Name at least one kind of ballot");
  await somebody.fill("Last day, if you want it to end before your checkup", "2020-01-01");
  await somebody.tick("the charter");
  await somebody.press("Delegate");
  await somebody.reads("This end has passed already");
  await somebody.context.close();
});

test("the delegate accepts, and both see who decides", async () => {
  const delegate = await visitor(bea), somebody = await visitor(carl);
  await delegate.go(here);
  await delegate.reads("Who asks me to decide", "You would cast their vote in all ballots of the co-op");
  await delegate.press("Accept to decide for " + (await delegate.page.locator("article h3").first().innerText()));
  await delegate.reads("Whom I represent", "could override you");
  await somebody.go(`${here}/who`);
  await somebody.reads("Bea Miller decides for you, unless you vote yourself", "The way of the decision");
  await somebody.page.getByLabel("On the day").fill("2026-02-01");
  await somebody.press("Look");
  await somebody.reads("at the end of 1 February 2026", "Nobody decides for you");
  await somebody.go(here);
  await somebody.follow("What would change? Ending the delegation to Bea Miller");
  await somebody.reads("nobody but you", "changes");
  await Promise.all([delegate.context.close(), somebody.context.close()]);
});

test("consent is another question, and a delegate speaks for those who entrusted it", async () => {
  const somebody = await visitor(carl), delegate = await visitor(bea);
  await somebody.go(`${here}/new?question=consent`);
  await somebody.reads("They never lift a no of yours");
  await somebody.tick("the member named here");
  await somebody.fill("Name of the member, as others see it", "Bea Miller");
  await somebody.tick("these uses");
  await somebody.tick("training generative models");
  await somebody.press("Delegate");
  await delegate.go(here);
  await delegate.page.getByRole("button", { name: /^Accept/ }).click();
  await delegate.page.waitForLoadState("load");
  await delegate.follow("What I say as a delegate");
  await delegate.reads("For 1 member");
  await delegate.page.getByLabel("training generative models: no", { exact: true }).check();
  await delegate.press("Say this for those who delegate to me");
  await delegate.reads("those you speak for are told");
  await somebody.go(`${here}/who?question=consent&topic=train.gen`);
  await somebody.reads("It never lifts a no of yours");
  await somebody.go("/inbox");
  await Promise.all([delegate.context.close(), somebody.context.close()]);
});

test("a circle is warned of", async () => {
  const delegate = await visitor(bea);
  const name = (await carl.get(`/api/v1${coop}/members/me`)).body.member.display;
  await delegate.go(`${here}/new`);
  await delegate.tick("the member named here");
  await delegate.fill("Name of the member, as others see it", name);
  await delegate.tick("all ballots");
  await delegate.press("Delegate");
  assert.match(await delegate.page.locator("body").innerText(), /closes a circle/);
  await delegate.press(`Revoke the delegation to ${name}`);
  await delegate.context.close();
});

test("the report draws who decides for whom, with the numbers beside", async () => {
  const somebody = await visitor(ada);
  await somebody.go(`${here}/report`);
  await somebody.reads("Who decides for whom", "One person alone holds more than half", "Bea Miller");
  assert.equal(await somebody.page.locator("svg.chart.flow").count(), 1);
  assert.match(await somebody.page.locator("svg.chart.flow").getAttribute("aria-label"), /Bea Miller 2/);
  await somebody.context.close();
});

test("an admin says what the board should say", async () => {
  const somebody = await visitor(ada);
  await somebody.go(here);
  await somebody.follow("What the board says");
  await somebody.reads("1 of its 1 admins");
  await somebody.page.getByLabel("training generative models: no", { exact: true }).check();
  await somebody.press("Say that the board should say this");
  assert.match(await somebody.page.locator("body").innerText(), /the board has resolved/);
  assert.deepEqual(await sound(somebody, `${here}/board`), []);
  await somebody.reads("1 of 1 admins");
  await somebody.context.close();
});

test("every page of it is sound in light and dark and on a phone", async () => {
  const delegate = await visitor(bea), somebody = await visitor(carl), found = [];
  const id = (await carl.get(`/api/v1${coop}/delegations`)).body.items[0].id;
  for (const path of [here, `${here}?all=true`, `${here}/new`, `${here}/new?question=consent`, `${here}/who`, `${here}/${id}`, `${here}/report`, `${here}/report?question=consent`])
    found.push(...(await sound(somebody, path)));
  for (const path of [here, `${here}/speak`]) found.push(...(await sound(delegate, path)));
  assert.deepEqual([...found, ...somebody.complaints, ...delegate.complaints], []);
  await Promise.all([delegate.context.close(), somebody.context.close()]);
});

test("revoking on a phone takes effect at once", async () => {
  const somebody = await visitor(carl, { width: 390 });
  await somebody.go(here);
  const before = (await carl.get(`/api/v1${coop}/delegations/who`)).body;
  assert.equal(before.decider, beas);
  await somebody.page.getByRole("row", { name: /My vote/ }).getByRole("button", { name: /^Revoke/ }).click();
  await somebody.page.waitForLoadState("load");
  assert.match(await somebody.page.locator("body").innerText(), /It counts no more, for open ballots too/);
  assert.equal((await carl.get(`/api/v1${coop}/delegations/who`)).body.via, "none");
  await somebody.context.close();
});
