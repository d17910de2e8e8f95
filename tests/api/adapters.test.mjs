// Mirrors that the instance keeps itself, against services that are processes of their own, speak their protocols strictly and fail as they are told. One co-op, one release with a small
// shard and one of some megabytes; a target a test.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { published, until } from "./published.mjs";
import { cluster } from "./server.mjs";
import { service } from "../adapters/service.mjs";

const sha256 = (b) => createHash("sha256").update(b).digest("hex");
const keyId = "AKIAEXAMPLE", secret = "kN0tToBeSeenAnywhere+/secret", token = "hf_NotToBeSeenAnywhereEither";
const open = { COMMONHOLD_ALLOW_PRIVATE: "yes", COMMONHOLD_LOG: "debug" };
let here, coop, files, logs = "";

// Text that does not compress to nothing: a release's file of several parts.
function babble(seed, n) {
  const words = [];
  for (let block = 0, length = 0; length < n; block++) {
    const bytes = createHash("sha512").update(`${seed} ${block}`).digest();
    const word = [...bytes].map((b) => "abcdefghijklmnopqrstuvwxyz     "[b % 31]).join("");
    words.push(word);
    length += word.length;
  }
  return words.join("");
}

async function fill(h) {
  for (let i = 0; i < 12; i++) {
    const made = await h.member.post(`/api/v1/coops/${h.slug}/contributions`, { kind: "chat", lang: "en", content: { messages: [{ role: "user", content: babble(`ask ${i}`, 450_000) }, { role: "assistant", content: babble(`answer ${i}`, 450_000) }] } });
    assert.equal(made.status, 201, made.text);
  }
}

before(async () => {
  here = await published({ fill });
  coop = `/api/v1/coops/${here.slug}`;
  files = await filesOf("1.0.0");
});
after(async () => { await here?.stop(); });

// Every file of a release as it lies on the instance's own disk: {path: digest}.
async function filesOf(version) {
  const { id } = await until(`${version} to be published`, async () => (await here.admin.get(`${coop}/releases`)).body.items.find((r) => r.version === version && r.state === "published"));
  const dir = execFileSync("find", ["-L", join(here.dir, "releases"), "-type", "d", "-name", id], { encoding: "utf8" }).trim();
  const paths = execFileSync("find", [".", "-type", "f"], { cwd: dir, encoding: "utf8" }).trim().split("\n").map((p) => p.slice(2));
  return Object.fromEntries(paths.map((p) => [p, sha256(readFileSync(join(dir, p)))]));
}

const sql = (text) => execFileSync("psql", ["-h", cluster(here.dir).socket, "-U", "postgres", "-d", "commonhold", "-XAtqc", text], { encoding: "utf8" });

const services = [];
after(() => { for (const s of services) s.stop(); });
async function started(name, env) {
  const s = await service(name, { S3_KEY_ID: keyId, S3_SECRET: secret, HUB_TOKEN: token, ...env });
  services.push(s);
  return s;
}

const inBucket = (s, more) => ({ endpoint: s.url, place: "mirror", prefix: "coop/a", region: "eu-test-1", part_bytes: 5 << 20, audience: "gated_manual", confirm: true, key_id: keyId, secret, ...more });
const inRepository = (s, more) => ({ endpoint: s.url, place: "alpine/voices", audience: "gated_manual", confirm: true, secret: token, ...more });

let mirrors = 0;
async function mirror(kind) {
  const made = await here.admin.post(`${coop}/mirrors`, { name: `Mirror ${++mirrors}`, kind });
  assert.equal(made.status, 201, made.text);
  return { kind, path: `${coop}/mirrors/${made.body.mirror.id}/target`, id: made.body.mirror.id };
}

async function aim(kind, target) {
  const m = await mirror(kind);
  const set = await here.admin.put(m.path, target);
  assert.equal(set.status, 200, set.text);
  return m;
}

const read = async (m) => (await here.admin.get(m.path)).body;
const settled = (m, states = ["current", "refused", "dead"]) => until(`${m.kind} to be ${states}`, async () => {
  const t = await read(m);
  return states.includes(t?.state) && t;
});
const gone = async (m) => {
  await here.admin.delete(`${m.path}?erase=false`);
  const ended = await here.admin.post(m.path.replace(/target$/, "state"), { state: "ended", reason: "No longer needed." });
  assert.equal(ended.status, 200, ended.text);
};

// Ten minutes later, when the lease of a job that was killed is over.
let minutes = 30;
async function restart(env = open) {
  logs += here.server?.log() ?? "";
  await here.at(`2026-02-11T${String(9 + Math.floor((minutes += 10) / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}:00Z`, env);
}

// The bucket holds the version as it was published, and names it.
async function holds(s, version, wanted = files) {
  const { objects, uploads } = await s.state();
  assert.deepEqual(uploads, []);
  const inVersion = Object.entries(objects).filter(([k]) => k.startsWith(`coop/a/${version}/`)).map(([k, o]) => [k.slice(`coop/a/${version}/`.length), o.sha256]);
  assert.deepEqual(Object.fromEntries(inVersion), wanted);
  assert.equal(JSON.parse(objects["coop/a/latest.json"].text).version, version);
  assert.ok(!("coop/a/access-check.json" in objects));
}

function shows(repo, wanted = files) {
  const { ".gitattributes": ours, ...rest } = repo.files;
  assert.ok(ours);
  assert.deepEqual(rest, wanted);
}

const isRefused = (answer, pointer) => { assert.equal(answer.status, 422, answer.text); assert.equal(answer.body.errors?.[0].pointer, pointer, answer.text); };

test("targets are for admins, on the public internet, confirmed, and open releases to nobody new", async () => {
  await restart({ COMMONHOLD_LOG: "debug" });
  const fake = { url: "http://127.0.0.1:9" };
  const m = await mirror("s3");
  assert.equal((await here.member.put(m.path, inBucket(fake))).status, 403);
  assert.equal((await here.outsider.get(m.path)).status, 403);
  for (const endpoint of ["http://127.0.0.1:9", "https://127.0.0.1", "https://10.0.0.8", "https://169.254.169.254", "https://[::1]", "http://s3.example.org", "ftp://s3.example.org", "https://a:b@s3.example.org", "https://s3.example.org/bucket"])
    isRefused(await here.admin.put(m.path, inBucket(fake, { endpoint })), "/endpoint");
  const there = { endpoint: "https://s3.example.org" };
  isRefused(await here.admin.put(m.path, inBucket(fake, { ...there, confirm: false })), "/confirm");
  isRefused(await here.admin.put(m.path, inBucket(fake, { ...there, prefix: "a/../b" })), "/prefix");
  isRefused(await here.admin.put(m.path, inBucket(fake, { ...there, place: "Not A Bucket" })), "/place");
  isRefused(await here.admin.put(m.path, inBucket(fake, { ...there, secret: "line\nbreak" })), "/secret");
  isRefused(await here.admin.put(m.path, inBucket(fake, { ...there, key_id: undefined })), "/key_id");
  isRefused(await here.admin.put(m.path, inBucket(fake, { ...there, secret: undefined })), "/secret");
  isRefused(await here.admin.put((await mirror("huggingface")).path, inRepository(fake, { endpoint: "https://huggingface.co", place: "noslash" })), "/place");
  for (const audience of ["gated_auto", "public"]) {
    const wide = await here.admin.put(m.path, inBucket(fake, { ...there, audience }));
    assert.equal(wide.status, 422, wide.text);
    assert.match(wide.body.detail, /more people/);
  }
  assert.equal((await here.admin.get(m.path)).status, 404);
});

test("a release goes up through every failure, in parts, and is named last", async () => {
  await restart();
  const s = await started("s3");
  await s.fail(
    { op: "put", act: "status", status: 503, headers: { "content-type": "application/xml" }, body: "<Error><Code>SlowDown</Code></Error>" },
    { op: "create", act: "status", status: 429, headers: { "retry-after": "2" } },
    { op: "put", path: "README.md", act: "drop" },
    { op: "put", path: "manifest.json", act: "etag" },
    { op: "get", path: "data", act: "endless" },
    { op: "put", path: "policy.json", act: "refuse" },
    { op: "part", path: "partNumber=1", act: "drop" },
    { op: "part", path: "partNumber=2", act: "etag" },
    { op: "complete", act: "answer", status: 200, body: "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code></Error>" },
    { op: "list", path: "1.0.0", act: "truncate" },
    { op: "list", path: "1.0.0", act: "answer", body: "<html>" },
    { op: "list", path: "1.0.0", act: "drip", step: 40, pause: 2 },
    { op: "put", path: "latest.json", act: "drop" },
  );
  const m = await aim("s3", inBucket(s));
  const t = await settled(m);
  assert.equal(t.state, "current", t.error);
  assert.deepEqual([t.latest, t.copies.map((c) => [c.version, c.state, c.files === c.files_done])], ["1.0.0", [["1.0.0", "published", true]]]);
  await holds(s, "1.0.0");
  assert.deepEqual(await s.calm(), [], "every failure was met");
  const log = await s.log();
  const creates = log.filter((l) => l.op === "create");
  assert.ok(creates[1].at - creates[0].at >= 1900, "it waited as long as it was asked to");
  const named = log.findIndex((l) => l.op === "put" && l.url.includes("latest.json"));
  assert.ok(log.slice(named).every((l) => !l.url.includes("/1.0.0/") || l.op !== "put"), "nothing of the version comes after it was named");
  assert.ok(log.filter((l) => l.refused && !/403 AccessDenied|412/.test(l.refused)).length <= 1, JSON.stringify(log.filter((l) => l.refused)));
  await gone(m);
});

test("a server killed in the middle of an upload goes on with the part it was at", async () => {
  const s = await started("s3");
  await s.fail({ op: "part", path: "partNumber=2", act: "hold" });
  const m = await aim("s3", inBucket(s));
  await until("the second part to be under way", async () => await s.held() === 1);
  here.server.child.kill("SIGKILL");
  await here.server.exited;
  await s.release();
  await restart();
  const t = await settled(m);
  assert.equal(t.state, "current", t.error);
  await holds(s, "1.0.0");
  const log = await s.log();
  assert.equal(log.filter((l) => l.op === "create").length, 1);
  assert.equal(log.filter((l) => l.op === "part" && l.url.includes("partNumber=1&")).length, 1, "the first part is not sent again");
  await gone(m);
});

test("a bucket that anybody can read is given nothing that is not for everybody", async () => {
  const s = await started("s3");
  await s.state({ bucket: { public: true } });
  const m = await aim("s3", inBucket(s, { endpoint: s.url.replace("127.0.0.1", "localhost"), path_style: false }));
  const t = await settled(m);
  assert.equal(t.state, "refused");
  assert.match(t.error, /Anybody can read/);
  assert.deepEqual((await s.state()).objects, {});
  assert.ok((await s.log()).every((l) => !l.url.includes("1.0.0") && !l.url.startsWith("/mirror/")), "and its name is in the host");
  await gone(m);
});

test("what never gets through is given up, shown, and tried again when an admin says so", async () => {
  const s = await started("s3");
  await s.fail({ act: "status", status: 503, times: 1000 });
  const m = await aim("s3", inBucket(s));
  await until("the first attempt to fail", async () => (await read(m)).attempts > 0);
  sql(`UPDATE adapter_target SET attempts = 13 WHERE mirror_id = '${m.id}'`);
  const t = await settled(m);
  assert.deepEqual([t.state, t.attempts, t.next_at], ["dead", 14, null]);
  assert.match(t.error, /503/);
  await s.calm();
  assert.equal((await here.admin.post(`${m.path}/retry`)).status, 200);
  assert.equal((await settled(m)).state, "current");
  await holds(s, "1.0.0");
  const taken = await here.admin.put((await mirror("s3")).path, inBucket(s));
  assert.equal(taken.status, 409, "a place is kept by one target");
  await gone(m);
});

test("credentials that are wrong are refused once, and are nowhere to be seen", async () => {
  const s = await started("s3", { S3_SECRET: "another" }), hub = await started("hub", { HUB_TOKEN: "hf_other", HUB_READ_TOKEN: token });
  const m = await aim("s3", inBucket(s)), n = await aim("huggingface", inRepository(hub));
  const [a, b] = [await settled(m), await settled(n)];
  assert.deepEqual([a.state, b.state], ["refused", "refused"]);
  assert.match(a.error, /403 \(SignatureDoesNotMatch\)/);
  assert.match(b.error, /403/);
  const dump = sql("SELECT args::text, last_error FROM job");
  const command = readFileSync(`/proc/${here.server.child.pid}/cmdline`, "utf8");
  const seen = [logs, here.server.log(), dump, command, JSON.stringify([a, b]), (await here.admin.get(`${coop}/log/entries?limit=100`)).text].join("\n");
  assert.ok(logs.includes("adapter.failed"), "the log has what failed");
  for (const s of [secret, token, keyId, Buffer.from(secret).toString("base64"), "Signature=", "Bearer"]) assert.ok(!seen.includes(s), `${s} is nowhere`);
  const repaired = await here.admin.put(n.path, inRepository(hub, { secret: "hf_other" }));
  assert.equal(repaired.status, 200, repaired.text);
  assert.equal((await settled(n)).state, "current");
  const moved = await here.admin.put(n.path, inRepository(hub, { place: "alpine/elsewhere" }));
  assert.deepEqual([moved.status, moved.body.reason ?? moved.body.code], [409, moved.body.reason ?? moved.body.code], moved.text);
  await gone(m);
  await gone(n);
});

test("admins set, repeat and give up a place on its page, which never shows the credentials", async () => {
  const s = await started("s3");
  const enter = async ({ email, password }) => (await here.anyone().post("/api/v1/sessions", { email, password })).headers.get("set-cookie").split(";")[0];
  const [cookie, other] = [await enter(here.admin), await enter(here.member)];
  const { csrf } = (await here.anyone().get("/api/v1/me", { headers: { cookie } })).body;
  const page = (path, form) => here.anyone().request(form ? "POST" : "GET", path, { headers: { cookie }, ...(form ? { body: new URLSearchParams({ csrf, ...form }).toString(), type: "application/x-www-form-urlencoded" } : {}) });
  const made = await page(`/coops/${here.slug}/mirrors/kept`, { name: "Set by hand", kind: "s3" });
  assert.equal(made.status, 303, made.text);
  const path = made.headers.get("location");
  assert.match((await page(path)).text, /Say where/);
  const filled = { endpoint: s.url, place: "mirror", prefix: "coop/a", region: "eu-test-1", key_id: keyId, secret, audience: "gated_manual", confirm: "yes" };
  const refused = await page(path, { ...filled, place: "No Bucket", confirm: "" });
  assert.equal(refused.status, 422);
  assert.ok(!refused.text.includes(secret) && refused.text.includes("No Bucket"));
  assert.equal((await page(path, filled)).status, 303);
  const m = { kind: "s3", path: `/api/v1${path}` };
  assert.equal((await settled(m)).state, "current");
  const shown = (await page(path)).text;
  assert.ok(!shown.includes(secret) && !shown.includes(keyId));
  assert.match(shown, /Readers are sent to release <strong>1\.0\.0<\/strong>/);
  assert.equal((await page(`${path}/retry`, {})).status, 303);
  assert.match((await page(`/coops/${here.slug}/mirrors`)).text, /Its place/);
  assert.equal((await page(`${path}/end`, { erase: "yes" })).status, 303);
  await until("the place to be given up", async () => (await here.admin.get(m.path)).status === 404);
  assert.deepEqual((await s.state()).objects, {});
  assert.equal((await here.anyone().get(path, { headers: { cookie: other } })).status, 403);
});

test("a repository gets one commit, one tag and its gate through every failure", async () => {
  const hub = await started("hub");
  await hub.fail(
    { op: "create", act: "drop" },
    { op: "preupload", act: "status", status: 429, headers: { ratelimit: '"api";r=0;t=1', "content-type": "application/json" } },
    { op: "lfs_batch", act: "status", status: 502 },
    { op: "lfs_part", act: "status", status: 500 },
    { op: "lfs_part", after: 2, act: "refuse" },
    { op: "lfs_complete", act: "drop" },
    { op: "lfs_verify", act: "drop" },
    { op: "commit", act: "drop" },
    { op: "tree", act: "truncate" },
    { op: "tag", act: "drop" },
    { op: "settings", act: "status", status: 504 },
  );
  const m = await aim("huggingface", inRepository(hub));
  const t = await settled(m);
  assert.equal(t.state, "current", t.error);
  assert.deepEqual(await hub.calm(), [], "every failure was met");
  const repo = (await hub.state()).repos["alpine/voices"];
  shows(repo);
  assert.deepEqual([repo.private, repo.gated, repo.commits.map((c) => c.title), Object.keys(repo.tags)], [false, "manual", ["initial commit", "Release 1.0.0"], ["1.0.0"]]);
  assert.equal(repo.tags["1.0.0"], t.copies[0].revision);
  const log = await hub.log();
  const opened = log.findIndex((l) => l.op === "settings");
  assert.ok(log.findLastIndex((l) => l.op === "commit" || /^lfs_(part|put|complete)$/.test(l.op)) < opened, "everything is there before the gate opens");
  assert.ok(log.filter((l) => /^lfs_(put|part|complete)$/.test(l.op)).every((l) => !l.signed), "storage never sees the token");
  await gone(m);
});

test("a repository that is open, or will not be closed, or cannot forget, is not trusted", async () => {
  const hub = await started("hub");
  await hub.state({ repos: { "alpine/voices": { private: false } } });
  let m = await aim("huggingface", inRepository(hub));
  assert.equal((await settled(m)).state, "current");
  const log = await hub.log();
  assert.ok(log.findIndex((l) => l.op === "settings") < log.findIndex((l) => l.op === "preupload"), "it is closed before anything is sent");
  await gone(m);

  await hub.state({ mode: { leak: true } });
  m = await aim("huggingface", inRepository(hub, { place: "alpine/leaky" }));
  const leaky = await settled(m);
  assert.deepEqual([leaky.state, (await hub.state()).repos["alpine/leaky"].private], ["refused", true], leaky.error);
  await gone(m);

  await hub.state({ mode: { leak: false } });
  await hub.fail({ op: "resolve", act: "endless", after: 0 });
  m = await aim("huggingface", inRepository(hub, { place: "alpine/endless" }));
  const endless = await settled(m);
  assert.deepEqual([endless.state, (await hub.state()).repos["alpine/endless"].private], ["refused", true], endless.error);
  await gone(m);

  await hub.state({ mode: { leak: false, plain: true } });
  m = await aim("huggingface", inRepository(hub, { place: "alpine/plain" }));
  const plain = await settled(m);
  assert.match(plain.error, /could not be erased/);
  assert.equal((await hub.state()).repos["alpine/plain"].commits.length, 1);
  await gone(m);
});

test("what is erased goes from every place with its history, and the places' own word is the receipt", async () => {
  const s = await started("s3", { S3_VERSIONED: "1" }), hub = await started("hub"), anew = await started("hub");
  const targets = [await aim("s3", inBucket(s)), await aim("huggingface", inRepository(hub)), await aim("huggingface", inRepository(anew, { recreate: true }))];
  const old = [];
  for (const m of targets) {
    const t = await settled(m);
    assert.equal(t.state, "current", t.error);
    old.push(t.copies[0].revision);
  }
  const stored = (await s.state()).versions.length;
  await s.state({ upload: "coop/a/1.0.0/data/left-behind", bucket: { locked: true } });
  await hub.state({ convert: "alpine/voices", mode: { keep: 1 } });
  for (const x of [s, hub, anew]) await x.forget();
  await s.fail({ op: "list_versions", act: "truncate" }, { op: "abort", act: "drop" });
  await hub.fail({ op: "untag", act: "drop" }, { op: "lfs_delete", act: "drop" }, { op: "squash", act: "drop" });
  await anew.fail({ op: "delete_repo", act: "drop" });

  const mine = (await here.member.get(`${coop}/contributions?limit=50`)).body.items.find((i) => i.kind === "example");
  const asked = await here.member.post(`${coop}/deletions`, { kind: "erase", items: [mine.id] });
  assert.equal(asked.status, 201, asked.text);

  // An object lock keeps what has to go, and a converted copy lies beside the repository: neither is called done.
  const locked = await settled(targets[0], ["refused"]);
  assert.match(locked.error, /delete an object/);
  const converted = await until("the converted copy to be noticed", async () => { const t = await read(targets[1]); return /converted copy/.test(t.error ?? "") && t; });
  assert.equal(converted.state, "retrying");
  await s.state({ bucket: { locked: false } });
  await s.fail({ op: "delete", path: "1.0.0", after: 3, act: "hold" });
  await hub.state({ unconvert: "alpine/voices" });
  assert.equal((await here.admin.post(`${targets[0].path}/retry`)).status, 200);
  assert.equal((await here.admin.post(`${targets[1].path}/retry`)).status, 200);
  await until("the erasing to be under way", async () => await s.held() === 1);
  here.server.child.kill("SIGKILL");
  await here.server.exited;
  await s.release();
  await restart();

  const now = await filesOf("2.0.0");
  for (const m of targets) {
    const t = await until("1.0.0 to be gone", async () => { const x = await read(m); return x.state === "current" && x.latest === "2.0.0" && x.copies.find((c) => c.version === "1.0.0").state === "erased" && x; });
    assert.ok(t.copies.find((c) => c.version === "1.0.0").checked.asked.every((c) => c.found === 0));
  }
  const bucket = await s.state();
  await holds(s, "2.0.0", now);
  assert.deepEqual(bucket.versions.filter((v) => v.key.includes("/1.0.0/")), []);
  assert.ok(stored > 14);
  const [chat, example] = ["data/chat/", "data/example/"].map((folder) => Object.keys(files).find((p) => p.startsWith(folder)));
  assert.equal(now[chat], files[chat]);
  assert.notEqual(now[example], files[example]);
  assert.ok((await s.log()).some((l) => l.op === "copy" && l.url.includes("data/chat/")) && (await s.log()).every((l) => l.op !== "part"), "the shard that stays is copied there, and not sent again");

  const repo = (await hub.state()).repos["alpine/voices"];
  shows(repo, now);
  assert.deepEqual([repo.commits.length, Object.keys(repo.tags), repo.tags["2.0.0"]], [1, ["2.0.0"], repo.head]);
  assert.ok(repo.lfs.includes(files[chat]) && !repo.lfs.includes(files[example]));
  assert.ok((await hub.log()).filter((l) => l.op === "lfs_part").length <= 1, "the shard that stays is not sent again");
  for (const [x, revision] of [[hub, old[1]], [anew, old[2]]])
    assert.equal((await fetch(`${x.url}/api/datasets/alpine/voices/revision/${revision}`, { headers: { authorization: `Bearer ${token}` } })).status, 404);
  const again = (await anew.state()).repos["alpine/voices"];
  shows(again, now);
  assert.deepEqual([again.gated, again.private], ["manual", false]);

  const duties = await until("the duties to be confirmed", async () => {
    const { items } = (await here.admin.get(`${coop}/duties`)).body;
    const ours = items.filter((d) => targets.some((m) => m.id === d.mirror));
    return ours.length === targets.length && ours.every((d) => d.confirmed_at && d.method === "deleted") && ours;
  });
  assert.ok(duties.every((d) => d.deletion === asked.body.id));
  for (const m of targets) {
    const { items } = (await here.admin.get(`${coop}/mirrors/${m.id}/receipts`)).body;
    assert.deepEqual(items[0].releases, ["2.0.0"]);
  }

  // And a place that is given up is emptied.
  for (const m of targets) assert.equal((await here.admin.delete(`${m.path}?erase=true`)).status, 204);
  for (const m of targets) await until("the target to be forgotten", async () => (await here.admin.get(m.path)).status === 404);
  assert.deepEqual((await s.state()).versions.filter((v) => /\d\.\d\.\d\//.test(v.key)), []);
  assert.deepEqual((await hub.state()).repos, {});
});

test("a version that is withdrawn while it goes up is never named, and goes again", async () => {
  const s = await started("s3", { S3_VERSIONED: "1" }), hub = await started("hub");
  await s.fail({ op: "put", path: "2.0.0/manifest.json", act: "hold" });
  await hub.fail({ op: "lfs_batch", act: "hold" });
  const m = await aim("s3", inBucket(s)), n = await aim("huggingface", inRepository(hub));
  await until("both uploads to be under way", async () => await s.held() === 1 && await hub.held() === 1);
  const mine = (await here.member.get(`${coop}/contributions?limit=50`)).body.items.find((i) => i.kind === "chat" && i.state !== "erased");
  const asked = await here.member.post(`${coop}/deletions`, { kind: "erase", items: [mine.id] });
  assert.equal(asked.status, 201, asked.text);
  await until("2.0.0 to be withdrawn", async () => (await here.admin.get(`${coop}/releases`)).body.items.find((r) => r.version === "2.0.0").state === "withdrawn");
  await s.release();
  await hub.release();
  const now = await filesOf("3.0.0");
  for (const x of [m, n]) await until("3.0.0 to be there", async () => { const t = await read(x); return t.state === "current" && t.latest === "3.0.0" && t.copies.find((c) => c.version === "2.0.0").state === "erased"; });
  await holds(s, "3.0.0", now);
  const { versions } = await s.state();
  assert.equal(versions.filter((v) => v.key.endsWith("latest.json")).length, 1, "nothing was named before");
  assert.deepEqual(versions.filter((v) => v.key.includes("/2.0.0/")), []);
  const repo = (await hub.state()).repos["alpine/voices"];
  shows(repo, now);
  assert.ok(repo.commits.every((c) => c.title !== "Release 2.0.0") && !Object.values(files).includes(repo.lfs.find((sha) => !Object.values(now).includes(sha))));
  for (const x of [m, n]) await gone(x);
});

test("where nothing may be shown any more, nothing is", async () => {
  const s = await started("s3"), hub = await started("hub");
  await s.state({ bucket: { versionless: true } });
  const targets = [await aim("s3", inBucket(s)), await aim("huggingface", inRepository(hub))];
  for (const m of targets) assert.equal((await settled(m)).state, "current");
  for (const who of [here.member, here.admin]) {
    const asked = await who.post(`${coop}/deletions`, { kind: "erase", scope: "coop" });
    assert.equal(asked.status, 201, asked.text);
  }
  for (const m of targets) await until("the last version to be gone", async () => { const t = await read(m); return t.state === "current" && t.latest === null && t.copies.every((c) => c.state === "erased"); });
  assert.deepEqual(Object.keys((await s.state()).objects), []);
  const repo = (await hub.state()).repos["alpine/voices"];
  assert.deepEqual([Object.keys(repo.files), repo.lfs, Object.keys(repo.tags), repo.commits.length], [[".gitattributes", "README.md"], [], [], 1]);
});
