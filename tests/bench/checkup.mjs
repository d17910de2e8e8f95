// The checkup page as its reader waits for it: one person with five open checkups, 2,000 contributions in each co-op, a year of monthly releases, grants and delegations. Over HTTP on
// one kept-alive connection, with a session; each figure is the median of a run of requests. Adds its line to the file that COMMONHOLD_BENCH_FIGURES names.
import { appendFileSync } from "node:fs";
import http from "node:http";
import { World } from "../api/world.mjs";
import { charter } from "../api/server.mjs";

const COOPS = 5, EACH = 2000, RELEASES = 12, RUNS = 5, REQUESTS = 60;
const need = (answer, status) => {
  if (answer.status !== status) throw new Error(`${answer.status}: ${answer.text}`);
  return answer.body;
};

const world = await World.begin({ clock: "2026-03-01T09:00:00Z" });
try {
  const founder = await world.person("Founder"), ada = await world.person("Ada");
  for (let i = 0; i < COOPS; i++) {
    const slug = `bench-${i}`, at = `/api/v1/coops/${slug}`;
    need(await founder.post("/api/v1/coops", { slug, charter: charter({ name: `Co-op ${i}`, membership: { admission: "open" }, moderation: { mode: "approve" } }) }), 201);
    need(await ada.post(`${at}/members`), 201);
    need(await ada.put(`${at}/members/me/consent`, { purposes: ["research"], accept_defaults: true }), 200);
    need(await ada.post(`${at}/statements`, { statements: [{ uses: ["train.gen", "eval"], effect: "allow" }, { uses: ["search"], kind: "chat", effect: "deny" }] }), 201);
    const lines = Array.from({ length: EACH }, (_, n) => JSON.stringify({ kind: "example", lang: "en", content: { input: `Question ${i} ${n}`, output: `Answer ${n}` } })).join("\n");
    const sent = await ada.request("POST", `${at}/contributions/batch`, { body: lines, type: "application/x-ndjson" });
    if (sent.status >= 300) throw new Error(sent.text);
    const delegate = need(await founder.get(`${at}/members/me`), 200).member.id;
    for (const question of ["vote", "consent"]) {
      const made = need(await ada.post(`${at}/delegations`, { question, scope: "coop", delegate }), 201);
      need(await founder.post(`${at}/delegations/${(made.delegation ?? made).id}/accept`), 200);
    }
  }
  // A year of releases, as the tables keep them.
  world.sql(`INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed, version, candidates_sha256, manifest_sha256, published_at)
    SELECT c.id, gen_random_uuid(), 1, t, 'published', t, '{}', decode(repeat('00', 32), 'hex'), '1.' || n || '.0', decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), t
    FROM coop c, generate_series(1, ${RELEASES}) n, LATERAL (SELECT timestamptz '2026-03-02Z' + n * interval '27 days' AS t) x`);
  world.sql(`INSERT INTO release_share (coop_id, member_no, release_id, items) SELECT r.coop_id, m.number, r.id, ${EACH} FROM release r JOIN membership m ON m.coop_id = r.coop_id AND NOT m.is_admin
    WHERE r.state = 'published'`);
  await world.at("2027-02-20T09:00:00Z");

  const { hostname, port } = new URL(world.url);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (path, options = {}, body) => new Promise((resolve, reject) => {
    const rq = http.request({ hostname, port, path, agent, ...options }, (rs) => {
      const parts = [];
      rs.on("data", (d) => parts.push(d));
      rs.on("end", () => resolve({ status: rs.statusCode, headers: rs.headers, text: Buffer.concat(parts).toString() }));
    });
    rq.on("error", reject);
    rq.end(body);
  });
  const signed = await ask("/api/v1/sessions", { method: "POST", headers: { "content-type": "application/json" } }, JSON.stringify({ email: ada.email, password: ada.password }));
  const cookie = signed.headers["set-cookie"][0].split(";")[0];
  const page = async () => {
    const began = process.hrtime.bigint();
    const answer = await ask("/checkup", { headers: { cookie } });
    const ms = Number(process.hrtime.bigint() - began) / 1e6;
    if (answer.status !== 200 || answer.text.split("As before in Co-op").length !== COOPS + 1) throw new Error(`${answer.status}: ${answer.text.slice(0, 2000)}`);
    return ms;
  };
  for (let i = 0; i < 20; i++) await page();
  const medians = [], all = [];
  for (let run = 0; run < RUNS; run++) {
    const times = [];
    for (let i = 0; i < REQUESTS; i++) times.push(await page());
    times.sort((a, b) => a - b);
    medians.push(times[REQUESTS >> 1]);
    all.push(...times);
  }
  all.sort((a, b) => a - b);
  const line = `checkup_page_ms ms ${medians.map((m) => m.toFixed(3)).join(" ")}\n`;
  if (process.env.COMMONHOLD_BENCH_FIGURES) appendFileSync(process.env.COMMONHOLD_BENCH_FIGURES, line);
  console.log(`checkup page, ${COOPS} co-ops, ${COOPS * EACH} contributions: median ${all[all.length >> 1].toFixed(2)} ms, p99 ${all[Math.floor(all.length * 0.99)].toFixed(2)} ms of ${all.length} requests`);
  agent.destroy();
} finally {
  await world.end();
}
