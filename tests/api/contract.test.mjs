// A co-op's first month over HTTP: every operation of the OpenAPI document is called with success at least once, and every answer is what the document says.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Contract } from "./contract.mjs";
import { charter, ok } from "./server.mjs";
import { Mailbox } from "./mailbox.mjs";
import { World, until, verdicts } from "./world.mjs";

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const hex = (bytes) => sha256(bytes).toString("hex");
const coop = "/api/v1/coops/alpine";

let world, mails, contract, ada, bea, carl, dora, lab, release, ballot, grant, download;
const item = {};

before(async () => {
  mails = await Mailbox.begin();
  world = await World.begin({ clock: "2026-01-10T09:00:00Z", env: mails.env });
  contract = await Contract.of(world.server);
  const everyone = await Promise.all(["Ada", "Bea", "Carl", "Dora", "Lab"].map((name) => world.person(name)));
  [ada, bea, carl, dora, lab] = everyone.map((client) => contract.wrap(client));
});
after(async () => {
  await world?.end();
  await mails?.end();
});

const anyone = () => contract.wrap(world.client());
const example = (input, over = {}) => ({ kind: "example", lang: "en", content: { input, output: `An answer to: ${input}` }, ...over });

test("the document lists what the program answers, and is fetched by its tag", async () => {
  const answer = await anyone().get("/api/v1/openapi.json");
  ok(200, answer);
  assert.equal((await anyone().get("/api/v1/openapi.json", { headers: { "if-none-match": answer.headers.get("etag") } })).status, 304);
  ok(200, await anyone().get("/api/v1/schemas/charter.json"));
  for (const [path, methods] of Object.entries(answer.body.paths))
    for (const [method, operation] of Object.entries(methods)) assert.ok(operation.summary, `${method} ${path} says what it is for`);
});

test("the instance tells whether it lives, is ready, and what it measures", async () => {
  assert.ok(ok(200, await anyone().get("/healthz")));
  assert.ok(ok(200, await anyone().get("/readyz")));
  ok(200, await anyone().get("/metrics"));
  ok(200, await anyone().get("/.well-known/commonhold"));
  ok(200, await anyone().get("/.well-known/jwks.json"));
});

test("an account, its sessions and its tokens", async () => {
  const eve = anyone();
  const credentials = { email: "eve@example.org", password: "a long enough secret" };
  assert.equal(ok(201, await eve.post("/api/v1/accounts", { ...credentials, name: "Eve" })).email, credentials.email);
  const signIn = async () => (await eve.post("/api/v1/sessions", credentials)).headers.get("set-cookie");
  const first = await signIn();
  assert.match(first, /HttpOnly/);
  assert.match(first, /SameSite=Lax/);
  const cookie = first.split(";")[0];
  const me = ok(200, await eve.get("/api/v1/me", { headers: { cookie } }));
  assert.equal(me.auth, "session");
  const headers = { cookie, "x-csrf-token": me.csrf };
  assert.equal(ok(200, await eve.patch("/api/v1/me", { name: "Eve Example", locale: "de-CH" }, { headers })).locale, "de-CH");
  const second = (await signIn()).split(";")[0];
  const sessions = ok(200, await eve.get("/api/v1/sessions", { headers: { cookie } })).items;
  assert.equal(sessions.length, 2);
  const other = sessions.find((s) => !s.current);
  assert.equal((await eve.delete(`/api/v1/sessions/${other.id}`, { headers })).status, 204);
  assert.equal((await eve.get("/api/v1/me", { headers: { cookie: second } })).status, 401);
  const token = ok(201, await eve.post("/api/v1/tokens", { name: "script", expires_at: "2027-01-01T00:00:00Z" }, { headers }));
  const program = contract.wrap(world.client(token.secret));
  assert.equal(ok(200, await program.get("/api/v1/me")).auth, "token");
  const listed = ok(200, await program.get("/api/v1/tokens")).items;
  assert.deepEqual(listed.map((t) => t.id), [token.id]);
  assert.ok(!JSON.stringify(listed).includes(token.secret));
  assert.equal((await program.delete(`/api/v1/tokens/${token.id}`)).status, 204);
  assert.equal((await program.get("/api/v1/me")).status, 401);
  assert.equal((await eve.delete("/api/v1/sessions", { headers })).status, 204);
  assert.equal((await eve.get("/api/v1/me", { headers: { cookie } })).status, 401);
});

test("an inbox, and how one is told", async () => {
  const given = (title) => world.sql(`INSERT INTO notice (account_id, id, kind, topic, data, essential, mail, at)
    VALUES ('${bea.account}', gen_random_uuid(), 'ballot.opened', 'ballots', '{"text":"Vote.","title":"${title}","url":"/coops/alpine"}', false, 'none', '2026-01-10T09:00:00Z') RETURNING id`)[0][0];
  const ids = [given("First"), given("Second")];
  const first = ok(200, await bea.get("/api/v1/me/notices?limit=1"));
  assert.equal(first.items.length, 1);
  const second = ok(200, await bea.get(`/api/v1/me/notices?limit=1&cursor=${first.next}`));
  assert.deepEqual([first.items[0].id, second.items[0].id].sort(), ids.sort());
  assert.equal((await ada.post(`/api/v1/me/notices/${ids[0]}/read`)).status, 404, "it is in nobody else's inbox");
  assert.equal((await bea.post(`/api/v1/me/notices/${ids[0]}/read`)).status, 204);
  assert.equal(ok(200, await bea.get("/api/v1/me/notices?state=unread")).unread, 1);
  assert.equal((await bea.post("/api/v1/me/notices/read", { until: "2026-01-10T10:00:00Z" })).status, 204);
  assert.equal(ok(200, await bea.get("/api/v1/me/notices")).unread, 0);
  const settings = ok(200, await bea.get("/api/v1/me/notice-settings"));
  assert.equal(typeof settings.mail, "boolean", "whether the instance sends mail is said");
  assert.deepEqual(settings.topics.map((t) => t.chosen), settings.topics.map(() => false));
  const changed = ok(200, await bea.put("/api/v1/me/notice-settings", { topics: { ballots: "weekly" } }));
  assert.deepEqual(changed.topics.filter((t) => t.chosen).map((t) => [t.topic, t.how]), [["ballots", "weekly"]]);
  assert.equal((await bea.put("/api/v1/me/notice-settings", { topics: { ballots: "hourly" } })).status, 422);
  assert.equal((await bea.post("/api/v1/me/notice-settings/retry")).status, 204);
});

test("a co-op is founded with a charter, once", async () => {
  const body = {
    slug: "alpine",
    charter: charter({ membership: { admission: "approval" }, records: { "soil-sample": { type: "object", required: ["ph"], additionalProperties: false, properties: { ph: { type: "number", minimum: 0, maximum: 14 } } } }, bylaws: "# Bylaws\n\nOne member, one vote.", access: { mode: "gated_manual", terms: "Be kind.", token_life: "PT30M" } }),
  };
  const headers = { "idempotency-key": "found-alpine" };
  const made = ok(201, await ada.post("/api/v1/coops", body, { headers }));
  const again = await ada.post("/api/v1/coops", body, { headers });
  assert.equal(ok(201, again).id, made.id);
  assert.equal(again.headers.get("idempotency-replayed"), "true");
  assert.equal(ok(200, await anyone().get(coop)).key_name, made.key_name);
  assert.equal(ok(200, await anyone().get(`/api/v1/coops/${made.key_name}`)).slug, "alpine");
  assert.equal(ok(200, await anyone().get("/api/v1/coops?domain=language&region=CH&language=de")).items.length, 1);
  assert.equal(ok(200, await anyone().get("/api/v1/coops?domain=health")).items.length, 0);
  assert.equal(ok(200, await anyone().get(`${coop}/charters`)).items.length, 1);
  const charterRead = ok(200, await anyone().get(`${coop}/charters/1`));
  assert.equal(charterRead.version, 1);
  assert.equal(ok(200, await anyone().get("/.well-known/commonhold")).coops[0].key_name, made.key_name);
});

test("people apply, are invited, are admitted, made admin, and leave", async () => {
  assert.equal(ok(201, await bea.post(`${coop}/members`)).state, "applied");
  assert.equal((await ada.post(`${coop}/invitations`, { email: carl.email })).status, 204);
  assert.equal(world.run(["account", "verify", carl.email]).status, 0); // an invitation is for whoever was shown to read that address's mail
  assert.equal(ok(201, await carl.post(`${coop}/members`)).state, "active");
  const member = ok(201, await dora.post(`${coop}/members`));
  const waiting = ok(200, await ada.get(`${coop}/members?state=applied`)).items;
  assert.equal(waiting.length, 2);
  const beas = ok(200, await bea.get(`${coop}/members/me`)).member;
  assert.equal(ok(200, await ada.patch(`${coop}/members/${beas.id}`, { act: "admit" })).state, "active");
  assert.equal(ok(200, await ada.patch(`${coop}/members/${member.id}`, { act: "admit" })).state, "active");
  assert.equal(ok(200, await ada.patch(`${coop}/members/${beas.id}`, { act: "make_admin" })).is_admin, true);
  assert.equal(ok(200, await carl.get(`${coop}/members/${beas.id}`)).is_admin, true);
  assert.equal(ok(200, await carl.patch(`${coop}/members/me`, { attribution: "public", public_name: "Carl the Miller" })).display, "Carl the Miller");
  assert.equal((await dora.delete(`${coop}/members/me`)).status, 204);
  assert.equal((await dora.get(`${coop}/members/me`)).status, 403);
  assert.equal(ok(200, await ada.get("/api/v1/me/memberships")).items.length, 1);
});

test("members say what may be done with what they give", async () => {
  assert.equal(ok(200, await ada.get(`${coop}/members/me`)).consent, null);
  for (const who of [ada, bea, carl]) {
    assert.equal(ok(200, await who.put(`${coop}/members/me/consent`, { purposes: ["research"], accept_defaults: false })).state, "given");
    ok(201, await who.post(`${coop}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] }));
  }
  assert.equal(ok(200, await carl.put(`${coop}/members/me/licence`, { licence: "CC0-1.0" })).own, true);
  ok(201, await carl.post(`${coop}/statements`, { statements: [{ uses: ["eval"], effect: "allow_if", duties: ["credit"], kind: "chat" }, { uses: ["search"], effect: "deny" }] }));
  assert.equal(ok(200, await carl.get(`${coop}/statements?current=true`)).items.length, 3);
  assert.equal((await bea.delete(`${coop}/members/me/consent`)).status, 204);
  assert.equal(ok(200, await bea.get(`${coop}/members/me`)).consent.state, "withdrawn");
  assert.equal(ok(200, await bea.put(`${coop}/members/me/consent`, { purposes: ["research"], accept_defaults: false })).purposes[0], "research");
});

test("contributions of every kind are taken, and a receipt says so", async () => {
  const kinds = {
    example: { input: "Why do rivers meander?", output: "The outer bank erodes faster." },
    chat: { messages: [{ role: "user", content: "Say hello in Romansh." }, { role: "assistant", content: "Allegra!" }] },
    preference: {
      prompt: [{ role: "user", content: "What is a co-operative?" }], chosen: [{ role: "assistant", content: "An enterprise that its members own." }],
      rejected: [{ role: "assistant", content: "A company." }], strength: 3,
    },
    feedback: { target: { system: "helpdesk", id: "2026-0412" }, ratings: [{ name: "quality", value: 0.75 }], comment: "Right, but late." },
    signal: { target: { system: "helpdesk", id: "2026-0413" }, signal: "star", stars: 4 },
    record: { schema: "soil-sample", data: { ph: 6.4 } },
    bundle: { parts: [{ sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", media_type: "image/jpeg", size: 184220, role: "input" }] },
  };
  for (const [kind, content] of Object.entries(kinds)) {
    const receipt = ok(201, await carl.post(`${coop}/contributions`, { kind, content, lang: "en", prompted: "proactive", friction: "low" }));
    assert.equal(receipt.status, "approved");
    assert.equal(receipt.content_sha256, hex(canonical(content)), "the hash is that of the canonical content alone");
    item[kind] = receipt.id;
  }
  for (const [content, pointer] of [[{ schema: "soil-sample", data: { ph: 15 } }, "/content/data/ph"], [{ schema: "air-sample", data: { ph: 6 } }, "/content/schema"]]) {
    const refused = await carl.post(`${coop}/contributions`, { kind: "record", content });
    assert.deepEqual([refused.status, refused.body.errors[0].pointer], [422, pointer], refused.text);
  }
  const again = ok(200, await carl.post(`${coop}/contributions`, { kind: "example", content: kinds.example, application: "elsewhere" }));
  assert.equal(again.duplicate, true);
  assert.equal(again.id, item.example);
  const view = ok(200, await carl.get(`${coop}/contributions/${item.chat}`));
  assert.deepEqual(view.content, kinds.chat);
  assert.equal(view.licence, "CC0-1.0");
  assert.equal(ok(200, await carl.get(`${coop}/contributions/${item.chat}/receipt`)).id, item.chat);
  const page = ok(200, await carl.get(`${coop}/contributions?limit=4`));
  assert.equal(page.items.length, 4);
  assert.equal(ok(200, await carl.get(`${coop}/contributions?limit=4&cursor=${encodeURIComponent(page.next)}`)).items.length, 3);
  assert.equal(ok(200, await carl.get(`${coop}/contributions?kind=signal`)).items.length, 1);
});

test("a batch gives a verdict a line, and a bad line does not stop the others", async () => {
  const lines = [
    ...Array.from({ length: 40 }, (_, i) => JSON.stringify(example(`Question number ${i} of Ada`))),
    "not JSON", JSON.stringify(example("Write to me at someone@example.org")), JSON.stringify({ kind: "example", content: {} }), "",
    JSON.stringify(example("Question number 0 of Ada")),
  ];
  const answer = await ada.request("POST", `${coop}/contributions/batch`, { body: lines.join("\n"), type: "application/x-ndjson" });
  ok(200, answer);
  const check = contract.validator("/components/schemas/verdict");
  const { lines: told, summary } = verdicts(answer);
  for (const verdict of [...told, summary]) assert.ok(check(verdict), JSON.stringify([verdict, check.errors]));
  assert.deepEqual(summary, { done: true, approved: 40, pending: 1, duplicates: 1, refused: 2 });
  assert.deepEqual(told.filter((v) => v.problem).map((v) => [v.line, v.problem.code, v.problem.errors[0]?.pointer]), [[41, "bad_json", undefined], [43, "invalid", "/content/input"]]);
  item.waiting = told.find((v) => v.status === "pending").id;
});

test("files of others are imported", async () => {
  const csv = "act,prompt\nPoet,Write a haiku about glaciers\nCook,\"How do you make \"\"Rösti\"\"?\"\n";
  const mapping = { kind: "example", columns: { act: { as: "text", to: "/content/title" }, prompt: { as: "text", to: "/content/input" } } };
  const report = ok(200, await bea.request("POST", `${coop}/contributions/import?format=csv&lang=en&licence=CC0-1.0&mapping=${encodeURIComponent(JSON.stringify(mapping))}`, { body: csv, type: "text/csv" }));
  assert.deepEqual([report.rows, report.emitted, report.approved], [2, 2, 2]);
});

test("an admin decides on what waits", async () => {
  const queue = ok(200, await bea.get(`${coop}/moderation`)).items;
  assert.deepEqual(queue.map((i) => i.id), [item.waiting]);
  assert.deepEqual(queue[0].findings, ["email"]);
  const decided = ok(200, await bea.post(`${coop}/moderation/${item.waiting}`, { decision: "reject", reason: "An address of somebody." }));
  assert.equal(decided.status, "rejected");
  assert.equal(ok(200, await bea.get(`${coop}/moderation`)).items.length, 0);
});

test("the next release is foreseen, and every item's part in it is explained", async () => {
  const next = (await until(() => ada.get(`${coop}/releases?state=scheduled`), (a) => a.body.items.length === 1, "the first release")).body.items[0];
  assert.equal(next.cutoff_at, "2026-02-01T06:00:00Z");
  release = next.id;
  const preview = ok(200, await ada.get(`${coop}/releases/preview`));
  assert.equal(preview.included, 49);
  const included = ok(200, await carl.get(`${coop}/contributions/${item.chat}/decision`));
  assert.equal(included.outcome, "include");
  const refused = ok(200, await ada.get(`${coop}/contributions/${item.waiting}/decision`));
  assert.equal(refused.outcome, "exclude");
  assert.ok(refused.reasons.some((r) => r.reason === "MODERATION_REJECTED"), JSON.stringify(refused.reasons));
});

test("a second co-op cancels what it had scheduled", async () => {
  const meadow = "/api/v1/coops/meadow";
  ok(201, await ada.post("/api/v1/coops", { slug: "meadow", charter: charter({ name: "Meadow" }) }));
  const first = (await until(() => ada.get(`${meadow}/releases`), (a) => a.body.items.length === 1)).body.items[0];
  const scheduled = ok(201, await ada.post(`${meadow}/releases`));
  assert.equal(scheduled.state, "scheduled");
  assert.notEqual(scheduled.cutoff_at, first.cutoff_at);
  const cancelled = ok(200, await ada.post(`${meadow}/releases/${scheduled.id}/cancel`, { reason: "Nothing to release yet." }));
  assert.equal(cancelled.state, "cancelled");
});

test("at the cut-off the candidates are frozen and noticed", async () => {
  await world.at("2026-02-01T06:00:05Z");
  const frozen = (await until(() => ada.get(`${coop}/releases/${release}`), (a) => a.body.state === "notice", "the notice")).body;
  assert.equal(frozen.candidates, 50);
  assert.match(frozen.candidates_sha256, /^[0-9a-f]{64}$/);
  const report = ok(200, await anyone().get(`${coop}/releases/${release}/report`));
  assert.equal(report.stage, "frozen");
  assert.equal(report.outcomes.include, 49);
  ballot = frozen.ballot;
  assert.equal(ok(200, await bea.get(`${coop}/ballots/${ballot}`)).state, "notice");
  assert.equal((await bea.put(`${coop}/ballots/${ballot}/vote`, { choice: "for" })).status, 409);
  item.late = ok(201, await ada.post(`${coop}/contributions`, example("Too late for this one"))).id;
});

// One admin lets the other decide for a while: a vote for the principal alone, the history of it, and the board's stance.
async function represent(at) {
  const ids = {};
  for (const [name, who] of Object.entries({ ada, bea })) ids[name] = ok(200, await who.get(`${coop}/members/me`)).member.id;
  assert.deepEqual(ok(200, await bea.get(`${at}/represented`)).items, []);
  const early = await bea.put(`${at}/represented`, { choice: "abstain", principals: [ids.ada] });
  assert.deepEqual([early.status, early.body.reason], [422, "not_represented"]);
  const made = ok(201, await ada.post(`${coop}/delegations`, { question: "vote", scope: "coop", delegate: ids.bea })).delegation;
  ok(200, await bea.post(`${coop}/delegations/${made.id}/accept`));
  const [principal] = ok(200, await bea.put(`${at}/represented`, { choice: "abstain", principals: [ids.ada] })).items;
  assert.deepEqual([principal.id, principal.hops, principal.voted, principal.choice], [ids.ada, 1, false, "abstain"]);
  const voice = ok(200, await ada.get(`${at}/explain`));
  assert.deepEqual([voice.stored, voice.via, voice.on_behalf, voice.choice_shown, voice.choice, voice.decider.id], [false, "decided", true, false, null, ids.bea], "hidden until the end");
  assert.deepEqual(voice.path.map((step) => step.delegation), [made.id]);
  assert.deepEqual(ok(200, await bea.get(`${at}/votes/mine`)).items.map((v) => [v.choice, v.on_behalf_of]), [["against", null], ["for", null], ["abstain", ids.ada]]);
  const board = ok(200, await bea.put(`${at}/board`, { choice: "for" }));
  assert.deepEqual([board.admins, board.needed, board.for, board.choice, board.mine], [2, 2, 1, null, "for"]);
  assert.equal(ok(200, await ada.get(`${at}/board`)).mine, null);
  assert.equal((await bea.put(`${at}/represented`, { choice: "abstain", principals: [] })).status, 422);
  ok(204, await ada.delete(`${coop}/delegations/${made.id}`));
}

test("the admins vote; a withdrawal after the freeze is honoured", async () => {
  await world.at("2026-02-08T06:00:05Z");
  await until(() => bea.get(`${coop}/ballots?state=open`), (a) => a.body.items[0]?.may_vote === true, "the open ballot");
  assert.equal(ok(200, await bea.put(`${coop}/ballots/${ballot}/vote`, { choice: "against" })).my_choice, "against");
  assert.equal(ok(200, await bea.put(`${coop}/ballots/${ballot}/vote`, { choice: "for" })).my_choice, "for");
  assert.equal(ok(200, await ada.get(`${coop}/ballots`)).items.length, 1);
  await represent(`${coop}/ballots/${ballot}`);
  ok(201, await carl.post(`${coop}/statements`, { statements: [{ item: item.signal, uses: ["train.gen"], effect: "deny" }] }));
  await world.at("2026-02-10T06:00:05Z");
  await until(() => bea.get(`${coop}/ballots/${ballot}`), (a) => a.body.state === "passed", "the passed ballot");
  const tally = ok(200, await bea.get(`${coop}/ballots/${ballot}/tally`));
  assert.deepEqual(tally.admins, { roll: 2, for: 1, against: 0, abstain: 0, undecided: 1, undecided_by: { revoked: 1 }, in_person: 1, by_delegates: 0, by_board: 0 });
  const voice = ok(200, await bea.get(`${coop}/ballots/${ballot}/explain`));
  assert.deepEqual([voice.stored, voice.via, voice.choice, voice.reason], [true, "own", "for", null]);
  assert.equal(ok(200, await bea.get(`${coop}/ballots/${ballot}`)).board_choice, null);
  await until(() => anyone().get(`${coop}/releases/${release}`), (a) => a.body.state === "cooling_off", "the cooling-off");
});

test("after the cooling-off it is built and published", async () => {
  await world.at("2026-02-11T06:00:10Z");
  const published = (await until(() => anyone().get(`${coop}/releases/latest`), (a) => a.body?.state === "published", "the published release")).body;
  assert.equal(published.version, "1.0.0");
  assert.deepEqual([published.included, published.rows], [49, 48], "what was agreed to, and what is left of it");
  const report = ok(200, await anyone().get(`${coop}/releases/1.0.0/report`));
  assert.equal(report.stage, "built");
  assert.equal(report.outcomes.include, 48);
  for (const { message } of report.reasons) assert.doesNotMatch(message, /[{}]/, "words, not templates");
  assert.deepEqual(Object.fromEntries(report.reasons.map((r) => [r.reason, r.items])), { MODERATION_REJECTED: 1, PREF_DENY: 1, AFTER_CUTOFF: 1 });
  const files = ok(200, await anyone().get(`${coop}/releases/1.0.0/files`)).items;
  assert.equal(files.reduce((sum, f) => sum + f.rows, 0), 48);
  const where = ok(200, await carl.get(`${coop}/contributions/${item.chat}/releases`)).items;
  assert.deepEqual(where.map((r) => [r.version, r.outcome]), [["1.0.0", "include"]]);
  assert.equal(ok(200, await carl.get(`${coop}/contributions/${item.signal}/decision?release=1.0.0`)).outcome, "exclude");
});

test("somebody asks for access, is granted it, and gets a token", async () => {
  const terms = ok(200, await anyone().get(`${coop}/access-terms?release=1.0.0`));
  assert.equal(terms.terms, "Be kind.");
  assert.equal(terms.terms_sha256, hex("Be kind."));
  assert.equal((await lab.get(`${coop}/releases/1.0.0/files/manifest.json`)).status, 403);
  const ask = { purpose: "research", description: "Language models for hydrology", organisation: "Lab", terms_sha256: terms.terms_sha256 };
  const asked = ok(201, await lab.post(`${coop}/access-requests`, ask));
  assert.equal(asked.state, "pending");
  assert.equal((await lab.post(`${coop}/access-requests`, ask)).body.reason, "one_pending_request_per_person");
  assert.deepEqual(ok(200, await ada.get(`${coop}/access-requests?state=pending`)).items.map((r) => r.id), [asked.id]);
  const refused = ok(200, await ada.post(`${coop}/access-requests/${asked.id}/decision`, { decision: "refuse", reason: "Say what for." }));
  assert.deepEqual([refused.state, refused.reason], ["refused", "Say what for."]);
  const again = ok(201, await lab.post(`${coop}/access-requests`, { ...ask, description: "Language models for hydrology, in Romansh" }));
  const granted = ok(200, await bea.post(`${coop}/access-requests/${again.id}/decision`, { decision: "grant" }));
  assert.equal(granted.state, "granted");
  grant = granted.grant;
  assert.deepEqual(ok(200, await lab.get(`${coop}/grants?mine=true`)).items.map((g) => g.id), [grant]);
  const token = ok(201, await lab.post(`${coop}/grants/${grant}/token`));
  const { iat, exp } = JSON.parse(Buffer.from(token.token.split(".")[1], "base64url"));
  assert.deepEqual([exp - iat, Date.parse(token.expires_at)], [30 * 60, exp * 1000]);
  download = contract.wrap(world.client(token.token));
});

test("a file comes whole, in parts, or not at all when it is known", async () => {
  const files = ok(200, await download.get(`${coop}/releases/1.0.0/files`)).items;
  const shard = files.find((f) => f.path.startsWith("data/example/"));
  const path = `${coop}/releases/1.0.0/files/${shard.path}`;
  assert.equal((await anyone().get(path)).status, 401);
  assert.equal((await lab.get(path)).status, 200, "the holder of a grant needs no token of its own kind");
  const whole = await download.get(path);
  ok(200, whole);
  assert.equal(hex(whole.bytes), shard.sha256);
  assert.equal(whole.bytes.length, shard.size);
  assert.match(whole.headers.get("content-usage"), /train-ai=y/);
  assert.equal(whole.headers.get("accept-ranges"), "bytes");
  const etag = whole.headers.get("etag");
  const part = await download.get(path, { headers: { range: "bytes=10-29" } });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get("content-range"), `bytes 10-29/${shard.size}`);
  assert.deepEqual(part.bytes, whole.bytes.subarray(10, 30));
  assert.deepEqual((await download.get(path, { headers: { range: "bytes=-5" } })).bytes, whole.bytes.subarray(-5));
  assert.equal((await download.get(path, { headers: { range: "bytes=3-", "if-range": '"other"' } })).status, 200);
  const beyond = await download.get(path, { headers: { range: `bytes=${shard.size}-` } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers.get("content-range"), `bytes */${shard.size}`);
  assert.equal((await download.get(path, { headers: { "if-none-match": etag } })).status, 304);
  const head = await fetch(world.url + path, { method: "HEAD", headers: { authorization: `Bearer ${download.token}` } });
  assert.deepEqual([head.status, head.headers.get("content-length"), head.headers.get("etag")], [200, String(shard.size), etag]);
  const rows = gunzipSync(whole.bytes).toString().trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(rows.length, shard.rows);
});

test("the artefact verifies offline, with its own tools and stock ones", async () => {
  const files = ok(200, await download.get(`${coop}/releases/1.0.0/files`)).items.map((f) => f.path);
  const folder = mkdtempSync(join(tmpdir(), "ch-copy-"));
  try {
    for (const path of new Set([...files, "manifest.json", "manifest.dsse.json", "SHA256SUMS", "SHA256SUMS.minisig", "checkpoint", "release.tlog-proof"])) {
      const answer = await download.get(`${coop}/releases/1.0.0/files/${path}`);
      ok(200, answer);
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), answer.bytes);
    }
    const key = ok(200, await anyone().get(coop)).public_key;
    const good = world.run(["verify", folder, "--key", key]);
    assert.equal(good.status, 0, good.out + good.err);
    const shard = files.find((f) => f.startsWith("data/"));
    writeFileSync(join(folder, shard), Buffer.concat([(await download.get(`${coop}/releases/1.0.0/files/${shard}`)).bytes, Buffer.from([0])]));
    assert.equal(world.run(["verify", folder, "--key", key]).status, 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a client of the Hub finds the same release", async () => {
  const dataset = "/api/datasets/alpine/releases";
  const about = ok(200, await anyone().get(dataset));
  assert.equal(about.gated, "manual");
  assert.equal(ok(200, await anyone().get(`${dataset}/revision/main`)).sha, about.sha);
  const tree = ok(200, await anyone().get(`${dataset}/tree/main?recursive=true`));
  const shard = tree.find((entry) => entry.type === "file" && entry.path.startsWith("data/"));
  ok(200, await anyone().get(`${dataset}/tree/${about.sha}/data`));
  assert.deepEqual(ok(200, await anyone().post(`${dataset}/paths-info/main`, { paths: [shard.path] })).map((e) => e.path), [shard.path]);
  const refused = await anyone().get(`/datasets/alpine/releases/resolve/main/${shard.path}`);
  assert.equal(refused.status, 401);
  assert.equal(refused.headers.get("x-error-code"), "GatedRepo");
  assert.equal((await anyone().get(`${dataset}/revision/9.9.9`)).headers.get("x-error-code"), "RevisionNotFound");
  const bytes = (await download.get(`/datasets/alpine/releases/resolve/main/${shard.path}`)).bytes;
  assert.equal(bytes.length, shard.size);
  assert.deepEqual((await download.get(`/datasets/alpine/releases/raw/1.0.0/${shard.path}`)).bytes, bytes);
});

test("a revoked grant opens nothing any more, its token included", async () => {
  const revoked = ok(200, await ada.delete(`${coop}/grants/${grant}?reason=${encodeURIComponent("The study is over.")}`));
  assert.ok(revoked.revoked_at);
  assert.equal((await download.get(`${coop}/releases/1.0.0/files/manifest.json`)).body.reason, "grant_revoked");
  assert.equal((await lab.post(`${coop}/grants/${grant}/token`)).body.reason, "grant_revoked");
});

// ---- the log, checked with RFC 6962 as written down there and nothing of the program's ----

const node = (left, right) => sha256(Buffer.from([1]), left, right);
const leafHash = (entry) => sha256(Buffer.from([0]), entry);
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value && typeof value === "object") return `{${Object.keys(value).sort().map((k) => `${JSON.stringify(k)}:${canonical(value[k])}`).join(",")}}`;
  return JSON.stringify(value);
}
function rootOf(hashes) {
  if (hashes.length === 1) return hashes[0];
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  return node(rootOf(hashes.slice(0, split)), rootOf(hashes.slice(split)));
}
function rootFromPath(index, size, hash, path) { // RFC 9162 section 2.1.3.2
  let fn = index, sn = size - 1, r = hash;
  for (const p of path) {
    assert.notEqual(sn, 0);
    if (fn % 2 || fn === sn) {
      r = node(p, r);
      while (fn % 2 === 0 && fn !== 0) { fn >>= 1; sn >>= 1; }
    } else {
      r = node(r, p);
    }
    fn >>= 1;
    sn >>= 1;
  }
  assert.equal(sn, 0);
  return r;
}

test("the log holds every act, and its proofs hold by RFC 6962", async () => {
  const entries = [];
  let page = ok(200, await anyone().get(`${coop}/log/entries?limit=50`));
  for (;;) {
    entries.push(...page.items);
    if (!page.next) break;
    page = ok(200, await anyone().get(`${coop}/log/entries?limit=50&cursor=${encodeURIComponent(page.next)}`));
  }
  entries.reverse();
  assert.equal(entries.length, page.size);
  const hashes = entries.map((e, i) => {
    assert.equal(e.index, i);
    const hash = leafHash(canonical(e.entry));
    assert.equal(hash.toString("hex"), e.hash, canonical(e.entry));
    return hash;
  });
  const root = rootOf(hashes);
  assert.equal(root.toString("hex"), page.root);
  const types = new Set(entries.map((e) => e.entry.t));
  for (const t of ["coop.founded", "charter.adopted", "member.applied", "member.admitted", "member.left", "statement.made", "contribution.made", "contribution.moderated",
    "release.scheduled", "release.frozen", "ballot.announced", "ballot.opened", "vote.cast", "ballot.closed", "release.published"]) assert.ok(types.has(t), `${t} is in the log`);
  const checkpoint = await anyone().get(`${coop}/log/checkpoint`);
  ok(200, checkpoint);
  const [origin, size, rootText] = checkpoint.text.split("\n");
  assert.equal(origin, page.origin);
  assert.equal(Number(size), entries.length);
  assert.equal(rootText, root.toString("base64"));
  for (const index of [0, 1, 7, entries.length - 1]) {
    const proof = ok(200, await anyone().get(`${coop}/log/proof?index=${index}`));
    assert.deepEqual(rootFromPath(index, entries.length, hashes[index], proof.path.map((h) => Buffer.from(h, "base64"))), root);
  }
  const tile = await anyone().get(`${coop}/log/tile/0/000.p/${entries.length}`);
  ok(200, tile);
  assert.deepEqual(tile.bytes, Buffer.concat(hashes));
  const consistency = ok(200, await anyone().get(`${coop}/log/proof?from=5&to=${entries.length}`));
  assert.ok(consistency.path.length > 0);
  assert.deepEqual(ok(200, await anyone().get(`${coop}/log/proof?from=${entries.length}&to=${entries.length}`)).path, []);
});

test("dates go to calendars, a person's own at a secret address", async () => {
  ok(200, await anyone().get(`${coop}/calendar.ics`));
  assert.equal(ok(200, await bea.get("/api/v1/me/calendar")).made_at, null);
  const { url } = ok(201, await bea.post("/api/v1/me/calendar"));
  ok(200, await anyone().get(new URL(url).pathname));
  assert.equal((await bea.delete("/api/v1/me/calendar")).status, 204);
});

test("the signed status names what may be used", async () => {
  const envelope = ok(200, await anyone().get(`${coop}/status.json`));
  const status = JSON.parse(Buffer.from(envelope.payload, "base64").toString());
  assert.ok(JSON.stringify(status).includes("1.0.0"));
});

// What else happens in that month, a file a subject: tests/api/contract/<subject>.mjs exports a function that declares tests on what stands by now.
const here = {
  world: () => world, mails: () => mails, people: () => ({ ada, bea, carl, dora, lab }), anyone: () => anyone(), wrap: (client) => contract.wrap(client), coop, ok, until, item, hex,
};
for (const file of readdirSync(new URL("contract/", import.meta.url)).sort()) (await import(`./contract/${file}`)).default(here);

test("every operation of the document was called with success", () => {
  assert.deepEqual(contract.missing(), []);
});
