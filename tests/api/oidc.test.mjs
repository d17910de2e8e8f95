// Signing in with another provider: against a real one, and against one that cheats.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { createPrivateKey, createSign } from "node:crypto";
import { binary, start, freePort, person } from "./server.mjs";
import { Provider, signingKey } from "./oidc.mjs";
import { Jar } from "./jar.mjs";
import { Mailbox } from "./mailbox.mjs";
import { totp } from "./totp.mjs";

let server, provider, mails, port;
const callback = "/sign-in/oidc/callback";
const back = (url) => url.includes(callback);

before(async () => {
  [port, mails] = [await freePort(), await Mailbox.begin()];
  provider = await Provider.begin({ redirect: `http://127.0.0.1:${port}${callback}` });
  server = await start({ port, env: { ...provider.env, ...mails.env } });
});
after(async () => {
  const how = await server?.stop();
  await provider?.stop();
  await mails?.end();
  assert.equal(how?.code, 0, server?.log());
});

const browser = () => new Jar(server.url);

// Signs in at the provider as somebody, and lets it tell us; the answer is the one that leads back to us, not followed.
async function there(jar, name, { from = "/sign-in/provider?next=%2Fme" } = {}) {
  let page = await jar.open(from, { until: back });
  if (page.location) return page.location;
  assert.match(page.url, new RegExp(`^${provider.issuer}/interaction/`), `${page.url} ${page.text.slice(0, 300)}`);
  if (/name="login"/.test(page.text)) page = await jar.send(new URL(page.text.match(/<form[^>]*action="([^"]*)"/)[1], page.url).pathname, { prompt: "login", login: name, password: "x" }, { until: back });
  if (page.location) return page.location;
  page = await jar.send(new URL(page.text.match(/<form[^>]*action="([^"]*)"/)[1], page.url).pathname, { prompt: "consent" }, { until: back });
  return page.location;
}

async function proved(email, name = "Somebody") {
  const made = await person(server, name);
  server.command(["account", "verify", made.email]);
  return made;
}
async function byPassword(who) {
  const jar = browser();
  await jar.open("/sign-in");
  await jar.send("/sign-in", { email: who.email, password: who.password });
  assert.ok(jar.signedIn);
  return jar;
}

test("somebody new gets an account with a proved address, and the same one the next time", async () => {
  const jar = browser();
  const answer = await jar.open(await there(jar, "ada"));
  assert.equal(new URL(answer.url).pathname, "/me");
  assert.ok(jar.signedIn);
  assert.match(answer.text, /ada@example\.org/);
  assert.doesNotMatch(answer.text, /not confirmed yet/);
  const again = browser();
  const page = await again.open(await there(again, "ada"));
  assert.ok(again.signedIn);
  assert.match(page.text, /by another provider/);
  const sent = new URL((await browser().ask("GET", "/sign-in/provider")).location);
  assert.equal(sent.searchParams.get("code_challenge_method"), "S256");
  assert.ok(sent.searchParams.get("state").length >= 43 && sent.searchParams.get("nonce").length >= 43 && sent.searchParams.get("code_challenge").length === 43);
});

test("a callback works once, in the browser that went, with the state that it was given", async () => {
  const jar = browser();
  const url = await there(jar, "bea");
  assert.equal((await browser().open(url)).reason, "oidc_other_browser");
  const thief = browser();
  await thief.ask("GET", "/sign-in/provider");
  assert.equal((await thief.open(url)).reason, "oidc_other_browser"); // with a sign-in of its own under way, too
  const forged = new URL(url);
  forged.searchParams.set("state", "x".repeat(43));
  assert.equal((await jar.open(forged.href)).reason, "oidc_state_unknown");
  forged.searchParams.delete("state");
  assert.equal((await jar.open(forged.href)).reason, "oidc_state_unknown");
  assert.ok(!jar.signedIn);
  await jar.open(url); // what others tried has not used it up
  assert.ok(jar.signedIn);
  const replayed = await jar.open(url);
  assert.deepEqual([replayed.status, replayed.reason], [410, "oidc_replayed"]);
});

test("an answer of another issuer, and one without a code, is refused", async () => {
  for (const [change, reason] of [[(q) => q.set("iss", "https://op.example"), "oidc_issuer"], [(q) => q.delete("iss"), "oidc_issuer"], [(q) => q.delete("code"), "oidc_refused"], [(q) => q.set("code", "made-up"), "oidc_refused"], [(q) => q.set("error", "server_error"), "oidc_refused"]]) {
    const jar = browser(), url = new URL(await there(jar, "bea"));
    change(url.searchParams);
    assert.equal((await jar.open(url.href)).reason, reason, String(change));
    assert.ok(!jar.signedIn);
  }
});

test("whoever does not consent is told that nobody was signed in", async () => {
  const jar = browser();
  await jar.open("/sign-in/provider");
  const page = await jar.open(`${new URL(jar.url).pathname}/abort`);
  assert.deepEqual([page.status, page.reason], [422, "oidc_cancelled"]);
  assert.match(page.text, /nobody was signed in/);
  assert.ok(!jar.signedIn);
});

test("an account with the same address is joined only when both sides have proved it", async () => {
  const carl = await person(server, "Carl");
  const name = carl.email.split("@")[0];
  const jar = browser();
  assert.equal((await jar.open(await there(jar, name))).reason, "oidc_account_exists"); // whoever registered it may be somebody else
  server.command(["account", "verify", carl.email]);
  const again = browser();
  await again.open(await there(again, name));
  assert.ok(again.signedIn);
  const token = (await carl.get("/api/v1/me/identities")).body.items;
  assert.deepEqual(token.map((i) => [i.issuer, i.subject]), [[provider.issuer, name]]);
  for (const stranger of ["unproved1", "silent1"]) {
    const other = browser();
    assert.equal((await other.open(await there(other, stranger))).reason, "oidc_email_unverified");
  }
});

test("an account is joined with an identity by proof, and parted from it by proof", async () => {
  const dora = await proved(), jar = await byPassword(dora);
  await jar.open("/me/sign-in");
  const wrong = await jar.send("/me/sign-in/provider", { current_password: "wrong horse" });
  assert.equal(wrong.reason, "password_wrong");
  await jar.open("/me/sign-in");
  const page = await jar.send("/me/sign-in/provider", { current_password: dora.password });
  const go = page.text.match(/href="(http:\/\/127[^"]*)"/)[1].replace(/&amp;/g, "&");
  const joined = await jar.open(await there(jar, "unproved-dora", { from: go }));
  assert.equal(new URL(joined.url).pathname, "/me/sign-in");
  assert.match(joined.text, /unproved-dora@example\.org/);
  const elsewhere = browser();
  await elsewhere.open(await there(elsewhere, "unproved-dora"));
  assert.ok(elsewhere.signedIn); // by the identity: its address does not matter
  await mails.next(dora.email, (m) => /joined/.test(m.text));
  // somebody else cannot take it
  const eve = await proved(), hers = await byPassword(eve);
  await hers.open("/me/sign-in");
  const start = (await hers.send("/me/sign-in/provider", { current_password: eve.password })).text.match(/href="(http:\/\/127[^"]*)"/)[1].replace(/&amp;/g, "&");
  assert.equal((await hers.open(await there(hers, "unproved-dora", { from: start }))).reason, "oidc_identity_taken");
  // nor can a browser that was signed out meanwhile join
  const third = await byPassword(eve);
  await third.open("/me/sign-in");
  const url = await there(third, "eve-there", { from: (await third.send("/me/sign-in/provider", { current_password: eve.password })).text.match(/href="(http:\/\/127[^"]*)"/)[1].replace(/&amp;/g, "&") });
  await third.open(`${server.url}/me`);
  await third.send("/sign-out");
  assert.equal((await third.open(url)).reason, "oidc_other_account");
  await jar.open("/me/sign-in");
  await jar.send("/me/sign-in/provider/end", { current_password: dora.password });
  const parted = browser();
  assert.equal((await parted.open(await there(parted, "unproved-dora"))).reason, "oidc_email_unverified");
});

test("a second factor is asked for after another provider, too", async () => {
  const jar = browser();
  await jar.open(await there(jar, "fay"));
  await jar.open("/me/sign-in");
  const setup = await jar.send("/me/sign-in/factor");
  const secret = setup.text.match(/id="secret">([A-Z2-7 ]+)</)[1];
  assert.match(setup.text, /<svg class="qr"/);
  const codes = await jar.send("/me/sign-in/factor/confirm", { code: totp(secret) });
  const recovery = codes.text.match(/<code>([0-9a-z]{5}-[0-9a-z]{5})<\/code>/)[1];
  const again = browser();
  const step = await again.open(await there(again, "fay"));
  assert.equal(new URL(step.url).pathname, "/sign-in/code");
  assert.ok(!again.signedIn);
  assert.equal((await again.send("/sign-in/code", { code: totp(secret, Date.now() - 600000) })).reason, "factor_wrong");
  const done = await again.send("/sign-in/code", { code: recovery });
  assert.ok(again.signedIn);
  assert.equal(new URL(done.url).pathname, "/me");
});

// Without blocking this process, in which the mail server lives.
const doctor = () => new Promise((resolve) => execFile(binary, ["doctor"], { env: server.settings }, (error, out, err) => resolve(out + err)));

test("the doctor looks whether the provider is there", async () => {
  const said = await doctor();
  assert.match(said, /Example ID says where to sign in, and shows its keys/);
  assert.doesNotMatch(said, /a secret of forty/);
});

test("a provider may change its keys, once a minute", async () => {
  let page, minute;
  do { // where this took longer than the minute, the second change was within no minute of the first
    await provider.rotate("RS256");
    const jar = browser();
    minute = performance.now() + 55_000;
    await jar.open(await there(jar, "gus"));
    assert.ok(jar.signedIn);
    await provider.rotate("ES256");
    const again = browser();
    page = await again.open(await there(again, "gus"));
  } while (performance.now() > minute);
  assert.deepEqual([page.status, page.reason], [429, "oidc_key_unknown"]);
});

test("a provider that is away is told of, and other ways stay open", async () => {
  await provider.stop();
  assert.match(await doctor(), /provider does not answer/);
  const jar = browser();
  const url = (await jar.ask("GET", "/sign-in/provider")).location; // its description is still known
  const state = new URL(url).searchParams.get("state");
  const page = await jar.open(`${callback}?state=${state}&code=x&iss=${encodeURIComponent(provider.issuer)}`);
  assert.deepEqual([page.status, page.reason], [503, "oidc_unreachable"]);
  assert.match(page.text, /name="password"/);
});

// ---- one that cheats ----

test("a provider that cheats signs nobody in", async (t) => {
  const key = signingKey(), other = signingKey(), opPort = await freePort(), ourPort = await freePort();
  const issuer = `http://127.0.0.1:${opPort}`;
  let ways = {};
  const b64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const sign = (claims, header = {}, by = key) => {
    const message = `${b64({ alg: "RS256", kid: key.kid, ...header })}.${b64(claims)}`;
    return `${message}.${createSign("RSA-SHA256").update(message).sign(createPrivateKey({ key: by, format: "jwk" })).toString("base64url")}`;
  };
  const op = createServer((request, response) => {
    const { pathname } = new URL(request.url, issuer);
    const json = (value, status = 200) => { response.writeHead(status, { "content-type": "application/json" }); response.end(JSON.stringify(value)); };
    if (ways[pathname]) return ways[pathname](request, response, json);
    if (pathname === "/.well-known/openid-configuration") return json({ issuer, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/keys` });
    if (pathname === "/keys") return json({ keys: [{ kty: "RSA", n: key.n, e: key.e, kid: key.kid, use: "sig", alg: "RS256" }] });
    if (pathname === "/token") return json({ access_token: "x", token_type: "Bearer", id_token: ways.token });
    json({}, 404);
  });
  await new Promise((resolve) => op.listen(opPort, "127.0.0.1", resolve));
  const env = { COMMONHOLD_OIDC_ISSUER: issuer, COMMONHOLD_OIDC_CLIENT_ID: "us" };
  const ours = await start({ port: ourPort, env });
  const jarOf = () => new Jar(ours.url);
  const claims = (over = {}) => ({ iss: issuer, sub: "1", aud: "us", iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 300, email: "mallory@example.org", email_verified: true, ...over });
  // Goes and comes back with a token that `make` makes of the nonce.
  const tries = async (make) => {
    const jar = jarOf();
    const url = new URL((await jar.ask("GET", "/sign-in/provider")).location);
    ways.token = make(url.searchParams.get("nonce"));
    const page = await jar.open(`${callback}?code=c&state=${url.searchParams.get("state")}`);
    return Object.assign(page, { in: jar.signedIn });
  };
  try {
    await t.test("by what it says of itself", async () => {
      const describe = (over) => { ways["/.well-known/openid-configuration"] = (q, r, json) => json({ issuer, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/keys`, ...over }); };
      const faults = [{ issuer: "https://op.example" }, { token_endpoint: "http://192.0.2.1/token" }, { authorization_endpoint: "javascript:alert(1)" }, { jwks_uri: "file:///etc/passwd" }, { token_endpoint: "http://127.0.0.1@192.0.2.1/" }, { code_challenge_methods_supported: ["plain"] }];
      for (const over of faults) {
        describe(over);
        const page = await jarOf().open("/sign-in/provider");
        assert.deepEqual([page.status, page.reason], [503, "oidc_unreachable"], JSON.stringify(over));
      }
      let asked = 0;
      ways["/elsewhere"] = (q, r, json) => { asked++; json({}); };
      ways["/.well-known/openid-configuration"] = (q, r) => { r.writeHead(302, { location: `${issuer}/elsewhere` }); r.end(); };
      assert.equal((await jarOf().open("/sign-in/provider")).reason, "oidc_unreachable");
      assert.equal(asked, 0, "a redirect is not followed");
      ways["/.well-known/openid-configuration"] = (q, r) => { r.writeHead(200); for (let i = 0; i < 64; i++) r.write("x".repeat(65536)); r.end(); };
      assert.equal((await jarOf().open("/sign-in/provider")).reason, "oidc_unreachable");
      ways["/.well-known/openid-configuration"] = (q, r) => { r.writeHead(200); r.write("{"); }; // and never ends
      assert.equal((await jarOf().open("/sign-in/provider")).reason, "oidc_unreachable", "it is not waited for for ever");
    });
    ways = {};
    await t.test("by what its tokens say", async () => {
      const rows = [
        ["oidc_nonce", () => sign(claims({ nonce: "of another" }))], ["oidc_nonce", () => sign(claims())], ["oidc_issuer", (nonce) => sign(claims({ nonce, iss: "https://op.example" }))],
        ["oidc_audience", (nonce) => sign(claims({ nonce, aud: "them" }))], ["oidc_audience", (nonce) => sign(claims({ nonce, aud: ["us", "them"] }))], ["oidc_token_expired", (nonce) => sign(claims({ nonce, exp: 1700000000 }))],
        ["oidc_token_early", (nonce) => sign(claims({ nonce, iat: Math.floor(Date.now() / 1000) + 3600 }))], ["oidc_signature", (nonce) => sign(claims({ nonce }), {}, other)],
        ["oidc_algorithm", (nonce) => `${b64({ alg: "none", kid: key.kid })}.${b64(claims({ nonce }))}.`], ["oidc_algorithm", (nonce) => sign(claims({ nonce }), { alg: "HS256" })],
        ["oidc_key_unknown", (nonce) => sign(claims({ nonce }), { kid: "made up" }, other)], ["oidc_token_malformed", () => "x"], ["oidc_token_malformed", () => undefined],
      ];
      for (const [reason, make] of rows) {
        const page = await tries(make);
        assert.deepEqual([page.reason, page.in], [reason, false], String(make));
        assert.ok(page.status === 401, `${page.status}`);
      }
      assert.ok((await tries((nonce) => sign(claims({ nonce })))).in, "and an honest one does sign in");
    });
  } finally {
    const how = await ours.stop();
    op.closeAllConnections();
    op.close();
    assert.equal(how.code, 0, ours.log());
  }
});
