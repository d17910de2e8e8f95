// The gate over HTTP: 401, 403, 404 and 410 as they should be, parts of files, what the headers say, the log of downloads, and the pages.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { published, until } from "./published.mjs";
import { Contract } from "./contract.mjs";
import { Client, cluster } from "./server.mjs";

let here, shard, files, base, grant, token;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const path = () => `/api/v1/coops/${here.slug}`;
const file = (name, version = "latest") => `${path()}/releases/${version}/files/${name}`;
const bearer = () => new Client(here.server.url, token);
let contract;
const checked = (client) => contract.wrap(Object.assign(new Client(client.url, client.token), {}));

before(async () => {
  here = await published();
  base = here.server.url;
  contract = await Contract.of(here.server);
  files = (await here.anyone().get(`${path()}/releases/latest/files`)).body.items;
  shard = files.find((f) => f.path.startsWith("data/"));
});
after(() => here?.stop());

const status = async (client, url, options) => (await client.get(url, options)).status;

test("members were told of their admission, the cut-off and the publication, and who votes of the ballot, each once", async () => {
  const release = `/coops/${here.slug}/releases/${here.release.id}`;
  const told = async (who) => (await who.get("/api/v1/me/notices?limit=200")).body.items.filter((n) => !n.kind.startsWith("release.") || n.url === release).map((n) => n.kind);
  for (const who of [here.member, here.admin]) await until("the notices", async () => (await told(who)).includes("release.published"));
  const once = (kinds, wanted) => wanted.forEach((kind) => assert.equal(kinds.filter((k) => k === kind).length, 1, `${kind} in ${kinds}`));
  once(await told(here.member), ["membership.welcome", "release.announced", "release.published"]);
  once(await told(here.admin), ["release.announced", "ballot.opened", "ballot.closed", "release.published"]);
  assert.ok(!(await told(here.outsider)).some((kind) => /^(release|ballot)/.test(kind)));
});

test("a request goes from asking to a grant, and each answer is as documented", async () => {
  const outsider = checked(here.outsider), admin = checked(here.admin), member = checked(here.member), anyone = checked(here.anyone());
  const terms = await outsider.get(`${path()}/access-terms`);
  assert.equal(terms.body.audience, "gated_manual");
  assert.equal(terms.body.terms_sha256, sha256(terms.body.terms));
  assert.ok(terms.body.may_ask_for.includes("scientific") && !terms.body.may_ask_for.includes("commercial"));
  const ask = { purpose: "scientific", description: "Comparing what small models learn.", organisation: "A lab", terms_sha256: terms.body.terms_sha256 };
  assert.equal((await anyone.post(`${path()}/access-requests`, ask)).status, 401);
  for (const [over, code, pointer] of [[{ purpose: "fame" }, 422, "/purpose"], [{ description: "short" }, 422, "/description"], [{ terms_sha256: "00" }, 422, "/terms_sha256"],
    [{ extra: 1 }, 422, "/extra"], [{ purpose: "commercial" }, 422, "/purpose"], [{ organisation: 7 }, 422, "/organisation"]]) {
    const answer = await outsider.post(`${path()}/access-requests`, { ...ask, ...over });
    assert.equal(answer.status, code, JSON.stringify(over));
    assert.equal(answer.body.errors[0].pointer, pointer);
  }
  assert.equal((await outsider.post(`${path()}/access-requests`, { ...ask, terms_sha256: sha256("other") })).body.code, "terms_not_accepted");
  assert.equal((await outsider.post(`${path()}/access-requests`, { ...ask, release: "9.9.9" })).status, 404);
  const asked = await outsider.post(`${path()}/access-requests`, ask, { headers: { "idempotency-key": "ask-1" } });
  assert.equal(asked.status, 201);
  assert.equal(asked.body.state, "pending");
  assert.equal((await outsider.post(`${path()}/access-requests`, ask, { headers: { "idempotency-key": "ask-1" } })).body.id, asked.body.id);
  assert.equal((await outsider.post(`${path()}/access-requests`, ask)).status, 409);
  const decision = `${path()}/access-requests/${asked.body.id}/decision`;
  assert.equal((await outsider.post(decision, { decision: "grant" })).status, 403);
  assert.equal((await member.post(decision, { decision: "grant" })).status, 403);
  assert.equal((await admin.post(decision, { decision: "perhaps" })).status, 422);
  assert.equal((await admin.post(decision, { decision: "refuse" })).body.errors[0].pointer, "/reason");
  assert.equal((await admin.post(`${path()}/access-requests/${asked.body.account}/decision`, { decision: "grant" })).status, 404);
  assert.equal((await admin.get(`${path()}/access-requests?state=pending`)).body.items.length, 1);
  assert.equal((await member.get(`${path()}/access-requests`)).body.items.length, 0);
  const decided = await admin.post(decision, { decision: "grant", reason: "Fits." });
  assert.equal(decided.status, 200);
  assert.equal(decided.body.state, "granted");
  grant = decided.body.grant;
  assert.equal((await admin.post(decision, { decision: "grant" })).status, 409);
  const grants = await outsider.get(`${path()}/grants`);
  assert.equal(grants.body.items[0].id, grant);
  assert.equal(grants.body.items[0].automatic, false);
  assert.equal((await admin.get(`${path()}/grants?mine=true`)).body.items.length, 0);
  assert.equal((await member.post(`${path()}/grants/${grant}/token`)).status, 404);
  const made = await outsider.post(`${path()}/grants/${grant}/token`);
  assert.equal(made.status, 201);
  assert.equal(made.headers.get("cache-control"), "no-store");
  token = made.body.token;
});

test("the token verifies against the published keys", async () => {
  const jwks = await here.anyone().get("/.well-known/jwks.json");
  assert.equal(jwks.headers.get("content-type"), "application/jwk-set+json");
  const [header, claims, signature] = token.split(".");
  const { alg, kid } = JSON.parse(Buffer.from(header, "base64url"));
  assert.equal(alg, "ES256");
  const jwk = jwks.body.keys.find((k) => k.kid === kid);
  const key = createPublicKey({ key: jwk, format: "jwk" });
  assert.ok(verify("sha256", Buffer.from(`${header}.${claims}`), { key, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url")));
  const said = JSON.parse(Buffer.from(claims, "base64url"));
  assert.equal(said.iss, base);
  assert.match(said.scope, /^download:[0-9a-f-]{36}:\*$/);
  assert.equal(said.grant, grant);
  assert.ok(said.exp - said.iat <= 3600);
});

test("nobody gets 401, somebody 403, the holder the file", async () => {
  const nobody = await here.anyone().get(file("README.md"));
  assert.equal(nobody.status, 401);
  assert.equal(nobody.headers.get("www-authenticate"), "Bearer");
  assert.equal(nobody.body.code, "unauthenticated");
  const member = await here.member.get(file("README.md"));
  assert.equal(member.status, 403);
  assert.equal(member.body.reason, "no_grant");
  assert.equal(await status(here.outsider, file("README.md")), 200);
  assert.equal(await status(bearer(), file("README.md")), 200);
  assert.equal(await status(new Client(base, `${token.slice(0, -4)}AAAA`), file("README.md")), 401);
  const [, claims, signature] = token.split(".");
  for (const header of [{ alg: "none" }, { alg: "HS256", typ: "JWT" }, { alg: "ES256", kid: "other" }]) {
    const forged = `${Buffer.from(JSON.stringify(header)).toString("base64url")}.${claims}.${header.alg === "none" ? "" : signature}`;
    assert.equal(await status(new Client(base, forged), file("README.md")), 401);
  }
});

test("a download token opens downloads and nothing else", async () => {
  for (const url of [`${path()}/grants`, `${path()}/access-requests`, "/api/v1/me", "/api/v1/tokens"]) assert.equal(await status(bearer(), url), 401, url);
  assert.equal((await bearer().post(`${path()}/grants/${grant}/token`)).status, 401);
});

test("every file comes whole, with its hash as tag and what may be done with it", async () => {
  for (const f of files) {
    const answer = await bearer().get(file(f.path));
    assert.equal(answer.status, 200, f.path);
    assert.equal(answer.bytes.length, f.size);
    assert.equal(sha256(answer.bytes), f.sha256);
    assert.equal(answer.headers.get("etag"), `"${f.sha256}"`);
    assert.equal(answer.headers.get("content-usage"), "train-ai=y, search=n");
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  }
  const answer = await bearer().get(file(shard.path, here.release.version));
  assert.equal(answer.headers.get("content-type"), "application/gzip");
  assert.match(answer.headers.get("content-disposition"), /^attachment; filename="alpine-[0-9.]+-example-[a-z0-9.-]+\.jsonl\.gz"$/);
  assert.equal((await bearer().get(file("README.md"))).headers.get("content-type"), "text/markdown; charset=utf-8");
  assert.equal((await bearer().get(file("SHA256SUMS"))).headers.get("content-type"), "text/plain; charset=utf-8");
  assert.equal((await bearer().get(file("manifest.json"))).headers.get("etag"), `"${here.release.manifest_sha256}"`);
});

test("a part is sent when it is asked for, and only of the same file", async () => {
  const whole = (await bearer().get(file("manifest.json"))).bytes;
  const tag = `"${here.release.manifest_sha256}"`;
  const ask = async (headers) => {
    const answer = await fetch(base + file("manifest.json"), { headers: { authorization: `Bearer ${token}`, ...headers } });
    return [answer.status, await answer.text(), answer.headers.get("content-range")];
  };
  assert.deepEqual(await ask({ range: "bytes=10-19" }), [206, whole.subarray(10, 20).toString(), `bytes 10-19/${whole.length}`]);
  assert.deepEqual(await ask({ range: "bytes=-5" }), [206, whole.subarray(-5).toString(), `bytes ${whole.length - 5}-${whole.length - 1}/${whole.length}`]);
  assert.deepEqual(await ask({ range: "bytes=5-", "if-range": tag }), [206, whole.subarray(5).toString(), `bytes 5-${whole.length - 1}/${whole.length}`]);
  assert.deepEqual(await ask({ range: "bytes=5-", "if-range": '"other"' }), [200, whole.toString(), null]);
  const beyond = await bearer().get(file("manifest.json"), { headers: { range: `bytes=${whole.length}-` } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers.get("content-range"), `bytes */${whole.length}`);
  assert.equal(await status(bearer(), file("manifest.json"), { headers: { "if-none-match": tag } }), 304);
  const empty = await bearer().get(file("tombstones.jsonl"), { headers: { range: "bytes=0-0" } });
  assert.equal(empty.status, 200);
  assert.equal(empty.bytes.length, 0);
});

// The private database, past the server.
function sql(text) {
  return execFileSync("psql", ["-XAt", "-h", cluster(here.dir).socket, "-U", "postgres", "-c", text, "commonhold"], { encoding: "utf8" }).trim();
}

test("every download is noted before it is sent, and what is refused is none", async () => {
  sql("TRUNCATE access_log");
  await bearer().get(file("README.md"));
  await fetch(base + file("manifest.json"), { headers: { authorization: `Bearer ${token}`, range: "bytes=3-9" } });
  await fetch(base + file(shard.path), { method: "HEAD", headers: { authorization: `Bearer ${token}` } });
  await here.anyone().get(file("README.md"));
  await bearer().get(file("nothing"));
  await bearer().get(file("README.md"), { headers: { range: "bytes=99999999-" } });
  const rows = sql("SELECT path, status, first_byte, bytes, grant_id IS NOT NULL, account_id IS NOT NULL FROM access_log ORDER BY seq").split("\n");
  const readme = files.find((f) => f.path === "README.md");
  assert.deepEqual(rows, [`README.md|200|0|${readme.size}|t|t`, "manifest.json|206|3|7|t|t", `${shard.path}|200|0|0|t|t`]);
});

test("a withdrawn release is gone", async () => {
  sql("UPDATE release SET state = 'withdrawn' WHERE version IS NOT NULL");
  try {
    const answer = await bearer().get(file("README.md", here.release.version));
    assert.equal(answer.status, 410);
    assert.equal(answer.body.reason, "withdrawn");
    assert.equal(await status(here.anyone(), file("README.md", here.release.version)), 410);
    assert.equal((await here.anyone().get(`/datasets/alpine/releases/resolve/${here.release.version}/README.md`)).status, 410);
  } finally {
    sql("UPDATE release SET state = 'published' WHERE version IS NOT NULL");
  }
});

test("no path leads out of the release", async () => {
  for (const name of ["nothing", "data", "data/", "../manifest.json", "data/../manifest.json", "%2e%2e/%2e%2e/keys/sign", "..%2f..%2fkeys%2fsign", "%2fetc%2fpasswd", "/etc/passwd",
    "manifest.json%00", "MANIFEST.JSON", "manifest.json/", "data%5c..%5cmanifest.json"]) {
    // fetch resolves dots by itself: the raw address is what a hostile client would send.
    const { default: http } = await import("node:http");
    const code = await new Promise((resolve, reject) => {
      const rq = http.request({ host: "127.0.0.1", port: here.server.port, path: file(name), headers: { authorization: `Bearer ${token}` } }, (answer) => { answer.resume(); resolve(answer.statusCode); });
      rq.on("error", reject);
      rq.end();
    });
    assert.ok(code === 404 || code === 400, `${name}: ${code}`);
  }
  assert.equal(await status(bearer(), file("README.md", "9.9.9")), 404);
  assert.equal(await status(bearer(), `/api/v1/coops/nobody/releases/latest/files/README.md`), 404);
});

test("the status is signed by the co-op's key and soon out of date", async () => {
  const envelope = await checked(here.anyone()).get(`${path()}/status.json`);
  assert.equal(envelope.status, 200);
  const payload = Buffer.from(envelope.body.payload, "base64");
  const said = JSON.parse(payload);
  const type = envelope.body.payloadType;
  const preamble = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
  const coop = (await here.anyone().get(path())).body;
  const raw = Buffer.from(coop.public_key.length === 64 ? coop.public_key : Buffer.from(coop.public_key, "base64").subarray(-32).toString("hex"), "hex");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
  assert.ok(verify(null, preamble, key, Buffer.from(envelope.body.signatures[0].sig, "base64")));
  assert.deepEqual(said.usable, [here.release.version]);
  assert.equal(Date.parse(said.expires) - Date.parse(said.created), 24 * 3600 * 1000);
});

// A browser's way through the pages: cookie and form.
const form = (who, url, fields) => who.request("POST", url, { body: new URLSearchParams({ csrf: who.csrf, ...fields }).toString(), type: "application/x-www-form-urlencoded",
  headers: { cookie: who.cookie } });
// Sessions of January have ended by February: signs in anew.
async function browser({ email, password }) {
  const client = new Client(base);
  const cookie = (await client.post("/api/v1/sessions", { email, password })).headers.get("set-cookie").split(";")[0];
  const { csrf } = (await client.get("/api/v1/me", { headers: { cookie } })).body;
  return Object.assign(client, { cookie, csrf });
}
const page = (who, url) => who.get(url, { headers: { cookie: who.cookie } });

test("pages: the terms and the form, my grant, its token with commands", async () => {
  const anyone = await here.anyone().get(`/coops/${here.slug}/access`);
  assert.equal(anyone.status, 200);
  assert.match(anyone.text, /sign in<\/a>/);
  assert.doesNotMatch(anyone.text, /name="purpose"/);
  const lab = await browser(here.outsider);
  const mine = await page(lab, `/coops/${here.slug}/access`);
  assert.equal(mine.status, 200);
  assert.match(mine.text, /scientific research/);
  assert.match(mine.text, /in force/);
  const made = await form(lab, `/coops/${here.slug}/access/grants/${grant}/token`, {});
  assert.equal(made.status, 200);
  const shown = made.text.match(/<code id="token">([^<]+)</)[1];
  assert.equal(await status(new Client(base, shown), file("README.md")), 200);
  const recipe = made.text.match(/<code>(export TOKEN[^<]+)</)[1].replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
  const folder = mkdtempSync(join(tmpdir(), "gate-"));
  execFileSync("bash", ["-euc", recipe.replace("'…'", `'${shown}'`)], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  assert.equal(readdirSync(folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).length, files.length + 6);
  rmSync(folder, { recursive: true });
});

test("pages: a form that is not right comes back with what was written; one that is, is decided by an admin", async () => {
  const guest = await here.newcomer("Gus Guest");
  const lab = await browser(guest), admin = await browser(here.admin), url = `/coops/${here.slug}/access`;
  const { terms_sha256 } = (await here.anyone().get(`${path()}/access-terms`)).body;
  const wrong = await form(lab, url, { purpose: "academic", description: "<b>no", terms_sha256, accept: "yes" });
  assert.equal(wrong.status, 422);
  assert.match(wrong.text, /&lt;b&gt;no<\/textarea>/);
  assert.match(wrong.text, /id="description-error"/);
  assert.match(wrong.text, /value="academic" required checked/);
  const unread = await form(lab, url, { purpose: "academic", description: "For a seminar on dialects.", terms_sha256 });
  assert.equal(unread.status, 422);
  assert.equal((await form(lab, url, { purpose: "academic", description: "For a seminar on dialects.", terms_sha256, accept: "yes" })).status, 303);
  assert.equal((await page(lab, `${url}/requests`)).status, 403);
  const waiting = await page(admin, `${url}/requests`);
  assert.match(waiting.text, /For a seminar on dialects\./);
  const id = waiting.text.match(/access\/requests\/([0-9a-f-]{36})"/)[1];
  assert.equal((await form(admin, `${url}/requests/${id}`, { decision: "grant", reason: "" })).status, 303);
  assert.equal(await status(guest, file("README.md")), 200);
  const given = (await guest.get(`${path()}/grants`)).body.items[0].id;
  assert.equal((await form(admin, `${url}/grants/${given}/revoke`, { from: "requests" })).status, 303);
  assert.equal((await guest.get(file("README.md"))).body.reason, "grant_revoked");
});

test("a revoked grant ends its tokens at once", async () => {
  const admin = checked(here.admin), outsider = checked(here.outsider), member = checked(here.member);
  assert.equal((await member.delete(`${path()}/grants/${grant}`)).status, 404);
  const revoked = await admin.delete(`${path()}/grants/${grant}?reason=Passed%20on.`);
  assert.equal(revoked.status, 200);
  assert.notEqual(revoked.body.revoked_at, null);
  const answer = await bearer().get(file("README.md"));
  assert.equal(answer.status, 403);
  assert.equal(answer.body.reason, "grant_revoked");
  assert.equal((await outsider.post(`${path()}/grants/${grant}/token`)).status, 403);
});
