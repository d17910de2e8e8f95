// Forks that stand, on the pages of one instance: what came along is claimed by its person, the lineage is drawn with parent, forks and a later merge, and two accounts become one person by a code.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { charter, ok } from "../api/server.mjs";
import { World, until } from "../api/world.mjs";
import { again, env } from "../api/partners.mjs";
import { launch, sit } from "./chromium.mjs";
import { look } from "./inspect.mjs";

const start = "2026-01-10T09:00:00Z", exported = "2026-01-18T09:00:00Z", voting = "2026-01-25T09:30:00Z", closed = "2026-01-27T10:00:00Z";
const at = "/coops/elder-words", api = "/api/v1/coops/elder-words";
const found = [];
let world, browser, admin, member, ada, max, claim, parent;

async function sitDown() {
  for (const who of [ada, max]) await who?.context.close();
  ada = await sit(browser, world);
  await ada.signIn(admin.email, admin.password);
  max = await sit(browser, world);
  await max.signIn(member.email, member.password);
}
const offer = async (title) => ok(201, await member.post(`${api}/forks`, { title, place: world.url, reason: "We want to go on by ourselves.", closes_at: "2026-01-17T10:00:00Z" }));

// Founds what was offered, on the same instance.
function found_fork(id, slug) {
  const command = (...args) => world.server.command(["fork", ...args], exported);
  const request = join(world.dir, `${slug}.json`), out = join(world.dir, `${slug}.tar`);
  writeFileSync(request, command("request"));
  command("export", "--coop", "elder-words", "--offer", id, "--request", request, out);
  command("found", "--slug", slug, "--as", admin.email, "--parent", parent.key_name, out);
}

before(async () => {
  [world, browser] = await Promise.all([World.begin({ clock: start, env }), launch()]);
  admin = await world.person("Admin of elder words");
  member = await world.person("Member of elder words");
  ok(201, await admin.post("/api/v1/coops", { slug: "elder-words", charter: charter({ name: "Elder words" }) }));
  parent = ok(200, await admin.get(api));
  ok(201, await member.post(`${api}/members`));
  ok(200, await member.put(`${api}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
  ok(201, await member.post(`${api}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] }));
  for (const n of [1, 2]) ok(201, await member.post(`${api}/contributions`, { kind: "example", lang: "en", content: { input: `What is ${n}?`, output: "A number." } }));
  await sitDown();
});
after(async () => {
  const complaints = [...ada?.complaints ?? [], ...max?.complaints ?? []];
  await browser?.close();
  await world?.end();
  assert.deepEqual(complaints, []);
});

let young, younger;
test("a fork that is offered waits for each member, two clicks from the front page", async () => {
  young = await offer("Young words");
  younger = await offer("Younger words");
  await max.go("/");
  await max.reads("2 things wait for you");
  await max.follow("Elder words");
  await look(max.page, `${at}, with what waits`, found);
  await max.follow("2 forks are offered: say yes or no");
  await max.follow("Young words");
  await max.press("Yes, I go along");
  claim = await max.page.locator("#claim").innerText();
  await max.go("/");
  await max.reads("1 thing waits for you");
});

test("the parent's lineage shows both forks, and a fork's its parent, as pictures with the numbers beside", async () => {
  await world.at(exported);
  for (const [o, slug] of [[young, "young-words"], [younger, "younger-words"]]) {
    await until(() => admin.get(`${api}/forks/${o.id}`), (a) => a.body.state === "closed", "the end of the offer");
    found_fork(o.id, slug);
    ok(200, await admin.post(`${api}/forks/${o.id}/founded`, {}));
  }
  await sitDown();
  await ada.go(`${at}/lineage`);
  await ada.reads("Young words", "Younger words", "fork of it", "this co-op");
  assert.equal(await ada.page.locator("svg.chart circle").count(), 3);
  await look(ada.page, `${at}/lineage, two forks`, found);
  await ada.go("/coops/young-words/lineage");
  await ada.reads("Elder words", "parent", "this co-op", "forked on 18 January 2026");
  await look(ada.page, "/coops/young-words/lineage", found);
});

test("who came along claims their own in the fork, and nobody else does", async () => {
  const fork = "/coops/young-words";
  await max.go(fork);
  await max.press("Join");
  await max.go(`${fork}/forks`);
  await max.reads("Did you come along from Elder words?");
  await max.fill("Claim", claim.replace(/^./, (c) => (c === "b" ? "c" : "b")));
  await max.press("Claim what is mine");
  assert.ok((await max.page.locator("#claim-wrong, [role=alert]").first().innerText()).length > 10, "another claim is refused");
  await look(max.page, `${fork}/forks, refused`, found);
  await max.fill("Claim", claim);
  await max.press("Claim what is mine");
  assert.match(await max.page.locator("body").innerText(), /It is yours: 2 /);
  await max.reads("came here from there");
  await look(max.page, `${fork}/links`, found);
  await max.go(`${at}/links`);
  await max.reads("went along with a fork", "Young words");
  await look(max.page, `${at}/links`, found);
});

test("a later merge of parent and fork stands in the lineage of both", async () => {
  const fork = "/api/v1/coops/young-words";
  const there = ok(201, await admin.post(`${api}/peers`, { url: world.url, name: "young-words" }));
  ok(200, await admin.post(`${api}/peers/${there.id}/confirm`, { fingerprint: there.fingerprint }));
  const back = ok(200, await admin.get(`${fork}/peers`)).items.find((p) => p.name === parent.key_name);
  assert.equal(back.state, "confirmed", "a fork knows its parent from the start");
  const { sha256 } = ok(201, await admin.post(`${api}/agreements`, { peer: there.id, terms: { cadence: "P1D" } }));
  ok(200, await admin.post(`${api}/agreements/${sha256}/propose`));
  const state = (coop, wanted) => until(async () => { await again({ server: true, admin, coop }); return admin.get(`${coop}/agreements/${sha256}`); }, (a) => a.body?.state === wanted, `${coop}: ${wanted}`);
  await state(fork, "proposed");
  for (const coop of [api, fork]) ok(201, await admin.post(`${coop}/agreements/${sha256}/previews`));
  for (const coop of [api, fork]) await until(() => admin.get(`${coop}/agreements/${sha256}/dry-run`), (a) => a.status === 200, "the dry run");
  for (const coop of [api, fork]) ok(200, await admin.post(`${coop}/agreements/${sha256}/ballot`));
  await world.at(voting);
  for (const coop of [api, fork]) {
    const { ballot } = ok(200, await admin.get(`${coop}/agreements/${sha256}`));
    await until(() => admin.get(`${coop}/ballots/${ballot}`), (a) => a.body.state === "open", "the ballot");
    for (const who of [admin, member]) await who.put(`${coop}/ballots/${ballot}/vote`, { choice: "for" });
  }
  await world.at(closed);
  for (const coop of [api, fork]) await state(coop, "in_effect");
  await sitDown();
  await ada.go(`${at}/lineage`);
  await ada.reads("Whom it shares its pool with now", "Young words", "in effect", "shares its pool again");
  await look(ada.page, `${at}/lineage, two forks and a merge`, found);
});

test("a right code links two accounts of one person, by their pages", async () => {
  const partner = "/coops/younger-words";
  const there = ok(201, await admin.post(`${api}/peers`, { url: world.url, name: "younger-words" }));
  ok(200, await admin.post(`${api}/peers/${there.id}/confirm`, { fingerprint: there.fingerprint }));
  await max.go(partner);
  await max.press("Join");
  await max.go(`${at}/links`);
  await max.page.getByLabel("To be brought to").selectOption({ label: "Younger words" });
  await max.press("Give me a code");
  const code = await max.page.locator("#given-code").innerText();
  await max.go(`${partner}/links`);
  await max.page.getByLabel("It was given by").selectOption({ label: "Elder words" });
  await max.fill("The code", code);
  await max.press("Prove it");
  assert.equal(max.at(), `${partner}/links`);
  for (const path of [`${partner}/links`, `${at}/links`]) {
    await until(async () => { await again({ server: true, admin, coop: api }); await max.go(path); return max.text(); }, (text) => /\blinked\b/.test(text), `linked on ${path}`);
    await look(max.page, `${path}, linked`, found);
  }
});

test("nothing serious was found on any of these pages, at any width", () => assert.deepEqual(found, []));
