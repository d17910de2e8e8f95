// Chromium as people use it: pages that complain about nothing, fields found by their labels, forms sent by their buttons.
import { chromium } from "playwright-core";
import { existsSync } from "node:fs";
import assert from "node:assert/strict";

const executablePath = process.env.COMMONHOLD_CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);

export const launch = () => chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// Somebody at a browser of their own, who wants no motion: a page that scrolls smoothly while nobody looks is never still. `script: false` switches JavaScript off. What the browser complains about (scripts, styles, policy) is kept in `complaints`.
export async function sit(browser, here, { script = true, width = 1280, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, javaScriptEnabled: script, acceptDownloads: true, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(90000); // a busy machine takes its time
  const somebody = { context, page, complaints: [] };
  page.on("console", (m) => { if (m.type() === "error" && !/status of 4\d\d/.test(m.text())) somebody.complaints.push(`${page.url()}: ${m.text()}`); });
  page.on("pageerror", (e) => somebody.complaints.push(`${page.url()}: ${e}`));

  somebody.go = async (path, status = 200) => {
    const answer = await page.goto(here.server.url + path, { waitUntil: "load" });
    assert.equal(answer.status(), status, `${path} answered ${answer.status()}: ${await page.locator("main").innerText().catch(() => "")}`);
    return answer;
  };
  somebody.at = () => new URL(page.url()).pathname;
  somebody.text = () => page.locator("main").innerText();
  somebody.fill = (label, value) => page.getByLabel(label, { exact: true }).fill(value);
  somebody.tick = (label, exact = true) => page.getByLabel(label, { exact }).check();
  somebody.open = (summary) => page.locator("summary", { hasText: summary }).click();
  // Presses a button or follows a link, and waits for the page it leads to.
  somebody.press = async (name, within = page) => {
    const there = page.waitForNavigation({ waitUntil: "load" });
    await within.getByRole("button", { name, exact: true }).first().click();
    await there;
  };
  somebody.follow = async (name, within = page.locator("main")) => {
    const there = page.waitForNavigation({ waitUntil: "load" });
    await within.getByRole("link", { name, exact: typeof name === "string" }).first().click();
    await there;
  };
  somebody.reads = async (...sentences) => {
    const text = await somebody.text();
    for (const s of sentences)
      assert.match(text, s instanceof RegExp ? s : new RegExp(s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")), `on ${page.url()}`);
  };
  somebody.register = async (name, email, next) => {
    await somebody.go(next ? `/register?next=${next}` : "/register");
    await somebody.fill("Name", name);
    await somebody.fill("E-mail address", email);
    await somebody.fill("Password", "correct horse battery");
    await somebody.press("Register");
  };
  somebody.signIn = async (email, password = "correct horse battery") => {
    await somebody.go("/sign-in");
    await somebody.fill("E-mail address", email);
    await somebody.fill("Password", password);
    await somebody.press("Sign in", page.locator("main"));
  };
  return somebody;
}

// What has the focus, how it is called, and whether one sees that it has it.
export const focused = (page) => page.evaluate(() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const outlined = (x) => { const s = getComputedStyle(x); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2; };
  let seen = false;
  for (let x = e; x && !seen; x = x.parentElement) seen = outlined(x);
  const box = e.getBoundingClientRect();
  const label = e.labels?.[0]?.innerText ?? e.getAttribute("aria-label") ?? e.innerText ?? "";
  return { tag: e.localName, type: e.type ?? "", name: e.name ?? "", label: label.trim(), seen, onScreen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth };
});
