// Webhooks of mirrors against a receiver that fails in the ways webhooks do: what is said is said at least once, under one id, signed, and never to machines it must not reach.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { charter, ok } from "./server.mjs";
import { Signer, webhookIsSigned } from "./signer.mjs";
import { World, until } from "./world.mjs";

const coop = "/api/v1/coops/alpine";
const clock = "2026-01-10T09:00:00Z";
const allow = { COMMONHOLD_ALLOW_PRIVATE: "yes" };

class Receiver {
  static async begin() {
    const receiver = new Receiver();
    receiver.child = fork(new URL("receiver.mjs", import.meta.url).pathname, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    receiver.got = [];
    receiver.port = await new Promise((resolve) => receiver.child.once("message", ({ port }) => resolve(port)));
    receiver.child.on("message", (message) => receiver.got.push(message));
    return receiver;
  }
  behave(...plan) {
    this.got = [];
    this.child.send({ behave: plan });
  }
  release() { this.child.send({ release: true }); }
  async heard(n) { await until(async () => this.got, (got) => got.length >= n, `webhook ${n}`); return this.got; }
  get url() { return `http://127.0.0.1:${this.port}/hook`; }
  end() { this.child.disconnect(); }
}

let world, ada, one, two, hook, other;

async function register(name, url) {
  const key = new Signer();
  const { mirror, secret } = ok(201, await ada.post(`${coop}/mirrors`, { name, kind: "webhook", url, public_key: key.publicKey.toString("hex"), proof: key.proof("alpine", clock) }));
  return { key, secret, id: mirror.id };
}

// Something has come up for a mirror: taken up again, it is told where things stand.
async function news(mirror) {
  ok(200, await ada.post(`${coop}/mirrors/${mirror.id}/state`, { state: "suspended", reason: "A test." }));
  ok(200, await ada.post(`${coop}/mirrors/${mirror.id}/state`, { state: "active" }));
}

// What is planned for later is due now.
function hurry() {
  world.sql("UPDATE delivery SET next_at = '2020-01-01', lease_until = CASE WHEN lease_until IS NOT NULL THEN timestamptz '2020-01-01' END WHERE state IN ('waiting', 'sending')");
  world.sql("UPDATE job SET due = '2020-01-01' WHERE kind = 'mirror.push' AND state = 'waiting'");
}

const deliveries = async (mirror) => ok(200, await ada.get(`${coop}/deliveries?limit=200`)).items.filter((d) => d.mirror === mirror.id && d.state !== "dropped");
const latest = async (mirror) => (await deliveries(mirror))[0];
const settled = (mirror, test) => until(() => latest(mirror), (d) => d && d.state !== "sending" && test(d), "the delivery");

before(async () => {
  one = await Receiver.begin();
  two = await Receiver.begin();
  world = await World.begin({ clock, env: allow });
  ada = await world.person("Ada");
  ok(201, await ada.post("/api/v1/coops", { slug: "alpine", charter: charter() }));
  hook = await register("Hook", one.url);
  other = await register("Other", two.url);
});
after(async () => {
  one?.end();
  two?.end();
  await world?.end();
});

test("a webhook is signed as Standard Webhooks says, and names the feed and no items", async () => {
  one.behave("ok");
  await news(hook);
  const [got] = await one.heard(1);
  assert.ok(webhookIsSigned(hook.secret, got), JSON.stringify(got));
  assert.match(got.headers["webhook-id"], /^msg_[0-9a-f-]{36}$/);
  assert.ok(Math.abs(Number(got.headers["webhook-timestamp"]) - Date.parse(clock) / 1000) < 600, "the injected clock");
  const body = JSON.parse(got.body);
  assert.equal(body.data.feed, `${world.url}${coop}/tombstones`);
  assert.deepEqual(Object.keys(body.data).sort(), ["coop", "feed", "latest", "status", "upto"]);
  assert.doesNotMatch(got.body, /dc:/);
  const done = await settled(hook, (d) => d.state === "delivered");
  assert.deepEqual([done.attempts, done.last_status], [1, 204]);
});

test("5xx, lost replies and answers that break off are tried again under the same id until they succeed", async () => {
  one.behave("500", "lost", "drop", "502", "ok");
  await news(hook);
  for (let n = 1; n <= 4; n++) {
    await settled(hook, (d) => d.state === "waiting" && d.attempts === n);
    hurry();
  }
  const done = await settled(hook, (d) => d.state === "delivered");
  assert.equal(done.attempts, 5);
  const got = await one.heard(5);
  assert.equal(new Set(got.map((g) => g.headers["webhook-id"])).size, 1);
  assert.equal(new Set(got.map((g) => g.body)).size, 1);
  assert.ok(got.every((g) => webhookIsSigned(hook.secret, g)));
});

test("whoever asks for patience gets it", async () => {
  for (const [how, seconds, status] of [["patience=1800", 1800, 429], ["busy=900", 900, 503]]) {
    one.behave(how);
    await news(hook);
    const waits = await settled(hook, (d) => d.state === "waiting" && d.attempts === 1);
    assert.equal(waits.last_status, status);
    assert.ok(Date.parse(waits.next_at) - Date.parse(waits.created_at) >= seconds * 1000 - 1000, JSON.stringify(waits));
    hurry();
    await settled(hook, (d) => d.state === "delivered");
  }
});

test("a redirect is not followed, and an endless answer is not read", async () => {
  two.behave("ok");
  one.behave(`redirect=${two.url}`, "huge");
  await news(hook);
  const waits = await settled(hook, (d) => d.state === "waiting" && d.attempts === 1);
  assert.match(waits.last_error, /redirect/);
  assert.equal(two.got.length, 0);
  hurry();
  assert.equal((await settled(hook, (d) => d.state === "delivered")).last_status, 200);
});

test("a slow mirror holds up nobody: others are told, and jobs run", async () => {
  let meanwhile = false;
  for (let i = 0; i < 3 && !meanwhile; i++) { // on a machine that stands still the ten seconds may be over before the other's turn comes
    world.sql("UPDATE delivery SET state = 'dropped', ended_at = created_at WHERE state = 'waiting'");
    one.behave("slow=3600000");
    two.behave("ok");
    await news(hook);
    await one.heard(1);
    await news(other);
    await settled(other, (d) => d.state === "delivered");
    meanwhile = (await latest(hook)).state === "sending";
    const waits = await settled(hook, (d) => d.state === "waiting" && d.attempts === 1); // it ends by itself
    assert.equal(waits.last_status, 0);
  }
  assert.ok(meanwhile, "the other was told meanwhile");
});

test("what comes up while a delivery waits is told by its next attempt, under a new id", async () => {
  one.behave("500", "ok");
  world.sql(`UPDATE delivery SET state = 'dropped', ended_at = created_at WHERE state = 'waiting'`);
  await news(hook);
  const first = await settled(hook, (d) => d.state === "waiting" && d.attempts === 1);
  world.sql("UPDATE delivery SET news = true WHERE state = 'waiting'");
  hurry();
  const done = await settled(hook, (d) => d.state === "delivered");
  assert.notEqual(done.message, first.message);
  assert.equal(done.id, first.id);
});

test("after the last attempt it is dead, seen by admins and tried again when they say so", async () => {
  one.behave("500");
  await news(hook);
  await settled(hook, (d) => d.state === "waiting" && d.attempts === 1);
  world.sql("UPDATE delivery SET attempts = 11 WHERE state = 'waiting'");
  one.behave("500", "ok");
  hurry();
  const dead = await settled(hook, (d) => d.state === "dead");
  assert.equal(ok(200, await ada.get(`${coop}/deliveries?state=dead`)).items[0].id, dead.id);
  assert.match((await new (ada.constructor)(world.url).get("/metrics")).text, /commonhold_deliveries\{state="dead"\} 1/);
  assert.equal(ok(200, await ada.post(`${coop}/deliveries/${dead.id}/repeat`)).state, "waiting");
  const done = await settled(hook, (d) => d.state === "delivered");
  assert.deepEqual([done.id, done.message], [dead.id, dead.message]);
  one.behave("410");
  await news(hook);
  assert.equal((await settled(hook, (d) => d.state === "dead")).attempts, 1, "gone is gone");
});

test("a server killed between delivery and record sends the same message again", async () => {
  one.behave("hold", "ok");
  await news(hook);
  await one.heard(1);
  world.server.child.kill("SIGKILL");
  await world.server.exited;
  world.server = undefined;
  one.release();
  await world.at("2026-01-10T10:00:00Z");
  const got = await one.heard(2);
  assert.equal(got[1].headers["webhook-id"], got[0].headers["webhook-id"]);
  assert.equal(got[1].body, got[0].body);
  await settled(hook, (d) => d.state === "delivered");
});

test("the database restarting in the middle of a delivery loses nothing", async () => {
  one.behave("hold", "ok");
  await news(hook);
  await one.heard(1);
  process.kill(world.postmaster(), "SIGQUIT");
  one.release();
  /* While it is away nobody can be asked; what was not written down is due again. */
  await until(async () => {
    if (!(await fetch(`${world.url}/readyz`).then((r) => r.ok, () => false))) return undefined;
    try {
      hurry();
      return (await ada.get(`${coop}/deliveries`)).body.items.find((d) => d.mirror === hook.id && d.state !== "dropped");
    } catch {
      return undefined;
    }
  }, (d) => d?.state === "delivered", "the delivery");
  assert.equal(new Set(one.got.map((g) => g.headers["webhook-id"])).size, 1);
});

test("private addresses are refused by default, by number and by name", async () => {
  const later = "2026-01-10T12:00:00Z";
  world.env = {};
  await world.at(later);
  for (const url of [`http://127.0.0.1:${one.port}/hook`, `https://127.0.0.1:${one.port}/hook`, "https://[::1]/", "https://10.1.2.3/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data"]) {
    const key = new Signer();
    const refused = await ada.post(`${coop}/mirrors`, { name: url, kind: "webhook", url, public_key: key.publicKey.toString("hex"), proof: key.proof("alpine", later) });
    assert.equal(refused.status, 422, `${url}: ${refused.text}`);
    assert.equal(refused.body.errors[0].pointer, "/url");
  }
  /* One that was registered when it was allowed. */
  one.behave("ok");
  await news(hook);
  const waits = await settled(hook, (d) => d.state === "waiting" && d.attempts === 1);
  assert.equal(waits.last_status, 0);
  /* A name that leads to this machine. */
  world.sql(`UPDATE mirror SET url = 'https://localhost:${one.port}/hook' WHERE name = 'Other'`);
  await news(other);
  assert.match((await settled(other, (d) => d.state === "waiting" && d.attempts === 1)).last_error, /address|network|public/i);
  assert.equal(one.got.length, 0);
  assert.match((await new (ada.constructor)(world.url).get("/metrics")).text, /commonhold_delivery_attempts_total\{outcome="refused"\} 2/);
});
