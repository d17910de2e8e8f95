// Three live instances that merge with one another, and pass on to each what they have from the other, over lines that break, repeat, delay and reorder what goes over them, while people contribute, change their minds and erase, and servers stop and start:
// in the end all hold the same, and what was taken back is nowhere.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createServer, request as ask } from "node:http";
import { charter, ok } from "./server.mjs";
import { again, agreementAt, agreementIs, allow, askMembers, env, meet, propose, tryOut, untilHeard, voteOn } from "./partners.mjs";
import { World } from "./world.mjs";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
console.log(`# seed ${seed} (SEED=${seed} repeats it)`);
let state = seed;
const random = (n) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
};

// A line from one instance to another. `mood` says what it does to a request: pass, cut (refused at once), tear (the answer breaks off half way), twice (delivered two times), late.
class Line {
  static async between(to) {
    const line = new Line();
    Object.assign(line, { to, mood: "pass", counts: {} });
    line.server = createServer((request, response) => line.carry(request, response));
    await new Promise((resolve) => line.server.listen(0, "127.0.0.1", resolve));
    line.url = `http://127.0.0.1:${line.server.address().port}`;
    return line;
  }

  async carry(request, response) {
    const parts = [];
    try {
      for await (const part of request) parts.push(part);
    } catch {
      return;
    }
    const mood = this.mood === "wild" ? ["pass", "cut", "tear", "twice", "late"][random(5)] : this.mood;
    this.counts[mood] = (this.counts[mood] ?? 0) + 1;
    if (mood === "cut" || !this.to.server) return request.socket.destroy();
    if (mood === "late") await new Promise((resolve) => setTimeout(resolve, random(300)));
    const body = Buffer.concat(parts);
    if (mood === "twice") await this.pass(request, body).catch(() => {});
    try {
      const answer = await this.pass(request, body);
      if (mood === "tear") {
        response.writeHead(answer.status, { ...answer.headers, "content-length": answer.body.length });
        response.write(answer.body.subarray(0, answer.body.length >> 1), () => response.socket?.destroy());
      } else {
        response.writeHead(answer.status, answer.headers);
        response.end(answer.body);
      }
    } catch {
      response.socket?.destroy();
    }
  }

  pass(request, body) {
    return new Promise((resolve, reject) => {
      const target = new URL(this.to.server?.url ?? "http://127.0.0.1:9");
      const headers = { ...request.headers, host: target.host };
      const onward = ask({ host: target.hostname, port: target.port, path: request.url, method: request.method, headers, agent: false }, (answer) => {
        const parts = [];
        answer.on("data", (part) => parts.push(part));
        answer.on("end", () => resolve({ status: answer.statusCode, headers: Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !["transfer-encoding", "connection", "keep-alive"].includes(name))), body: Buffer.concat(parts) }));
        answer.on("error", reject);
      });
      onward.on("error", reject);
      onward.end(body);
    });
  }

  async end() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const start = Date.parse("2026-01-10T09:00:00Z");
let now = start;
const iso = () => new Date(now).toISOString().replace(".000", "");
const worlds = [], lines = [], agreements = [];
const everywhere = (what) => Promise.all(worlds.map(what));
const restart = (ms) => {
  now += ms;
  return everywhere((world) => world.at(iso()));
};
const hour = 3600e3, day = 24 * hour;

async function found(world, slug) {
  Object.assign(world, { slug, coop: `/api/v1/coops/${slug}`, people: [], items: [] });
  for (let i = 0; i < 3; i++) world.people.push(await world.person(`Person ${i} of ${slug}`));
  [world.admin] = world.people;
  world.key = ok(201, await world.admin.post("/api/v1/coops", { slug, charter: charter({ name: slug }) })).key_name;
  for (const who of world.people.slice(1)) ok(201, await who.post(`${world.coop}/members`));
  for (const who of world.people) await allow(world, who);
}

const says = async (world, who, effect) => ok(201, await who.post(`${world.coop}/statements`, { statements: [{ uses: ["train.gen"], effect }] }));

async function contribute(world, text) {
  const who = random(world.people.length);
  const made = await world.people[who].post(`${world.coop}/contributions`, { kind: "example", lang: "en", content: { input: text, output: `What ${text} means.` } });
  assert.ok(made.status === 201 || made.status === 200 || made.status === 410, made.text);
  if (made.status === 201) world.items.push({ id: made.body.id, rid: made.body.rid, who, text, erased: false });
}

async function erase(world) {
  const left = world.items.filter((item) => !item.erased);
  if (left.length < 3) return;
  const item = left[random(left.length)];
  ok(201, await world.people[item.who].post(`${world.coop}/deletions`, { kind: "erase", scope: "items", items: [item.id] }));
  item.erased = true;
}

async function something(world, step) {
  switch (random(4)) {
    case 0: return contribute(world, `A saying of ${world.slug}, number ${step}`);
    case 1: return contribute(world, `A saying that everybody knows, number ${random(6)}`);
    case 2: return erase(world);
    default: {
      const who = world.people[random(world.people.length)];
      const effect = random(2) ? "allow" : "deny";
      return says(world, who, effect);
    }
  }
}

// What one has sent the other and what that one has of it, by id, without what is gone: for whoever looks for the place where two differ.
const sent = (from, digest) => from.sql(`SELECT c.id FROM contribution c WHERE c.more >> 24 & 255 = 0 AND c.word & 4096 = 0 AND EXISTS (SELECT FROM bundle_sent s
  WHERE s.agreement_id = '${from.agreed[digest]}' AND s.no = c.item_no >> 12 AND get_bit(s.now, (c.item_no & 4095)::integer) = 1) ORDER BY 1`).map(([id]) => id);
const kept = (at, from) => at.sql(`SELECT c.id FROM contribution c JOIN origin_coop o ON o.no = c.more >> 24 & 255 WHERE o.key_name = '${from.key}' AND c.word & 4096 = 0 AND NOT EXISTS (SELECT FROM merge_passing p WHERE p.id = c.id AND p.by_home = p.home AND p.out)
  UNION ALL SELECT i.id FROM item_origin i JOIN origin_coop o ON o.no = i.origin JOIN contribution c ON c.item_no = i.item_no WHERE o.key_name = '${from.key}' AND c.word & 4096 = 0 AND NOT EXISTS (SELECT FROM merge_passing p WHERE p.id = i.id AND p.by_home = p.home AND p.out) ORDER BY 1`).map(([id]) => id);
const apart = (a, b, digest) => [[a, b], [b, a]].map(([from, to]) => {
  const had = sent(from, digest), has = kept(to, from);
  return { from: from.slug, to: to.slug, missing: had.filter((id) => !has.includes(id)), unasked: has.filter((id) => !had.includes(id)),
    bundles: from.sql(`SELECT seq, state FROM bundle_out WHERE agreement_id = '${from.agreed[digest]}' ORDER BY seq`), taken: to.sql(`SELECT seq FROM bundle_in WHERE agreement_id = '${to.agreed[digest]}' ORDER BY seq`),
    conflicts: to.sql("SELECT kind, home, rid FROM merge_conflict") };
});
const pairs = [[0, 1], [1, 2], [0, 2]];
const states = (a, b, digest) => Promise.all([a, b].map((world) => world.admin.get(`${world.coop}/merge/state?agreement=${world.agreed[digest]}`)));

before(async () => {
  for (let i = 0; i < 3; i++) worlds.push(await World.begin({ clock: iso(), env }));
  await Promise.all(worlds.map((world, i) => found(world, ["north-sayings", "south-sayings", "lake-sayings"][i])));
  for (const world of worlds) {
    world.agreed = {};
    for (const other of worlds) {
      if (other === world) continue;
      const line = await Line.between(other);
      lines.push(line);
      (world.peers ??= {})[other.slug] = await meet(world, other, line.url);
    }
  }
});
after(async () => {
  await Promise.all(worlds.map((world) => world.end()));
  await Promise.all(lines.map((line) => line.end()));
});

test("three co-ops agree in pairs, each by its own ballot", async () => {
  for (const [a, b] of pairs) {
    const [from, to] = [worlds[a], worlds[b]];
    const draft = await propose(from, to, { cadence: "P1D", onward: true }, from.peers[to.slug]);
    agreements.push(draft.sha256);
    await tryOut([from, to], draft.sha256);
    for (const world of [from, to]) await askMembers(world, draft.sha256);
  }
  await restart(7 * day + hour);
  await everywhere(async (world) => {
    for (const digest of agreements) {
      const mine = await agreementAt(world, digest);
      if (mine.status === 200) await voteOn(world, digest, world.people);
    }
  });
  await restart(2 * day + hour);
  for (const [i, [a, b]] of pairs.entries())
    for (const world of [worlds[a], worlds[b]]) world.agreed[agreements[i]] = (await agreementIs(world, agreements[i], "in_effect")).body.id;
});

test("whatever the lines do, all come to the same state", async () => {
  for (let step = 0; step < 6; step++) for (const world of worlds) await contribute(world, `First saying ${step} of ${world.slug}`);
  for (let round = 0; round < 4; round++) {
    for (const line of lines) line.mood = ["wild", "cut", "pass", "wild"][random(4)];
    for (let i = 0; i < 8; i++) await something(worlds[random(3)], round * 8 + i);
    if (random(2)) await worlds[random(3)].at(iso());
    await restart(day + hour);
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
  for (const line of lines) line.mood = "pass";
  const alike = async () => (await everywhere((world) => world.admin.get(`${world.coop}/merge/state`))).every((s, i, [first]) => s.body.digest === first.body.digest);
  for (let days = 0; days < 4 || (days < 12 && !(await alike())); days++) { // what is passed on is a bundle behind; on a slow machine a day's hand-overs may still be on their way when the next one dawns
    await restart(day + hour);
    for (const end = performance.now() + (days < 4 ? 1500 : 20_000); performance.now() < end && (days < 4 || !(await alike()));) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await everywhere(again);
    }
  }
  for (const [i, [a, b]] of pairs.entries()) {
    const digest = agreements[i];
    let seen;
    await untilHeard(worlds, async () => (seen = await states(worlds[a], worlds[b], digest)), ([x, y]) => x.status === 200 && y.status === 200 && x.body.digest === y.body.digest && x.body.records > 0, `${worlds[a].slug} and ${worlds[b].slug} to agree on what they hold`)
      .catch(() => assert.fail(`${seen.map((s) => s.text).join(" ")}\n${JSON.stringify(apart(worlds[a], worlds[b], digest), null, 1)}\n${JSON.stringify(worlds.map((w) => w.sql("SELECT code, sentence FROM refusal")))}`));
  }
  const all = await everywhere(async (world) => ok(200, await world.admin.get(`${world.coop}/merge/state`)));
  assert.deepEqual(all.map((s) => s.digest), [all[0].digest, all[0].digest, all[0].digest]);
});

test("what was erased at its home is held by nobody", async () => {
  const erased = worlds.flatMap((world) => world.items.filter((item) => item.erased));
  assert.ok(erased.length > 0);
  for (const world of worlds)
    for (const item of erased) {
      const [rows] = await untilHeard(worlds, async () => world.sql(`SELECT count(*) FROM contribution_content WHERE id = '${item.id}'`), ([[n]]) => n === "0", `${item.rid} to be gone at ${world.slug}`);
      assert.equal(rows[0], "0");
    }
});

test("nothing was refused but what was broken on the way, and the lines did break things", async () => {
  const moods = lines.reduce((sum, line) => Object.entries(line.counts).reduce((s, [mood, n]) => ({ ...s, [mood]: (s[mood] ?? 0) + n }), sum), {});
  assert.ok((moods.cut ?? 0) > 0 && (moods.twice ?? 0) + (moods.tear ?? 0) + (moods.late ?? 0) > 0, JSON.stringify(moods));
  for (const world of worlds) assert.deepEqual(world.sql("SELECT code, sentence FROM refusal WHERE code IN ('bad_signature', 'stranger', 'log_rewritten', 'rollback')"), []);
});
