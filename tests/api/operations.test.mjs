// Running it: what it tells of itself, how it stops, what it survives, on whose database, and what its logs must not say.
import { test, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary, charter, Client, freePort, person, start, ok } from "./server.mjs";
import { postgres, until, verdicts, World } from "./world.mjs";

const clock = "2026-01-10T09:00:00Z";
const coop = "/api/v1/coops/alpine";
const ends = [];
const begin = async (options = {}) => {
  const world = await World.begin({ clock, ...options });
  ends.push(() => world.end());
  return world;
};
after(async () => {
  for (const end of ends) await end();
});

const example = (input) => ({ kind: "example", content: { input } });
const line = (input) => `${JSON.stringify(example(input))}\n`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The world of most tests: a co-op whose founder is `ada`. It is made once, and each test leaves it running.
let common;
async function founded() {
  if (!common) {
    const world = await begin({ env: { COMMONHOLD_METRICS_TOKEN: "let-me-see" } });
    const ada = await world.person("Ada");
    ok(201, await ada.post("/api/v1/coops", { slug: "alpine", charter: charter() }));
    common = { world, ada };
  }
  return common;
}

// ---- Prometheus' text format, read by its specification ----

function parseMetrics(text) {
  assert.ok(text.endsWith("\n"));
  const types = new Map(), series = new Map();
  for (const row of text.split("\n").slice(0, -1)) {
    if (row === "") continue;
    const comment = row.match(/^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/);
    if (comment) {
      if (comment[1] === "TYPE") {
        assert.ok(["counter", "gauge", "histogram", "summary", "untyped"].includes(comment[3]), row);
        assert.ok(!types.has(comment[2]), `${row} comes once`);
        types.set(comment[2], comment[3]);
      }
      continue;
    }
    const sample = row.match(/^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+]+|NaN|[+-]Inf)$/);
    assert.ok(sample, `not a sample: ${row}`);
    const name = `${sample[1]}{${sample[2] ?? ""}}`;
    assert.ok(!series.has(name), `${name} comes once`);
    series.set(name, Number(sample[3]));
    assert.ok(types.has(sample[1]) || types.has(sample[1].replace(/_(bucket|sum|count)$/, "")), `${sample[1]} has a type`);
  }
  return { types, series };
}

test("health, readiness and metrics", async () => {
  const { world, ada } = await founded();
  const get = (path, headers) => fetch(world.url + path, { headers });
  assert.deepEqual(await (await get("/healthz")).json(), { status: "ok" });
  assert.deepEqual(await (await get("/readyz")).json(), { status: "ok" });
  await until(() => ada.get(`${coop}/releases`), (a) => a.body.items.length === 1);
  const answer = await get("/metrics");
  assert.match(answer.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
  const { types, series } = parseMetrics(await answer.text());
  assert.equal(types.get("commonhold_jobs"), "gauge");
  assert.equal(series.get('commonhold_jobs{kind="release.freeze",state="waiting"}'), 1);
  for (const state of ["waiting", "running", "dead"]) assert.ok([...series.keys()].some((k) => k.startsWith("commonhold_jobs{") && k.includes(`state="${state}"`)), state);
  assert.ok(series.get("commonhold_db_connections{}") >= 1);
  const before = [...series].filter(([k]) => /requests_total|_total\{/.test(k)).reduce((sum, [, v]) => sum + v, 0);
  await get("/healthz");
  const later = parseMetrics(await (await get("/metrics")).text()).series;
  assert.ok([...later].filter(([k]) => /requests_total|_total\{/.test(k)).reduce((sum, [, v]) => sum + v, 0) > before, "requests are counted");
  for (const [, type] of types) assert.notEqual(type, "untyped");
  assert.ok(![...later.keys()].join().includes("alpine"), "labels hold no names of co-ops or people");
});

test("what is measured of deletions is there before there are any, as the README says", async () => {
  const { world } = await founded();
  const { series } = parseMetrics(await (await fetch(`${world.url}/metrics`, { headers: { authorization: "Bearer let-me-see" } })).text());
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const named = [...readme.matchAll(/`(commonhold_[a-z_]+)`/g)].map((m) => m[1]);
  assert.ok(named.includes("commonhold_redactions_overdue"));
  /* Duties outstanding and overdue and the age of the oldest, mirrors and how many tombstones and seconds they are behind, deliveries by outcome. */
  for (const name of [...named, "commonhold_duties_outstanding", "commonhold_duties_overdue", "commonhold_duty_oldest_seconds", "commonhold_mirrors", "commonhold_mirrors_behind",
    "commonhold_mirror_lag_tombstones", "commonhold_mirror_lag_seconds", "commonhold_deliveries", "commonhold_delivery_attempts_total"])
    assert.ok([...series].some(([k, v]) => k.startsWith(`${name}{`) && v === 0), name);
});

test("a dead job is visible", async () => {
  const { world, ada } = await founded();
  await until(() => ada.get(`${coop}/releases`), (a) => a.body.items.length === 1);
  world.sql("INSERT INTO job (id, kind, args, state, due, queued_at, attempts, died_at, last_error) SELECT gen_random_uuid(), kind, '{}', 'dead', now(), now(), 20, now(), 'made up' FROM job WHERE kind = 'release.freeze'");
  const { series } = parseMetrics(await (await fetch(`${world.url}/metrics`)).text());
  assert.equal(series.get('commonhold_jobs{kind="release.freeze",state="dead"}'), 1);
  assert.equal((await fetch(`${world.url}/metrics`, { headers: { authorization: "Bearer let-me-see" } })).status, 200);
});

// ---- stopping ----

// A batch whose body is sent by hand.
function slowBatch(world, token, length) {
  const socket = connect(world.port, "127.0.0.1");
  let text = "";
  const done = new Promise((resolve) => {
    socket.on("data", (chunk) => { text += chunk; });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
  socket.write(`POST ${coop}/contributions/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/x-ndjson\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`);
  return { socket, done, text: () => text };
}

test("a stop finishes what is in flight and takes nothing new", async () => {
  const { world, ada } = await founded();
  const lines = Array.from({ length: 20 }, (_, i) => line(`Sent while stopping, ${i}`));
  const idle = connect(world.port, "127.0.0.1");
  idle.on("error", () => {});
  const batch = slowBatch(world, ada.token, Buffer.byteLength(lines.join("")));
  batch.socket.write(lines.slice(0, 5).join(""));
  await until(() => fetch(`${world.url}/metrics`).then(async (a) => ({ text: await a.text() })), (a) => /commonhold_http_in_flight [2-9]/.test(a.text), "the batch in flight");
  const { server } = world;
  server.child.kill("SIGTERM");
  await until(async () => ({ refused: await fetch(`${world.url}/readyz`).then((a) => a.status === 503, () => true) }), (a) => a.refused, "the refusal");
  for (const rest of lines.slice(5)) {
    batch.socket.write(rest);
    await pause(20);
  }
  const text = await batch.done;
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.match(text, /"done":true,"approved":20/);
  assert.deepEqual(await server.exited, { code: 0, signal: null });
  idle.destroy();
  await world.at(clock);
  assert.equal(ok(200, await ada.get(`${coop}/contributions?limit=200`)).items.length, 20);
});

// ---- surviving ----

const alive = (pid) => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));

test("killed, it comes back to the cluster that kept running, and nothing is lost", async () => {
  const { world, ada } = await founded();
  const kept = ok(201, await ada.post(`${coop}/contributions`, example("Before the kill")));
  const count = () => Number(world.sql("SELECT count(*) FROM contribution")[0][0]);
  const before = count();
  const body = Array.from({ length: 9000 }, (_, i) => line(`Line ${i}`)).join("");
  const batch = slowBatch(world, ada.token, Buffer.byteLength(body) + 1000);
  batch.socket.write(body);
  await until(async () => ({ text: batch.text() }), (a) => a.text.includes('"line":4096,'), "the first verdicts");
  const postmaster = world.postmaster();
  world.server.child.kill("SIGKILL");
  assert.equal((await world.server.exited).signal, "SIGKILL");
  const told = (await batch.done).split("\n").filter((l) => l.startsWith("{") && l.endsWith("}")).map((l) => JSON.parse(l)).filter((v) => v.id);
  assert.ok(alive(postmaster), "the cluster goes on without the server");
  world.server = undefined;
  await world.at(clock);
  assert.equal(world.postmaster(), postmaster, "it is adopted, not started again");
  assert.equal(ok(200, await ada.get(`${coop}/contributions/${kept.id}`)).content.input, "Before the kill");
  const stored = count() - before;
  assert.ok(told.length >= 4096 && stored >= told.length, `${told.length} told, ${stored} stored`);
  const ids = new Set(world.sql("SELECT id FROM contribution").flat());
  assert.ok(told.every((v) => ids.has(v.id)), "what had a verdict is there");
  assert.equal(stored % 4096, 0, "in whole groups");
  const { lines: again, summary } = verdicts(await ada.request("POST", `${coop}/contributions/batch`, { body, type: "application/x-ndjson" }));
  assert.deepEqual([summary.duplicates, summary.approved], [stored, 9000 - stored]);
  assert.equal(again.length, 9000);
  await world.pause();
  assert.ok(!alive(postmaster), "whoever adopted the cluster stops it");
  await world.at(clock);
});

test("the cluster killed under it is started again, and nothing is lost", async () => {
  const { world, ada } = await founded();
  const kept = ok(201, await ada.post(`${coop}/contributions`, example("Before the crash")));
  const first = world.postmaster();
  process.kill(first, "SIGKILL");
  await until(async () => ({ pid: world.postmaster() }), (a) => a.pid && a.pid !== first, "another postmaster");
  await until(() => fetch(`${world.url}/readyz`).then((a) => ({ status: a.status })), (a) => a.status === 200, "readiness");
  assert.equal(world.server.child.exitCode, null);
  assert.equal(ok(200, await ada.get(`${coop}/contributions/${kept.id}`)).content.input, "Before the crash");
  ok(201, await ada.post(`${coop}/contributions`, example("After the crash")));
});

test("two servers share a cluster, and the second carries on when the first is killed", async () => {
  const { world, ada } = await founded();
  const second = await start({ clock, dir: world.dir });
  try {
    const other = new Client(second.url, ada.token);
    const made = ok(201, await other.post(`${coop}/contributions`, example("Through the second")));
    world.server.child.kill("SIGKILL");
    await world.server.exited;
    world.server = undefined;
    const newest = async () => ok(200, await other.get(`${coop}/contributions?limit=1`)).items[0].id;
    assert.equal(await newest(), made.id);
    const postmaster = world.postmaster();
    process.kill(postmaster, "SIGKILL");
    await until(() => fetch(`${second.url}/readyz`).then((a) => ({ status: a.status, pid: world.postmaster() })), (a) => a.status === 200 && a.pid !== postmaster, "a cluster under the second's care");
    assert.equal(await newest(), made.id);
  } finally {
    await second.stop();
    await world.at(clock);
  }
});

// ---- migrations ----

test("a database newer than the program, or made by another text, is refused", async () => {
  const { world } = await founded();
  const migrate = () => world.run(["migrate"]);
  assert.equal(migrate().status, 0);
  for (const database of ["commonhold", "commonhold_keys"]) {
    world.sql("INSERT INTO commonhold_migration (number, name, checksum, applied_at) VALUES (9000, '9000_future.sql', decode(repeat('00', 32), 'hex'), now())", database);
    const newer = migrate();
    assert.equal(newer.status, 1, newer.err);
    assert.match(newer.err, /newer than the program/);
    world.sql("DELETE FROM commonhold_migration WHERE number = 9000", database);
    world.sql("UPDATE commonhold_migration SET checksum = sha256(checksum) WHERE number = 1", database);
    const other = migrate();
    assert.equal(other.status, 1, other.err);
    assert.match(other.err, /0001_/);
    world.sql("UPDATE commonhold_migration SET checksum = m.checksum FROM (SELECT sha256('x') AS checksum) m WHERE number = 1", database);
    const served = world.run(["serve"], { env: { COMMONHOLD_LISTEN: "127.0.0.1:0" } });
    assert.equal(served.status, 1, "it does not serve on a database that is not its own");
    const checked = world.run(["doctor"]);
    assert.notEqual(checked.status, 0, checked.out);
    world.sql(`UPDATE commonhold_migration SET checksum = decode('${checksum(database)}', 'hex') WHERE number = 1`, database);
    assert.equal(migrate().status, 0);
  }
  assert.equal(world.run(["migrate", "more"]).status, 2);
});

function checksum(database) {
  const root = new URL("../..", import.meta.url).pathname;
  const folder = join(root, database === "commonhold" ? "sql" : "sql/keys");
  const file = readdirSync(folder).find((f) => f.startsWith("0001_"));
  return execFileSync("sha256sum", [join(folder, file)], { encoding: "utf8" }).slice(0, 64);
}

// ---- a database of the operator's own ----

const asPostgres = (args) => {
  const done = process.getuid() === 0 ? spawnSync("runuser", ["-u", "postgres", "--", ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }) : spawnSync(args[0], args.slice(1), { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  assert.equal(done.status, 0, `${args.join(" ")}: ${done.stderr}${done.stdout}`);
  return done.stdout;
};

test("a database of the operator's own is used, on the host that answers", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ch-pg-"));
  if (process.getuid() === 0) execFileSync("chown", ["postgres", folder]);
  chmodSync(folder, 0o700);
  const data = join(folder, "data"), port = await freePort(), dead = await freePort();
  const pg = (name) => join(postgres, name);
  asPostgres([pg("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
  const run = () => asPostgres([pg("pg_ctl"), "-D", data, "-w", "-l", join(folder, "log"), "-o", `-c listen_addresses=127.0.0.1 -c port=${port} -c unix_socket_directories= -c fsync=off`, "start"]);
  run();
  try {
    const psql = (statement) => asPostgres([pg("psql"), "-h", "127.0.0.1", "-p", String(port), "-U", "postgres", "-d", "postgres", "-XAtqc", statement]);
    psql("CREATE ROLE commonhold LOGIN CREATEROLE");
    for (const name of ["coops", "coops_keys"]) psql(`CREATE DATABASE ${name} OWNER commonhold`);
    const env = { COMMONHOLD_DATABASE_URL: `postgresql://commonhold@127.0.0.1:${dead},127.0.0.1:${port}/coops?connect_timeout=30` };
    const world = await begin({ env });
    assert.equal(world.run(["migrate"]).status, 0);
    const ada = await world.person("Ada");
    ok(201, await ada.post("/api/v1/coops", { slug: "alpine", charter: charter() }));
    ok(201, await ada.post(`${coop}/contributions`, example("Elsewhere")));
    assert.ok(!readdirSync(world.dir).includes("postgres"), "no private cluster is made");
    const second = await start({ clock, env: { ...env, COMMONHOLD_KEY_DIR: join(world.dir, "keys") } });
    try {
      assert.equal(ok(200, await new Client(second.url, ada.token).get(`${coop}/contributions`)).items.length, 1, "two servers, one database");
      const colleague = await person(second, "Bea");
      ok(200, await new Client(world.url, colleague.token).get("/api/v1/me"));
    } finally {
      await second.stop();
    }
    asPostgres([pg("pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop"]);
    assert.deepEqual((await fetch(`${world.url}/healthz`)).status, 200, "the process lives without its database");
    assert.equal((await fetch(`${world.url}/readyz`)).status, 503);
    const without = await ada.get(`${coop}/contributions`);
    assert.deepEqual([without.status, without.body.code], [503, "unavailable"], without.text);
    assert.ok(without.headers.get("retry-after"));
    run();
    await until(() => fetch(`${world.url}/readyz`).then((a) => ({ status: a.status })), (a) => a.status === 200, "the return of the database");
    assert.equal(ok(200, await ada.get(`${coop}/contributions`)).items.length, 1);
    await world.pause();
    asPostgres([pg("psql"), "-h", "127.0.0.1", "-p", String(port), "-U", "postgres", "-d", "coops", "-XAtqc", "SELECT 1 FROM coop"]);
    await world.at(clock);
    assert.equal(ok(200, await ada.get(`${coop}/contributions`)).items.length, 1);
    await world.pause();
    const none = spawnSync(binary, ["migrate"], { env: { ...process.env, COMMONHOLD_DIR: world.dir, COMMONHOLD_DATABASE_URL: `postgresql://commonhold@127.0.0.1:${dead}/coops?connect_timeout=2` }, encoding: "utf8" });
    assert.equal(none.status, 1);
    assert.match(none.stderr, /commonhold migrate: /);
  } finally {
    spawnSync("sh", ["-c", `kill -QUIT $(head -n 1 "${data}/postmaster.pid")`]);
    await until(async () => ({ there: existsSync(join(data, "postmaster.pid")) }), (a) => !a.there).catch(() => {});
    rmSync(folder, { recursive: true, force: true });
  }
});

// ---- the command line ----

const commands = ["serve", "migrate", "demo", "import", "release", "verify", "account", "explain", "policy", "doctor"];
const bare = (args, env = {}) => {
  const folder = mkdtempSync(join(tmpdir(), "ch-cli-"));
  try {
    const done = spawnSync(binary, args, { env: { ...process.env, COMMONHOLD_DIR: join(folder, "var"), ...env }, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 240_000 });
    return { status: done.status, out: done.stdout, err: done.stderr, made: readdirSync(folder) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

test("every command says what it is for, and refuses what it does not know", () => {
  for (const args of [["--help"], ["-h"], ["help"], ...commands.flatMap((c) => [[c, "--help"], [c, "-h"]])]) {
    const { status, out, err, made } = bare(args);
    assert.equal(status, 0, `${args.join(" ")}: ${err}`);
    assert.match(out, /^usage: commonhold/, args.join(" "));
    assert.equal(err, "", args.join(" "));
    assert.deepEqual(made, [], `${args.join(" ")} makes nothing`);
  }
  const help = bare(["--help"]).out;
  for (const command of commands) assert.match(help, new RegExp(`^ +${command} `, "m"));
  for (const args of [[], ["nonsense"], ["--nonsense"], ...commands.map((c) => [c, "--nonsense"]), ["import"], ["import", "file"], ["import", "--coop"], ["release"], ["release", "nonsense"], ["release", "list"], ["account"],
    ["account", "create"], ["account", "nonsense", "x"], ["verify"], ["verify", "/nonexistent", "--key", "RWQ"], ["explain"], ["policy"], ["serve", "more"]]) {
    const { status, out, err, made } = bare(args);
    assert.equal(status, 2, `${args.join(" ")}: ${status} ${out} ${err}`);
    assert.match(err, args.includes("RWQ") ? /key/ : /usage: commonhold/, args.join(" "));
    assert.equal(out, "", args.join(" "));
    assert.deepEqual(made, [], `${args.join(" ")} makes nothing`);
  }
});

test("a setting that cannot be used is named", () => {
  for (const [variable, value] of [["COMMONHOLD_LISTEN", "nonsense"], ["COMMONHOLD_LISTEN", "127.0.0.1:99999"], ["COMMONHOLD_BASE_URL", "ftp://x"], ["COMMONHOLD_LOG", "loud"], ["COMMONHOLD_LOG_FORMAT", "xml"],
    ["COMMONHOLD_WORKERS", "many"], ["COMMONHOLD_WORKERS", "0"], ["COMMONHOLD_DB_POOL", "-1"], ["COMMONHOLD_JOB_WORKERS", "x"], ["COMMONHOLD_REQUEST_TIMEOUT_MS", "soon"], ["COMMONHOLD_RATE_LIMIT", "x"],
    ["COMMONHOLD_TRUST_PROXY", "perhaps"], ["COMMONHOLD_CLOCK", "yesterday"]]) {
    const { status, err, out } = bare(["serve"], { [variable]: value });
    assert.equal(status, 1, `${variable}=${value}: ${out}${err}`);
    assert.match(err, new RegExp(variable), `${variable}=${value}`);
    const doctor = bare(["doctor"], { [variable]: value });
    assert.equal(doctor.status, 1, `doctor ${variable}=${value}: ${doctor.out}${doctor.err}`);
    assert.match(doctor.out + doctor.err, new RegExp(variable));
  }
});

test("commands that fail say why, and exit with 1", async () => {
  const { world, ada } = await founded();
  for (const [args, says] of [
    [["release", "list", "atlantis"], /co-op/], [["account", "token", "nobody@example.org"], /./], [["account", "create", ada.email, "Ada"], /./], [["account", "create", "no address", "X"], /./],
    [["import", "--coop", "atlantis", "--as", ada.email, "--format", "jsonl", "/dev/null"], /co-op/], [["import", "--coop", "alpine", "--as", "nobody@example.org", "--format", "jsonl", "/dev/null"], /./],
    [["import", "--coop", "alpine", "--as", ada.email, "--format", "doc", "/dev/null"], /format/], [["import", "--coop", "alpine", "--as", ada.email, "--format", "jsonl", "/nonexistent"], /nonexistent/],
    [["import", "--coop", "alpine", "--as", ada.email, "--format", "csv", "/dev/null"], /mapping/i], [["verify", "/nonexistent", "--key", "0".repeat(64)], /./],
  ]) {
    const { status, err, out } = world.run(args);
    assert.equal(status, 1, `${args.join(" ")}: ${status} ${out} ${err}`);
    assert.match(err + out, says, args.join(" "));
    assert.doesNotMatch(err, /Sanitizer/);
  }
  const made = world.run(["account", "create", "cli@example.org", "Made by hand"]);
  assert.equal(made.status, 0, made.err);
  const token = world.run(["account", "token", "cli@example.org", "a script"]);
  assert.equal(token.status, 0, token.err);
  const secret = token.out.trim().split("=").at(-1);
  assert.equal(ok(200, await world.client(secret).get("/api/v1/me")).email, "cli@example.org");
  assert.equal(world.run(["doctor"]).status, 0, world.run(["doctor"]).out);
});

// ---- logs ----

test("logs hold no address, password, token or content", async () => {
  const world = await begin({ env: { COMMONHOLD_LOG: "debug" } });
  const secrets = [];
  const secret = (text) => (secrets.push(text), text);
  const nobody = world.client();
  const email = secret("zaphod.beeblebrox@heart-of-gold.example"), password = secret("forty-two towels and tea"), name = secret("Zaphod Quintessence");
  ok(201, await nobody.post("/api/v1/accounts", { email, password, name }));
  await nobody.post("/api/v1/accounts", { email, password, name });
  await nobody.post("/api/v1/accounts", { email: secret("half an address of marvin"), password, name });
  await nobody.post("/api/v1/sessions", { email, password: secret("the wrong password of arthur") });
  const session = await nobody.post("/api/v1/sessions", { email, password });
  const cookie = session.headers.get("set-cookie").split(";")[0];
  secret(cookie.split("=")[1]);
  const { csrf } = ok(200, await nobody.get("/api/v1/me", { headers: { cookie } }));
  secret(csrf);
  const token = ok(201, await nobody.post("/api/v1/tokens", { name: secret("towel script") }, { headers: { cookie, "x-csrf-token": csrf } })).secret;
  secret(token);
  const me = world.client(token);
  const terms = secret("Do not panic about these terms");
  ok(201, await me.post("/api/v1/coops", { slug: "alpine", charter: charter({ release: { uses: ["train.gen"], purposes: ["research"] }, access: { mode: "gated_auto", terms }, bylaws: secret("Bylaws of Magrathea") }) }));
  ok(201, await me.post(`${coop}/contributions`, example(secret("The answer that deep thought gave"))));
  ok(201, await me.post(`${coop}/contributions`, example(`Call ${secret("+41 79 123 45 67")} or ${secret("ford.prefect@betelgeuse.example")}`)));
  await me.post(`${coop}/contributions`, { kind: "example", content: { inptu: secret("a misspelt member's content") } });
  await me.request("POST", `${coop}/contributions`, { body: `{"kind": "example", "content": {"input": "${secret("broken json content")}`, type: "application/json" });
  await me.request("POST", `${coop}/contributions/batch`, { body: `${line(secret("a line of slartibartfast"))}${secret("no json at all in this line")}\n`, type: "application/x-ndjson" });
  await me.get(`${coop}/contributions?cursor=${secret("a-cursor-of-trillian")}`);
  await me.get(`/api/v1/coops?text=${encodeURIComponent(secret("searchword-vogon"))}`);
  await world.client(secret("ch_this-is-an-invented-token-of-nobody")).get("/api/v1/me");
  await nobody.get(`/${secret("path-with-a-secret-in-it")}`);
  const { terms_sha256 } = ok(200, await me.get(`${coop}/access-terms`));
  const asked = ok(201, await me.post(`${coop}/access-requests`, { purpose: "research", description: secret("Why a petunia thinks again"), organisation: secret("Sirius Cybernetics"), terms_sha256 }));
  secret(ok(201, await me.post(`${coop}/grants/${asked.grant}/token`)).token);
  ok(204, await me.post(`${coop}/invitations`, { email: secret("invited.dolphin@earth.example") }));
  world.run(["account", "create", secret("cli.trillian@earth.example"), "Trillian"]);
  process.kill(world.postmaster(), "SIGKILL");
  await until(() => fetch(`${world.url}/readyz`).then((a) => ({ status: a.status })), (a) => a.status === 200);
  await world.pause();
  const logs = world.logs + readdirSync(world.dir).filter((f) => /log/.test(f)).map((f) => readFileSync(join(world.dir, f), "utf8")).join("");
  assert.ok(world.logs.split("\n").length > 30, "there is a log to look through");
  for (const text of secrets) assert.ok(!logs.includes(text), `the log holds ${JSON.stringify(text)}: ${logs.split("\n").find((l) => l.includes(text))}`);
  for (const row of world.logs.trim().split("\n")) {
    const event = JSON.parse(row);
    assert.match(event.at, /^2026-01-10T09:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(["debug", "info", "warn", "error"].includes(event.level));
    assert.match(event.event, /^[a-z_.]+$/);
    if (event.event === "request") assert.ok(event.request && Number.isInteger(event.status));
  }
});
