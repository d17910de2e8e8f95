// Proposals as people make them: an amendment by the form, with the difference and what it would change; a pledge proposed, voted on, joined. Without script and by keyboard alone;
// each page without serious findings of axe, in light and dark, and no wider than a phone.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { published, until } from "../api/published.mjs";
import { launch, sit, focused } from "./chromium.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const coop = "/coops/alpine", api = "/api/v1/coops/alpine";
let here, browser, max, ada, pledge;

async function sitDown() {
  max = await sit(browser, here, { script: false });
  await max.signIn(here.member.email, here.member.password);
  ada = await sit(browser, here);
  await ada.signIn(here.admin.email, here.admin.password);
}

before(async () => {
  [here, browser] = await Promise.all([published({ over: { membership: { admission: "open" } } }), launch()]);
  await sitDown();
});
after(async () => {
  for (const who of [max, ada]) assert.deepEqual(who?.complaints ?? [], []);
  await browser?.close();
  await here?.stop();
});

// What people with and without eyes, and on a phone, would stumble over.
async function sound(path) {
  const { page } = ada;
  await ada.go(path);
  await page.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
  await page.evaluate(axe);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const serious = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ["violations"] })).violations
      .filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html).join(" | ")}`));
    assert.deepEqual(serious, [], `${path}, ${colorScheme}`);
  }
  await page.setViewportSize({ width: 390, height: 800 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth) <= 0, `${path} is wider than a phone`);
  await page.setViewportSize({ width: 1280, height: 900 });
}

test("somebody proposes an amendment by the form, without script, and is told what is wrong with it first", async () => {
  await max.go(`${coop}/motions`);
  await max.follow("Propose an amendment");
  const form = max.page;
  assert.equal(max.at(), `${coop}/charter/amend`);
  await max.fill("Why", "More may use it.");
  await max.press("Propose the amendment");
  await max.reads("This changes nothing: it is the charter as it stands.");
  await max.open("Releases");
  await form.getByLabel("Notice before voting", { exact: true }).fill("2");
  await max.press("Propose the amendment");
  await max.reads("seven days at least");
  assert.equal(await form.getByLabel("Notice before voting", { exact: true }).inputValue(), "2", "what was written is still there");
  assert.equal(await form.getByLabel("Why").inputValue(), "More may use it.");
  await form.getByLabel("Notice before voting", { exact: true }).fill("10");
  await form.getByRole("group", { name: "Purposes" }).locator("input[value=commercial]").check();
  await max.press("Propose the amendment");
  assert.match(max.at(), /\/motions\/[0-9a-f-]{36}$/);
  await max.reads("Your amendment is proposed", "More may use it.", "Notice before voting", "7 days", "10 days", "asks more of members");
});

test("its page shows what it would change, with a table behind each chart, and leads to the ballot and back", async () => {
  const path = max.at();
  await until("the comparison", async () => { await max.go(path); return /What it would change for the contributions/.test(await max.text()); });
  await max.reads("decided on under both charters", "By reason");
  assert.equal(await max.page.locator("svg.chart").count(), 2);
  assert.equal(await max.page.locator("svg.chart + details table").count(), 2);
  await max.follow("See the ballot");
  await max.reads("Why it was proposed", "More may use it.", "Notice before voting", "What it would change for the contributions");
  await max.follow(/What exactly is proposed/);
  assert.equal(max.at(), path);
  await max.press("Withdraw it");
  await max.reads("You have withdrawn it.", "withdrawn");
});

test("a pledge is proposed by keyboard alone", async () => {
  const { page } = ada;
  await ada.go(`${coop}/motions/new?kind=toggle&control=assurance`);
  await ada.reads("It cannot undo a licence that was granted");
  const reach = async (label) => {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press("Tab");
      const now = await focused(page);
      if (now && now.label.includes(label)) return assert.ok(now.seen, `the focus on ${label} is seen`);
    }
    assert.fail(`${label} is not reached by the keyboard`);
  };
  await page.locator("h1").click();
  await reach("Members who must join");
  await page.keyboard.type("2");
  await reach("Why");
  await page.keyboard.type("Together or not at all.");
  await reach("Propose it");
  const there = page.waitForNavigation({ waitUntil: "load" });
  await page.keyboard.press("Enter");
  await there;
  await ada.reads("It is proposed.", "stay sealed until 2 members have joined", "Together or not at all.");
  pledge = (await here.admin.get(`${api}/motions?kind=toggle`)).body.items[0];
});

test("once it passed, it is told wherever it bites, and joined", async () => {
  await here.at(new Date(Date.parse(pledge.opens_at) + 5000).toISOString());
  await until("the open ballot", async () => (await here.admin.get(`${api}/ballots/${pledge.ballot}`)).body.state === "open");
  for (const p of [here.admin, here.member]) assert.equal((await p.put(`${api}/ballots/${pledge.ballot}/vote`, { choice: "for" })).status, 200);
  await here.at(new Date(Date.parse(pledge.closes_at) + 5000).toISOString());
  await until("the control", async () => (await here.admin.get(`${api}/controls`)).body.items.length === 1);
  await max.page.context().close();
  await ada.page.context().close();
  await sitDown();
  for (const path of [coop, `${coop}/contribute`, `${coop}/releases`]) {
    await max.go(path);
    await max.reads("By a vote of the members", "Together or not at all.", "cannot undo a licence");
  }
  const receipt = await here.member.post(`${api}/contributions`, { kind: "example", lang: "en", content: { input: "Is this sealed?", output: "It is." } });
  await max.go(`${coop}/contributions/${receipt.body.id}`);
  await max.reads("stay sealed until 2 members have joined");
  await max.go(`${coop}/controls`);
  await max.reads("0 of 2 members");
  await max.press("Join the pledge");
  await max.reads("You have joined the pledge.", "1 of 2 members");
  await max.press("Take my pledge back");
  await max.reads("0 of 2 members");
});

test("the pages are sound for everybody", async () => {
  const motions = (await here.admin.get(`${api}/motions`)).body.items;
  const control = (await here.admin.get(`${api}/controls`)).body.items[0];
  const paths = [`${coop}/motions`, ...motions.map((m) => `${coop}/motions/${m.id}`), `${coop}/motions/new`, `${coop}/motions/new?kind=toggle`, `${coop}/motions/new?kind=admin`, `${coop}/motions/new?kind=benefit`,
    `${coop}/motions/new?kind=benefit&act=spend`, `${coop}/motions/new?kind=toggle&lift=${control.id}`, `${coop}/charter/amend`, `${coop}/controls`,
    ...["quality_freeze", "selective_embargo", "preference_shift", "rate_limit"].map((k) => `${coop}/motions/new?kind=toggle&control=${k}`)];
  for (const path of paths) await sound(path);
});

test("every control, an admin and a split can be proposed by their forms", async () => {
  const propose = async (path, act) => {
    await max.go(`${coop}/motions/new?${path}`);
    await act();
    await max.fill("Why", "To try it.");
    await max.press("Propose it");
  };
  const withdraw = async () => { await max.reads("It is proposed."); await max.press("Withdraw it"); };
  await propose("kind=toggle&control=selective_embargo", async () => {});
  await max.reads("Say whether releases pause");
  await propose("kind=toggle&control=selective_embargo", () => max.page.getByLabel(/Releases pause/).check());
  await withdraw();
  await propose("kind=toggle&control=preference_shift", () => max.page.getByLabel("training generative models").check());
  await withdraw();
  await propose("kind=toggle&control=rate_limit", () => max.fill("Contributions a month that may be released", "100"));
  await withdraw();
  await propose("kind=toggle&control=quality_freeze", () => max.page.getByLabel("It lifts by itself on").fill("2027-01-01"));
  await max.reads("It lifts on 1 January 2027");
  await max.press("Withdraw it");
  await propose("kind=admin", async () => { await max.page.getByLabel("Who").selectOption({ index: 1 }); });
  await withdraw();
  await propose("kind=benefit", async () => {
    await max.fill("Amount", "1000.50");
    await max.fill("Currency", "CHF");
    await max.fill("Who gave it", "A laboratory");
    await max.fill("Per cent for contributors", "80");
  });
  await max.reads("CHF 1,000.50");
  await withdraw();
});
