// Signing in as people do it: a mailed link, a forgotten password, a second factor, another provider; by keyboard, on a phone, in the dark, without scripts.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { start, freePort } from "../api/server.mjs";
import { Mailbox } from "../api/mailbox.mjs";
import { Provider } from "../api/oidc.mjs";
import { totp } from "../api/totp.mjs";
import { launch, sit } from "./chromium.mjs";
import { look, tabTo, pressed } from "./inspect.mjs";

let here, mails, provider, browser;
const phone = { width: 390, colorScheme: "dark" };
const password = "correct horse battery";

before(async () => {
  const port = await freePort();
  mails = await Mailbox.begin();
  provider = await Provider.begin({ redirect: `http://127.0.0.1:${port}/sign-in/oidc/callback`, kind: "EdDSA" });
  [here, browser] = [{ server: await start({ port, env: { ...mails.env, ...provider.env } }) }, await launch()];
});
after(async () => {
  await browser?.close();
  const how = await here?.server.stop();
  await Promise.all([provider?.stop(), mails?.end()]);
  assert.equal(how?.code, 0, here?.server.log());
});

const linkOf = async (email) => `/sign-in/link?secret=${await mails.link(email)}`;
const reason = (page) => page.locator("[data-reason]").getAttribute("data-reason");
// Registers, confirms the address, and signs out.
async function known(name, options) {
  const somebody = await sit(browser, here, options), email = `${name}@example.org`;
  await somebody.register(name, email);
  await somebody.go(await linkOf(email));
  await somebody.press("Confirm");
  await somebody.reads("You sign in as");
  return Object.assign(somebody, { email });
}
async function signOut(somebody) {
  await somebody.press("Sign out", somebody.page.locator("header"));
}
const sound = async (somebody, label) => {
  const found = [];
  await look(somebody.page, label, found);
  await somebody.page.setViewportSize({ width: 390, height: 900 });
  assert.deepEqual([...found, ...somebody.complaints.filter((c) => c.startsWith(here.server.url))], []); // what the provider's pages lack is not ours
};

test("a mailed link signs in: without a script, on a phone, in the dark, by keyboard alone", async () => {
  const ada = await known("ada", { ...phone, script: false }), { page } = ada;
  await signOut(ada);
  await ada.go("/sign-in");
  const field = (name) => page.locator(`input[name=${name}]`).getAttribute("autocomplete");
  assert.deepEqual([await field("email"), await field("password")], ["username", "current-password"]);
  await page.getByLabel("E-mail address").focus();
  await page.keyboard.type(ada.email);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await pressed(page);
  await ada.reads("Look in your mail", ada.email);
  const link = await linkOf(ada.email);
  await ada.go(link);
  await ada.go(link); // looking uses nothing up
  await page.getByRole("button", { name: "Sign in" }).focus();
  await pressed(page);
  assert.equal(await page.locator("header").getByRole("button", { name: "Sign out" }).count(), 1);
  await ada.go("/me");
  await ada.reads("by a mailed link");
  await ada.go(link, 410);
  assert.equal(await reason(page), "link_used");
  await ada.context.close();
});

test("a link that is opened in another browser asks which address it went to", async () => {
  const bea = await known("bea"), other = await sit(browser, here, phone);
  await signOut(bea);
  await bea.go("/sign-in");
  await bea.fill("E-mail address", bea.email);
  await bea.press("Mail me a link");
  const link = await linkOf(bea.email);
  await other.go(link);
  await other.reads("This link was asked for in another browser");
  assert.doesNotMatch(await other.text(), /bea@example/);
  await sound(other, "a link in another browser");
  await other.fill("The address that the mail went to", "eve@example.org");
  await other.press("Sign in", other.page.locator("main"));
  assert.equal(await reason(other.page), "link_wrong_address");
  await other.fill("The address that the mail went to", bea.email);
  await other.press("Sign in", other.page.locator("main"));
  assert.equal(await other.page.locator("header").getByRole("button", { name: "Sign out" }).count(), 1);
  await Promise.all([bea.context.close(), other.context.close()]);
});

test("a forgotten password is set anew, and other browsers are signed out", async () => {
  const carl = await known("carl"), other = await sit(browser, here, phone);
  await other.go("/sign-in");
  await other.follow("I have forgotten my password");
  await sound(other, "forgotten");
  await other.fill("E-mail address", carl.email);
  await other.press("Mail me a link");
  await sound(other, "look in your mail");
  await other.go(await linkOf(carl.email));
  await sound(other, "a link for a new password");
  assert.equal(await other.page.locator("input[name=password]").getAttribute("autocomplete"), "new-password");
  await other.fill("New password", "another good one");
  await other.press("Set it and sign in");
  await carl.go("/me");
  assert.equal(carl.at(), "/sign-in");
  await carl.signIn(carl.email, password);
  assert.equal(await reason(carl.page), "bad_credentials");
  await carl.signIn(carl.email, "another good one");
  assert.equal(carl.at(), "/");
  await Promise.all([carl.context.close(), other.context.close()]);
});

test("a second factor is set up with a QR code or its text, asked for, and switched off", async () => {
  const dora = await known("dora", phone), { page } = dora;
  await dora.go("/me/sign-in");
  await sound(dora, "how I sign in");
  await tabTo(page, "Your password");
  await page.keyboard.type(password);
  await pressed(page);
  assert.equal(dora.at(), "/me/sign-in/factor");
  await sound(dora, "a second factor");
  const box = await page.locator("svg.qr").boundingBox();
  assert.ok(box.width >= 150 && box.width <= 390, `${box.width}`);
  const secret = await page.locator("#secret").innerText();
  const code = page.locator("input[name=code]");
  assert.deepEqual([await code.getAttribute("autocomplete"), await code.getAttribute("inputmode")], ["one-time-code", "numeric"]);
  await tabTo(page, "The code that the app shows now");
  await page.keyboard.type("000 000");
  await pressed(page);
  assert.equal(await reason(page), "factor_wrong");
  await code.fill(totp(secret));
  await dora.press("Switch it on");
  await sound(dora, "recovery codes");
  const codes = await page.locator("#codes code").allInnerTexts();
  assert.equal(new Set(codes).size, 10);
  await signOut(dora);
  await dora.signIn(dora.email, password);
  assert.equal(dora.at(), "/sign-in/code");
  await sound(dora, "second step");
  assert.equal(await page.locator("input[name=code]").getAttribute("autocomplete"), "one-time-code");
  await dora.go("/me");
  assert.equal(dora.at(), "/sign-in", "half a sign-in opens nothing");
  await dora.go("/sign-in/code");
  await dora.fill("Code", codes[0]);
  await dora.press("Go on");
  await dora.go("/me");
  await dora.reads("with the second factor");
  await dora.go("/me/sign-in");
  await dora.reads("You have 9 recovery codes left");
  await sound(dora, "how I sign in, with a second factor");
  await dora.fill("Code, or a recovery code", codes[0]);
  await dora.press("Switch it off");
  assert.equal(await reason(page), "recovery_used");
  await dora.fill("Code, or a recovery code", codes[1]);
  await dora.press("Switch it off");
  await dora.reads("Your second factor is off");
  await mails.next(dora.email, (m) => /switched off/.test(m.text));
  await dora.context.close();
});

test("another provider signs in, and is parted from", async () => {
  const eve = await sit(browser, here, phone), { page } = eve;
  const signInThere = async (name) => {
    await page.locator("input[name=login]").fill(name);
    await page.locator("input[name=password]").fill("x");
    await Promise.all([page.waitForNavigation(), page.locator("button[type=submit]").click()]);
    if (page.url().startsWith(provider.issuer)) await Promise.all([page.waitForURL(`${here.server.url}/**`), page.locator("button[type=submit]").click()]);
  };
  await eve.go("/sign-in");
  await eve.page.setViewportSize({ width: 390, height: 900 });
  await eve.follow("Sign in with Example ID");
  await signInThere("eve");
  await eve.go("/me/sign-in");
  await eve.reads("You sign in there as eve@example.org");
  await sound(eve, "how I sign in, with another provider");
  await eve.press("Part from Example ID");
  await eve.reads("The two are parted");
  await eve.press("Join with Example ID");
  await sound(eve, "one more step");
  await eve.follow("Go to Example ID");
  if (page.url().startsWith(provider.issuer)) await Promise.all([page.waitForURL(`${here.server.url}/**`), page.locator("button[type=submit]").click()]);
  await eve.reads("Your account is joined with that identity");
  await eve.context.close();
});

test("sessions are seen and ended, one, all others, all", async () => {
  const fay = await known("fay"), second = await sit(browser, here), third = await sit(browser, here, phone);
  await second.signIn(fay.email);
  await third.signIn(fay.email);
  await third.go("/me");
  await third.press("Sign out all others");
  await third.reads("Your other browsers are signed out");
  for (const other of [fay, second]) {
    await other.go("/me");
    assert.equal(other.at(), "/sign-in");
  }
  await second.signIn(fay.email);
  await third.go("/me");
  await third.press("Sign out everywhere");
  assert.equal(third.at(), "/sign-in");
  await second.go("/me");
  assert.equal(second.at(), "/sign-in");
  await Promise.all([fay, second, third].map((s) => s.context.close()));
});
