// Two instances that come to know each other: keys followed from one to the next, a fingerprint typed, a chain rewritten, releases verified with a key that was replaced.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { binary, charter, person, start } from "./server.mjs";

let north, south;
const world = { COMMONHOLD_ALLOW_PRIVATE: "yes" };

async function founded(server, slug, name) {
  const admin = await person(server), member = await person(server);
  const made = await admin.post("/api/v1/coops", { slug, charter: charter({ name }) });
  assert.equal(made.status, 201, made.text);
  assert.equal((await member.post(`/api/v1/coops/${slug}/members`)).status, 201);
  return { ...made.body, admin, member };
}

before(async () => {
  [north, south] = await Promise.all([start({ env: world }), start({ env: world })]);
  north.coop = await founded(north, "north-words", "North words");
  south.coop = await founded(south, "south-words", "South words");
});
after(async () => {
  await Promise.all([north?.stop(), south?.stop()]);
});

const peers = (server) => `/api/v1/coops/${server.coop.slug}/peers`;
const keys = (server) => server.coop.admin.get(`/api/v1/coops/${server.coop.slug}/keys.json`);
const fingerprint = (server) => /fingerprint\s+(.*)/.exec(server.command(["key", "show", "--coop", server.coop.slug]))[1];

test("an instance signs what it says of itself", async () => {
  const { body } = await north.coop.admin.get("/.well-known/commonhold");
  const said = JSON.parse(Buffer.from(body.signed.payload, "base64").toString());
  assert.equal(said.url, north.url);
  assert.equal(said.keys.name, said.instance);
  assert.deepEqual(said.coops.map((c) => c.name), [north.coop.key_name]);
  assert.equal((await fetch(said.coops[0].keys)).status, 200);
});

test("a co-op elsewhere is met, and confirmed by the fingerprint that it tells by another way", async () => {
  const { admin, member } = north.coop;
  const met = await admin.post(peers(north), { url: south.url + "/coops/south-words", name: "south-words" });
  assert.equal(met.status, 201, met.text);
  assert.equal(met.body.state, "seen");
  assert.equal(met.body.title, "South words");
  assert.equal(met.body.name, south.coop.key_name);
  const at = `${peers(north)}/${met.body.id}`;
  assert.equal((await admin.post(`${at}/confirm`, { fingerprint: fingerprint(north) })).status, 422);
  assert.equal((await member.post(`${at}/confirm`, { fingerprint: fingerprint(south) })).status, 403);
  const confirmed = await admin.post(`${at}/confirm`, { fingerprint: fingerprint(south).toUpperCase() });
  assert.equal(confirmed.status, 200, confirmed.text);
  assert.equal(confirmed.body.state, "confirmed");
});

test("a key that was handed over is followed, and the peer stays confirmed", async () => {
  const { admin } = north.coop;
  const before = (await keys(south)).body;
  assert.equal(before.keys.length, 1);
  south.command(["key", "rotate", "--coop", "south-words", "--yes"]);
  const rotated = await south.coop.admin.post("/api/v1/coops/south-words/keys");
  assert.equal(rotated.status, 201, rotated.text);
  assert.equal(rotated.body.keys.length, 3);
  assert.deepEqual((await keys(south)).body, rotated.body);
  const [{ id }] = (await admin.get(peers(north))).body.items;
  const seen = (await admin.post(`${peers(north)}/${id}/refresh`)).body;
  assert.equal(seen.state, "confirmed");
  assert.deepEqual(seen.keys, rotated.body);
  assert.equal(seen.fingerprint, fingerprint(south));
});

test("the instance's own key is replaced without a restart", async () => {
  north.command(["key", "rotate", "--instance", "--yes"]);
  const { body } = await north.coop.admin.get("/.well-known/commonhold");
  assert.equal(body.keys.keys.length, 2);
});

test("an instance that shows other keys than the pinned ones makes the peer suspect", async () => {
  const { admin } = north.coop;
  const real = (await keys(south)).body, shortened = { ...real, keys: real.keys.slice(0, 1) };
  // Somebody who stands between: all of the other instance, but for the chain of keys.
  const between = createServer(async (rq, rs) => {
    const answer = await fetch(south.url + rq.url);
    rs.setHeader("content-type", "application/json");
    rs.statusCode = answer.status;
    rs.end(rq.url.endsWith("/keys.json") ? JSON.stringify(shortened) : await answer.text());
  });
  await new Promise((resolve) => between.listen(0, "127.0.0.1", resolve));
  try {
    const met = await admin.post(peers(north), { url: `http://127.0.0.1:${between.address().port}`, name: "south-words" });
    assert.equal(met.status, 201, met.text);
    assert.equal(met.body.state, "suspect");
    assert.deepEqual(met.body.keys, real);
    assert.match(met.body.last_error, /older chain/);
    const notices = (await admin.get("/api/v1/me/notices")).body.items;
    assert.ok(notices.some((n) => n.kind === "peer.suspect"), JSON.stringify(notices));
    const again = await admin.post(`${peers(north)}/${met.body.id}/confirm`, { fingerprint: fingerprint(south) });
    assert.equal(again.body.state, "confirmed");
  } finally {
    between.close();
  }
});

test("addresses that are none, silent ones and strangers are refused and leave nothing behind", async () => {
  const { admin } = north.coop, count = (await admin.get(peers(north))).body.items.length;
  const silent = createServer(() => {}), wrong = createServer((rq, rs) => rs.end("<html>"));
  await Promise.all([silent, wrong].map((s) => new Promise((resolve) => s.listen(0, "127.0.0.1", resolve))));
  const at = (s) => `http://127.0.0.1:${s.address().port}`;
  try {
    assert.equal((await admin.post(peers(north), { url: "nowhere", name: "x-y" })).status, 422);
    assert.equal((await admin.post(peers(north), { url: at(wrong), name: "south-words" })).status, 503);
    assert.equal((await admin.post(peers(north), { url: south.url, name: "no-such" })).status, 404);
    assert.equal((await admin.post(peers(north), { url: north.url, name: "north-words" })).status, 422); // oneself
    assert.equal((await admin.get(peers(north))).body.items.length, count);
  } finally {
    for (const s of [silent, wrong]) {
      s.closeAllConnections();
      s.close();
    }
  }
});

test("keys.json as a file is enough where instances cannot reach each other", async () => {
  const { admin } = south.coop;
  const chain = (await keys(north)).body;
  const met = await admin.post(peers(south), { keys: chain });
  assert.equal(met.status, 201, met.text);
  assert.equal(met.body.url, "");
  const forged = structuredClone((await keys(south)).body);
  forged.keys[1].rotation.signatures[0] = forged.keys[1].rotation.signatures[1];
  assert.equal((await north.coop.admin.post(peers(north), { keys: forged })).status, 422);
});

test("the chain served reads with the program's own check", async () => {
  const file = join(south.dir, "keys.json");
  writeFileSync(file, (await keys(south)).text);
  // A folder that is no release: the chain is read first, and is sound.
  assert.throws(() => execFileSync(binary, ["verify", "--keys", file, south.dir], { stdio: "pipe" }), (e) => e.status === 1);
  writeFileSync(file, (await keys(south)).text.replace(/"no":2/, '"no":3'));
  assert.throws(() => execFileSync(binary, ["verify", "--keys", file, south.dir], { stdio: "pipe" }), (e) => e.status === 2);
});
