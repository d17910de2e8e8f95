// What comes from outside gets a clear answer that names the field, and changes nothing. Nothing that is sent ends the process.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHmac, createPublicKey, generateKeyPairSync, randomInt, randomUUID, sign } from "node:crypto";
import { connect } from "node:net";
import { Contract } from "./contract.mjs";
import { charter, Client, ok, PATIENCE } from "./server.mjs";
import { badBodies } from "./bad.mjs";
import { World, until, verdicts } from "./world.mjs";

const seed = Number(process.env.TEST_SEED ?? randomInt(1 << 30));
const random = (() => { // mulberry32
  let a = seed;
  return (n) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  };
})();

let world, contract, ada, bea, stranger, boris, lab, nobody;
const A = "/api/v1/coops/alpine", B = "/api/v1/coops/boreal";
const ids = { alpine: {}, boreal: {} };

const example = (input, over = {}) => ({ kind: "example", content: { input }, ...over });

// Founds a co-op with a contribution, a member, a release with its ballot, a request and a grant.
async function furnish(slug, admin, member, user) {
  const coop = `/api/v1/coops/${slug}`, made = ids[slug];
  const access = { mode: "gated_auto", terms: "Be kind.", token_life: "PT30M" };
  ok(201, await admin.post("/api/v1/coops", { slug, charter: charter({ access, release: { uses: ["train.gen"], purposes: ["research"], k_contributors: 1 } }) }));
  if (member) ok(201, await member.post(`${coop}/members`));
  ok(200, await admin.put(`${coop}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
  ok(201, await admin.post(`${coop}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] }));
  made.contribution = ok(201, await admin.post(`${coop}/contributions`, example(`What is ${slug}?`))).id;
  made.moderation = ok(201, await admin.post(`${coop}/contributions`, example(`Write to ${slug}@example.org`))).id;
  made.member = ok(200, await admin.get(`${coop}/members/me`)).member.id;
  made.terms = ok(200, await admin.get(`${coop}/access-terms`)).terms_sha256;
  const asked = ok(201, await user.post(`${coop}/access-requests`, { purpose: "research", description: "A study of something", terms_sha256: made.terms }));
  made.request = asked.id;
  made.grant = asked.grant;
}

// What a co-op has besides, once it has a release: an income, a delegation, a motion; and, since no ballot sets it here, a pledge and a receipt by hand.
async function decorate(slug, admin) {
  const coop = `/api/v1/coops/${slug}`, made = ids[slug];
  made.income = ok(201, await admin.post(`${coop}/benefits`, { release: made.release, amount: "10.00", currency: "EUR", source: "A lab" })).id;
  made.delegation = ok(201, await admin.post(`${coop}/delegations`, { question: "vote", scope: "coop", delegate: "nobody" })).delegation.id;
  made.motion = ok(201, await admin.post(`${coop}/motions`, { kind: "toggle", document: { act: "set", control: "rate_limit", amount: 3 }, reason: "Together or not at all." })).id;
  made.secret = ok(201, await admin.post("/api/v1/me/calendar")).url.match(/([^/]+)\.ics$/)[1];
  made.deletion = ok(201, await admin.post(`${coop}/deletions`, { kind: "embargo", items: [made.contribution], until: "2027-01-01T00:00:00Z" })).id;
  made.agent = ok(201, await admin.post(`${coop}/agents`, { account: stranger.account, kinds: ["erase"], until: "2026-12-01T00:00:00Z" })).id;
  made.fork = ok(201, await admin.post(`${coop}/forks`, { title: "Elsewhere", place: "https://new.example.org", reason: "To meet in person.", closes_at: "2026-03-10T00:00:00Z" })).id;
  for (const place of ["link", "peer", "agreement", "message", "conflict", "joint", "seq", "file"]) made[place] = randomUUID();
  made.control = randomUUID();
  made.mirror = randomUUID();
  made.delivery = randomUUID();
  made.receipt = randomUUID();
  world.sql(`INSERT INTO control (coop_id, id, kind, mode, kinds, uses, amount, reason, ballot_id, set_at) SELECT coop_id, '${made.control}', 'assurance', '', '{chat}', '{}', 1000, 'x', id, closed_at
    FROM ballot WHERE id = '${made.ballot}'`);
  world.sql(`INSERT INTO consent_receipt (coop_id, id, member_id, cycle, kind, charter, issued_at, document, sha256, signature)
    SELECT coop_id, '${made.receipt}', id, 1, 'off_cycle', 1, joined_at, '{}', sha256('{}'), 'x' FROM membership WHERE id = '${made.member}'`);
}

// Signs in again: a session does not last a month.
async function renew(client) {
  const answer = await nobody.post("/api/v1/sessions", { email: client.email, password: client.password });
  client.cookie = answer.headers.get("set-cookie").split(";")[0];
  client.csrf = ok(200, await nobody.get("/api/v1/me", { headers: { cookie: client.cookie } })).csrf;
}

before(async () => {
  world = await World.begin({ clock: "2026-01-10T09:00:00Z" });
  contract = await Contract.of(world.server);
  [ada, bea, stranger, boris, lab] = await Promise.all(["Ada", "Bea", "Stranger", "Boris", "Lab"].map((name) => world.person(name)));
  nobody = world.client();
  await furnish("alpine", ada, bea, lab);
  await furnish("boreal", boris, undefined, lab);
  for (const clock of ["2026-02-01T06:00:05Z", "2026-02-08T06:00:05Z"]) {
    await world.at(clock);
    for (const [slug, admin] of [["alpine", ada], ["boreal", boris]]) {
      const ballots = await until(() => admin.get(`/api/v1/coops/${slug}/ballots`), (a) => a.body.items[0]?.state === (clock < "2026-02-08" ? "notice" : "open"), "the ballot");
      ids[slug].ballot = ballots.body.items[0].id;
      ids[slug].release = ballots.body.items[0].subject;
    }
  }
  ok(200, await boris.put(`${B}/ballots/${ids.boreal.ballot}/vote`, { choice: "for" }));
  ok(200, await ada.put(`${A}/ballots/${ids.alpine.ballot}/vote`, { choice: "for" }));
  await world.at("2026-02-10T06:00:10Z");
  await until(() => ada.get(`${A}/ballots/${ids.alpine.ballot}`), (a) => a.body.state === "passed");
  await until(() => boris.get(`${B}/ballots/${ids.boreal.ballot}`), (a) => a.body.state === "passed");
  await world.at("2026-02-11T06:00:20Z");
  for (const [slug, admin] of [["alpine", ada], ["boreal", boris]]) {
    await until(() => admin.get(`/api/v1/coops/${slug}/releases/latest`), (a) => a.body?.state === "published");
    ids[slug].jwt = ok(201, await lab.post(`/api/v1/coops/${slug}/grants/${ids[slug].grant}/token`)).token;
  }
  for (const client of [ada, bea, stranger, boris, lab]) await renew(client);
  for (const [slug, admin] of [["alpine", ada], ["boreal", boris]]) await decorate(slug, admin);
  await quiet();
  for (const client of [ada, bea, stranger, boris, lab]) {
    ids[client.email] = {
      notice: ok(200, await client.get("/api/v1/me/notices")).items[0]?.id,
      session: ok(200, await nobody.get("/api/v1/sessions", { headers: { cookie: client.cookie } })).items[0].id,
      token: ok(200, await client.get("/api/v1/tokens")).items[0].id,
    };
  }
});
after(() => world?.end());

// What follows from an act, or from a later hour, is done before anything is compared.
const quiet = (clock = world.server.settings.COMMONHOLD_CLOCK) => until(() => world.sql(`SELECT count(*) FROM job WHERE state = 'running' OR (state = 'waiting' AND due < timestamptz '${clock}' + interval '5 minutes')`),
  (rows) => Number(rows[0][0]) === 0, "the end of what was queued");

// Everything that is kept, as one row count a table. Left out is what every request may touch: limits, answers kept for repetition, the queue's own book-keeping.
function state() {
  return world.sql(`SELECT table_name, (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I', table_name), false, true, '')))[1]::text
    FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT IN ('rate_limit', 'sign_in_delay', 'idempotency', 'job', 'job_tick') ORDER BY 1`)
    .map((row) => row.join("=")).join(" ");
}
const columns = () => world.sql("SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (SELECT id, email, name, locale FROM account) t").join() +
  world.sql("SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (SELECT * FROM membership) t").join();

async function alive() {
  assert.equal((await nobody.get("/readyz")).status, 200, world.server.log().slice(-4000));
}

// ---- bodies ----

// One body that each operation takes, and where to send it.
const full = {
  example: () => contract.document.components.schemas.contribution.examples[0],
};
const bodies = () => ({
  account_register: { email: "new@example.org", name: "New", password: "long enough to pass" },
  session_start: { email: ada.email, password: ada.password },
  sign_in_link_ask: { email: "nobody@example.org", purpose: "sign_in" },
  sign_in_link_use: { secret: "ch_link_x", email: "nobody@example.org", password: "long enough to pass", code: "123456" },
  password_change: { password: "long enough to pass", current_password: "wrong", code: "123456" },
  factor_begin: { current_password: "wrong", code: "123456" },
  factor_confirm: { code: "123456" },
  factor_end: { current_password: "wrong", code: "123456" },
  recovery_renew: { current_password: "wrong", code: "123456" },
  identity_end: { issuer: "https://op.example", current_password: "wrong", code: "123456" },
  me_change: { name: "Ada", locale: "de-CH" },
  token_create: { name: "another", expires_at: "2027-01-01T00:00:00Z" },
  coop_found: {
    slug: "another", charter: {
      ...charter(), bylaws: "None.", sharing: "share_by_default", kinds: ["chat", "example"], licence: { default: "CC0-1.0", allowed: ["CC0-1.0"] },
      ai_preferences: { "train.gen": { effect: "allow_if", duties: ["credit"] }, member_may_change: ["train.gen"] },
      gate: { rule: "all_of", of: [{ rule: "majority", n: 1, d: 2, strict: true, roll: "members" }, { rule: "n_of_m_admins", n: 1 }] },
      access: { mode: "gated_manual", terms: "Be kind.", token_life: "PT1H", grant_life: "P1Y", purge_days: 30 },
      moderation: { mode: "approve", pii: { action: "hold", threshold: 1 }, stages: ["on_submission"] },
      retention: { raw: "P1Y", access_log: "P90D", backups: "P90D", quarantine: "P180D" }, embargo: "P0D",
      delegation: { scopes: ["coop"], depth: 1, cap: 9, profile: "custom" }, benefit: { contributors: 70, commons: 30, weight: "included_items" }, attribution: "pseudonym",
      rules: [{ name: "no minors", effect: "exclude", uses: ["train.gen"], when: { all: [{ attribute: "minor", op: "eq", value: true }, { not: { attribute: "kind", op: "in", value: ["chat"] } }] } }],
    },
  },
  member_invite: { email: "someone@example.org" },
  member_change_self: { attribution: "public", public_name: "Ada of Alp" },
  consent_give: { purposes: ["research"], accept_defaults: true, charter: 1 },
  licence_choose: { licence: "CC0-1.0" },
  member_act: { act: "remove", reason: "No reason." },
  statement_make: { statements: [{ kind: "chat", uses: ["train.gen"], purpose: "research", audience: "any", effect: "allow_if", duties: ["credit"], valid_from: "2026-03-01T00:00:00Z", valid_to: "2026-04-01T00:00:00Z" }] },
  contribution_submit: full.example(),
  moderation_decide: { decision: "reject", reason: "Not ours." },
  ballot_vote: { choice: "against" },
  release_cancel: { reason: "Another time." },
  access_ask: { release: "latest", purpose: "research", description: "A study of something else", organisation: "Lab", terms_sha256: ids.alpine.terms },
  access_decide: { decision: "refuse", reason: "Say what for." },
  hub_paths: { paths: ["README.md"], expand: true },
  ballot_board_say: { choice: "for" },
  ballot_vote_for: { choice: "for", principals: [ids.alpine.member] },
  benefit_pay: { member: ids.alpine.member, amount: "1.00", currency: "EUR", reference: "By hand" },
  benefit_record: { release: ids.alpine.release, kind: "money", amount: "1.00", currency: "EUR", source: "A lab", note: "Once more." },
  benefit_reverse: { reason: "A mistake." },
  charter_amend: { document: { name: "Another" }, based_on: 1, reason: "A better name." },
  checkup_answer: { shown: "never", as_before: false, answers: { consent: { answer: "change", value: { purposes: ["research"], effect: "allow_if", duties: ["credit"], licence: "CC0-1.0", attribution: "public", public_name: "Ada" } } } },
  checkup_move: { due_at: "2026-06-01T00:00:00Z" },
  control_pledge: { joined: true },
  delegation_decline: { reason: "No time." },
  delegation_make: { question: "vote", scope: "topic", topics: ["toggle"], delegate: "nobody", ends: "2026-06-01T00:00:00Z" },
  agreement_draft: { peer: randomUUID(), terms: { cadence: "P1D", notice: "P10D" } },
  agreement_ballot_untried: { reason: "They send none." },
  agreement_end: { reason: "It is over." },
  agreement_suspend: { reason: "A question came up." },
  agreement_withdraw: { reason: "Not now." },
  joint_propose: { agreement: randomUUID(), cutoff: "2026-06-01T00:00:00Z" },
  joint_withdraw: { reason: "A mistake." },
  merge_conflict_decide: { decision: "keep_out", reason: "As it should be." },
  merge_diff_with: { charter: { name: "Another" } },
  merge_inbox: { payload: "e30=", payloadType: "text/plain", signatures: [{ keyid: "a", sig: "AA==" }] },
  message_import: { lines: "{}" },
  peer_confirm: { fingerprint: "0".repeat(64) },
  peer_meet: { url: "https://other.example.org", name: "other" },
  preview_import: { lines: "{}" },
  fork_offer: { title: "Another", place: "https://new.example.org", reason: "To meet in person.", closes_at: "2026-03-11T00:00:00Z" },
  fork_answer: { yes: true },
  fork_recognise: { lineage: {} },
  fork_words: { at: "2026-03-01T00:00:00Z", proof: "0".repeat(64), since: 0 },
  fork_claim: { claim: "abcd-abcd-abcd-abcd-abcd-abcd" },
  link_offer: { peer: randomUUID() },
  link_prove: { peer: randomUUID(), code: "abcd-abcd-abcd-abcd-abcd-abcd" },
  motion_propose: { kind: "admin", document: { act: "add", member: ids.alpine.member }, reason: "She knows how." },
  deletion_ask: { kind: "erase", scope: "items", items: [ids.alpine.moderation], reason_code: "objection", about_me: true, claim: "It names me." },
  deletion_decide: { decision: "deny", code: "no_match", reason: "It is somebody else." },
  deletion_appeal: { reason: "It is me." },
  adapter_set: { endpoint: "https://s3.example.org", place: "mirror", prefix: "a", region: "eu", path_style: true, part_bytes: 5242880, recreate: false, audience: "members", confirm: true, key_id: "AKIAEXAMPLE", secret: "a secret" },
  archive_take: { current_password: "wrong", code: "123456", coop: "alpine" },
  mirror_register: { name: "A mirror", kind: "webhook", url: "https://mirror.example.org/hook", public_key: "0".repeat(64), proof: { payload: "e30=", payloadType: "text/plain", signatures: [{ keyid: "a", sig: "AA==" }] } },
  mirror_set_state: { state: "suspended", reason: "For a while." },
  mirror_holdings: { releases: ["1.0.0"] },
  mirror_receipt: { payload: "e30=", payloadType: "text/plain", signatures: [{ keyid: "a", sig: "AA==" }] },
  grant_receipt: { method: "deleted", models_affected: "None." },
  account_deletion_verify: { current_password: "wrong", code: "123456" },
  agent_authorise: { account: randomUUID(), kinds: ["erase"], alone: false, until: "2026-12-01T00:00:00Z" },
  hold_place: { contribution: ids.alpine.contribution, ground: "legal_claims", reason: "A court asks." },
  notice_read_all: { until: "2026-02-01T00:00:00Z" },
  notice_settings_change: { topics: { ballots: "daily" } },
});
const kindBodies = () => ["chat", "preference", "example", "feedback", "signal", "bundle"].map((kind) => ({
  kind, content: contract.document.components.schemas[kind].examples.at(kind === "signal" ? -1 : 0), licence: "CC-BY-4.0", lang: "en", sensitive: ["minor"], created: "2026-01-02T03:04:05Z",
  source: { system: "elsewhere", ids: ["1"], authors: ["p"], url: "https://example.org/1" }, ai_preferences: "train-ai=y", attribution: "anonymous",
}));

// The path of an operation with the ids of a co-op in it; the session and token of `owner`.
function fill(template, slug, owner = ada) {
  const own = { coop: slug, ...ids[slug], ...ids[owner.email], version: "1", line: "releases", revision: "main", name: "charter", sha256: "0".repeat(64), paper: "set" };
  return template.replace("/moderation/{contribution}", `/moderation/${ids[slug].moderation}`).replace("/log/tile/{path}", "/log/tile/0/000.p/1").replace("{path}", "manifest.json")
    .replace(/\{(\w+)\}/g, (_, key) => own[key] ?? assert.fail(`no ${key} for ${template}`));
}
const operations = () => Object.entries(contract.document.paths).flatMap(([template, methods]) =>
  Object.entries(methods).filter(([, o]) => o.operationId).map(([method, o]) => ({ ...o, id: o.operationId, method: method.toUpperCase(), template })));

// Runs over many with a few at a time.
async function each(list, work, width = 6) {
  const rest = [...list];
  await Promise.all(Array.from({ length: width }, async () => {
    for (let next; (next = rest.shift()) !== undefined;) await work(next);
  }));
}

function judge(bad, answer, faults, what) {
  const say = (why) => faults.push(`${what}, ${bad.name}: ${why} (${answer.status} ${answer.text?.slice(0, 300)}) from ${bad.bytes.toString("latin1").slice(0, 200)}`);
  if (!(answer.status >= 400 && answer.status < 500)) return say("is not refused");
  if (!answer.headers.get("content-type")?.startsWith("application/problem+json")) return say("is no problem");
  if (!contract.validator("/components/schemas/problem")(answer.body)) return say("is no problem of the documented shape");
  if (bad.status && answer.status !== bad.status) return say(`is not ${bad.status}`);
  if (bad.pointers) {
    const [first] = bad.pointers, named = (answer.body.errors ?? []).map((e) => e.pointer);
    const fits = named.some((p) => bad.pointers.includes(p) || (bad.pointers.includes("below") && p.startsWith(`${first}/`)));
    if (!fits) return say(`does not name ${bad.pointers.join(" or ")}, but ${named.join(" and ") || "nothing"}`);
    if ((answer.body.errors ?? []).some((e) => !e.detail)) return say("says nothing about the field");
  }
}

test("bodies that the schema does not admit are refused, the field is named, and nothing changes", async () => {
  const faults = [];
  const valid = bodies();
  let sent = 0;
  const withBody = operations().filter((o) => o.requestBody?.content["application/json"]);
  assert.deepEqual(withBody.map((o) => o.id).sort(), Object.keys(valid).sort(), "every operation that takes a body is tried");
  const before = state() + columns();
  for (const o of withBody) {
    const schema = o.requestBody.content["application/json"].schema;
    const validate = contract.validator(`/paths/${o.template.replace(/~/g, "~0").replace(/\//g, "~1").replace(/\{/g, "%7B").replace(/\}/g, "%7D")}/${o.method.toLowerCase()}/requestBody/content/application~1json/schema`);
    const admits = (body) => validate(body);
    assert.ok(admits(valid[o.id]), `${o.id}: ${JSON.stringify(validate.errors)}`);
    const path = fill(o.template, "alpine");
    await each(badBodies(valid[o.id], schema, contract.document, admits), async (bad) => {
      sent++;
      judge(bad, await ada.request(o.method, path, { body: bad.bytes, type: "application/json" }), faults, o.id);
    });
    await alive();
  }
  assert.equal(state() + columns(), before);
  assert.equal(faults.length, 0, `${faults.length} of ${sent}:\n${faults.slice(0, 40).join("\n")}`);
});

test("every kind of contribution is checked to its leaves, alone and in a batch", async () => {
  const faults = [], lines = [];
  const before = state();
  for (const body of kindBodies()) {
    const validate = contract.validator("/components/schemas/contribution");
    assert.ok(validate(body), `${body.kind}: ${JSON.stringify(validate.errors)}`);
    await each(badBodies(body, { $ref: "#/components/schemas/contribution" }, contract.document, validate), async (bad) => {
      if (!bad.name.startsWith("the body is")) lines.push(bad);
      judge(bad, await ada.request("POST", `${A}/contributions`, { body: bad.bytes, type: "application/json" }), faults, body.kind);
    });
  }
  const answer = await ada.request("POST", `${A}/contributions/batch`, { body: Buffer.concat(lines.flatMap((l) => [l.bytes, Buffer.from("\n")])), type: "application/x-ndjson" });
  ok(200, answer);
  const told = verdicts(answer);
  assert.equal(told.summary.refused, lines.length, JSON.stringify(told.summary));
  const check = contract.validator("/components/schemas/verdict");
  for (const verdict of told.lines) {
    const bad = lines[verdict.line - 1];
    if (!check(verdict) || verdict.status !== "refused") faults.push(`line, ${bad.name}: ${JSON.stringify(verdict)}`);
    const named = verdict.problem?.errors.map((e) => e.pointer) ?? [];
    if (bad.pointers && !named.some((p) => bad.pointers.includes(p) || p.startsWith(`${bad.pointers[0]}/`))) faults.push(`line, ${bad.name}: ${JSON.stringify(verdict.problem)}`);
  }
  await alive();
  assert.equal(state(), before);
  assert.equal(faults.length, 0, `${faults.length}:\n${faults.slice(0, 40).join("\n")}`);
});

test("a body of another type, without a type, or larger than may be, is refused", async () => {
  const before = state();
  const valid = bodies();
  for (const o of operations()) {
    const path = fill(o.template, "alpine");
    const json = o.requestBody?.content["application/json"];
    if (json) {
      const body = JSON.stringify(valid[o.id]);
      for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", undefined]) {
        const answer = await ada.request(o.method, path, { body: Buffer.from(body), type });
        assert.equal(answer.status, 415, `${o.id} as ${type}: ${answer.text}`);
      }
      const big = await ada.request(o.method, path, { body: Buffer.concat([Buffer.from(body), Buffer.alloc((/_import$/.test(o.id) ? 9 : 3) << 20, " ")]), type: "application/json" });
      assert.equal(big.status, 413, `${o.id}: ${big.text}`);
    } else if (!o.requestBody && o.method !== "GET") {
      assert.equal((await ada.request(o.method, path, { body: Buffer.from("{}"), type: "application/json" })).status, 413, `${o.id} takes no body`);
    }
  }
  await alive();
  assert.equal(state(), before);
});

test("imports and batches that are no such thing change nothing", async () => {
  const before = state();
  const post = (path, body, type) => ada.request("POST", `${A}/contributions/${path}`, { body, type });
  assert.equal((await post("import?format=csv", "a,b\n1,2\n", "text/csv")).status, 422);
  assert.equal((await post("import", "{}", "application/json")).status, 422);
  assert.equal((await post("import?format=doc", "{}", "application/json")).status, 400);
  assert.equal((await post(`import?format=csv&mapping=${encodeURIComponent('{"kind":"example"}')}`, "a,b\n", "text/csv")).status, 422);
  assert.equal((await post(`import?format=csv&mapping=${encodeURIComponent("{")}`, "a,b\n", "text/csv")).status, 400);
  const unknown = await post("import?format=sharegpt&licence=Nonsense-1.0", '{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}', "application/json");
  assert.deepEqual([unknown.status, unknown.body.errors.map((e) => e.pointer)], [422, ["query/licence"]], unknown.text);
  for (const format of ["jsonl", "openassistant", "sharegpt", "preference", "openai", "anthropic"]) {
    for (const body of ["", "\0\0\0", "[[[[[[", "{}\n{}\n", "[1,2,3]", Buffer.from([0x1f, 0x8b, 8, 0, 0, 0]), Buffer.alloc(70000, "[")]) {
      const answer = await post(`import?format=${format}`, body, "application/octet-stream");
      assert.ok(answer.status === 200 ? answer.body.emitted === 0 : answer.status >= 400 && answer.status < 500, `${format}: ${answer.status} ${answer.text}`);
    }
  }
  const batch = await post("batch", Buffer.concat([Buffer.from("\n\n{}\nnull\n[]\n"), Buffer.alloc(2 << 20, "x"), Buffer.from("\n\xff\xfe\n", "latin1")]), "application/x-ndjson");
  const { lines, summary } = verdicts(batch);
  assert.deepEqual(lines.map((l) => l.line), [3, 4, 5, 6, 7]);
  assert.equal(summary.refused, 5);
  assert.equal((await post("batch", "{}", "application/json")).status, 415);
  await alive();
  assert.equal(state(), before);
});

test("queries that an operation does not know are refused, with their name", async () => {
  for (const o of operations().filter((o) => o.method === "GET")) {
    const path = fill(o.template, "alpine");
    const unknown = await ada.get(`${path}?no_such_thing=1`);
    assert.equal(unknown.status, 400, `${o.id}: ${unknown.text}`);
    assert.equal(unknown.body.errors?.[0].pointer, "query/no_such_thing");
    for (const p of o.parameters.filter((p) => p.in === "query")) {
      const bad = p.schema.enum ? ["no such value"] : p.name === "limit" ? ["0", "-1", "201", "1e3", "x", "99999999999999999999"] : p.name === "cursor" ? ["x", "AAAA", "'", "%00", "../..", "a".repeat(3000)] : [];
      if (o.id.startsWith("hub_")) continue;
      for (const value of bad) {
        if (o.id === "tombstone_feed" && value === "201") continue; // a stream takes more than a page
        const answer = await ada.get(`${path}?${p.name}=${value}`);
        assert.ok([400, 422].includes(answer.status), `${o.id} ${p.name}=${value}: ${answer.status} ${answer.text}`);
        if (value !== "%00") assert.equal(answer.body.errors?.[0].pointer, `query/${p.name}`, answer.text);
      }
    }
  }
});

// ---- who may ----

// Who may call an operation, from the specification and not from the program: the rest is for members, or for whoever has an account.
const forAnyone = ["health", "ready", "metrics", "openapi", "schema", "account_register", "session_start", "sign_in_link_ask", "sign_in_link_use", "instance_read", "coop_list", "coop_read", "charter_list", "charter_read", "log_checkpoint",
  "log_tile", "log_proof", "log_entries", "release_list", "release_read", "release_report", "release_files", "access_terms", "status", "jwks", "hub_dataset", "hub_revision", "hub_tree", "hub_folder", "hub_paths",
  "coop_calendar", "own_calendar", "ballot_proof", "control_list", "control_read", "benefit_list", "benefit_read", "benefit_shares", "benefit_shares_csv", "holdings_list", "mirror_list", "mirror_receipt", "duty_overdue", "tombstone_feed",
  "coop_keys", "lineage_read", "lineage_signed", "lineage_charters", "lineage_kin", "fork_words", "merge_charter", "merge_inbox", "bundle_list", "bundle_file", "preview_file", "joint_list", "joint_read", "joint_paper"];
const forAccounts = ["session_list", "session_end", "session_end_other", "session_end_others", "session_end_all", "password_change", "factor_read", "factor_begin", "factor_confirm", "factor_end", "recovery_renew", "identity_list",
  "identity_end", "me_read", "me_change", "token_list", "token_create", "token_revoke", "membership_list", "coop_found", "member_join", "access_ask",
  "access_request_list", "access_grant_list", "access_revoke", "access_token", "notice_list", "notice_read", "notice_read_all", "notice_settings_read", "notice_settings_change", "notice_address_retry",
  "calendar_feed_read", "calendar_feed_make", "calendar_feed_end", "checkup_list",
  "deletion_ask", "deletion_list", "deletion_read", "deletion_cancel", "deletion_items", "deletion_verify", "deletion_appeal", "account_deletion_ask", "account_deletion_read", "account_deletion_cancel",
  "account_deletion_verify", "agent_list", "agent_end", "deletion_statement", "deletion_coops",
  "archive_read", "archive_take", "mirror_register", "mirror_read", "mirror_set_state", "mirror_secret", "mirror_holdings", "mirror_receipt_list", "grant_receipt", "grant_receipt_list", "duty_list"];
// One's own record in a co-op: for whoever has been a member, and not there for anybody else.
const forFormer = ["benefit_statement", "benefit_statement_csv", "checkup_receipts", "checkup_receipt", "checkup_receipt_document", "checkup_receipt_signature"];
const forAdmins = ["member_invite", "member_act", "moderation_list", "moderation_decide", "release_schedule", "release_preview", "release_cancel", "access_decide",
  "benefit_record", "benefit_reverse", "benefit_pay", "benefit_payment_list", "deletion_decide", "hold_list", "hold_place", "hold_lift",
  "adapter_read", "adapter_set", "adapter_end", "adapter_retry", "delivery_list", "delivery_repeat"];
const gated = ["release_download", "hub_resolve", "hub_raw"];

test("each operation is for whom the specification says, and for nobody else", async () => {
  const valid = bodies();
  const before = state() + columns();
  const send = (client, o, headers) => client.request(o.method, fill(o.template, "alpine"), {
    ...(valid[o.id] ? { json: valid[o.id] } : o.requestBody ? { body: "{}", type: Object.keys(o.requestBody.content)[0].replace("*/*", "text/plain") } : {}), headers,
  });
  for (const o of operations()) {
    if (forAnyone.includes(o.id)) continue;
    const unsigned = await send(nobody, o);
    assert.equal(unsigned.status, 401, `nobody ${o.id}: ${unsigned.text}`);
    assert.match(unsigned.headers.get("www-authenticate") ?? "", /Bearer/);
    if (!forAccounts.includes(o.id)) {
      for (const [who, client] of [["a stranger", stranger], ["an admin of another co-op", boris]]) {
        const answer = await send(client, o);
        assert.equal(answer.status, forFormer.includes(o.id) ? 404 : 403, `${who} ${o.id}: ${answer.text}`);
      }
    }
    if (forAdmins.includes(o.id) || gated.includes(o.id)) {
      const answer = await send(bea, o);
      assert.equal(answer.status, 403, `a member ${o.id}: ${answer.text}`);
    }
  }
  assert.equal(state() + columns(), before);
});

test("expired, revoked, foreign and malformed tokens open nothing", async () => {
  const before = state() + columns();
  const made = ok(201, await stranger.post("/api/v1/tokens", { name: "short", expires_at: "2026-02-12T00:00:00Z" }));
  const revoked = ok(201, await stranger.post("/api/v1/tokens", { name: "revoked" }));
  assert.equal((await stranger.delete(`/api/v1/tokens/${revoked.id}`)).status, 204);
  const past = await stranger.post("/api/v1/tokens", { name: "past", expires_at: "2020-01-01T00:00:00Z" });
  assert.equal(past.status, 422);
  assert.equal(past.body.errors[0].pointer, "/expires_at");
  const bad = { "a revoked token": revoked.secret, "a changed token": made.secret.slice(0, -1) + (made.secret.endsWith("A") ? "B" : "A"), "an invented token": "ch_" + "A".repeat(43), "a prefix": made.secret.slice(0, 10),
    "a token twice": made.secret + made.secret, "a long one": "x".repeat(9000), "the download token": ids.alpine.jwt };
  for (const o of operations().filter((o) => o.security.length && !o.id.startsWith("hub_") && o.id !== "release_download")) {
    for (const [name, secret] of Object.entries(bad)) {
      if (name === "the download token" && forAnyone.includes(o.id)) continue;
      const answer = await new Client(world.url, secret).request(o.method, fill(o.template, "alpine"));
      assert.equal(answer.status, 401, `${name}, ${o.id}: ${answer.status} ${answer.text}`);
    }
  }
  for (const header of ["Basic YTpi", "Bearer", "Bearer ", `Bearer ${made.secret} x`, `Token ${made.secret}`])
    assert.equal((await nobody.get("/api/v1/me", { headers: { authorization: header } })).status, 401, header);
  assert.equal((await new Client(world.url, made.secret).get("/api/v1/me")).status, 200);
  await world.at("2026-02-12T00:00:05Z");
  await quiet();
  const expired = await new Client(world.url, made.secret).get("/api/v1/me");
  assert.deepEqual([expired.status, expired.body.code], [401, "token_expired"]);
  assert.equal((await stranger.delete(`/api/v1/tokens/${made.id}`)).status, 204);
  world.sql(`DELETE FROM token WHERE id IN ('${made.id}', '${revoked.id}')`);
  // A day has passed: the log has taken in the tombstones of the day before.
  const asBefore = (text) => text.replace(/(log_leaf|tombstone_seal)=\d+ /g, "");
  assert.equal(asBefore(state() + columns()), asBefore(before));
});

const problem = (answer) => ({ ...answer.body, instance: undefined, status: answer.status });

test("an id of another co-op answers exactly as one that does not exist", async () => {
  const before = state() + columns();
  const valid = bodies();
  for (const o of operations()) {
    const place = o.template.match(/\{(contribution|member|ballot|release|request|grant|motion|control|delegation|income|receipt|deletion|agent|fork|link)\}/);
    if (!place || !o.template.includes("{coop}")) continue;
    const key = o.template.includes("/moderation/") ? "moderation" : place[1];
    const send = (id) => ada.request(o.method, fill(o.template.replace(/\{(contribution|member|ballot|release|request|grant|motion|control|delegation|income|receipt|deletion|agent|fork|link)\}/, id), "alpine"), valid[o.id] ? { json: valid[o.id] } : {});
    const foreign = await send(ids.boreal[key]), unknown = await send(randomUUID()), malformed = await send("not-an-id");
    assert.equal(foreign.status, 404, `${o.id}: ${foreign.text}`);
    assert.deepEqual(problem(foreign), problem(unknown), o.id);
    assert.deepEqual([...foreign.headers.keys()].sort(), [...unknown.headers.keys()].sort());
    assert.equal(malformed.status, 404, `${o.id}: ${malformed.text}`);
  }
  for (const o of operations().filter((o) => o.template.includes("{coop}"))) {
    const answer = await ada.request(o.method, fill(o.template, "alpine").replace("/alpine", "/atlantis"), valid[o.id] ? { json: valid[o.id] } : {});
    assert.equal(answer.status, 404, `${o.id}: ${answer.text}`);
  }
  assert.equal(state() + columns(), before);
});

test("what belongs to another person answers exactly as what does not exist", async () => {
  const before = state() + columns();
  const cases = [
    [bea, "GET", (id) => `${A}/contributions/${id}`, ids.alpine.contribution], [bea, "GET", (id) => `${A}/contributions/${id}/receipt`, ids.alpine.contribution],
    [bea, "GET", (id) => `${A}/contributions/${id}/decision`, ids.alpine.contribution], [bea, "GET", (id) => `${A}/contributions/${id}/releases`, ids.alpine.contribution],
    [bea, "POST", (id) => `${A}/grants/${id}/token`, ids.alpine.grant], [stranger, "POST", (id) => `${A}/grants/${id}/token`, ids.alpine.grant],
    [bea, "DELETE", (id) => `${A}/grants/${id}`, ids.alpine.grant], [bea, "DELETE", (id) => `/api/v1/tokens/${id}`, ids[ada.email].token],
    [bea, "DELETE", (id) => `/api/v1/sessions/${id}`, ids[ada.email].session], [bea, "POST", (id) => `/api/v1/me/notices/${id}/read`, ids[ada.email].notice],
    [bea, "GET", (id) => `${A}/delegations/${id}`, ids.alpine.delegation], [bea, "DELETE", (id) => `${A}/delegations/${id}`, ids.alpine.delegation],
    [bea, "GET", (id) => `${A}/delegations/${id}/preview`, ids.alpine.delegation], [bea, "POST", (id) => `${A}/delegations/${id}/accept`, ids.alpine.delegation],
    [bea, "GET", (id) => `${A}/members/me/receipts/${id}`, ids.alpine.receipt], [bea, "GET", (id) => `${A}/members/me/receipts/${id}/document`, ids.alpine.receipt],
  ];
  for (const [who, method, path, id] of cases) {
    const answer = await who.request(method, path(id)), unknown = await who.request(method, path(randomUUID()));
    assert.equal(answer.status, 404, `${method} ${path(id)}: ${answer.text}`);
    assert.deepEqual(problem(answer), problem(unknown));
  }
  const about = (item) => bea.post(`${A}/statements`, { statements: [{ item, uses: ["train.gen"], effect: "deny" }] });
  for (const item of [ids.alpine.contribution, ids.boreal.contribution]) {
    const answer = await about(item);
    assert.deepEqual([answer.status, answer.body.errors.map((e) => e.pointer)], [404, ["/statements/0/item"]], answer.text);
    assert.deepEqual(problem(answer), problem(await about(randomUUID())));
  }
  assert.equal(state() + columns(), before);
});

// ---- download tokens ----

const b64 = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

test("forged, foreign and expired download tokens open nothing", async () => {
  const fresh = ok(201, await lab.post(`${A}/grants/${ids.alpine.grant}/token`)).token;
  const path = `${A}/releases/1.0.0/files/manifest.json`;
  const tryOne = (jwt, at = path) => new Client(world.url, jwt).get(at);
  ok(200, await tryOne(fresh));
  const [head, body, signature] = fresh.split(".");
  const header = JSON.parse(Buffer.from(head, "base64url")), claims = JSON.parse(Buffer.from(body, "base64url"));
  assert.equal(header.alg, "ES256");
  const keys = ok(200, await nobody.get("/.well-known/jwks.json")).keys;
  const jwk = keys.find((k) => k.kid === header.kid);
  assert.equal(jwk.d, undefined);
  const pem = createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
  const hmac = (h, secret) => `${b64(h)}.${body}.${createHmac("sha256", secret).update(`${b64(h)}.${body}`).digest("base64url")}`;
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const own = (h, c = claims) => {
    const text = `${b64(h)}.${b64(c)}`;
    return `${text}.${sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  };
  const none = { ...header, alg: "none" };
  const forged = {
    "alg none, no signature": `${b64(none)}.${body}.`, "alg None": `${b64({ ...header, alg: "None" })}.${body}.`, "alg none, the signature kept": `${b64(none)}.${body}.${signature}`,
    "no signature": `${head}.${body}.`, "HS256 with the public key": hmac({ ...header, alg: "HS256" }, pem), "HS256 with the key's x": hmac({ ...header, alg: "HS256" }, Buffer.from(jwk.x, "base64url")),
    "HS256 with nothing": hmac({ ...header, alg: "HS256" }, ""), "HS256 with its kid": hmac({ ...header, alg: "HS256" }, header.kid ?? ""), "another key": own(header), "another key and kid": own({ ...header, kid: "mine" }),
    "no kid": own({ alg: "ES256", typ: "JWT" }), "a key of its own": own({ ...header, jwk: publicKey.export({ format: "jwk" }) }), "a kid that is a path": own({ ...header, kid: "../../../../dev/null" }),
    "a kid that is SQL": own({ ...header, kid: "' OR 1=1 --" }), "a longer life": `${head}.${b64({ ...claims, exp: claims.exp + 1e9 })}.${signature}`, "another signature": `${head}.${body}.${signature.slice(0, -4)}AAAA`,
    "zeros for a signature": `${head}.${body}.${Buffer.alloc(64).toString("base64url")}`, "a signature twice": `${head}.${body}.${signature}${signature}`, "no header": `.${body}.${signature}`, "dots": "..", "no JSON": `${b64("x")}.${b64("y")}.${signature}`,
  };
  for (const [name, jwt] of Object.entries(forged)) {
    const answer = await tryOne(jwt);
    assert.equal(answer.status, 401, `${name}: ${answer.status} ${answer.text}`);
    assert.equal((await tryOne(jwt, "/datasets/alpine/releases/resolve/main/manifest.json")).status, 401, name);
  }
  const elsewhere = await tryOne(fresh, `${B}/releases/1.0.0/files/manifest.json`);
  assert.ok([401, 403].includes(elsewhere.status), elsewhere.text);
  assert.equal((await tryOne(fresh, "/api/v1/me")).status, 401);
  assert.equal((await tryOne(fresh, `${A}/grants`)).status, 401);
  await world.at(new Date((claims.exp + 2) * 1000).toISOString());
  await quiet();
  const late = await tryOne(fresh);
  assert.deepEqual([late.status, late.body.code], [401, "token_expired"]);
  await alive();
});

test("a download leaves the release's folder by no path", async () => {
  const fresh = ok(201, await lab.post(`${A}/grants/${ids.alpine.grant}/token`)).token;
  for (const path of ["..%2f..%2f..%2fetc%2fpasswd", "../../../../etc/passwd", "%2e%2e/%2e%2e/keys", "data/../manifest.json", "data//", "./manifest.json", "manifest.json%00", "manifest.json/", "/manifest.json", "MANIFEST.JSON", "data", ".", ""]) {
    const text = await raw(`GET ${A}/releases/1.0.0/files/${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${fresh}\r\nConnection: close\r\n\r\n`);
    assert.match(text, /^HTTP\/1\.1 4\d\d /, path);
    assert.doesNotMatch(text, /root:/);
  }
});

// ---- browsers ----

test("a session writes only with its own token, and from here", async () => {
  const before = state() + columns();
  const patch = (headers) => nobody.patch("/api/v1/me", { name: "Hacked" }, { headers: { cookie: ada.cookie, ...headers } });
  for (const [name, headers] of Object.entries({
    missing: {}, empty: { "x-csrf-token": "" }, wrong: { "x-csrf-token": "A".repeat(43) }, "of another session": { "x-csrf-token": bea.csrf }, shorter: { "x-csrf-token": ada.csrf.slice(0, -1) },
    "right, from another site": { "x-csrf-token": ada.csrf, origin: "https://evil.example" }, "right, said to be cross-site": { "x-csrf-token": ada.csrf, "sec-fetch-site": "cross-site" },
    "right, from nowhere": { "x-csrf-token": ada.csrf, origin: "null" },
  })) {
    const answer = await patch(headers);
    assert.deepEqual([answer.status, answer.body.code], [403, "csrf"], `${name}: ${answer.text}`);
  }
  for (const o of operations().filter((o) => o.method !== "GET" && o.security.some((s) => s.csrf))) {
    const answer = await nobody.request(o.method, fill(o.template, "alpine"), { headers: { cookie: ada.cookie } });
    assert.ok([403, 411].includes(answer.status), `${o.id}: ${answer.status} ${answer.text}`);
    if (answer.status === 403) assert.equal(answer.body.code, "csrf", o.id);
  }
  for (const cookie of ["commonhold=x", `${ada.cookie}x`, ada.cookie.slice(0, -1), ada.cookie.replace("=", "=\""), "a=b; c"]) assert.equal((await nobody.get("/api/v1/me", { headers: { cookie } })).status, 401, cookie);
  const foreign = await nobody.post("/api/v1/sessions", { email: ada.email, password: ada.password }, { headers: { origin: "https://evil.example" } });
  assert.equal(foreign.status, 403, "nobody is signed in by another site");
  assert.equal(state() + columns(), before);
  assert.equal((await nobody.patch("/api/v1/me", { name: "Ada" }, { headers: { cookie: ada.cookie, "x-csrf-token": ada.csrf, origin: world.url, "sec-fetch-site": "same-origin" } })).status, 200);
});

test("signing in says no more than it must", async () => {
  const wrong = await nobody.post("/api/v1/sessions", { email: ada.email, password: "not the password" });
  const unknown = await nobody.post("/api/v1/sessions", { email: "unknown@example.org", password: "not the password" });
  assert.equal(wrong.status, 401);
  assert.deepEqual(problem(wrong), problem(unknown));
  for (const email of ["no at", "a@", "@b", "a b@example.org", "a@b@c.org", "x".repeat(250) + "@example.org", "a\u0007@example.org"]) {
    const answer = await nobody.post("/api/v1/accounts", { email, name: "X", password: "long enough to pass" });
    assert.equal(answer.status, 422, email);
    assert.equal(answer.body.errors[0].pointer, "/email", answer.text);
  }
  const short = await nobody.post("/api/v1/accounts", { email: "short@example.org", name: "X", password: "short" });
  assert.deepEqual([short.status, short.body.errors[0].pointer], [422, "/password"]);
  const again = await nobody.post("/api/v1/accounts", { email: ada.email.toUpperCase(), name: "X", password: "long enough to pass" });
  assert.ok([409, 422].includes(again.status), again.text);
});

// ---- rules ----

test("a charter that contradicts itself is refused where it does", async () => {
  const before = state();
  const cases = [
    [{ licence: { default: "CC-BY-4.0", allowed: ["CC0-1.0"] } }, "/charter/licence/default"],
    [{ licence: { default: "Nonsense-1.0", allowed: ["Nonsense-1.0"] } }, "/charter/licence"],
    [{ cadence: { rrule: "FREQ=SOMETIMES" } }, "/charter/cadence/rrule"],
    [{ cadence: { rrule: "FREQ=SECONDLY" } }, "/charter/cadence/rrule"],
    [{ cadence: { notice: "P6D" } }, "/charter/cadence/notice"],
    [{ cadence: { voting: "P0D" } }, "/charter/cadence/voting"],
    [{ cadence: { start: "2026-02-30T00:00:00Z" } }, "/charter/cadence/start"],
    [{ gate: { rule: "approval_quorum", n: 4, d: 3 } }, "/charter/gate"],
    [{ gate: { rule: "majority", n: 1 } }, "/charter/gate"],
    [{ gate: { rule: "all_of", of: [{ rule: "n_of_m_admins", n: 1, d: 3 }] } }, "/charter/gate/of/0"],
    [{ delegation: { profile: "de", cap: 9 } }, "/charter/delegation/cap"],
    [{ delegation: { profile: "ch", cap: 10 } }, "/charter/delegation/cap"],
    [{ benefit: { contributors: 80, commons: 30 } }, "/charter/benefit"],
    [{ sharing: "not_share_by_default", ai_preferences: { "train.gen": { effect: "allow" } } }, "/charter/ai_preferences"],
    [{ sharing: "share_by_default", ai_preferences: { "train.gen": { effect: "deny" } } }, "/charter/ai_preferences"],
    [{ release: { uses: ["train.gen"], purposes: ["research"], uses_conditional: ["search"] } }, "/charter/release/uses_conditional"],
    [{ release: { uses: ["train.gen"], purposes: ["research"], output_licences: ["Nonsense-1.0"] } }, "/charter/release/output_licences"],
    [{ release: { uses: ["train.gen"], purposes: ["research"], mode: "adaptation" } }, "/charter/release/"],
    [{ access: { token_life: "P2D" } }, "/charter/access/token_life"],
    [{ access: { token_life: "PT0S" } }, "/charter/access/token_life"],
    [{ membership: { checkup_every: "P10D", window: "P30D" } }, "/charter/membership"],
    [{ rules: [{ name: "x", when: { attribute: "kind", op: "lt", value: "chat" } }] }, "/charter/rules/0"],
    [{ rules: [{ name: "x", when: { attribute: "length", op: "eq", value: "long" } }] }, "/charter/rules/0"],
  ];
  const faults = [];
  for (const [over, pointer] of cases) {
    const answer = await ada.post("/api/v1/coops", { slug: "contradiction", charter: charter({ cadence: undefined, ...over }) });
    if (answer.status !== 422 || !(answer.body.errors ?? []).some((e) => e.pointer.startsWith(pointer))) faults.push(`${JSON.stringify(over)}: ${answer.status} ${answer.text.slice(0, 400)}`);
  }
  assert.deepEqual(faults, []);
  for (const slug of ["alpine", "new"]) {
    const answer = await ada.post("/api/v1/coops", { slug, charter: charter() });
    assert.ok([409, 422].includes(answer.status), `${slug}: ${answer.text}`);
    assert.equal(answer.body.errors[0].pointer, "/slug");
  }
  assert.equal(state(), before);
});

test("licences and references that are not known are refused where they stand", async () => {
  const before = state();
  const cases = [
    ["POST", `${A}/contributions`, example("x", { licence: "Nonsense-1.0" }), "/licence"],
    ["POST", `${A}/contributions`, example("x", { licence: "ODbL-1.0" }), "/licence"],
    ["PUT", `${A}/members/me/licence`, { licence: "Nonsense-1.0" }, "/licence"],
    ["POST", `${A}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow", duties: ["credit"] }] }, "/statements/0/duties"],
    ["POST", `${A}/statements`, { statements: [{ uses: ["train.gen"], effect: "deny", item: "nothing" }] }, "/statements/0/item"],
    ["POST", `${A}/statements`, { statements: [{ uses: ["train.gen"], effect: "deny", valid_from: "2026-05-01T00:00:00Z", valid_to: "2026-04-01T00:00:00Z" }] }, "/statements/0/valid_to"],
    ["POST", `${A}/moderation/${ids.alpine.moderation}`, { decision: "reject" }, "/reason"],
    ["PATCH", `${A}/members/me`, { attribution: "public" }, "/public_name"],
    ["PATCH", "/api/v1/me", { locale: "not a language" }, "/locale"],
    ["POST", `${A}/access-requests`, { purpose: "commercial", description: "Selling what was given", terms_sha256: ids.alpine.terms }, "/purpose"],
    ["POST", `${A}/access-requests`, { release: "9.9.9", purpose: "research", description: "Of no release", terms_sha256: ids.alpine.terms }, undefined],
  ];
  const faults = [];
  for (const [method, path, body, pointer] of cases) {
    const answer = await ada.request(method, path, { json: body });
    const named = (answer.body?.errors ?? []).map((e) => e.pointer);
    if (pointer ? answer.status !== 422 || !named.includes(pointer) : !(answer.status >= 400 && answer.status < 500)) faults.push(`${method} ${path} ${JSON.stringify(body)}: ${answer.status} ${answer.text.slice(0, 300)}`);
  }
  assert.deepEqual(faults, []);
  const stale = await ada.post(`${A}/access-requests`, { purpose: "research", description: "Under other terms", terms_sha256: "0".repeat(64) });
  assert.deepEqual([stale.status, stale.body.code], [403, "terms_not_accepted"]);
  assert.equal(state(), before);
});

test("an Idempotency-Key does a thing once, and only that thing", async () => {
  const body = example("Once and only once?");
  const send = (client, key, json = body) => client.post(`${A}/contributions`, json, { headers: { "idempotency-key": key } });
  const first = await send(ada, "k1");
  ok(201, first);
  const after = state();
  const again = await send(ada, "k1");
  assert.deepEqual([again.status, again.text, again.headers.get("idempotency-replayed")], [201, first.text, "true"]);
  const other = await send(ada, "k1", example("Something else"));
  assert.deepEqual([other.status, other.body.code], [409, "idempotency_mismatch"]);
  for (const key of ["a b", "x".repeat(256), "\u00e9"]) {
    const answer = await send(ada, key);
    assert.equal(answer.status, 400, key);
    assert.equal(answer.body.errors[0].pointer, "header/Idempotency-Key");
  }
  const refused = await send(ada, "k2", example("x", { licence: "Nonsense-1.0" }));
  assert.equal(refused.status, 422);
  assert.equal((await send(ada, "k2", example("x", { licence: "Nonsense-1.0" }))).text, refused.text);
  assert.equal(state(), after);
  const theirs = await send(bea, "k1");
  assert.notEqual(ok(201, theirs).id, first.body.id, "a key is each person's own");
  const racing = await Promise.all(Array.from({ length: 8 }, () => send(ada, "k3", example("Eight at once"))));
  assert.equal(new Set(racing.filter((a) => a.status === 201).map((a) => a.body.id)).size, 1);
  assert.ok(racing.every((a) => a.status === 201 || (a.status === 409 && a.body.reason === "idempotency_in_progress")), racing.map((a) => a.status).join());
});

// ---- bytes ----

function raw(bytes) {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(world.url).port), "127.0.0.1");
    let text = "";
    socket.setTimeout(PATIENCE, () => socket.destroy());
    socket.on("data", (chunk) => { text += chunk.toString("latin1"); });
    socket.on("error", () => resolve(text));
    socket.on("close", () => resolve(text));
    socket.end(Buffer.from(bytes, "latin1"));
  });
}

test("addresses and queries of random bytes are answered, never with a fault of ours", async (t) => {
  t.diagnostic(`TEST_SEED=${seed}`);
  const before = state() + columns();
  const templates = operations();
  const bits = ["%00", "%ff", "%c0%80", "%ed%a0%80", "%2e%2e", "..", "//", "'", "\"", ";", "%27%20OR%201=1--", "é", "%F0%9F%92%A9", "{}", "[", "]", "\\", "\x01", "\xff", "%", "%zz", "*", "null", "-1", "999999999999999999999", "a".repeat(300),
    "0", "1e9", "true", "=", "&", "?", "#", "+", "$1", "%s%n", "../../etc/passwd", "latest", "1.0.0", "me", randomUUID(), ids.alpine.contribution, ids.boreal.release];
  const pick = (list) => list[random(list.length)];
  const faults = [];
  const cases = Array.from({ length: 2500 }, () => {
    const o = pick(templates);
    let path = o.template.replace(/\{coop\}/, () => (random(4) ? "alpine" : pick(bits))).replace(/\{\w+\}/g, () => Array.from({ length: 1 + random(2) }, () => pick(bits)).join(""));
    if (random(8) === 0) path = path.slice(0, random(path.length)) + pick(bits) + path.slice(random(path.length));
    if (random(2)) path += "?" + Array.from({ length: 1 + random(3) }, () => `${random(2) ? pick(o.parameters.filter((p) => p.in === "query").map((p) => p.name).concat("x")) : pick(bits)}=${pick(bits)}`).join("&");
    return [random(5) ? "GET" : pick(["HEAD", "OPTIONS", "PUT", "TRACE", "PATCH", "X", "get"]), path];
  });
  await each(cases, async ([method, path]) => {
    const text = await raw(`${method} ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${pick([ada, bea]).token}\r\nConnection: close\r\n\r\n`);
    const status = Number(text.slice(9, 12));
    if (!(status >= 200 && status < 500)) faults.push(`${method} ${JSON.stringify(path)}: ${text.slice(0, 400)}`);
  }, 12);
  await alive();
  assert.equal(faults.length, 0, `seed ${seed}, ${faults.length}:\n${faults.slice(0, 10).join("\n")}`);
  assert.equal(state() + columns(), before);
});

// That this instance sends no mail is an answer to whoever asks for a link.
test("bodies changed at random are answered, never with a fault of ours", async (t) => {
  t.diagnostic(`TEST_SEED=${seed}`);
  const valid = bodies();
  const targets = operations().filter((o) => valid[o.id] && !["account_register", "session_start"].includes(o.id));
  const faults = [];
  await each(Array.from({ length: 1200 }, (_, i) => i), async () => {
    const o = targets[random(targets.length)];
    const bytes = Buffer.from(JSON.stringify(valid[o.id]));
    for (let n = 1 + random(4); n > 0; n--) {
      const at = random(bytes.length);
      if (random(2)) bytes[at] = random(256);
      else bytes.copy(bytes, at, random(bytes.length));
    }
    const answer = await stranger.request(o.method, fill(o.template, "alpine"), { body: bytes, type: "application/json" });
    if (answer.status >= 500 && answer.body?.reason !== "no_mail") faults.push(`${o.id}: ${answer.status} ${answer.text} from ${bytes.toString("latin1").slice(0, 400)}`);
    const admin = await ada.request("POST", `${A}/statements`, { body: bytes, type: "application/json" });
    if (admin.status >= 500) faults.push(`statements: ${admin.status} ${admin.text} from ${bytes.toString("latin1").slice(0, 400)}`);
  });
  await alive();
  assert.equal(faults.length, 0, `seed ${seed}:\n${faults.slice(0, 10).join("\n")}`);
});
