// Being told: the inbox, the choice of how, the calendar's address and the way out of a mail, on a phone and by keyboard alone.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Mailbox } from "../api/mailbox.mjs";
import { World, until } from "../api/world.mjs";
import { launch, sit, focused } from "./chromium.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let box, world, browser, ada, here;

before(async () => {
  box = await Mailbox.begin();
  [world, browser] = await Promise.all([
    World.begin({ clock: "2026-03-02T09:00:00Z", env: box.env }), launch()]);
  ada = await world.person("Ada");
  here = { server: world.server };
});
after(async () => {
  await browser?.close();
  await world?.end();
  await box?.end();
});

const tell = (title, { mail = "none" } = {}) => world.sql(`WITH n AS (INSERT INTO notice (account_id, id, kind, topic, data, essential, mail, at)
    VALUES ('${ada.account}', gen_random_uuid(), 'ballot.opened', 'ballots', '{"text":"Vote until Friday.","title":"${title}","url":"/me"}', false, '${mail}', '2026-03-02T09:00:00Z') RETURNING id),
  m AS (INSERT INTO mail (id, kind, account_id, notice_id, due, queued_at) SELECT gen_random_uuid(), 'ballot.opened', '${ada.account}', id, '2026-03-02T09:00:00Z', '2026-03-02T09:00:00Z' FROM n WHERE '${mail}' = 'now')
  INSERT INTO job (id, kind, args, state, due, queued_at) VALUES (gen_random_uuid(), 'notify.send', '{}', 'waiting', '2026-03-02T09:00:00Z', '2026-03-02T09:00:00Z')`);

const phone = () => sit(browser, here, { width: 390 });
async function sound({ page }) {
  await page.evaluate(axe);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const found = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ["violations"] })).violations
      .filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`));
    assert.deepEqual(found, [], `${page.url()} in ${colorScheme}`);
  }
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${page.url()} fits a phone`);
}
// Tabs on until something is called so; it must be seen to have the focus.
async function tabTo(page, label) {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    const f = await focused(page);
    if (f?.label.startsWith(label)) {
      assert.ok(f.seen, `the focus on "${label}" is visible`);
      return f;
    }
  }
  throw new Error(`no way by keyboard to "${label}" on ${page.url()}`);
}
const enter = (page) => Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press("Enter")]);

test("an inbox is read, one by one and all at once", async () => {
  ["First", "Second", "Third"].forEach((title) => tell(title));
  const somebody = await phone(), { page } = somebody;
  await somebody.signIn(ada.email, ada.password);
  await somebody.go("/inbox");
  const { unread } = (await ada.get("/api/v1/me/notices")).body; // signing in may have been told too
  assert.ok(unread >= 3);
  await somebody.reads("First", "Second", "Third", `Unread (${unread})`);
  await sound(somebody);
  await somebody.press("Mark as read: Second");
  await somebody.follow(`Unread (${unread - 1})`);
  assert.equal(await page.getByRole("heading", { name: "Second" }).count(), 0);
  await somebody.press("Mark all as read");
  assert.equal(await page.getByText("New", { exact: true }).count(), 0);
  await somebody.follow("First");
  assert.equal(somebody.at(), "/me");
  await somebody.context.close();
});

test("how one is told is chosen by keyboard alone", async () => {
  const somebody = await phone(), { page } = somebody;
  await somebody.signIn(ada.email, ada.password);
  await somebody.go("/me/notices");
  await sound(somebody);
  await tabTo(page, "Ballots, charters");
  await page.keyboard.press("ArrowDown");
  await tabTo(page, "Save");
  await enter(page);
  assert.equal(await page.getByLabel("Ballots, charters and collective controls").inputValue(), "daily");
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("a mail's way out works without signing in, and asks first", async () => {
  tell("Mailed", { mail: "now" });
  const mail = await until(() => box.to(ada.email).find((m) => m.subject === "Mailed"), (m) => m !== undefined, "the mail");
  const somebody = await phone();
  await somebody.go(new URL(mail.headers.get("list").unsubscribe.url).pathname);
  await somebody.reads("Ballots, charters and collective controls");
  await sound(somebody);
  await tabTo(somebody.page, "Stop this mail");
  await enter(somebody.page);
  await somebody.reads("You get no more mail about: Ballots, charters and collective controls");
  await sound(somebody);
  assert.equal((await ada.get("/api/v1/me/notice-settings")).body.topics.find((t) => t.topic === "ballots").how, "inbox");
  await somebody.context.close();
});

test("an address that refuses mail is shown with what the server said, and can be tried again", async () => {
  box.answers[ada.email] = [550, "5.1.1 No such user here"];
  tell("Refused", { mail: "now" });
  await until(() => ada.get("/api/v1/me/notice-settings"), (a) => a.body.trouble !== null, "the refusal");
  const somebody = await phone();
  await somebody.signIn(ada.email, ada.password);
  await somebody.go("/me/notices");
  await somebody.reads("was refused once", "5.1.1 No such user here");
  await sound(somebody);
  await somebody.press("My address works: try again");
  assert.ok(!(await somebody.text()).includes("was refused once"));
  await somebody.context.close();
});

test("the address of one's calendar is shown once, and ended", async () => {
  const somebody = await phone(), { page } = somebody;
  await somebody.signIn(ada.email, ada.password);
  await somebody.go("/me/calendar");
  await somebody.press("Make an address");
  const address = await page.locator("#address").innerText();
  assert.match(address, /\/api\/v1\/calendars\/ch_calendar_.*\.ics$/);
  await sound(somebody);
  assert.equal((await fetch(address)).status, 200);
  await somebody.go("/me/calendar");
  assert.equal(await page.locator("#address").count(), 0);
  await somebody.press("End the address");
  assert.equal((await fetch(address)).status, 404);
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("where no mail is sent the pages say so", async () => {
  world.env = {};
  await world.at("2026-03-02T10:00:00Z");
  here.server = world.server;
  const somebody = await phone();
  await somebody.signIn(ada.email, ada.password);
  await somebody.go("/inbox");
  await somebody.reads("This server sends no mail");
  await somebody.go("/me/notices");
  await somebody.reads("This server sends no mail at present");
  await sound(somebody);
  await somebody.context.close();
});
