// A ballot's page as its people see it: the rule in words, who decides for whom, a vote of one's own instead, votes for those one represents, the board, and how it went; on a
// phone, in light and dark, by keyboard alone.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { charter, ok } from "../api/server.mjs";
import { World, until } from "../api/world.mjs";
import { launch, sit, focused } from "./chromium.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const api = "/api/v1/coops/hill";
const ids = {};
let world, browser, here, ada, bea, carl, dora, page;

before(async () => {
  [world, browser] = await Promise.all([World.begin({ clock: "2026-01-10T09:00:00Z" }), launch()]);
  here = { get server() { return world.server; } };
  [ada, bea, carl, dora] = await Promise.all(["Ada", "Bea", "Carl", "Dora"].map((name) => world.person(name)));
  const cadence = { rrule: "FREQ=MONTHLY;BYMONTHDAY=1", start: "2026-01-01T06:00:00Z", lead: "P1D", notice: "P7D", voting: "P10D", cooling_off: "P1D" };
  ok(201, await ada.post("/api/v1/coops", { slug: "hill", charter: charter({ name: "Hill", gate: { rule: "majority", roll: "members" }, cadence }) }));
  for (const p of [bea, carl, dora]) ok(201, await p.post(`${api}/members`));
  for (const [name, p] of Object.entries({ ada, bea, carl, dora })) ids[name] = ok(200, await p.get(`${api}/members/me`)).member.id;
  ok(200, await bea.put(`${api}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
  ok(201, await bea.post(`${api}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] }));
  ok(201, await bea.post(`${api}/contributions`, { kind: "example", lang: "en", content: { input: "When is hay cut?", output: "In June." } }));
  for (const p of [carl, dora]) {
    const { delegation } = ok(201, await p.post(`${api}/delegations`, { question: "vote", scope: "coop", delegate: ids.bea }));
    ok(200, await bea.post(`${api}/delegations/${delegation.id}/accept`));
  }
  await until(() => ada.get(`${api}/releases`), (a) => a.body.items.length > 0, "the first release");
  await world.at("2026-02-01T06:00:05Z");
  const ballot = (await until(() => ada.get(`${api}/ballots`), (a) => a.body.items.length > 0, "the ballot")).body.items[0].id;
  page = `/coops/hill/ballots/${ballot}`;
  await world.at("2026-02-08T06:00:05Z");
  await until(() => ada.get(`${api}/ballots/${ballot}`), (a) => a.body.state === "open", "the open ballot");
});
after(async () => {
  await browser?.close();
  await world?.end();
});

async function reader(who, options = {}) {
  const somebody = await sit(browser, here, options);
  await somebody.signIn(who.email, who.password);
  await somebody.go(page);
  return somebody;
}

async function sound({ page: at }) {
  await at.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
  await at.evaluate(axe);
  for (const colorScheme of ["light", "dark"]) {
    await at.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const found = await at.evaluate(async () => (await window.axe.run(document, { resultTypes: ["violations"] })).violations
      .filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`));
    assert.deepEqual(found, [], `${at.url()} in ${colorScheme}`);
  }
  await at.setViewportSize({ width: 390, height: 800 });
  assert.ok(await at.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${at.url()} fits a phone`);
}

test("one reads the rule in words, the roll, and who would decide for one", async () => {
  const somebody = await reader(dora);
  await somebody.reads("more members vote for it than against it", "4 members, of these 1 admin", "Your voice was with", "who has not decided yet", "Counts and choices are hidden until the end.");
  await sound(somebody);
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("a delegate votes, and otherwise for one of those whom they represent, on a phone", async () => {
  const somebody = await reader(bea, { width: 390 });
  await somebody.tick("For");
  await somebody.press("Vote");
  await somebody.reads("Your vote was counted.", "Your own vote counts: for.", "Whom you represent", "as for yourself");
  const rows = somebody.page.locator("section[aria-labelledby=represented] tbody tr");
  assert.equal(await rows.count(), 2);
  await somebody.press("Against, on their behalf");
  await somebody.reads("Mark the people for whom you want to vote.");
  await rows.first().getByRole("checkbox").check();
  await somebody.press("Against, on their behalf");
  await somebody.reads("You voted for 1 person.");
  assert.match(await rows.first().innerText(), /against/);
  await somebody.open("Every version of my vote");
  await somebody.reads(/by me, for (?!myself)/);
  await sound(somebody);
  await somebody.context.close();
});

test("who is represented sees that, and takes the vote back to themselves in one step, by keyboard alone", async () => {
  const somebody = await reader(dora), { page: at } = somebody;
  await somebody.reads("would decide for you", "the choice is hidden until the end", "You may decide yourself instead");
  for (let i = 0; ; i++) {
    assert.ok(i < 60, "a way by keyboard");
    await at.keyboard.press("Tab");
    const f = await focused(at);
    if (f?.label !== "Vote against it myself") continue;
    assert.ok(f.seen && f.onScreen);
    break;
  }
  await Promise.all([at.waitForNavigation({ waitUntil: "load" }), at.keyboard.press("Enter")]);
  await somebody.reads("Your vote was counted.", "Your own vote counts: against.");
  await somebody.press("Take my vote back");
  await somebody.reads("Your vote was taken back.", "would decide for you");
  await somebody.press("Vote against it myself");
  await somebody.context.close();
  const delegate = await reader(bea);
  await delegate.reads("voted in person");
  await delegate.context.close();
});

test("an admin says what the board should resolve, and everybody sees who speaks for it", async () => {
  const somebody = await reader(ada, { script: false });
  await somebody.reads("The board has not resolved anything.", "more than half of the admins say: 1 of 1");
  await somebody.press("Board: for");
  await somebody.reads("What you say the board should resolve was noted.", "The board has resolved: for.", "You say: for.");
  await somebody.context.close();
  const member = await reader(carl);
  await member.reads("The board has resolved: for.");
  assert.equal(await member.page.getByRole("button", { name: "Board: for" }).count(), 0);
  await member.context.close();
});

test("when it is over, everybody reads how it went, by whom, and what became of their own voice", async () => {
  await world.at("2026-02-19T06:00:05Z");
  await until(() => ada.get(`${api}/ballots`), (a) => ["passed", "failed"].includes(a.body.items[0].state), "the end");
  const outcome = ok(200, await ada.get(`${api}/ballots`)).items[0];
  assert.equal(outcome.members.roll, outcome.members.for + outcome.members.against + outcome.members.abstain + outcome.members.undecided);
  const somebody = await reader(carl);
  await somebody.reads("What became of your voice", "decided for you", "Who decided", "By a delegate", "Proof of the count");
  assert.equal(await somebody.page.locator("svg.chart").count(), 2);
  assert.equal(await somebody.page.locator("table").count() >= 2, true, "a table behind each chart");
  await sound(somebody);
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("the list says what each ballot is about and by which rule", async () => {
  const somebody = await sit(browser, here, { width: 390 });
  await somebody.signIn(carl.email, carl.password);
  await somebody.go("/coops/hill/ballots");
  await somebody.reads("It passes when more members vote for it than against it.");
  await sound(somebody);
  await somebody.context.close();
});
