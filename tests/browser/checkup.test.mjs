// The annual checkup as people do it: "as before" in three interactions after signing in, line by line, by keyboard, without script, on a phone, in the dark.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { World } from "../api/world.mjs";
import { charter } from "../api/server.mjs";
import { launch, sit, focused } from "./chromium.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let world, browser, ada, bea, carl, dora;

before(async () => {
  [world, browser] = await Promise.all([World.begin({ clock: "2026-03-01T09:00:00Z" }), launch()]);
  [ada, bea, carl, dora] = await Promise.all(["Ada", "Bea", "Carl", "Dora"].map((name) => world.person(name)));
  for (const slug of ["alpine", "coast"]) {
    const draft = charter({ name: `${slug[0].toUpperCase()}${slug.slice(1)} co-op`, membership: { admission: "open" }, delegation: { scopes: ["coop", "topic", "target"], depth: 1 } });
    assert.equal((await ada.post("/api/v1/coops", { slug, charter: draft })).status, 201);
    const at = `/api/v1/coops/${slug}`;
    for (const who of [bea, carl, dora]) {
      assert.equal((await who.post(`${at}/members`)).status, 201);
      assert.equal((await who.put(`${at}/members/me/consent`, { purposes: ["research"], accept_defaults: true })).status, 200);
      assert.equal((await who.post(`${at}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] })).status, 201);
    }
    const delegate = (await ada.get(`${at}/members/me`)).body.member.id;
    const made = await bea.post(`${at}/delegations`, { question: "vote", scope: "coop", delegate });
    assert.equal(made.status, 201, made.text);
    assert.equal((await ada.post(`${at}/delegations/${(made.body.delegation ?? made.body).id}/accept`)).status, 200);
  }
  await world.at("2027-02-20T09:00:00Z");
});
after(async () => {
  await browser?.close();
  await world?.end();
});

const serious = (page) => page.evaluate(async () => {
  const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
  return violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.slice(0, 2).map((n) => n.html).join(" | ")}`);
});

// Light and dark, and no wider than a phone.
async function sound(somebody, path) {
  const { page } = somebody, found = [];
  await somebody.go(path);
  await page.evaluate(axe);
  await page.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
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
  for (let i = 0; i < 160; i++) {
    await page.keyboard.press("Tab");
    const f = await focused(page);
    if (!f) continue;
    assert.ok(f.seen, `the focus on ${f.tag} "${f.label}" is not visible`);
    if (wanted instanceof RegExp ? wanted.test(f.label) : f.label === wanted) return f;
  }
  throw new Error(`no way by keyboard to "${wanted}" on ${page.url()}`);
}
const pressed = (page, key = "Enter") => Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press(key)]);
const receipts = async (who, slug) => (await who.get(`/api/v1/coops/${slug}/members/me/receipts`)).body.items.length;

test("the pages stand in light and dark, on a phone, and nothing on them is ticked", async () => {
  const somebody = await sit(browser, world), { page } = somebody;
  await somebody.signIn(bea.email, bea.password);
  assert.deepEqual(await sound(somebody, "/checkup"), []);
  await somebody.reads("Alpine co-op", "Coast co-op", "You agree that your contributions are used for research", "votes for you on every ballot", "No ballot closed", "Released from your data", "Access granted to", "Earned");
  assert.deepEqual(await sound(somebody, "/coops/alpine/checkup"), []);
  assert.equal(await page.locator("main input:checked").count(), 0);
  assert.equal(await page.locator("main option:checked").evaluateAll((all) => all.filter((o) => o.value).length), 0);
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("as before takes at most three interactions after signing in, without script too", async () => {
  const somebody = await sit(browser, world, { script: false, width: 390 });
  await somebody.signIn(carl.email, carl.password);
  let interactions = 0;
  const act = async (does) => { await does(); interactions++; };
  await act(() => somebody.follow("Checkup", somebody.page.locator("header")));
  await somebody.reads("What you have said", "You say yes, for all your contributions");
  await act(() => somebody.press("As before in all 2 co-ops"));
  assert.ok(interactions <= 3);
  await somebody.reads("There is nothing to answer now", "Receipt");
  for (const slug of ["alpine", "coast"]) {
    assert.equal(await receipts(carl, slug), 1);
    assert.equal((await carl.get(`/api/v1/coops/${slug}/members/me`)).body.consent.state, "renewed");
  }
  await somebody.context.close();
});

test("by keyboard alone", async () => {
  const somebody = await sit(browser, world), { page } = somebody;
  await somebody.signIn(dora.email, dora.password);
  await tabTo(page, "Checkup");
  await pressed(page);
  await tabTo(page, "As before in Alpine co-op");
  await pressed(page);
  assert.match(somebody.at(), /^\/coops\/alpine\/receipts\//);
  await somebody.reads("Your checkup is done", "confirmed", "Alpine co-op");
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("line by line: what is left is named, what was picked stays, and the receipt tells it", async () => {
  const somebody = await sit(browser, world), { page } = somebody;
  await somebody.signIn(bea.email, bea.password);
  await somebody.go("/checkup");
  await somebody.follow("Answer line by line", page.locator("section", { hasText: "Alpine co-op" }).first());
  assert.equal(somebody.at(), "/coops/alpine/checkup");
  await page.locator('input[name="line.membership"][value="confirm"]').check();
  await page.locator('input[name="line.use.train.gen"][value="change"]').check();
  await somebody.press("Give these answers");
  await somebody.reads("Some lines are left");
  assert.equal(await page.locator("main fieldset .error").count(), 6); // all but membership; a change without its what counts as left
  assert.ok(await page.locator('input[name="line.membership"][value="confirm"]').isChecked());
  assert.deepEqual(await sound(somebody, "/coops/alpine/checkup"), []);
  for (const line of ["membership", "consent", "default", "licence", "attribution"]) await page.locator(`input[name="line.${line}"][value="confirm"]`).check();
  await page.locator('input[name="line.use.train.gen"][value="change"]').check();
  await page.locator('select[name="change.use.train.gen.effect"]').selectOption("credit");
  await page.locator('input[name^="line.delegation."][value="end"]').check();
  await somebody.press("Give these answers");
  assert.match(somebody.at(), /^\/coops\/alpine\/receipts\//);
  await somebody.reads("changed", "ended", "You say yes, if you are credited", "minisign -V");
  assert.deepEqual(await sound(somebody, somebody.at()), []);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Receipt as JSON" }).click()]);
  const document = JSON.parse(readFileSync(await download.path(), "utf8"));
  assert.equal(document.schema_version, "ISO/IEC TS 27560:2023");
  assert.equal((await bea.get("/api/v1/coops/alpine/delegations")).body.items.filter((d) => d.state === "standing").length, 0);
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("what changed since it was shown is shown anew", async () => {
  const somebody = await sit(browser, world);
  await somebody.signIn(bea.email, bea.password);
  await somebody.go("/coops/coast/checkup");
  assert.equal((await bea.put("/api/v1/coops/coast/members/me/licence", { licence: "CC0-1.0" })).status, 200);
  await somebody.press("As before: keep everything");
  await somebody.reads("Something changed since you were shown these lines", "New contributions of yours are under CC0-1.0");
  await somebody.press("As before: keep everything");
  assert.match(somebody.at(), /^\/coops\/coast\/receipts\//);
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("the next checkup can be moved to a season", async () => {
  const somebody = await sit(browser, world), { page } = somebody;
  await somebody.signIn(bea.email, bea.password);
  await somebody.go("/coops/alpine/checkup");
  await page.getByLabel("My checkup is due on").fill("2027-11-15");
  await somebody.press("Move it");
  await somebody.reads("15 November 2027");
  await page.getByLabel("My checkup is due on").fill("2028-11-15");
  await somebody.press("Move it");
  await somebody.reads("Choose a date before 2027-11-15");
  await somebody.context.close();
});

test("who was silent too long renews, and what rested is confirmed again", async () => {
  await world.at("2027-04-15T09:00:00Z");
  await world.at("2027-04-16T01:00:00Z");
  const somebody = await sit(browser, world);
  await somebody.signIn(dora.email, dora.password);
  await somebody.go("/checkup");
  await somebody.reads("Your membership has lapsed", "nothing was deleted", "rests");
  await somebody.press("As before in Coast co-op");
  await somebody.reads("Your checkup is done");
  assert.equal((await dora.get("/api/v1/coops/coast/members/me")).body.member.state, "active");
  await somebody.context.close();
});
