// What every page is held against, whoever looks: axe in light and dark, a phone's width, no inline code, less motion where that is asked for; and the way by keyboard.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { focused } from "./chromium.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const serious = (page) => page.evaluate(async () => {
  const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
  return violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html).join(" | ")}`);
});

// For people who want to look for themselves: with COMMONHOLD_SHOTS, a folder, every page that a test looks at is kept as pictures, wide and narrow, light and dark.
async function keep(page, path) {
  const folder = process.env.COMMONHOLD_SHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  const name = path.replace(/[0-9a-f-]{32,}/g, "id").replace(/[^a-z0-9]+/gi, "_");
  for (const width of [390, 1280])
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize({ width, height: 900 });
      await page.screenshot({ path: join(folder, `${name}.${width}.${colorScheme}.png`), fullPage: true });
    }
}

// Looks at the page as it stands, and adds what is wrong to `found`. Axe needs a browser with script.
export async function look(page, path, found) {
  const note = (what) => found.push(`${path}: ${what}`);
  await page.evaluate(() => document.querySelectorAll("details:not([open])").forEach((d) => { d.open = d.dataset.wasClosed = true; }));
  await page.evaluate(axe);
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  (await serious(page)).forEach((v) => note(`light, ${v}`));
  await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
  (await serious(page)).forEach((v) => note(`dark, ${v}`));
  const moving = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll("*")].filter((e) => {
    const s = getComputedStyle(e);
    return s.scrollBehavior === "smooth" || s.transitionDuration.split(", ").some((d) => d !== "0s") || s.animationName !== "none";
  }).length);
  if (moving) note(`${moving} elements move although less motion is asked for`);
  await page.setViewportSize({ width: 390, height: 800 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) note(`${wide} pixels wider than a phone`);
  await page.setViewportSize({ width: 1280, height: 900 });
  const inline = await page.evaluate(() => document.querySelectorAll("[style], style, script:not([src]), [onclick], [onload]").length);
  if (inline) note(`${inline} inline scripts or styles`);
  if (/\b(opt(ed)?[- ](in|out)|undefined|null|NaN)\b|\{\{|\}\}/i.test(await page.evaluate(() => {
    const main = document.querySelector("main").cloneNode(true);
    main.querySelectorAll("code").forEach((c) => c.remove());
    return main.textContent;
  }))) note("words that do not belong on a page");
  await page.evaluate(() => document.querySelectorAll("details[data-was-closed]").forEach((d) => { d.open = false; }));
  await keep(page, path);
}

// Opens a page and looks at it; where it is sound, its links are added to `links`.
export async function inspect(somebody, here, path, found, links) {
  const { page } = somebody;
  const answer = await page.goto(here.server.url + path, { waitUntil: "load" });
  await look(page, path, found);
  if (answer.status() === 200)
    for (const href of await page.evaluate(() => [...document.querySelectorAll("a[href]")].map((a) => a.href))) if (href.startsWith(here.server.url)) links.add(href.split("#")[0]);
}

// Tabs on until something is called so; on the way everything that has the focus must be seen to have it.
export async function tabTo(page, wanted, { back = false } = {}) {
  for (let i = 0; i < 120; i++) {
    await page.keyboard.press(back ? "Shift+Tab" : "Tab");
    const f = await focused(page);
    if (!f) continue;
    assert.ok(f.seen, `the focus on ${f.tag} "${f.label}" is not visible (${page.url()})`);
    assert.ok(f.onScreen, `${f.tag} "${f.label}" has the focus outside the window (${page.url()})`);
    if (wanted instanceof RegExp ? wanted.test(f.label) : f.label === wanted) return f;
  }
  throw new Error(`no way by keyboard to "${wanted}" on ${page.url()}`);
}
export async function pressed(page, key = "Enter") {
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press(key)]);
}
