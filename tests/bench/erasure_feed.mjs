// The feed of tombstones as a mirror that begins with nothing reads it: a million lines over HTTP, on one connection, from the program without sanitizers. Beside it, in the same run,
// psql with COPY of the same rows over the cluster's socket. The rows are of the length and form of real ones and are put in past the program, whose signing is measured elsewhere:
// serving looks at no signature. Adds its figures to build/bench/erasure.json, or its lines to the file that COMMONHOLD_BENCH_FIGURES names.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { World, postgres } from "../api/world.mjs";
import { charter } from "../api/server.mjs";

const ROWS = Number(process.env.BENCH_TOMBSTONES ?? 1_000_000), RUNS = Number(process.env.BENCH_RUNS ?? 5);
const need = (answer, status) => {
  if (answer.status !== status) throw new Error(`${answer.status}: ${answer.text}`);
  return answer.body;
};
const timed = (command, args) => {
  const began = process.hrtime.bigint();
  const done = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 20 });
  if (done.status !== 0) throw new Error(`${command}: ${done.stderr}`);
  return { s: Number(process.hrtime.bigint() - began) / 1e9, out: done.stdout };
};

const world = await World.begin({ clock: "2026-03-01T09:00:00Z" });
try {
  const founder = await world.person("Founder");
  need(await founder.post("/api/v1/coops", { slug: "bench", charter: charter({ name: "Bench" }) }), 201);
  world.sql(`SET session_replication_role = replica;
    INSERT INTO tombstone (coop_id, idx, contribution_id, kind, reason_code, releases, made_at, effective, purge_by, erasure_id, line, digest)
    SELECT coop_id, idx, item, 'erase', 'request', '{1.0.0,1.1.0}', t, t, t, NULL, line, sha256(convert_to(line, 'UTF8')) FROM (
      SELECT c.id AS coop_id, n AS idx, gen_random_uuid() AS item, timestamptz '2026-03-01 09:00Z' AS t, c.key_name FROM coop c, generate_series(0, ${ROWS - 1}) n) x,
      LATERAL (SELECT '{"effective":"2026-03-01T09:00:00Z","idx":' || idx || ',"kind":"erase","prev":"' || encode(sha256(int8send(idx)), 'hex') || '","purge_by":"2026-03-08T09:00:00Z",'
        || '"reason_code":"request","releases":["1.0.0","1.1.0"],"rid":["dc:' || key_name || ':' || item || '"],"sig":"'
        || translate(encode(sha512(uuid_send(item)), 'base64'), E'\\n', '') || '","t":"2026-03-01T09:00:00Z"}' AS line) y;
    ANALYZE tombstone`);
  const url = `${world.url}/api/v1/coops/bench/tombstones`;
  const copy = ["-h", world.socket(), "-p", "5432", "-U", "postgres", "-d", "commonhold", "-XAtq", "-o", "/dev/null", "-c", "COPY (SELECT line FROM tombstone ORDER BY idx) TO STDOUT"];

  // Whole, in order, with its head, before anything is measured.
  const lines = (await (await fetch(`${url}?since=${ROWS - 3}`)).text()).trim().split("\n");
  if (lines.length !== 3 || JSON.parse(lines[1]).idx !== ROWS - 1 || !JSON.parse(lines[2]).payloadType) throw new Error("the feed does not end as it should");
  const all = timed("sh", ["-c", `curl -sf ${url} | wc -lc`]).out.trim().split(/\s+/).map(Number);
  if (all[0] !== ROWS + 1) throw new Error(`${all[0]} lines`);

  const figures = { feed_rows_per_s: ["1/s", []], feed_mb_per_s: ["MB/s", []], feed_copy_rows_per_s: ["1/s", []], feed_ratio_to_copy: ["x", []] };
  for (let run = 0; run < RUNS; run++) {
    const feed = timed("curl", ["-sf", "-o", "/dev/null", url]).s, peer = timed(join(postgres, "psql"), copy).s;
    figures.feed_rows_per_s[1].push(ROWS / feed);
    figures.feed_mb_per_s[1].push(all[1] / 1e6 / feed);
    figures.feed_copy_rows_per_s[1].push(ROWS / peer);
    figures.feed_ratio_to_copy[1].push(peer / feed);
  }
  const told = {};
  for (const [name, [unit, v]] of Object.entries(figures)) {
    v.sort((a, b) => a - b);
    told[name] = { median: v[v.length >> 1], min: v[0], max: v.at(-1), n: v.length, unit };
    console.log(`${name.padEnd(28)} ${told[name].median.toFixed(2).padStart(14)} ${unit.padEnd(5)} (${v[0].toFixed(2)} to ${v.at(-1).toFixed(2)})`);
  }
  if (process.env.COMMONHOLD_BENCH_FIGURES) {
    for (const [name, [unit, v]] of Object.entries(figures)) appendFileSync(process.env.COMMONHOLD_BENCH_FIGURES, `${name} ${unit} ${v.map((x) => x.toFixed(3)).join(" ")}\n`);
  } else {
    const path = "build/bench/erasure.json";
    mkdirSync("build/bench", { recursive: true });
    const before = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { bench: "erasure", figures: {} };
    writeFileSync(path, `${JSON.stringify({ ...before, figures: { ...before.figures, ...told } })}\n`);
  }
} finally {
  await world.end();
}
