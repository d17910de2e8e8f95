// The mirror tool against a real server, and against one that stands between them and lies.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { published, until } from "./published.mjs";
import { binary, ok } from "./server.mjs";

let here, coop, key, work, tokenFile, mirror, proxy;
const folder = (name) => join(work, name);

// Runs the tool; {code, said (its JSON lines), err}.
function run(args, { stopAfter } = {}) {
  const child = spawn(binary, ["mirror", ...args], { env: { ...here.server.settings, http_proxy: "http://127.0.0.1:1" }, stdio: ["ignore", "pipe", "pipe"] });
  let out = "", err = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
    if (stopAfter && out.split("\n").length > stopAfter) child.kill("SIGTERM");
  });
  child.stderr.on("data", (chunk) => { err += chunk; });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, err, out, said: out.split("\n").filter((l) => l.startsWith("{")).map((l) => JSON.parse(l)) })));
}
const sync = (name, url = here.server.url, more = []) => run(["sync", folder(name), url, "--coop", here.slug, "--key", key, "--token-file", tokenFile, "--json", "--tries", "1", ...more]);
async function synced(name, url, more) {
  const done = await sync(name, url, more);
  assert.equal(done.code, 0, done.err + done.out);
  return done.said[0];
}
async function refused(name, reason, more) {
  const done = await sync(name, proxy.url, more);
  assert.equal(done.code, 1, done.out);
  assert.equal(done.said[0].error.reason, reason, done.out);
}

const current = (name) => (existsSync(join(folder(name), "current")) ? readlinkSync(join(folder(name), "current")) : null);
function rows(name) {
  const data = join(folder(name), "current", "data");
  const found = [];
  for (const kind of readdirSync(data))
    for (const file of readdirSync(join(data, kind)))
      found.push(...gunzipSync(readFileSync(join(data, kind, file))).toString("utf8").trim().split("\n").map((l) => JSON.parse(l).rid));
  return found;
}

// Stands between the tool and the server; `lie` may answer in the server's place or change what it says.
class Liar {
  static async begin(tls) {
    const liar = new Liar();
    const listener = (request, response) => liar.answer(request, response).catch(() => response.destroy());
    liar.server = tls ? createSecureServer(tls, listener) : createServer(listener);
    await new Promise((resolve) => liar.server.listen(0, "127.0.0.1", resolve));
    liar.url = `${tls ? "https" : "http"}://127.0.0.1:${liar.server.address().port}`;
    return liar;
  }
  async answer(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const headers = { ...request.headers };
    for (const name of ["host", "connection", "content-length"]) delete headers[name];
    const real = await fetch(here.server.url + request.url, { method: request.method, headers, redirect: "manual", ...(chunks.length ? { body: Buffer.concat(chunks) } : {}) });
    let answer = { status: real.status, body: Buffer.from(await real.arrayBuffer()), headers: {} };
    answer = (await this.lie?.(request, answer, response)) ?? answer;
    if (response.headersSent || response.destroyed) return;
    response.writeHead(answer.status, { "content-type": real.headers.get("content-type") ?? "text/plain", ...answer.headers });
    response.end(answer.body);
  }
  end() { this.server.closeAllConnections?.(); this.server.close(); }
}

before(async () => {
  here = await published();
  coop = `/api/v1/coops/${here.slug}`;
  key = ok(200, await here.anyone().get(coop)).public_key;
  work = mkdtempSync(join(tmpdir(), "ch-mirror-"));
  tokenFile = join(work, "token");
  writeFileSync(tokenFile, `${here.outsider.token}\n`);
  proxy = await Liar.begin();
});
after(async () => {
  proxy?.end();
  await here?.stop();
  if (work) rmSync(work, { recursive: true, force: true });
});

test("without a grant the files of a gated co-op do not come, and the tool says what to do", async () => {
  const done = await sync("none");
  assert.equal(done.code, 1);
  assert.equal(done.said[0].error.reason, "refused");
  const plain = await run(["sync", folder("none"), `${here.server.url}${coop}`, "--key", key, "--tries", "1"]);
  assert.equal(plain.code, 1);
  assert.match(plain.err, /--token-file/);
  assert.equal(current("none"), null);
});

test("with a grant the first run brings a release that verifies, makes its receipt, and the next has nothing to do", async () => {
  const terms = ok(200, await here.outsider.get(`${coop}/access-terms`));
  const asked = ok(201, await here.outsider.post(`${coop}/access-requests`, { purpose: "scientific", description: "Keeping a mirror for the lab.", organisation: "A lab", terms_sha256: terms.terms_sha256 }));
  ok(200, await here.admin.post(`${coop}/access-requests/${asked.id}/decision`, { decision: "grant", reason: "Fits." }));
  const own = await run(["key", folder("m"), "--coop", here.slug, "--json"]);
  assert.equal(own.code, 0, own.err);
  assert.equal(statSync(join(folder("m"), "mirror.key")).mode & 0o777, 0o600);
  const made = ok(201, await here.outsider.post(`${coop}/mirrors`, { name: "The lab", kind: "pull", public_key: own.said[0].public_key, proof: own.said[0].proof }));
  mirror = made.mirror.id;
  const first = await synced("m", undefined, ["--mirror", mirror]);
  assert.deepEqual([first.how, first.version, first.receipt], ["whole", here.release.version, "sent"]);
  assert.equal(rows("m").length, 4);
  assert.equal((await run(["sync", folder("m"), `${here.server.url}${coop}`, "--token-file", tokenFile])).code, 0);
  const again = await synced("m");
  assert.deepEqual([again.how, again.downloaded, again.receipt], ["none", 0, "none"]);
  const seen = ok(200, await here.outsider.get(`${coop}/mirrors/${mirror}/receipts`));
  assert.equal(seen.items.length, 1);
  assert.deepEqual(seen.items[0].releases, [here.release.version]);
});

test("what a server between them changes, repeats or leads away is refused, and nothing changes", async () => {
  const lies = [
    [(q, a) => { if (/\.jsonl\.gz$/.test(q.url)) a.body[a.body.length >> 1] ^= 1; }, "lied"],
    [(q, a) => { if (/SHA256SUMS$/.test(q.url)) a.body[3] ^= 1; }, "verify"],
    [(q, a) => (/manifest\.dsse\.json$/.test(q.url) ? { ...a, body: Buffer.from(a.body.toString().replace(/"sig":"...../, '"sig":"AAAAA')) } : a), "forged"],
    [(q, a) => (/status\.json$/.test(q.url) ? { ...a, body: Buffer.from(a.body.toString().replace(/"sig":"...../, '"sig":"AAAAA')) } : a), "forged"],
    [(q, a) => (/\/files\/data/.test(q.url) ? { ...a, status: 302, headers: { location: "http://169.254.169.254/latest/meta-data" } } : a), "unreachable"],
    [(q, a) => (/tombstones/.test(q.url) ? { ...a, body: Buffer.alloc(0) } : a), "forged"],
    [(q, a, response) => { if (/\.jsonl\.gz$/.test(q.url)) { response.writeHead(200, { "content-length": a.body.length }); response.write(a.body.subarray(0, 5)); setTimeout(() => response.destroy(), 50); } }, "cut_off"],
    [(q, a, response) => { if (/\.jsonl\.gz$/.test(q.url)) { response.writeHead(200, { "content-length": a.body.length }); response.write("x"); } }, "too_slow"],
    [(q, a) => (/\.jsonl\.gz$/.test(q.url) ? { ...a, body: Buffer.alloc(1 << 20) } : a), "too_large"],
  ];
  for (const [lie, reason] of lies) {
    proxy.lie = lie;
    await refused("lies", reason, reason === "too_slow" ? ["--patience", "2"] : []);
    assert.equal(current("lies"), null);
  }
  proxy.lie = undefined;
  assert.equal((await synced("lies", proxy.url)).version, here.release.version);
});

test("a deletion reaches the mirror as a patch, the mirror's receipt settles it, and the erased row is nowhere", async () => {
  const old = await (await fetch(`${here.server.url}${coop}/status.json`)).text();
  const item = ok(200, await here.member.get(`${coop}/contributions`)).items[0];
  const rid = rows("m").find((r) => r.endsWith(item.id));
  assert.ok(rid);
  const asked = ok(201, await here.member.post(`${coop}/deletions`, { kind: "erase", scope: "items", items: [item.id] }));
  const next = await until("the redaction release", async () => {
    const status = JSON.parse(Buffer.from(ok(200, await here.anyone().get(`${coop}/status.json`)).payload, "base64"));
    return status.withdrawn.includes(here.release.version) && status.usable[0];
  });
  const before = readdirSync(join(folder("m"), "current", "data"), { recursive: true }).length;
  const done = await synced("m");
  assert.deepEqual([done.version, done.deleted, done.receipt], [next, [here.release.version], "sent"]);
  assert.ok(done.how === "patch" || done.rows_dropped === 1, JSON.stringify(done));
  assert.ok(!rows("m").includes(rid) && rows("m").length === 3, `${before}`);
  assert.ok(!existsSync(join(folder("m"), here.release.version)));
  const receipts = ok(200, await here.outsider.get(`${coop}/mirrors/${mirror}/receipts`)).items;
  assert.equal(receipts[0].method, "patched");
  assert.deepEqual(receipts[0].releases, [next]);
  // Whoever has confirmed before being asked owes nothing any more.
  await until("the deletion to be carried out", async () => ok(200, await here.member.get(`${coop}/deletions/${asked.id}`)).propagating_at);
  const duties = ok(200, await here.admin.get(`${coop}/duties`)).items.filter((d) => d.mirror === mirror);
  assert.ok(duties.every((d) => d.confirmed_at), JSON.stringify(duties));

  proxy.lie = (q, a) => (/status\.json$/.test(q.url) ? { ...a, body: Buffer.from(old) } : a);
  await refused("m", "rollback");
  proxy.lie = (q, a) => (/tombstones/.test(q.url) ? { ...a, body: Buffer.from(a.body.toString().split("\n").slice(1).join("\n")) } : a);
  await refused("lies", "rollback");
  proxy.lie = undefined;
  assert.equal(current("m"), next);
});

test("a copy that was held elsewhere follows, and a loop ends when it is asked to", async () => {
  const looped = await run(["sync", folder("lies"), here.server.url, "--coop", here.slug, "--token-file", tokenFile, "--json", "--loop", "1"], { stopAfter: 2 });
  assert.equal(looped.code, 0, looped.err);
  assert.ok(looped.said.length >= 2);
  assert.ok(looped.said.every((s) => s.ok));
  assert.equal(current("lies"), looped.said[0].version);
});

test("over TLS only a certificate that can be trusted is believed", async () => {
  const [secret, certificate] = [join(work, "tls.key"), join(work, "tls.crt")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", secret, "-out", certificate], { stdio: "ignore" });
  const secure = await Liar.begin({ key: readFileSync(secret), cert: readFileSync(certificate) });
  try {
    const unknown = await sync("tls", secure.url);
    assert.equal(unknown.code, 1);
    assert.equal(unknown.said[0].error.reason, "tls", unknown.out);
    assert.equal((await synced("tls", secure.url, ["--ca", certificate])).version, current("m"));
  } finally {
    secure.end();
  }
});

test("wrong usage is told apart from failure", async () => {
  for (const args of [[], ["sync"], ["sync", folder("x")], ["fly", folder("x"), "http://127.0.0.1/"], ["sync", folder("x"), "ftp://example.org/"], ["sync", folder("x"), "http://example.org/api"],
    ["sync", folder("x"), "https://user:pass@example.org/api"], ["sync", folder("x"), "https://example.org/", "--loop", "0"], ["sync", folder("x"), "https://example.org/", "--key", "zz"],
    ["sync", folder("x"), "https://example.org/", "--mirror", "zz"], ["key", folder("x"), "https://example.org/"]])
    assert.equal((await run(args)).code, 2, args.join(" "));
  assert.ok(!existsSync(folder("x")));
  assert.equal((await run(["--help"])).code, 0);
});
