// Deletion as people go through it: choose, ask, watch it being carried to every copy, confirm as those who had copies, keep the signed statement and check it with stock tools. Without
// script, by keyboard, on a phone, in the dark.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { published, until } from "../api/published.mjs";
import { binary, ok } from "../api/server.mjs";
import { Signer } from "../api/signer.mjs";
import { launch, sit, focused } from "./chromium.mjs";
import { look, tabTo, pressed } from "./inspect.mjs";

let here, browser, folder, key, mirror;
const coop = "/coops/alpine", api = "/api/v1/coops/alpine";

const der = Buffer.from("302a300506032b6570032100", "hex"); // what stands before a raw Ed25519 key in SPKI
const encoded = (type, body) => Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${body.length} `), body]);
const now = "2026-02-11T09:30:00Z";

before(async () => {
  [here, browser] = await Promise.all([published(), launch()]);
  folder = mkdtempSync(join(tmpdir(), "ch-"));
  const terms = ok(200, await here.outsider.get(`${api}/access-terms`));
  const asked = ok(201, await here.outsider.post(`${api}/access-requests`, { purpose: terms.may_ask_for[0], description: "A study of hay.", organisation: "Lab Outside", terms_sha256: terms.terms_sha256 }));
  ok(200, await here.admin.post(`${api}/access-requests/${asked.id}/decision`, { decision: "grant" }));
  const files = ok(200, await here.outsider.get(`${api}/releases/1.0.0/files`)).items;
  assert.equal((await here.outsider.get(`${api}/releases/1.0.0/files/${files.find((f) => f.path.startsWith("data/")).path}`)).status, 200);
  key = new Signer();
  mirror = ok(201, await here.admin.post(`${api}/mirrors`, { name: "Archive of speech", kind: "pull", public_key: key.publicKey.toString("hex"), proof: key.proof("alpine", now) })).mirror.id;
  ok(200, await here.admin.put(`${api}/mirrors/${mirror}/holdings`, { releases: ["1.0.0"] }));
});
after(async () => {
  await browser?.close();
  await here?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

// Loads the page until it says so.
const comes = (somebody, path, sentence) => until(`"${sentence}" on ${path}`, async () => {
  await somebody.go(path);
  return (await somebody.text()).includes(sentence);
}, 90);

async function visitor(who, options) {
  const somebody = await sit(browser, here, options);
  if (who) await somebody.signIn(who.email, who.password);
  return somebody;
}

let request;

test("chosen by a checkbox and asked without script, it is out of the next release at once", async () => {
  const somebody = await visitor(here.member, { script: false, width: 390 }), { page } = somebody;
  await somebody.go(`${coop}/contributions`);
  assert.equal(await page.locator("main input:checked").count(), 0);
  await page.locator('input[name="item"]').first().check();
  const chosen = await page.locator('input[name="item"]').first().getAttribute("value");
  await somebody.press("Take out what is chosen");
  await somebody.reads("Take out one contribution", "What shall happen to it?", "You cannot get it back", "Trained models", "licence under which it was released is not taken back", "Backups made before today");
  assert.equal(await page.locator("main input:checked").count(), 0, "nothing is chosen for the person");
  await page.getByLabel("Erase it everywhere").check();
  await somebody.press("Yes, do this");
  request = somebody.at();
  assert.match(request, /^\/coops\/alpine\/deletions\/[0-9a-f-]{36}$/);
  await somebody.reads("Erase one contribution", "It counts from now on", "How far it is", "In force");
  const preview = await here.member.get(`${api}/contributions/${chosen}/decision`);
  assert.ok(preview.status === 410 || preview.status === 404 || preview.body.outcome === "exclude", preview.text);
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("it is purged and carried on by itself; the page says who has copies and who has to confirm", async () => {
  const somebody = await visitor(here.member), { page } = somebody, found = [];
  await comes(somebody, request, "carried to copies");
  await somebody.reads("Its content is gone from this server", "1.0.0", "withdrawn", "Archive of speech", "Lab Outside", "0 of 2 who must confirm have", "waiting", "What happens next", "The next receipt is due on");
  assert.equal(await page.locator("svg.flow").count(), 1);
  assert.match(await page.locator("svg.flow").getAttribute("aria-label"), /Archive of speech waiting/);
  await look(page, request, found);
  await somebody.go(`${coop}/deletions`);
  await somebody.reads("Erase one contribution", "carried to copies");
  await look(page, `${coop}/deletions`, found);
  await somebody.go(`${coop}/releases/1.0.0`);
  await somebody.reads("Withdrawn on 11 February 2026", "release 2.0.0 instead", "patch");
  await look(page, "the withdrawn release", found);
  await somebody.follow("release 2.0.0");
  await somebody.reads("without what was erased since");
  await somebody.go(`${coop}/contributions`);
  await somebody.reads("erased");
  assert.deepEqual([...found, ...somebody.complaints], []);
  await somebody.context.close();
});

test("a mirror's signed receipt, and a grantee's word on the page, confirm it", async () => {
  const somebody = await visitor(here.member);
  ok(201, await here.anyone().post(`${api}/mirrors/${mirror}/receipts`, key.receipt(mirror, { at: "2026-02-11T09:30:01Z", upto: 0, releases: ["2.0.0"], method: "patched" })));
  await somebody.go(request);
  await somebody.reads("1 of 2 who must confirm have", "The rows were taken out of their copy", "confirmed");
  const lab = await visitor(here.outsider, { script: false, width: 390 }), { page } = lab;
  await lab.go(`${coop}/mirrors`);
  await lab.reads("You have to confirm", "1.0.0");
  await page.getByLabel("I have deleted it from every copy that I have").check();
  await page.getByLabel("Models that were trained on it").fill("hay-2b");
  await lab.press("Confirm");
  await lab.reads("Your confirmation is on record");
  assert.equal(await page.getByText("You have to confirm").count(), 0);
  await comes(somebody, request, "Everybody who had to confirm has.");
  await somebody.reads("Their copy was deleted", "About models they say: hay-2b", "done");
  assert.deepEqual([...somebody.complaints, ...lab.complaints], []);
  await lab.context.close();
  await somebody.context.close();
});

test("the statement is downloaded, and openssl and node's crypto find the co-op's signature on it", async () => {
  const somebody = await visitor(here.member), { page } = somebody, found = [];
  await somebody.go(request);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Signed, as JSON" }).click()]);
  const text = readFileSync(await download.path());
  const envelope = JSON.parse(text), body = Buffer.from(envelope.payload, "base64"), said = JSON.parse(body);
  await somebody.follow("To print");
  await somebody.reads("Statement about a deletion", "Who had copies, and what they say", "Archive of speech", "What this does not claim", "Last backup that holds it expires");
  await look(page, "the printed statement", found);
  const hex = (await page.getByLabel("Public key").innerText()).trim();
  assert.match(hex, /^[0-9a-f]{64}$/);

  assert.equal(envelope.payloadType, "application/vnd.commonhold.erasure-statement+json");
  const coopKey = createPublicKey({ key: Buffer.concat([der, Buffer.from(hex, "hex")]), format: "der", type: "spki" });
  const signed = encoded(envelope.payloadType, body), signature = Buffer.from(envelope.signatures[0].sig, "base64");
  assert.ok(verify(null, signed, coopKey, signature));
  assert.equal(envelope.signatures[0].keyid, createHash("sha256").update(Buffer.from(hex, "hex")).digest("hex"));
  const at = (name) => join(folder, name);
  writeFileSync(at("key.pem"), coopKey.export({ format: "pem", type: "spki" }));
  writeFileSync(at("signed"), signed);
  writeFileSync(at("sig"), signature);
  assert.match(execFileSync("openssl", ["pkeyutl", "-verify", "-pubin", "-inkey", at("key.pem"), "-rawin", "-in", at("signed"), "-sigfile", at("sig")], { encoding: "utf8" }), /Verified Successfully/);

  assert.equal(said.request.id, request.split("/").pop());
  assert.equal(said.request.state, "completed");
  assert.equal(said.items.length, 1);
  assert.equal(said.items[0].tombstone, 0);
  assert.deepEqual(said.releases.map((r) => [r.version, r.state]), [["1.0.0", "withdrawn"]]);
  assert.equal(said.use_instead, "2.0.0");
  const archive = said.recipients.find((r) => r.name === "Archive of speech");
  assert.equal(archive.method, "patched");
  assert.match(archive.receipt_sha256, /^[0-9a-f]{64}$/);
  assert.ok(said.not_claimed.length >= 4 && said.backups.last_expires > said.request.purged);
  const feed = (await here.anyone().get(`${api}/tombstones`)).text.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(feed[0].rid, [said.items[0].rid]);

  writeFileSync(at("statement.json"), text);
  const checked = spawnSync(binary, ["statement", at("statement.json"), "--key", hex, "--json"], { encoding: "utf8" });
  const out = JSON.parse(checked.stdout || JSON.stringify(checked));
  assert.ok(checked.status === 0 && out.ok && out.pinned, checked.stdout + checked.stderr);
  writeFileSync(at("forged.json"), JSON.stringify({ ...envelope, payload: Buffer.from(body.toString().replace('"state":"completed"', '"state":"cancelled"')).toString("base64") }));
  const forged = spawnSync(binary, ["statement", at("forged.json"), "--key", hex], { encoding: "utf8" });
  assert.equal(forged.status, 1);
  assert.match(forged.stdout, /signature does not hold/);
  assert.deepEqual([...found, ...somebody.complaints], []);
  await somebody.context.close();
});

test("something better takes the place of a contribution, by keyboard", async () => {
  const somebody = await visitor(here.admin), { page } = somebody, found = [];
  await somebody.go(`${coop}/contributions`);
  await somebody.follow(/^Example of/);
  await tabTo(page, "Take this out");
  await pressed(page);
  await look(page, somebody.at(), found);
  await tabTo(page, /^Erase it everywhere/);
  for (let i = 0; i < 4 && !/^Put something better/.test((await focused(page)).label); i++) await page.keyboard.press("ArrowDown");
  assert.match((await focused(page)).label, /^Put something better/);
  await tabTo(page, "Output");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("In June, before it rains.");
  await tabTo(page, "Yes, do this");
  await pressed(page);
  await somebody.reads("Put something better in the place of one contribution", "the new one is in the pool");
  await somebody.follow("the new contribution");
  await somebody.reads("In June, before it rains.");
  assert.deepEqual([...found, ...somebody.complaints], []);
  await somebody.context.close();
});

test("the page follows what happens while it is open, without being loaded again", async () => {
  const somebody = await visitor(here.member), { page } = somebody;
  const item = ok(201, await here.member.post(`${api}/contributions`, { kind: "example", lang: "en", content: { input: "Who watches?", output: "The page." } }));
  await somebody.go(`${coop}/contributions/${item.id}`);
  await somebody.follow("Take this out");
  await page.getByLabel("Erase it everywhere").check();
  await somebody.press("Yes, do this");
  const head = await page.locator("head").innerHTML();
  let loads = 0;
  page.on("load", () => { loads++; });
  await page.getByText("Nobody outside the co-op has to confirm anything.").waitFor({ timeout: 60_000 });
  assert.equal(loads, 0);
  if (/carried|destroyed now/.test(head)) assert.match(head, /<noscript><meta http-equiv="refresh"/);
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("a day that is no day is told beside its field; an embargo is ended early", async () => {
  const somebody = await visitor(here.member, { script: false }), { page } = somebody;
  const item = ok(201, await here.member.post(`${api}/contributions`, { kind: "example", lang: "en", content: { input: "What is kept back?", output: "This." } }));
  await somebody.go(`${coop}/deletions/new?item=${item.id}`);
  await page.getByLabel("Keep it back until a day").check();
  await somebody.press("Yes, do this");
  await somebody.reads("Say until which day");
  assert.ok(await page.getByLabel("Keep it back until a day").isChecked(), "what was chosen stays");
  await page.getByLabel("If it is kept back: until which day?").fill("2026-08-01");
  await somebody.press("Yes, do this");
  await somebody.reads("Keep one contribution back until 1 August 2026");
  await somebody.press("Let it be released again");
  await somebody.reads("ended early");
  assert.deepEqual(somebody.complaints, []);
  await somebody.context.close();
});

test("somebody who is no member says that an item is about them; it is turned down with a reason, and taken to the members", async () => {
  const claimant = await visitor(null, { width: 390 }), { page } = claimant, found = [];
  const { rid } = ok(200, await here.member.get(`${api}/contributions`)).items.find((i) => i.status === "approved");
  await claimant.go(`${coop}/claim`);
  await look(page, `${coop}/claim`, found);
  await claimant.register("Cleo Claims", "cleo@example.org", encodeURIComponent(`${coop}/claim`));
  await claimant.go(`${coop}/claim`);
  await page.getByLabel("Which item").fill("nothing");
  await page.getByLabel("How is it about you?").fill("It has my name in it.");
  await claimant.press("Ask that it is taken out");
  await claimant.reads("This is no number of an item");
  await page.getByLabel("Which item").fill(rid);
  await claimant.press("Ask that it is taken out");
  await claimant.reads("waits for an admin", "held back from every release");
  const path = claimant.at();
  await look(page, path, found);

  const admin = await visitor(here.admin);
  await admin.go(`${coop}/deletions`);
  await admin.follow("Requests to look after");
  await admin.reads("wait for a decision", "somebody whom it is about", "11 March 2026");
  await look(admin.page, "the queue", found);
  await admin.follow("Erase one contribution", admin.page.locator("tr", { hasText: "somebody whom it is about" }));
  await admin.reads("It has my name in it.", "Somebody who is not its contributor");
  await look(admin.page, "the claim, for an admin", found);
  await admin.open("More time is needed");
  await admin.page.getByLabel("Reason, for the person who asked").last().fill("We have to ask the contributor.");
  await admin.press(/^Extend to/);
  await admin.reads("Extended. The person reads your reason", "11 May 2026");
  await admin.open("Turn it down");
  await admin.page.getByLabel("Ground").selectOption("no_match");
  await admin.page.getByLabel("Reason, for the person who asked").first().fill("It is about a river of that name.");
  await admin.press("Turn it down");
  await admin.reads("Turned down");

  await claimant.go(path);
  await claimant.reads("the item is not about the person", "It is about a river of that name.", "You can ask the members");
  await page.getByLabel("What should they know? Members read this.").fill("It gives my street, too.");
  await claimant.press("Appeal to the members");
  await claimant.reads("It was taken to a vote of the members");
  assert.deepEqual([...found, ...claimant.complaints, ...admin.complaints], []);
  await claimant.context.close();
  await admin.context.close();
});

test("an admin keeps the content of an item by law, with a reason, and lets it go again", async () => {
  const admin = await visitor(here.admin, { script: false }), { page } = admin;
  const { rid } = ok(201, await here.member.post(`${api}/contributions`, { kind: "example", lang: "en", content: { input: "What is kept?", output: "The evidence." } }));
  await admin.go(`${coop}/deletions/queue`);
  await admin.open("Keep the content of an item");
  await page.getByLabel("Which item").fill("nothing");
  await page.getByLabel("Reason, for admins and the person").fill("A court has asked for it.");
  await admin.press("Keep it");
  await admin.reads("This is no number of an item");
  await page.getByLabel("Which item").fill(rid);
  await admin.press("Keep it");
  await admin.reads("Its content is kept", rid, "legal claims", "A court has asked for it.");
  await admin.press(`End the hold on ${rid}`);
  await admin.reads("The hold has ended");
  assert.deepEqual(admin.complaints, []);
  await admin.context.close();
});

test("an agent is let, and asks; the member says yes", async () => {
  const somebody = await visitor(here.member), { page } = somebody, found = [];
  const agent = await visitor(here.outsider);
  await agent.go(`${coop}/deletions/agents`);
  const number = (await agent.page.locator("#own-number").innerText()).trim();
  await somebody.go(`${coop}/deletions/agents`);
  await page.getByLabel("Number of their account").fill(number);
  await page.getByLabel("erase", { exact: true }).check();
  await page.getByLabel("Until", { exact: true }).fill("2026-12-01");
  await somebody.press("Let them ask for me");
  await somebody.reads("They may ask for you from now on", "Lab Outside", "asks first, each time", "1 December 2026");
  await look(page, `${coop}/deletions/agents`, found);
  await somebody.press("End it for Lab Outside");
  await somebody.reads("It has ended");
  assert.deepEqual([...found, ...somebody.complaints, ...agent.complaints], []);
  await agent.context.close();
  await somebody.context.close();
});

test("everybody sees what was taken out and who keeps copies, and nothing of whose it was", async () => {
  const anybody = await visitor(null), { page } = anybody, found = [];
  await anybody.go(`${coop}/tombstones`);
  await anybody.reads("By month", "erased", "replaced", "For whoever holds a copy");
  assert.ok(await page.locator("svg.chart").count() >= 1);
  const text = await anybody.text();
  for (const person of [here.member, here.admin, here.outsider]) assert.ok(!text.includes(person.email) && !text.includes("Max Member"));
  await look(page, `${coop}/tombstones`, found);
  await anybody.go(`${coop}/mirrors`);
  await anybody.reads("Archive of speech", "Overdue", "Nobody is.");
  await look(page, `${coop}/mirrors`, found);
  await anybody.go(`${coop}/deletions`);
  await look(page, `${coop}/deletions`, found);
  assert.deepEqual([...found, ...anybody.complaints], []);
  await anybody.context.close();
});

test("a mirror is registered on the page with the proof of its key", async () => {
  const lab = await visitor(here.outsider, { script: false }), { page } = lab;
  const own = new Signer();
  await lab.go(`${coop}/mirrors`);
  await lab.fill("Name", "Lab's own copy");
  await lab.fill("Public key", own.publicKey.toString("hex"));
  await page.getByLabel("Proof that the key is yours").fill("{}");
  await lab.press("Register the mirror");
  assert.ok(await page.locator("main .error, main .notice.bad").count() > 0, "what is wrong is said");
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "Lab's own copy");
  await page.getByLabel("Proof that the key is yours").fill(JSON.stringify(own.proof("alpine", now)));
  await lab.press("Register the mirror");
  await lab.reads("The mirror is registered", "Lab's own copy");
  await lab.context.close();
});

test("somebody reads what is held about them and why, and takes it all with them", async () => {
  const somebody = await visitor(here.member), { page } = somebody, found = [];
  await somebody.go("/me");
  await somebody.follow("What is held about me");
  await somebody.reads("What is held, and why", "Goes with your account", "Delete my account");
  assert.ok(await page.locator("tbody tr").count() > 20);
  await look(page, "/account/data", found);
  await page.getByLabel("Your password").fill("not the password");
  await somebody.press("Download everything");
  assert.equal(await page.locator("main .notice.bad").count(), 1);
  await page.getByLabel("Your password").fill(here.member.password);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download everything" }).click()]);
  assert.match(download.suggestedFilename(), /^commonhold-archive-2026-02-11\.tar$/);
  const names = execFileSync("tar", ["tf", await download.path()], { encoding: "utf8" });
  assert.match(names, /archive\.json/);
  assert.deepEqual([...found, ...somebody.complaints], []);
  await somebody.context.close();
});

test("the whole account goes after its password, everything with it", async () => {
  const leaver = await here.newcomer("Lea Leaver"), found = [];
  ok(201, await leaver.post(`${api}/members`));
  ok(200, await leaver.put(`${api}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
  const mine = await leaver.post(`${api}/contributions`, { kind: "example", lang: "en", content: { input: "Who leaves?", output: "Lea." } });
  assert.ok(mine.status < 300, mine.text);
  const somebody = await visitor(leaver, { width: 390 }), { page } = somebody;
  await somebody.go("/me");
  await somebody.follow("Delete my account");
  await somebody.reads("Alpine Voices", "1 contribution", "cannot be undone", "Trained models");
  await look(page, "/account/deletion", found);
  page.on("dialog", (d) => d.accept());
  await page.getByLabel("Your password").fill("not the password");
  await page.getByLabel("I have understood that this cannot be undone.").check();
  await somebody.press("Delete my account and everything in it");
  await somebody.reads(/wrong|right/i);
  await page.getByLabel("Your password").fill(leaver.password);
  await page.getByLabel("I have understood that this cannot be undone.").check();
  await somebody.press("Delete my account and everything in it");
  await until("the account to go", async () => (await leaver.get("/api/v1/me")).status === 401);
  const again = await here.anyone().post("/api/v1/sessions", { email: leaver.email, password: leaver.password });
  assert.equal(again.status, 401);
  assert.deepEqual([...found, ...somebody.complaints], []);
  await somebody.context.close();
});
