// Every page as each kind of visitor: no serious finding of axe in light and dark, nothing wider than a phone, no complaint of the browser, no link that leads nowhere, light to load,
// usable by keyboard alone.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { published } from "../api/published.mjs";
import { charter } from "../api/server.mjs";
import { launch, sit, focused } from "./chromium.mjs";
import { inspect, tabTo, pressed } from "./inspect.mjs";

let here, browser, pages;

before(async () => {
  [here, browser] = await Promise.all([published({ over: { bylaws: "# Bylaws\n\n1. We meet **monthly**.\n2. [Minutes](https://example.org) are public.", membership: { admission: "open" } } }), launch()]);
  const coop = `/api/v1/coops/${here.slug}`;
  await here.member.post(`${coop}/contributions`, { kind: "chat", lang: "de", content: { messages: [{ role: "user", content: "Schreib an nobody@example.org!" }, { role: "assistant", content: "Gern." }] } });
  const terms = (await here.outsider.get(`${coop}/access-terms`)).body;
  await here.outsider.post(`${coop}/access-requests`, { purpose: terms.may_ask_for[0], description: "A study of hay.", terms_sha256: terms.terms_sha256 });
  await here.admin.post("/api/v1/coops", { slug: "lowland", charter: { ...charter(), name: "Lowland", membership: { admission: "approval" } } });
  const income = (await here.admin.post(`${coop}/benefits`, { release: "latest", amount: "1000.01", currency: "CHF", source: "A laboratory" })).body.id;
  const items = (await here.member.get(`${coop}/contributions`)).body.items;
  const ballot = (await here.member.get(`${coop}/ballots`)).body.items[0].id;
  pages = pagesOf(`/coops/${here.slug}`, here.release.id, ballot, items, income);
});
after(async () => {
  await browser?.close();
  await here?.stop();
});

function pagesOf(coop, release, ballot, items, income) {
  const open = ["/", "/register", "/sign-in", "/sign-in/forgotten", coop, `${coop}/charter`, `${coop}/releases`, `${coop}/releases/${release}`, `${coop}/access`, `${coop}/access?release=${release}`, `${coop}/log`, `${coop}/benefits`, `${coop}/benefits/${income}`,
    `${coop}/deletions`, `${coop}/tombstones`, `${coop}/mirrors`, `${coop}/claim`,
    `/compare?coop=${here.slug}&coop=lowland`, "/compare"];
  const member = ["/", "/me", "/me/sign-in", "/inbox", "/me/notices", "/me/calendar", "/coops/new", coop, `${coop}/choices`, `${coop}/contributions`, ...items.map((i) => `${coop}/contributions/${i.id}`), `${coop}/contribute`,
    `${coop}/contribute?kind=chat`, `${coop}/contribute?kind=feedback`, `${coop}/delegations`, `${coop}/delegations/new`, `${coop}/delegations/who`, `${coop}/delegations/report`, `${coop}/members`, `${coop}/motions`, `${coop}/motions/new`, `${coop}/charter/amend`, `${coop}/controls`, `${coop}/ballots`, `${coop}/ballots/${ballot}`, `${coop}/benefits`, `${coop}/deletions`, `${coop}/deletions/new?item=${items[0].id}`, `${coop}/deletions/new?all=yes`,
    `${coop}/deletions/agents`, `${coop}/tombstones`, `${coop}/mirrors`, "/account/deletion", "/account/data", `/compare?coop=lowland&coop=${here.slug}`];
  const admin = [`${coop}/moderation`, `${coop}/deletions/queue`, `${coop}/members?state=all`, `${coop}/access/requests`, `${coop}/ballots/${ballot}`, `${coop}/benefits`, `${coop}/benefits/${income}`];
  return { anybody: { open, errors: [`${coop}/nothing`] }, member: { open: member, errors: [`${coop}/moderation`, `${coop}/deletions/queue`] }, admin: { open: admin, errors: [] }, outsider: { open: [coop, `${coop}/charter`, `${coop}/releases/${release}`, `${coop}/access`], errors: [`${coop}/ballots`] } };
}

async function visitor(who, options) {
  const somebody = await sit(browser, here, options);
  if (who !== "anybody") await somebody.signIn(here[who].email, here[who].password);
  return somebody;
}

for (const who of ["anybody", "outsider", "member", "admin"])
  test(`every page is sound for ${who}: axe in light and dark, a phone's width, no inline code, no dead link`, async () => {
    const somebody = await visitor(who), found = [], links = new Set();
    for (const path of [...pages[who].open, ...pages[who].errors]) await inspect(somebody, here, path, found, links);
    for (const href of links) {
      const answer = await somebody.context.request.fetch(href, { method: "GET", headers: { accept: "text/html" } });
      if (answer.status() >= 400) found.push(`${href} answers ${answer.status()}`);
    }
    assert.deepEqual([...found, ...somebody.complaints], []);
    await somebody.context.close();
  });

test("charters are chosen in the directory and read side by side, what differs marked", async () => {
  const somebody = await sit(browser, here), { page } = somebody;
  await somebody.go("/");
  await page.getByLabel("Compare Lowland").check();
  await page.locator(`input[name=coop][value=${here.slug}]`).check();
  await somebody.press("Compare charters side by side");
  const rows = page.locator("table.compare tbody tr");
  assert.deepEqual(await page.locator("table.compare thead th").allInnerTexts().then((t) => t.length), 3);
  const membership = rows.filter({ has: page.getByRole("rowheader", { name: "Membership", exact: false }) });
  assert.match(await membership.locator("mark").first().innerText(), /admin|join/i);
  assert.ok(await page.getByText("the same", { exact: true }).count() > 0, "what is agreed alike is said to be");
  await somebody.context.close();
});

test("the front page weighs less than 60 kB with all that belongs to it", async () => {
  const { context, page } = await sit(browser, here);
  const network = await context.newCDPSession(page);
  let bytes = 0;
  await network.send("Network.enable");
  network.on("Network.loadingFinished", (e) => { bytes += e.encodedDataLength; });
  await page.goto(`${here.server.url}/`, { waitUntil: "networkidle" });
  assert.ok(bytes > 1000 && bytes < 60_000, `${bytes} bytes`);
  await context.close();
});

test("the first Tab offers to skip to the content, and does", async () => {
  const { context, page } = await sit(browser, here);
  await page.goto(`${here.server.url}/coops/${here.slug}`);
  await page.keyboard.press("Tab");
  const skip = await focused(page);
  assert.equal(skip.label, "Skip to content");
  assert.ok(skip.onScreen);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.querySelector("main").contains(document.activeElement)));
  await context.close();
});

test("by keyboard alone somebody registers, joins, states choices and contributes", async () => {
  const somebody = await sit(browser, here, { reducedMotion: "reduce" }), { page } = somebody;
  await page.goto(`${here.server.url}/coops/${here.slug}`);
  await tabTo(page, "Register to join");
  await pressed(page);
  await tabTo(page, "Name");
  await page.keyboard.type("Kay Board");
  await tabTo(page, "E-mail address");
  await page.keyboard.type("kay@example.org");
  await tabTo(page, "Password");
  await page.keyboard.type("correct horse battery");
  await pressed(page);
  await tabTo(page, "Join");
  await pressed(page, "Space");
  assert.equal(somebody.at(), `/coops/${here.slug}/choices`);
  await tabTo(page, "research and development");
  await page.keyboard.press("Space");
  await tabTo(page, /co-op's default speaks for me/);
  await page.keyboard.press("ArrowDown");
  await tabTo(page, "Give my consent");
  await pressed(page);
  await somebody.reads("Your consent is noted");
  await tabTo(page, "training generative models: yes");
  await page.keyboard.press("Space");
  await tabTo(page, "Save my answers");
  await pressed(page);
  await somebody.reads("What you said is noted");
  await tabTo(page, "Overview");
  await pressed(page);
  await tabTo(page, "Contribute");
  await pressed(page);
  await tabTo(page, "Prompt or task");
  await page.keyboard.type("What is typed without a mouse?");
  await tabTo(page, "A good answer");
  await page.keyboard.type("All of it.");
  await tabTo(page, "Contribute");
  await pressed(page);
  await somebody.reads("Your contribution is in the pool");
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("a form that was sent twice in a hurry is sent once", async () => {
  const somebody = await visitor("member"), { page } = somebody;
  await page.goto(`${here.server.url}/coops/${here.slug}/contribute`);
  await page.getByLabel("Prompt or task").fill("Pressed twice?");
  let sent = 0;
  page.on("request", (r) => { sent += r.method() === "POST"; });
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.getByRole("button", { name: "Contribute" }).dblclick()]);
  assert.equal(sent, 1);
  await somebody.context.close();
});
