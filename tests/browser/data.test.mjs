// My data, as a person at a browser: what is kept, a copy of it, and bringing that copy somewhere else.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { charter, person, start } from "../api/server.mjs";
import { untar, rows } from "../api/tar.mjs";
import { launch, sit } from "./chromium.mjs";
import { look, tabTo } from "./inspect.mjs";

let here, browser, ada, somebody, file;

before(async () => {
  const [server, chromium] = await Promise.all([start({ clock: "2026-05-01T10:00:00Z" }), launch()]);
  here = { server };
  browser = chromium;
  ada = await person(server, "Ada");
  assert.equal((await ada.post("/api/v1/coops", { slug: "alpine", charter: charter({ name: "Alpine Voices" }) })).status, 201);
  assert.equal((await ada.post("/api/v1/coops", { slug: "valley", charter: charter({ name: "Valley Words" }) })).status, 201);
  assert.equal((await ada.post("/api/v1/coops/alpine/contributions", { kind: "example", content: { input: "Mountain?", output: "Valley." } })).status, 201);
  assert.equal((await ada.post("/api/v1/coops/alpine/statements", { statements: [{ uses: ["eval"], effect: "deny" }] })).status, 201);
});
after(async () => {
  await browser?.close();
  await here?.server.stop();
});

test("the page is sound, and found from one's account", async () => {
  somebody = await sit(browser, here, { script: false });
  await somebody.signIn(ada.email, ada.password);
  await somebody.go("/me");
  await somebody.follow("What is held about me");
  assert.equal(somebody.at(), "/account/data");
  await somebody.reads("Alpine Voices: 1 contribution reaches the end of their time within a year, the first on 1 May 2027", "Goes with your account");
  const scripted = await sit(browser, here);
  await scripted.signIn(ada.email, ada.password);
  const found = [];
  await scripted.go("/account/data");
  await look(scripted.page, "/account/data", found);
  assert.deepEqual([...found, ...scripted.complaints], []);
  await scripted.go("/account/data");
  await tabTo(scripted.page, "Download everything");
});

test("a wrong password gets nothing, the right one gets the file", async () => {
  await somebody.fill("Your password", "not my password");
  await somebody.press("Download everything");
  await somebody.reads("The password is wrong.");
  await somebody.fill("Your password", ada.password);
  const arriving = somebody.page.waitForEvent("download");
  await somebody.page.getByRole("button", { name: "Download everything" }).click();
  const download = await arriving;
  assert.match(download.suggestedFilename(), /^commonhold-archive-2026-05-01\.tar$/);
  file = await download.path();
  const files = untar(readFileSync(file));
  assert.equal(rows(files.get("account.jsonl"))[0].email, ada.email);
});

test("it is brought into another co-op, with what it denies", async () => {
  await somebody.go("/account/data");
  await somebody.page.getByLabel("Into which co-op").selectOption("valley");
  await somebody.page.getByLabel("Archive", { exact: true }).setInputFiles({ name: "mine.tar", mimeType: "application/x-tar", buffer: readFileSync(file) });
  await somebody.press("Bring it");
  await somebody.reads("Contributions in it: 1. New here: 1, here already: 0, not taken: 0.", "What you had denied there is denied here as well.", "You said no to");
  await somebody.page.getByLabel("Archive", { exact: true }).setInputFiles({ name: "mine.tar", mimeType: "application/x-tar", buffer: Buffer.from("nothing of the kind") });
  await somebody.press("Bring it");
  await somebody.reads("The archive is cut off.");
  assert.deepEqual(somebody.complaints, []);
});
