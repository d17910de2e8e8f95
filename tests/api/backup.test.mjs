// The backup script against a real server: what it writes can be restored, is encrypted, and goes when its days are over.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, writeFileSync, rmSync, utimesSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start, root, cluster } from "./server.mjs";

const script = join(root, "server/deploy/backup.sh");
let server, folder, env;

function clusterUrls(dir) {
  return (name) => `host=${cluster(dir).socket} user=postgres dbname=${name}`;
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "ch-backup-"));
  server = await start();
  const url = clusterUrls(server.dir);
  writeFileSync(join(folder, "pass"), "a passphrase of the tests\n", { mode: 0o600 });
  env = { ...process.env, COMMONHOLD_DATABASE_URL: url("commonhold"), COMMONHOLD_KEYS_URL: url("commonhold_keys"), COMMONHOLD_DIR: server.dir };
});

after(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const run = (...args) => spawnSync(script, args, { env, encoding: "utf8" });

test("bad usage is said and does nothing", () => {
  assert.equal(run().status, 2);
  assert.equal(run("--to", folder, "--pass-file", "/nonexistent").status, 1);
  const longer = run("--to", folder, "--pass-file", join(folder, "pass"), "--content-days", "5", "--keys-days", "6");
  assert.equal(longer.status, 1);
  assert.match(longer.stderr, /erasure would wait/);
  assert.equal(run("--help").status, 0);
});

test("content is kept no longer than a charter promises", () => {
  const sql = (text) => execFileSync("psql", ["-XAtq", "-v", "ON_ERROR_STOP=1", env.COMMONHOLD_DATABASE_URL, "-c", `SET session_replication_role = replica; ${text}`], { encoding: "utf8" });
  const coop = "00000000-0000-4000-8000-0000000000b1";
  const charter = (version, backups) => sql(`INSERT INTO charter (coop_id, version, document, digest, name, domain, region, languages, admission, ballot_id, adopted_at)
    VALUES ('${coop}', ${version}, '{"retention":{"backups":"${backups}"}}', sha256('x'), 'x', 'x', 'x', '{}', 'open', ${version > 1 ? "gen_random_uuid()" : "NULL"}, '2026-01-01T00:00:00Z')`);
  charter(1, "P10D");
  const long = run("--to", folder, "--pass-file", join(folder, "pass"), "--content-days", "11", "--keys-days", "3");
  assert.equal(long.status, 1);
  assert.match(long.stderr, /promises that backups go after 10 days/);
  assert.equal(run("--to", folder, "--pass-file", join(folder, "pass")).status, 1); // 90 days when nothing is said
  assert.equal(run("--to", join(folder, "short"), "--pass-file", join(folder, "pass"), "--content-days", "10").status, 0);
  charter(2, "P1Y"); // the one in force counts
  assert.equal(run("--to", join(folder, "short"), "--pass-file", join(folder, "pass")).status, 0);
  sql(`DELETE FROM charter WHERE coop_id = '${coop}'`);
});

test("a backup is encrypted, apart, readable by its owner alone, and opens again", () => {
  const done = run("--to", folder, "--pass-file", join(folder, "pass"));
  assert.equal(done.status, 0, done.stderr);
  const [content] = readdirSync(join(folder, "content")).filter((name) => name.endsWith(".enc"));
  const keys = readdirSync(join(folder, "keys")).filter((name) => name.endsWith(".enc"));
  assert.equal(keys.length, 2);
  for (const file of [join(folder, "content", content), ...keys.map((name) => join(folder, "keys", name))]) {
    assert.equal(statSync(file).mode & 0o077, 0);
    assert.ok(!readFileSync(file).includes("CREATE TABLE"));
  }
  execFileSync("sha256sum", ["-c", `${content}.sha256`], { cwd: join(folder, "content") });
  const sql = execFileSync("bash", ["-c", `openssl enc -d -aes-256-ctr -pbkdf2 -iter 600000 -pass file:pass -in content/${content} | gunzip`], { cwd: folder, maxBuffer: 1 << 28, encoding: "utf8" });
  assert.match(sql, /CREATE TABLE public\.contribution /);
  assert.match(sql, /PostgreSQL database dump complete/);
});

test("what is older than its days goes, and only after a new one is there", () => {
  const age = (name, days) => utimesSync(name, new Date(), new Date(Date.now() - days * 86400e3));
  for (const [place, name, days] of [["content", "content-old.sql.gz.enc", 91], ["content", "content-young.sql.gz.enc", 80], ["keys", "keys-old.sql.gz.enc", 8], ["keys", "keys-young.sql.gz.enc", 3]]) {
    writeFileSync(join(folder, place, name), "x");
    age(join(folder, place, name), days);
  }
  const failing = spawnSync(script, ["--to", folder, "--pass-file", join(folder, "pass")], { env: { ...env, COMMONHOLD_DATABASE_URL: "host=/nonexistent dbname=none" }, encoding: "utf8" });
  assert.notEqual(failing.status, 0);
  assert.ok(readdirSync(join(folder, "keys")).includes("keys-old.sql.gz.enc"));
  assert.equal(run("--to", folder, "--pass-file", join(folder, "pass")).status, 0);
  const left = [...readdirSync(join(folder, "content")), ...readdirSync(join(folder, "keys"))];
  assert.ok(!left.includes("content-old.sql.gz.enc") && !left.includes("keys-old.sql.gz.enc"));
  assert.ok(left.includes("content-young.sql.gz.enc") && left.includes("keys-young.sql.gz.enc"));
  assert.ok(!left.some((name) => name.endsWith(".part")));
});
