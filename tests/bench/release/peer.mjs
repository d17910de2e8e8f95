// The peer of the release bench: reading and submitting a contribution as one writes them with Fastify and pg.
//
//   /api/v1/…   the same endpoint: who asks and what they may, from the same function of the database; the work inside one transaction that tells the row-level security
//               who it is for; on writing, the same duties — schema, canonical form, hash, personal data, sealing, no duplicates, an entry in a gapless log — but no Merkle
//               tree and no proof. The content that it reads lies there in plain text.
//   /bare/…     the least that answers: the token, and one statement by primary key.
import { createCipheriv, createHash, randomBytes, randomUUID } from "node:crypto";
import Fastify from "fastify";
import pg from "pg";

const pool = new pg.Pool({ host: process.env.BENCH_SOCKET, user: "commonhold", database: "commonhold", max: 6 });
const app = Fastify({ logger: false });
const key = randomBytes(32);
let queries = 0;

const sha256 = (what) => createHash("sha256").update(what).digest();
const ask = (on, name, text, values) => {
  queries++;
  return on.query({ name, text, values });
};

async function transaction(request, work) {
  const client = await pool.connect();
  try {
    await ask(client, "begin", "BEGIN");
    await ask(client, "tell", "SELECT set_config('role', 'commonhold_app', true), set_config('commonhold.now', $1, true), set_config('commonhold.account', $2, true), set_config('commonhold.coop', $3, true)",
      [new Date().toISOString(), request.who.account_id, request.who.coop_id]);
    const result = await work(client);
    await ask(client, "commit", "COMMIT");
    return result;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

// ---- What both send and take ----

const item = {
  type: "object",
  properties: {
    id: { type: "string" }, rid: { type: "string" }, kind: { type: "string" }, licence: { type: "integer" }, lang: { type: "string" }, content_sha256: { type: "string" },
    bytes: { type: "integer" }, submitted_at: { type: "string" }, status: { type: "string" }, circumstances: {}, leaf: { type: "integer" }, contributor: { type: "string" },
    content: {},
  },
};
const message = {
  type: "object", required: ["role", "content"], additionalProperties: false,
  properties: { role: { enum: ["system", "user", "assistant", "tool"] }, content: { type: "string", minLength: 1 } },
};
const messages = { type: "array", minItems: 1, maxItems: 1000, items: message };
const submission = {
  type: "object", required: ["kind", "content"], additionalProperties: false,
  properties: {
    kind: { enum: ["chat", "preference", "example"] },
    lang: { type: "string", pattern: "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}$" },
    application: { type: "string", minLength: 1, maxLength: 200 },
    content: {
      type: "object", additionalProperties: false,
      properties: { messages, prompt: messages, chosen: messages, rejected: messages, input: { type: "string" }, output: { type: "string" } },
    },
  },
};

const canonical = (v) =>
  Array.isArray(v) ? `[${v.map(canonical).join(",")}]`
    : v && typeof v === "object" ? `{${Object.keys(v).sort().map((k) => `${JSON.stringify(k)}:${canonical(v[k])}`).join(",")}}`
      : JSON.stringify(v);

const personal = [
  /[\w.+-]+@[\w-]+\.[\w.]{2,}/, /\+?\d[\d ()/-]{7,}\d/, /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b/, /\b(?:\d[ -]?){13,19}\b/, /\b\d{1,3}(?:\.\d{1,3}){3}\b/,
  /\b(?:sk|ghp|xox[bp])[-_][A-Za-z0-9_-]{16,}/,
];

function seal(text) {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  return Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

// ---- The same endpoints ----

app.register(async (same) => {
  same.addHook("onRequest", async (request, reply) => {
    const secret = request.headers.authorization?.replace(/^Bearer /, "") ?? "";
    const { rows } = await ask(pool, "who", "SELECT * FROM commonhold_identify($1, true, $2)", [sha256(secret), request.params.coop]);
    request.who = rows[0];
    if (!request.who?.account_id || request.who.revoked) return reply.code(401).send({ title: "Who are you?" });
    if (!request.who.member_id) return reply.code(403).send({ title: "You are no member." });
  });
  same.addHook("onSend", async (request, reply) => {
    reply.headers({
      "X-Request-Id": request.id, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
      "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
    });
  });

  same.get("/coops/:coop/contributions/:id", { schema: { response: { 200: item } } }, async (request, reply) => {
    const { rows } = await transaction(request, (client) => ask(client, "read",
      "SELECT c.id, 'dc:' || $3 || ':' || c.id AS rid, c.kind, c.licence, c.lang, encode(c.content_sha256, 'hex') AS content_sha256, c.bytes, c.submitted_at, c.word, c.facts, " +
      "c.leaf, m.pseudonym AS contributor, m.account_id = $4 OR a.is_admin AS may, p.content FROM contribution c JOIN membership m ON m.coop_id = c.coop_id AND m.id = c.member_id " +
      "JOIN membership a ON a.coop_id = c.coop_id AND a.account_id = $4 JOIN peer_item p ON p.id = c.id WHERE c.coop_id = $1 AND c.id = $2",
      [request.who.coop_id, request.params.id, request.who.key_name, request.who.account_id]));
    if (!rows.length || !rows[0].may) return reply.code(404).send({ title: "There is no such contribution." });
    const { word, facts, ...rest } = rows[0];
    return { ...rest, submitted_at: rest.submitted_at.toISOString(), status: (BigInt(word) >> 9n & 3n) === 1n ? "approved" : "pending", circumstances: JSON.parse(facts) };
  });

  same.post("/coops/:coop/contributions", { schema: { body: submission, response: { 200: item, 201: item } } }, async (request, reply) => {
    const { kind, lang = "und", application, content } = request.body;
    const text = canonical(content);
    const hash = sha256(text);
    const status = personal.some((p) => p.test(text)) ? "pending" : "approved";
    const id = randomUUID();
    const { member_id: member, coop_id: coop } = request.who;
    const row = await transaction(request, async (client) => {
      const charter = await ask(client, "charter", "SELECT m.number, m.state, (SELECT max(version) FROM charter h WHERE h.coop_id = m.coop_id) AS version FROM membership m WHERE m.coop_id = $1 AND m.id = $2",
        [coop, member]);
      if (charter.rows[0].state !== "active") throw new Error("not active");
      const head = await ask(client, "head", "UPDATE peer_head SET size = size + 1 RETURNING size");
      const leaf = Number(head.rows[0].size) - 1;
      const made = await ask(client, "item",
        "INSERT INTO peer_sent (id, member_id, member_no, kind, lang, content_sha256, bytes, submitted_at, status, facts, leaf) VALUES ($1, $2, $3, $4, $5, $6, $7, commonhold_now(), $8, $9, $10) " +
        "ON CONFLICT (member_id, content_sha256) DO NOTHING RETURNING submitted_at",
        [id, member, charter.rows[0].number, kind, lang, hash, Buffer.byteLength(text), status, JSON.stringify({ application }), leaf]);
      await ask(client, "content", "INSERT INTO peer_sealed (id, sealed) VALUES ($1, $2)", [id, seal(text)]);
      const entry = canonical({ at: made.rows[0].submitted_at.toISOString(), by: member, data: { c: hash.toString("hex"), id }, t: "contribution.submitted" });
      await ask(client, "leaf", "INSERT INTO peer_leaf (idx, entry, hash) VALUES ($1, $2, $3)", [leaf, entry, sha256(`\0${entry}`)]);
      return { leaf, submitted_at: made.rows[0].submitted_at.toISOString() };
    });
    reply.code(201);
    return { id, rid: `dc:${request.who.key_name}:${id}`, kind, lang, content_sha256: hash.toString("hex"), bytes: Buffer.byteLength(text), status, ...row };
  });
}, { prefix: "/api/v1" });

// ---- The least that answers ----

app.register(async (bare) => {
  bare.addHook("onRequest", async (request, reply) => {
    const secret = request.headers.authorization?.replace(/^Bearer /, "") ?? "";
    const { rows } = await ask(pool, "token", "SELECT account_id FROM token WHERE secret_hash = $1 AND revoked_at IS NULL", [sha256(secret)]);
    if (!rows.length) return reply.code(401).send({ title: "Who are you?" });
  });

  bare.get("/coops/:coop/contributions/:id", { schema: { response: { 200: item } } }, async (request, reply) => {
    const { rows } = await ask(pool, "bare_read",
      "SELECT id, kind, lang, encode(content_sha256, 'hex') AS content_sha256, bytes, submitted_at, status, content FROM peer_item WHERE id = $1", [request.params.id]);
    if (!rows.length) return reply.code(404).send({ title: "There is no such contribution." });
    return { ...rows[0], submitted_at: rows[0].submitted_at.toISOString() };
  });

  bare.post("/coops/:coop/contributions", { schema: { body: submission, response: { 201: item } } }, async (request, reply) => {
    const { kind, lang = "und", content } = request.body;
    const text = JSON.stringify(content);
    const hash = sha256(text);
    const id = randomUUID();
    const { rows } = await ask(pool, "bare_insert",
      "INSERT INTO peer_item (id, member_no, kind, lang, content_sha256, bytes, submitted_at, status, content) VALUES ($1, 0, $2, $3, $4, $5, now(), 'approved', $6) RETURNING submitted_at",
      [id, kind, lang, hash, Buffer.byteLength(text), text]);
    reply.code(201);
    return { id, kind, lang, content_sha256: hash.toString("hex"), bytes: Buffer.byteLength(text), submitted_at: rows[0].submitted_at.toISOString(), status: "approved" };
  });
}, { prefix: "/bare" });

app.get("/stats", async () => ({ queries }));

await app.listen({ host: "127.0.0.1", port: Number(process.env.BENCH_PEER_PORT) });
