// Conflicts, lineage, forks, and one's own in other co-ops, on their pages: what an admin decides, what a member says for themselves, and what anybody may see. Once with script, and where something is taken back, without.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { charter, ok } from "../api/server.mjs";
import { World } from "../api/world.mjs";
import { launch, sit } from "./chromium.mjs";
import { look } from "./inspect.mjs";

const start = "2026-01-10T09:00:00Z";
const at = "/coops/elder-words", other = "/coops/other-words", api = "/api/v1/coops/elder-words";
const found = [];
let world, browser, admin, member, ada, max, plain;

const fingerprint = (slug) => /fingerprint\s+(.*)/.exec(world.server.command(["key", "show", "--coop", slug]))[1];

async function sitDown() {
  ada = await sit(browser, world);
  await ada.signIn(admin.email, admin.password);
  max = await sit(browser, world);
  await max.signIn(member.email, member.password);
  plain = await sit(browser, world, { script: false });
  await plain.signIn(member.email, member.password);
}

before(async () => {
  [world, browser] = await Promise.all([World.begin({ clock: start, env: { COMMONHOLD_ALLOW_PRIVATE: "yes" } }), launch()]);
  admin = await world.person("Admin of elder words");
  member = await world.person("Member of elder words");
  for (const [slug, name] of [["elder-words", "Elder words"], ["other-words", "Other words"]]) {
    ok(201, await admin.post("/api/v1/coops", { slug, charter: charter({ name }) }));
    ok(201, await member.post(`/api/v1/coops/${slug}/members`));
    ok(200, await member.put(`/api/v1/coops/${slug}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
  }
  for (const n of [1, 2])
    ok(201, await member.post(`${api}/contributions`, { kind: "example", lang: "en", content: { input: `What is ${n}?`, output: "A number." } }));
  for (const [here, there] of [["elder-words", "other-words"], ["other-words", "elder-words"]]) {
    const met = ok(201, await admin.post(`/api/v1/coops/${here}/peers`, { url: world.url, name: there }));
    ok(200, await admin.post(`/api/v1/coops/${here}/peers/${met.id}/confirm`, { fingerprint: fingerprint(there) }));
  }
  await sitDown();
});
after(async () => {
  const complaints = [...ada?.complaints ?? [], ...max?.complaints ?? [], ...plain?.complaints ?? []];
  await browser?.close();
  await world?.end();
  assert.deepEqual(complaints, []);
});

test("where nothing waits, the page of conflicts says so", async () => {
  await ada.go(`${at}/peers`);
  await ada.follow("Conflicts");
  await ada.reads("Nothing waits.", "Near duplicates", "The texts were not compared yet.");
  await look(ada.page, `${at}/conflicts`, found);
  await max.go(`${at}/conflicts`, 403);
});

test("anybody sees the lineage as a picture and as a table", async () => {
  const guest = await sit(browser, world, { script: false });
  await guest.go(at);
  await guest.follow("Where it comes from, and its forks");
  await guest.reads("Lineage", "It was founded by itself, and no fork of it stands.", "this co-op", "founded on 10 January 2026");
  assert.equal(await guest.page.locator("svg.chart").count(), 1);
  assert.equal(await guest.page.getByText("Whom it shares its pool with now").count(), 0, "agreements are for members");
  await guest.context.close();
  await max.go(`${at}/lineage`);
  await look(max.page, `${at}/lineage`, found);
  await max.reads("No agreement with another co-op is in effect.");
});

test("a member offers a fork; faults stand beside their fields; each says yes or no for themselves; the claim is shown once", async () => {
  await max.go(`${at}/forks`);
  await max.reads("No fork was offered.");
  await max.fill("What is it to be called?", "Young words");
  await max.fill("Where is it to live?", "not an address");
  await max.fill("Why, and what will be different?", "We want shorter embargoes.");
  await max.fill("For how many days are members asked?", "3");
  await max.press("Offer it to the members");
  assert.match(await max.page.locator("#days-wrong").innerText(), /at least 7 days/);
  assert.equal(await max.page.getByLabel("What is it to be called?").inputValue(), "Young words");
  await max.fill("For how many days are members asked?", "14");
  await max.press("Offer it to the members");
  assert.match(await max.page.locator("#place-wrong").innerText(), /address/);
  await look(max.page, `${at}/forks, refused`, found);
  await max.fill("Where is it to live?", "https://young.example.org");
  await max.press("Offer it to the members");
  await max.reads("What goes along", "nothing, which counts as no", "2 items", "members are asked");
  const offer = max.at();
  await look(max.page, offer, found);
  await max.press("Yes, I go along");
  const claim = await max.page.locator("#claim").innerText();
  assert.match(claim, /^\w{4}(-\w{4}){5}$/);
  await look(max.page, `${offer}, with the claim`, found);
  await max.go(offer);
  assert.equal(await max.page.locator("#claim").count(), 0, "it is shown once");
  await max.reads("So far you said yes.");
  await max.press("No, mine stays here");
  await max.reads("Nothing of yours goes along.", "So far you said no.");
  await ada.go(offer);
  await ada.reads("nothing, which counts as no");
  await plain.go(offer);
  await plain.press("Take the offer back");
  await plain.reads("taken back");
  await max.go(`${at}/forks`);
  await max.reads("Young words");
  await look(max.page, `${at}/forks`, found);
});

test("which co-op holds what of mine; a code is given here, brought there, and the link ended", async () => {
  await max.go(`${at}/links`);
  await max.reads("contributed here", "No account elsewhere was proved to be yours.");
  assert.equal(await max.page.locator("svg.chart").count(), 1);
  await max.page.getByLabel("To be brought to").selectOption({ label: "Other words" });
  await max.press("Give me a code");
  const code = await max.page.locator("#given-code").innerText();
  assert.match(code, /^\w{4}(-\w{4}){5}$/);
  await max.reads("code is out");
  await look(max.page, `${at}/links`, found);
  await max.page.getByLabel("The code").fill("not a code");
  await max.press("Prove it");
  assert.ok((await max.page.locator("#code-wrong").innerText()).length > 10);
  await plain.go(`${at}/links`);
  assert.equal(await plain.page.locator("#given-code").count(), 0, "it is shown once");
  await plain.press("End it: the link with Other words");
  await plain.reads("It is ended, here and there.", "You ended it.");
  await plain.go(`${other}/links`);
  await plain.reads("My accounts elsewhere");
});

test("nothing serious was found on any of these pages, at any width", () => assert.deepEqual(found, []));
