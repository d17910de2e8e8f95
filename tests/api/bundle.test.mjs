// Bundles between two live instances: over HTTP and as files, cut off, redirected, endless, and asked for by somebody else.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { generateKeyPairSync, sign as signBytes } from "node:crypto";
import { connect } from "node:net";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agree, agreementIs, allow, beginTwo, closed, contribute, env, untilHeard } from "./partners.mjs";
import { stand } from "./proxy.mjs";
import { until } from "./world.mjs";

let north, south, digest, proxy;

const both = (at) => Promise.all([north.at(at), south.at(at)]);
const becomes = (world, state) => agreementIs(world, digest, state);
const foreign = () => Number(south.sql("SELECT count(*) FROM contribution WHERE (more >> 24 & 255) > 0")[0][0]);
const arrives = (n) => untilHeard([north, south], async () => foreign(), (now) => now === n, `${n} items from the north`);

before(async () => {
  [north, south] = await beginTwo();
  proxy = await stand(north);
  await allow(north);
  for (const n of [1, 2, 3]) await contribute(north, `A text from the north, number ${n}.`);
  digest = (await agree(north, south, { cadence: "P1D" })).sha256;
});
after(async () => {
  proxy?.server.closeAllConnections();
  proxy?.server.close();
  await Promise.all([north?.end(), south?.end()]);
});

test("once the agreement is in effect the first bundle goes over by itself, and nothing of it stays behind", async () => {
  await both(closed);
  await Promise.all([becomes(north, "in_effect"), becomes(south, "in_effect")]);
  await arrives(3);
  await untilHeard([north, south], async () => north.sql("SELECT count(*) FROM bundle_out WHERE seq = 1 AND state = 'taken'")[0][0], (n) => n === "1", "the north to hear that it was taken");
});

test("a transfer that is cut off goes on where it ended", async () => {
  await contribute(north, "A fourth text.");
  south.sql(`UPDATE peer SET url = '${proxy.url}'`);
  let cuts = 1;
  proxy.server.how = (request) => (/records-/.test(request.url) && cuts-- > 0 ? "cut" : undefined);
  await both("2026-01-20T10:30:00Z");
  await arrives(4);
  const asked = proxy.seen.filter(({ url }) => /records-/.test(url));
  assert.equal(asked.length, 2);
  assert.match(asked[1].range ?? "", /^bytes=[1-9]\d*-$/);
});

test("redirects and endless answers are refused, and the admins see it", async () => {
  await contribute(north, "A fifth text.");
  proxy.server.how = (request) => (/bundles/.test(request.url) ? "redirect" : undefined);
  await both("2026-01-21T11:00:00Z");
  const codes = () => south.admin.get(`${south.coop}/merge/refusals`);
  await untilHeard([north, south], codes, (a) => a.body.items.some((r) => r.code === "partner_refuses"), "the redirect to be refused");
  assert.equal(foreign(), 4);
  proxy.server.how = (request) => (/bundles/.test(request.url) ? "endless" : undefined);
  await both("2026-01-22T11:30:00Z");
  await untilHeard([north, south], codes, (a) => a.body.items.some((r) => r.code === "too_large"), "the endless answer to be refused");
  assert.equal(foreign(), 4);
  proxy.server.how = undefined;
  await both("2026-01-23T12:00:00Z");
  await arrives(5);
});

test("the same goes over as a file, with the same checks, and twice is once", async () => {
  const path = join(north.dir, "bundle.tar"), later = { at: "2026-01-23T12:30:00Z" }; // the servers' clocks run on
  await until(async () => north.sql("SELECT count(*) FROM job WHERE kind = 'merge.export'")[0][0], (n) => n === "0", "the north to be quiet");
  await untilHeard([north, south], async () => north.sql("SELECT count(*) FROM bundle_out WHERE state = 'ready'")[0][0], (n) => n === "0", "all of it to be taken");
  await contribute(north, "A sixth text.");
  const made = north.run(["bundle", "export", "--coop", north.slug, "--agreement", digest, path], later);
  assert.equal(made.status, 0, made.err);
  assert.match(made.out, /: 1 records, /);
  const checked = south.run(["bundle", "check", "--coop", south.slug, path], later);
  assert.equal(checked.status, 0, checked.err + checked.out);
  for (const repeated of [false, true]) {
    const taken = south.run(["bundle", "import", "--coop", south.slug, path], later);
    assert.equal(taken.status, 0, `${taken.err}${taken.out}`);
    assert.match(taken.out, repeated ? /^This bundle was taken in before: nothing was done\.\n$/ : /^Taken in: 1 records \(1 new here, /);
  }
  assert.equal(JSON.parse(south.run(["bundle", "import", "--json", "--coop", south.slug, path], later).out).repeated, true);
  assert.equal(foreign(), 6);
  const home = north.run(["bundle", "import", "--coop", north.slug, path], later);
  assert.equal(home.status, 1);
  assert.equal(foreign(), 6);
});

test("nobody but the partner is given a bundle", async () => {
  const at = `${north.coop}/merge/agreements/${digest}/bundles`;
  const client = north.client();
  assert.equal((await client.get(at)).status, 401);
  const { privateKey } = generateKeyPairSync("ed25519");
  const said = JSON.stringify({ agreement: digest, at: new Date("2026-01-23T12:00:00Z").toISOString().replace(".000", ""), from: south.key, taken: 0, to: north.key, v: 1 });
  const type = "application/vnd.commonhold.bundle-request+json";
  const pae = Buffer.from(`DSSEv1 ${type.length} ${type} ${said.length} ${said}`);
  const envelope = { payload: Buffer.from(said).toString("base64"), payloadType: type, signatures: [{ keyid: "0".repeat(64), sig: signBytes(null, pae, privateKey).toString("base64") }] };
  const forged = await client.get(at, { headers: { "commonhold-proof": Buffer.from(JSON.stringify(envelope)).toString("base64url") } });
  assert.equal(forged.status, 401, forged.text);
  assert.equal((await client.get(`${at}/1/records-00000.jsonl.zst`)).status, 401);
  assert.equal((await client.get(`${at}/1/..%2f..%2fkeys`)).status, 400);
  assert.equal((await client.get(`${at}/1/keys.json`)).status, 401);
});

// A reader that takes one byte at a time, and soon none.
function crawl(path, headers) {
  const socket = connect({ port: north.port, host: "127.0.0.1", readableHighWaterMark: 1 });
  const reader = { status: "", bytes: 0 };
  socket.on("error", () => {});
  reader.begun = new Promise((resolve) => socket.once("readable", resolve));
  const byte = () => {
    const got = socket.read(1);
    if (got && reader.bytes++ < 12) reader.status += got;
    if (reader.bytes < 64) setTimeout(byte, 10);
  };
  socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${north.port}\r\n${Object.entries(headers).map(([k, v]) => `${k}: ${v}\r\n`).join("")}\r\n`, byte);
  reader.end = () => socket.destroy();
  return reader;
}

test("readers of a bundle who stop are dropped, hold no more places than there are, and others are served meanwhile", async () => {
  north.env = { ...env, COMMONHOLD_REQUEST_TIMEOUT_MS: "3000" };
  south.sql(`UPDATE peer SET url = '${proxy.url}'`);
  proxy.server.how = (request) => (/bundles/.test(request.url) ? "redirect" : undefined);
  const made = async () => Number(north.sql("SELECT max(seq) FROM bundle_out")[0][0]), earlier = await made();
  await contribute(north, "A seventh text.");
  await both("2026-01-25T13:00:00Z");
  const seq = await until(made, (n) => n > earlier, "the north to have a bundle ready");
  const at = `${north.coop}/merge/agreements/${digest}/bundles`, headers = {};
  await until(async () => { // what the south proves itself with is good for a few minutes
    headers["commonhold-proof"] = proxy.seen.findLast((s) => s.proof)?.proof ?? "";
    return (await north.client().get(at, { headers })).status;
  }, (status) => status === 200, "the south to ask for it");
  const [folder] = north.sql(`SELECT coop_id, agreement_id FROM bundle_out WHERE seq = ${seq}`);
  const file = join(north.dir, "bundles", ...folder, String(seq).padStart(8, "0"), "records-00000.jsonl.zst"), whole = readFileSync(file);
  truncateSync(file, 64 << 20); // more than any socket holds
  const path = `${at}/${seq}/records-00000.jsonl.zst`;
  const cut = async () => Number(/^commonhold_http_streams_cut_total (\d+)$/m.exec((await north.client().get("/metrics")).text)?.[1] ?? 0);
  const before = await cut(), streams = 16; // LIMIT_STREAMS
  let readers = [];
  const begin = async () => {
    readers = Array.from({ length: streams }, () => crawl(path, headers));
    await Promise.all(readers.map((r) => r.begun));
    return north.client().get(path, { headers });
  };
  try {
    let late = await begin(), earlier = before;
    for (let i = 0; i < 5 && late.status === 200; i++) { // on a machine that stood still the first may have been dropped before the last came
      await until(cut, (n) => n >= earlier + streams, "every one of them to be dropped");
      earlier = await cut();
      late = await begin();
    }
    assert.equal(late.status, 503, "no place is left for another reader");
    assert.equal(late.headers.get("retry-after"), "10");
    assert.equal((await north.client().get(`${north.coop}`)).status, 200, "whoever wants no file is served");
    await contribute(north, "An eighth text.");
    await until(cut, (n) => n === earlier + streams, "every one of them to be dropped");
    for (const reader of readers) assert.match(reader.status, /^HTTP\/1\.1 200/);
  } finally {
    for (const reader of readers) reader.end();
    writeFileSync(file, whole);
  }
  assert.deepEqual((await north.client().get(path, { headers })).bytes, whole);
  proxy.server.how = undefined;
  await both("2026-01-27T14:00:00Z");
  await arrives(8);
});
