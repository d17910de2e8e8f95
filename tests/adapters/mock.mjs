// What the two mock services share: a server process that reads whole bodies, keeps a log of what it was asked, and fails as it is told.
//
// Under /_mock it takes orders: POST /_mock/fail with a list of failures, GET /_mock/log, GET and POST /_mock/state, POST /_mock/release. A failure is
//   {op, path, after, times, act, …}: `op` and `path` (a part of it) say which requests, `after` lets so many pass first, `times` is how often (1), `act` one of
//   status     answers with `status`, `headers` and `body`, and does nothing
//   drop       does what was asked and closes the connection without an answer: a lost reply
//   refuse     closes the connection and does nothing
//   truncate   announces the whole answer and closes in the middle of it
//   drip       answers a few bytes at a time, `pause` ms apart
//   hold       does nothing until POST /_mock/release
//   etag       answers with a wrong ETag
//   endless    answers with more and more, for as long as somebody reads it
//   answer     does what was asked, but answers with `status` and `body`
import http from "node:http";
import { createHash } from "node:crypto";

export const sha256 = (b) => createHash("sha256").update(b).digest("hex");

export class Refusal extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

// `handle({method, path, query, headers, body, raw})` gives {op, status, headers, body}; `opOf` names a request before it is handled; `refusal(e)` writes an error as the service does.
export function serve({ handle, opOf, refusal, state, port = 0 }) {
  const failures = [];
  const log = [];
  let held = [];

  async function orders(request, response) {
    const what = request.url.slice("/_mock/".length);
    const body = await bodyOf(request);
    const answer = (v) => { response.writeHead(200, { "content-type": "application/json" }); response.end(JSON.stringify(v ?? null)); };
    if (what === "fail") { for (const f of JSON.parse(body)) failures.push({ times: 1, after: 0, ...f }); return answer(failures.length); }
    if (what === "calm") { const left = failures.splice(0); return answer(left); }
    if (what === "log") return answer(log);
    if (what === "forget") { log.length = 0; return answer(); }
    if (what === "release") { for (const go of held.splice(0)) go(); return answer(); }
    if (what === "held") return answer(held.length);
    if (what === "state") return answer(state(body.length ? JSON.parse(body) : undefined));
    response.writeHead(404).end();
  }

  function failureFor(op, path) {
    const i = failures.findIndex((f) => (!f.op || f.op === op) && (!f.path || path.includes(f.path)) && f.after-- <= 0);
    if (i < 0) return undefined;
    const f = failures[i];
    if (--f.times <= 0) failures.splice(i, 1);
    return f;
  }

  async function send(response, answer, failure) {
    let { status = 200, headers = {}, body = "" } = answer;
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
    if (failure?.act === "etag" && headers.etag) headers = { ...headers, etag: '"00000000000000000000000000000000"' };
    headers = { ...headers, "content-length": bytes.length };
    if (failure?.act === "endless") {
      const { "content-length": _, ...rest } = headers;
      response.writeHead(200, rest);
      const more = Buffer.alloc(1 << 16, 0x61);
      let read = true;
      response.on("close", () => { read = false; });
      while (read) {
        if (!response.write(more)) await Promise.race([new Promise((resolve) => response.once("drain", resolve)), new Promise((resolve) => response.once("close", resolve))]);
      }
      return;
    }
    response.writeHead(status, headers);
    if (failure?.act === "truncate" && bytes.length) {
      response.write(bytes.subarray(0, Math.floor(bytes.length / 2)));
      await pause(50);
      return response.destroy();
    }
    if (failure?.act === "drip") {
      const step = failure.step ?? 16;
      for (let i = 0; i < bytes.length && !response.destroyed; i += step) {
        response.write(bytes.subarray(i, i + step));
        await pause(failure.pause ?? 20);
      }
      return response.end();
    }
    response.end(bytes);
  }

  const server = http.createServer(async (request, response) => {
    try {
      if (request.url.startsWith("/_mock/")) return await orders(request, response);
      const raw = request.url;
      const cut = raw.indexOf("?");
      const path = cut < 0 ? raw : raw.slice(0, cut);
      const asked = { method: request.method, raw, path, query: new URLSearchParams(cut < 0 ? "" : raw.slice(cut + 1)), search: cut < 0 ? "" : raw.slice(cut + 1), headers: request.headers };
      asked.op = opOf(asked);
      const failure = failureFor(asked.op, raw);
      const line = { at: Date.now(), op: asked.op, method: request.method, url: raw, signed: Boolean(request.headers.authorization), failed: failure?.act };
      log.push(line);
      if (failure?.act === "hold") await new Promise((resolve) => held.push(resolve));
      if (failure?.act === "refuse" || request.destroyed) return request.socket.destroy();
      asked.body = await bodyOf(request);
      line.bytes = asked.body.length;
      if (failure?.act === "status") return await send(response, { status: failure.status, headers: failure.headers, body: failure.body ?? "" });
      let answer;
      try {
        answer = handle(asked);
      } catch (e) {
        if (!(e instanceof Refusal)) throw e;
        answer = refusal(e, asked);
        line.refused = `${e.status} ${e.code}: ${e.message}`;
      }
      line.status = answer.status ?? 200;
      if (failure?.act === "drop") return request.socket.destroy();
      if (failure?.act === "answer") answer = { ...answer, status: failure.status ?? answer.status, body: failure.body };
      await send(response, answer, failure);
    } catch (e) {
      console.error(e);
      request.socket.destroy();
    }
  });
  server.keepAliveTimeout = 60000;
  server.listen(port, "127.0.0.1", () => console.log(`port=${server.address().port}`));
  return server;
}
