// A release from nothing to a download, as people live through it: once with JavaScript switched off and once with it, side by side on one server whose clock is moved on between the
// steps by starting it again.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { start } from "../api/server.mjs";
import { until } from "../api/published.mjs";
import { launch, sit } from "./chromium.mjs";

const here = { dir: mkdtempSync(join(tmpdir(), "ch-")) };
const passes = [{ title: "without script", slug: "plain", script: false }, { title: "with script", slug: "lively", script: true }];
let browser;

async function at(clock) {
  await here.server?.stop();
  here.server = undefined;
  here.server = await start({ clock, dir: here.dir });
}

before(async () => {
  browser = await launch();
  await at("2026-01-10T09:00:00Z");
  for (const p of passes) {
    p.coop = `/coops/${p.slug}`;
    for (const who of ["founder", "joiner", "lab"]) {
      p[who] = await sit(browser, here, { script: p.script });
      p[who].email = `${who}-${p.slug}@example.org`;
    }
  }
});
after(async () => {
  await browser?.close();
  await here.server?.stop();
  rmSync(here.dir, { recursive: true, force: true });
});

function each(what, does) {
  for (const p of passes) test(`${what}, ${p.title}`, () => does(p));
}

each("somebody registers and founds a co-op", async ({ founder, slug, coop }) => {
  await founder.register("Ada Founder", founder.email, "/coops/new");
  assert.equal(founder.at(), "/coops/new");
  await founder.reads("Welcome. You are registered and signed in.");
  await founder.fill("Address", slug);
  await founder.fill("Name", `Voices of ${slug}`);
  await founder.fill("What its data is about", "language");
  await founder.fill("Region", "CH");
  await founder.fill("Languages", "en, rm");
  await founder.tick("training generative models");
  await founder.tick("research and development");
  await founder.tick("Not share by default", false);
  await founder.tick("One applies, and an admin decides.");
  await founder.open("Bylaws");
  await founder.fill("Fewest people in a release", "2");
  await founder.press("Found the co-op");
  assert.equal(founder.at(), coop);
  await founder.reads("The co-op is founded", "does not share by default", "Its languages are English and Romansh.", "contributions of at least 2 people");
});

each("a wrong address is said beside its field and nothing typed is lost", async ({ founder }) => {
  await founder.go("/coops/new");
  await founder.fill("Address", "No Such Slug!");
  await founder.fill("Name", "Kept");
  await founder.fill("What its data is about", "kept too");
  await founder.press("Found the co-op");
  assert.equal(await founder.page.getByLabel("Name", { exact: true }).inputValue(), "Kept");
  assert.equal(await founder.page.locator("#slug-error").count(), 1);
});

each("a second person asks to join and is admitted", async ({ founder, joiner, coop, slug }) => {
  await joiner.go(coop);
  assert.equal(await joiner.page.getByRole("link", { name: "Members" }).count(), 0, "what would not open is not offered");
  await joiner.follow("Register to join");
  await joiner.fill("Name", "Bert Joiner");
  await joiner.fill("E-mail address", joiner.email);
  await joiner.fill("Password", "correct horse battery");
  await joiner.press("Register");
  assert.equal(joiner.at(), coop);
  await joiner.press("Apply to join");
  await joiner.reads("You have applied");
  await founder.go(`${coop}/members`);
  await founder.reads("Bert Joiner");
  await founder.press("Admit");
  await founder.reads("Admitted.");
  await joiner.go("/");
  await joiner.reads(`Voices of ${slug}`, "active");
});

each("both state their choices", async ({ founder, joiner, coop }) => {
  for (const who of [founder, joiner]) {
    await who.go(`${coop}/choices`);
    await who.reads("You have not given consent yet");
    assert.equal(await who.page.locator("input:checked:not([name=attribution])").count(), 0, "nothing is ticked that was not said");
    await who.tick("research and development");
    await who.tick("nothing is decided, and my contributions stay out");
    await who.press("Give my consent");
    await who.reads(/Your consent of 10 January 2026 stands until/);
    await who.tick("training generative models: yes");
    await who.press("Save my answers");
    await who.reads("What you said is noted");
    assert.ok(await who.page.getByLabel("training generative models: yes", { exact: true }).isChecked());
  }
});

each("they contribute by form and by file", async ({ founder, joiner, coop, script }) => {
  await founder.go(coop);
  await founder.follow("Contribute");
  await founder.fill("Prompt or task", "Why do rivers meander?");
  await founder.fill("A good answer", "Because the outer bank of a bend erodes faster.");
  await founder.press("Contribute");
  await founder.reads("Your contribution is in the pool", "Example of 10 January 2026", "Why do rivers meander?");

  await joiner.go(`${coop}/contribute?kind=chat`);
  await joiner.page.getByLabel("You").first().fill("Write to me at nobody@example.org, please.");
  await joiner.page.getByLabel("Assistant").first().fill("I would rather not.");
  await joiner.press("Contribute");
  await joiner.reads("An admin looks at it before it can be released", "waits for an admin");

  const lines = ["What does the Inn carry in spring?", "Where does the Rhine begin?"].map((input) => JSON.stringify({ kind: "example", lang: "en", content: { input, output: "Snow, mostly." } }));
  await joiner.go(`${coop}/contribute`);
  await joiner.page.getByLabel("File", { exact: true }).setInputFiles({ name: "mine.jsonl", mimeType: "application/jsonlines", buffer: Buffer.from(`${lines.join("\n")}\nnot a line\n`) });
  if (script) {
    await joiner.page.getByRole("button", { name: "Import" }).click();
    await joiner.page.getByText(/2 taken, 0 wait for an admin/).waitFor();
  } else {
    await joiner.press("Import");
  }
  await joiner.reads(/2 taken, 0 wait for an admin, 0 were there already, 1 refused/, /Line 3/);
  await joiner.go(`${coop}/contributions`);
  assert.equal(await joiner.page.locator("tbody tr").count(), 3);
});

each("an admin moderates what was held", async ({ founder, joiner, coop }) => {
  await founder.go(`${coop}/moderation`);
  assert.equal(await founder.page.locator("mark").first().innerText(), "nobody@example.org");
  await founder.press("Reject");
  await founder.page.getByLabel("A word to the contributor").fill("An address stands in it.");
  await founder.press("Reject");
  await founder.reads("Rejected; the contributor reads your reason.", "Nothing waits for you.");
  await joiner.go(`${coop}/contributions`);
  await joiner.reads("rejected");
});

each("nobody but an admin may moderate", async ({ joiner, lab, coop }) => {
  await joiner.go(`${coop}/moderation`, 403);
  assert.ok(await joiner.page.getByRole("link", { name: "To the start page" }).count());
  await lab.go(`${coop}/moderation`);
  assert.equal(lab.at(), "/sign-in", "somebody unknown is asked to sign in");
});

test("the cut-off comes", () => at("2026-02-01T00:10:00Z"));

each("the frozen release shows what would be in it", async (p) => {
  await p.joiner.signIn(p.joiner.email);
  await until("the freeze", async () => {
    await p.joiner.go(`${p.coop}/releases`);
    const link = p.joiner.page.locator("tbody tr", { hasText: "in its notice" }).getByRole("link");
    return await link.count() && (p.release = await link.getAttribute("href"));
  });
  await p.joiner.go(p.release);
  await p.joiner.reads("Of 4 contributions, 3 would be in it.", "An admin rejected it");
  assert.equal(await p.joiner.page.locator("svg.chart").count(), 2);
  await p.joiner.follow("The vote on it");
  await p.joiner.reads("notice period", "Voting opens on 8 February 2026");
});

test("the vote opens", () => at("2026-02-08T00:30:00Z"));

each("an admin votes on the ballot's page and may change the vote", async (p) => {
  const { founder, coop } = p;
  await founder.signIn(founder.email);
  await until("the ballot to open", async () => {
    await founder.go(`${coop}/ballots`);
    return founder.page.getByText("your vote is awaited").count();
  });
  await founder.follow(/^Release of 1 February 2026/);
  await founder.reads("Shall the 3 contributions by 2 members", "The counts stay hidden until the ballot closes.");
  await founder.tick("Against");
  await founder.press("Vote");
  await founder.reads("Your vote was counted.");
  await founder.tick("For");
  await founder.press("Change my vote");
  assert.ok(await founder.page.getByLabel("For", { exact: true }).isChecked());
});

test("voting ends", () => at("2026-02-15T01:00:00Z"));

each("the ballot says how it went", async ({ founder, coop }) => {
  await until("the ballot to close", async () => {
    await founder.go(`${coop}/ballots`);
    return founder.page.getByText("passed", { exact: true }).count();
  });
  await founder.follow(/^Release of 1 February 2026/);
  await founder.reads("1 of 2");
});

test("cooling-off ends", () => at("2026-02-18T09:00:00Z"));

each("the published release shows its chart, reasons and files to anybody", async (p) => {
  const { lab, coop } = p;
  await until("publication", async () => {
    await lab.go(`${coop}/releases`);
    return lab.page.getByText("published", { exact: true }).count();
  });
  await lab.follow("1.0.0");
  await lab.reads("3 contributions by 2 members", "published on 18 February 2026", "Of 4 contributions, 3 are in it.", "minisign -V");
  assert.match(await lab.page.locator("svg.chart").first().getAttribute("aria-label"), /Released 3/);
  await lab.open("The same as a table");
  await lab.reads("An admin rejected it", "the co-op");
});

each("a member reads the decision on each contribution, in sentences", async ({ joiner, coop }) => {
  await joiner.signIn(joiner.email);
  await joiner.go(`${coop}/contributions`);
  await joiner.reads("Released", "Left out", "An admin rejected it");
  assert.doesNotMatch(await joiner.text(), /[A-Z]{3,}_[A-Z]/, "codes are not shown here");
  await joiner.follow(/^Conversation of/);
  await joiner.reads("An admin rejected it", "1.0.0", "Write to me at nobody@example.org");
});

each("a data user asks for access, is granted it and downloads", async (p) => {
  const { founder, lab, coop } = p;
  await lab.go(`${coop}/access`);
  assert.equal(await lab.page.getByRole("link", { name: "SHA256SUMS" }).count(), 0, "files are not offered to whoever may not have them");
  await lab.register("Lab", lab.email, `${coop}/access`);
  await lab.tick("scientific research");
  await lab.fill("In your own words", "How small languages fare in open models.");
  await lab.tick("I have read the terms and accept them.");
  await lab.press("Ask for access");
  await lab.reads("An admin of the co-op decides", "waits for a decision");

  await founder.signIn(founder.email);
  await founder.go(`${coop}/access`);
  await founder.follow("Requests and grants");
  await founder.reads("How small languages fare in open models.", "scientific research");
  await founder.press("Grant");
  await founder.reads("Access was granted.");

  await lab.go(`${coop}/access`);
  await lab.reads("in force");
  await lab.open("files");
  const save = async (name) => {
    const [download] = await Promise.all([lab.page.waitForEvent("download"), lab.page.getByRole("link", { name }).first().click()]);
    return readFileSync(await download.path());
  };
  assert.match((await save("SHA256SUMS")).toString(), /^[0-9a-f]{64}  /);
  assert.match(gunzipSync(await save(/^data\/example\//)).toString(), /meander|Inn|Rhine/);
  await lab.press("Make a token");
  await lab.reads("It is shown this once");
  assert.match(await lab.page.locator("#token").innerText(), /^ey.+\..+\..+$/);
});

each("the log tells it all without names", async ({ lab, coop }) => {
  await lab.go(`${coop}/log`);
  await lab.reads("A release was published", "Access was granted", "A vote was cast");
  assert.doesNotMatch(await lab.page.content(), /Bert|Ada Founder|meander/);
});

each("somebody leaves and is not shown as a member any more", async ({ joiner, coop }) => {
  await joiner.go(`${coop}/choices`);
  await joiner.open("Leave this co-op");
  await joiner.tick("I want to leave");
  await joiner.press("Leave");
  await joiner.reads("You have left");
  await joiner.go(`${coop}/members`, 403);
});

each("no browser complained about a page", ({ founder, joiner, lab }) => {
  assert.deepEqual([...founder.complaints, ...joiner.complaints, ...lab.complaints], []);
});
