// Makes docs/release.png, the picture in README.md, from a running demo (make demo): the page of the latest release of its first co-op.
// node tools/screenshot.mjs [http://127.0.0.1:8080] [docs/release.png]; needs Chromium and the packages of tests/package.json (tests/node.sh puts them into build/node).
import { createRequire } from "node:module";
import { existsSync } from "node:fs";

const [base = "http://127.0.0.1:8080", file = "docs/release.png"] = process.argv.slice(2);
const { chromium } = createRequire(new URL("../build/node/", import.meta.url))("playwright-core");
const executablePath = process.env.COMMONHOLD_CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 1290 }, colorScheme: "light" });

await page.goto(`${base}/coops/pledari/releases`);
await page.locator("tbody tr", { hasText: "published" }).getByRole("link").first().click();
await page.locator("svg.chart").first().waitFor();
// Down to the end of the reasons: what follows is for those who download.
const end = await page.locator("svg.chart").last().boundingBox();
await page.screenshot({ path: file, fullPage: true, clip: { x: 0, y: 0, width: 1280, height: Math.ceil(end.y + end.height + 10) } });
await browser.close();
