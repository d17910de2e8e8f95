// The doors of forks, links, previews and dry runs, tried by whoever has no business there: nobody, a stranger, a member of another co-op, a member who is no admin, a form from another site.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { charter, ok } from "./server.mjs";
import { World, until } from "./world.mjs";

const evil = `<script>alert("x")</script>`;
let world, ada, bea, boris, carl, stranger, nobody, ids = {};

const form = (who, path, fields = {}, { csrf = who.csrf, headers = {} } = {}) => (who.cookie ? nobody : who).request("POST", path, {
  body: new URLSearchParams({ ...(csrf ? { csrf } : {}), ...fields }).toString(), type: "application/x-www-form-urlencoded", headers: { ...(who.cookie ? { cookie: who.cookie } : {}), ...headers },
});
const page = (who, path) => nobody.request("GET", path, { headers: who.cookie ? { cookie: who.cookie } : {} });

before(async () => {
  world = await World.begin({ clock: "2026-01-10T09:00:00Z", env: { COMMONHOLD_ALLOW_PRIVATE: "yes" } });
  nobody = world.client();
  [ada, bea, boris, carl, stranger] = await Promise.all(["Ada", "Bea", "Boris", "Carl", "Stranger"].map((name) => world.person(name)));
  for (const [slug, admin] of [["alpine", ada], ["boreal", boris], ["meadow", carl]]) ok(201, await admin.post("/api/v1/coops", { slug, charter: charter({ name: slug }) }));
  ok(201, await bea.post("/api/v1/coops/alpine/members"));
  ids.fork = ok(201, await ada.post("/api/v1/coops/alpine/forks", { title: evil, place: "https://new.example.org/?a=b&c='", reason: `${evil} & more of it`, closes_at: "2026-02-01T00:00:00Z" })).id;
  const meet = async (admin, from, name) => {
    const found = ok(201, await admin.post(`/api/v1/coops/${from}/peers`, { url: world.url, name }));
    return ok(200, await admin.post(`/api/v1/coops/${from}/peers/${found.id}/confirm`, { fingerprint: found.fingerprint })).id;
  };
  ids.peer = await meet(ada, "alpine", "boreal");
  ids.back = await meet(boris, "boreal", "alpine");
  ids.link = ok(201, await ada.post("/api/v1/coops/alpine/links", { peer: ids.peer })).link.id;
  ids.agreement = ok(201, await ada.post("/api/v1/coops/alpine/agreements", { peer: ids.peer, terms: {} })).sha256;
  ok(200, await ada.post(`/api/v1/coops/alpine/agreements/${ids.agreement}/propose`));
  await until(() => boris.get(`/api/v1/coops/boreal/agreements/${ids.agreement}`), (a) => a.status === 200, "the proposal");
  ok(201, await ada.post(`/api/v1/coops/alpine/agreements/${ids.agreement}/previews`));
  ok(201, await boris.post(`/api/v1/coops/boreal/agreements/${ids.agreement}/previews`));
  for (const [who, slug] of [[ada, "alpine"], [boris, "boreal"]]) await until(() => who.get(`/api/v1/coops/${slug}/agreements/${ids.agreement}/dry-run`), (a) => a.status === 200, "the dry run");
  await until(() => world.sql("SELECT count(*) FROM job WHERE state = 'running' OR (state = 'waiting' AND due < '2026-01-10T10:00:00Z')")[0][0], (n) => n === "0", "the end of what was queued");
});
after(() => world?.end());

const kept = () => world.sql(["fork_offer", "fork_answer", "fork_moved", "link", "merge_preview", "dry_run", "dry_run_member", "ballot", "agreement_event", "message_out", "log_leaf"]
  .map((t) => `SELECT '${t}', count(*)::text FROM ${t}`).join(" UNION ALL ")).map((row) => row.join("=")).join(" ");
// Pages and forms: path below the co-op, fields of the form (none: a page), and whether it takes an admin.
const doors = (at = ids) => [
  ["forks"], [`forks/${at.fork}`], ["links"], [`agreements/${at.agreement}/dry-run`], [`agreements/${at.agreement}/dry-run?run=${"0".repeat(64)}`],
  ["forks", { name: "Another", place: "https://new.example.org", reason: "To meet in person.", days: "30" }], [`forks/${at.fork}/answer`, { answer: "yes" }], [`forks/${at.fork}/withdraw`, {}], [`forks/${at.fork}/founded`, {}, "admin"],
  ["claims", { claim: "abcd-abcd-abcd-abcd-abcd-abcd" }], ["links", { peer: at.peer }], ["links/prove", { peer: at.peer, code: "abcd-abcd-abcd-abcd-abcd-abcd" }], [`links/${at.link}/end`, {}],
  [`agreements/${at.agreement}/dry-run`, {}, "admin"], [`agreements/${at.agreement}/dry-run/partner`, {}, "admin"], [`agreements/${at.agreement}/ballot`, { no_dry_run: "They send none." }, "admin"],
];
const knock = (who, slug, [path, fields], options) => (fields ? form(who, `/coops/${slug}/${path}`, fields, options) : page(who, `/coops/${slug}/${path}`));

test("whoever is not signed in, a stranger and an admin of another co-op see no page and send no form", async () => {
  const before = kept();
  for (const door of doors()) {
    const unsigned = await knock(nobody, "alpine", door);
    assert.ok([303, 401, 403].includes(unsigned.status), `${door[0]}: ${unsigned.status}`);
    if (unsigned.status === 303) assert.match(unsigned.headers.get("location"), /\/sign-in/);
    for (const who of [stranger, boris]) {
      const answer = await knock(who, "alpine", door);
      assert.ok([403, 404].includes(answer.status), `${door[0]}: ${answer.status}`);
      assert.ok(!answer.text.includes("script&gt;") && !answer.text.includes("more of it"), door[0]);
    }
  }
  assert.equal(kept(), before);
});

test("a form without its token, with another's, or from another site does nothing", async () => {
  const before = kept();
  for (const door of doors().filter(([, fields]) => fields)) {
    for (const options of [{ csrf: "" }, { csrf: bea.csrf }, { headers: { origin: "https://evil.example" } }, { headers: { "sec-fetch-site": "cross-site" } }]) {
      const answer = await knock(ada, "alpine", door, options);
      assert.equal(answer.status, 403, `${door[0]} ${JSON.stringify(options)}: ${answer.status}`);
    }
  }
  assert.equal(kept(), before);
});

test("a member who is no admin does nothing that is an admin's, and ends nobody else's link", async () => {
  const before = kept();
  for (const door of doors().filter(([, , admin]) => admin)) assert.equal((await knock(bea, "alpine", door)).status, 403, door[0]);
  assert.equal((await knock(bea, "alpine", [`forks/${ids.fork}/withdraw`, {}])).status, 403);
  const [theirs, none] = [await form(bea, `/coops/alpine/links/${ids.link}/end`), await form(bea, `/coops/alpine/links/${randomUUID()}/end`)];
  assert.deepEqual([theirs.status, none.status], [404, 404]);
  const [api, absent] = [await bea.delete(`/api/v1/coops/alpine/links/${ids.link}`), await bea.delete(`/api/v1/coops/alpine/links/${randomUUID()}`)];
  assert.deepEqual([api.status, api.body.detail, api.body.title], [404, absent.body.detail, absent.body.title]);
  assert.ok(!(await page(bea, "/coops/alpine/links")).text.includes(ids.link));
  assert.equal(kept(), before);
});

test("what is another co-op's is answered as what does not exist, on pages and by the API", async () => {
  const before = kept(), unknown = { fork: randomUUID(), link: randomUUID(), peer: randomUUID(), agreement: randomBytes(32).toString("hex") };
  const plain = (answer, at) => Object.values(at).reduce((text, id) => text.replaceAll(id, "ID"), answer.text).replaceAll(/[A-Za-z0-9_-]{43}/g, "TOKEN").replaceAll(/<code>[0-9a-f]{8}-[0-9a-f]+<\/code>/g, "REQUEST");
  const [foreign, absent] = [doors(), doors(unknown)];
  for (const [i, door] of foreign.entries()) {
    if (!Object.values(ids).some((id) => JSON.stringify(door).includes(id))) continue;
    const [a, b] = [await knock(carl, "meadow", door), await knock(carl, "meadow", absent[i])];
    assert.deepEqual([a.status, plain(a, ids)], [b.status, plain(b, unknown)], door[0]);
    assert.ok(a.status >= 400, `${door[0]}: ${a.status}`);
  }
  for (const [method, path, json] of [["GET", ""], ["GET", "/history"], ["GET", "/previews"], ["GET", "/previews/ours"], ["GET", "/dry-run"], ["GET", "/dry-run/mine"], ["POST", "/previews"], ["POST", "/dry-run"], ["POST", "/previews/theirs", { lines: "{}" }],
    ["POST", "/ballot"], ["POST", "/ballot/untried", { reason: "They send none." }], ["POST", "/propose"], ["POST", "/suspend", { reason: "A question." }], ["POST", "/resume"], ["POST", "/end", { reason: "It is over." }], ["POST", "/withdraw", { reason: "Not now." }]]) {
    const ask = (digest) => carl.request(method, `/api/v1/coops/meadow/agreements/${digest}${path}`, json ? { json } : {});
    const [a, b] = [await ask(ids.agreement), await ask(unknown.agreement)];
    assert.deepEqual([a.status, { ...a.body, instance: 0, request: 0 }], [b.status, { ...b.body, instance: 0, request: 0 }], path);
    assert.equal(a.status, 404, `${path}: ${a.text}`);
  }
  for (const path of ["links", "links/prove"]) {
    const ask = (peer) => carl.post(`/api/v1/coops/meadow/${path}`, { peer, ...(path === "links" ? {} : { code: "abcd-abcd-abcd-abcd-abcd-abcd" }) });
    const [a, b] = [await ask(ids.peer), await ask(unknown.peer)];
    assert.deepEqual([a.status, a.body.detail], [404, b.body.detail], a.text);
  }
  assert.equal(kept(), before);
});

test("what people wrote is shown as text, also when it comes back in a form that was refused", async () => {
  for (const path of ["/coops/alpine/forks", `/coops/alpine/forks/${ids.fork}`]) {
    const { text } = await page(bea, path);
    assert.ok(text.includes("&lt;script&gt;") && !text.includes("<script>alert"), path);
  }
  const back = [
    await form(bea, "/coops/alpine/forks", { name: evil, place: `"'>${evil}`, reason: evil, days: evil }), await form(bea, "/coops/alpine/claims", { claim: `"'>${evil}` }),
    await form(bea, "/coops/alpine/links/prove", { peer: `"'>${evil}`, code: `"'>${evil}` }), await form(ada, `/coops/alpine/agreements/${ids.agreement}/suspend`, { reason: evil }),
  ];
  for (const answer of back) {
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`);
    assert.ok(!answer.text.includes("<script>alert") && !answer.text.includes(`value=""'`), answer.text);
  }
});

test("a claim that is nobody's, and a code that was never given, say nothing but that", async () => {
  const said = [];
  for (const claim of ["abcd-abcd-abcd-abcd-abcd-abcd", "2345-2345-2345-2345-2345-2345"]) said.push(await bea.post("/api/v1/coops/alpine/claims", { claim }));
  assert.deepEqual(said.map((a) => [a.status, a.body.detail]), [[404, said[0].body.detail], [404, said[0].body.detail]]);
  for (const claim of ["", "abcd", "abcd-abcd-abcd-abcd-abcd-abc0", "x".repeat(40000), "abcd-abcd-abcd-abcd-abcd-abcd-abcd"]) {
    const answer = await bea.post("/api/v1/coops/alpine/claims", { claim });
    assert.deepEqual([answer.status, answer.body.errors?.[0].pointer], [422, "/claim"], answer.text);
  }
});

test("a preview from a file is read within bounds, and only if the partner signed it", async () => {
  const before = world.sql("SELECT count(*), min(digest::text) FROM merge_preview");
  const at = `/api/v1/coops/alpine/agreements/${ids.agreement}/previews`;
  const ours = (await ada.get(`${at}/ours`)).text;
  for (const lines of ["", "{}", "nonsense\n", `${"[".repeat(100000)}\n`, `${"{}\n".repeat(200000)}`, ours, ours.replace(/"sig":"..../, '"sig":"AAAA'), `${ours}{}\n`]) {
    const answer = await ada.post(`${at}/theirs`, { lines });
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}: ${answer.text.slice(0, 300)}`);
  }
  assert.equal((await ada.post(`${at}/theirs`, { lines: "x".repeat(9 << 20) })).status, 413);
  for (const run of ["x", "0".repeat(63), `${"0".repeat(64)}'`, "%00"]) assert.ok([400, 404, 422].includes((await bea.get(`/api/v1/coops/alpine/agreements/${ids.agreement}/dry-run?run=${run}`)).status), run);
  assert.deepEqual(world.sql("SELECT count(*), min(digest::text) FROM merge_preview"), before);
  assert.equal((await nobody.get("/readyz")).status, 200);
});
