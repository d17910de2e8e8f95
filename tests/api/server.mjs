// A real server for tests: the sanitizer build with a private database in a temporary folder, spoken to over HTTP.
import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:net";

export const root = process.env.COMMONHOLD_ROOT ?? new URL("../..", import.meta.url).pathname;
export const binary = process.env.COMMONHOLD_BINARY ?? join(root, "build/asan/commonhold");

// How long anything is waited for that does come in the end: much longer than a busy machine needs, and none of it is spent where all goes well.
export const PATIENCE = 240_000;

// The body of an answer that has this status.
export const ok = (status, answer) => {
  assert.equal(answer.status, status, answer.text);
  return answer.body;
};

// Ports that only this process gives out: a block below those that the kernel gives to whoever asks for any. A block's first port is held as long as the process lives, so that
// two files that are tested at the same time never have the same block. A port between its being found and its being used, or while a server is stopped, is then nobody else's.
const BLOCK = 64, FIRST = 12288, BLOCKS = (32768 - FIRST) / BLOCK;
let block, given = 0;
const listen = (port) => new Promise((resolve) => {
  const probe = createServer();
  probe.once("error", () => resolve(undefined));
  probe.listen(port, "127.0.0.1", () => resolve(probe));
});
async function blockOfOurs() {
  for (let i = 0; i < BLOCKS; i++) {
    const first = FIRST + ((process.pid + i) % BLOCKS) * BLOCK, held = await listen(first);
    if (!held) continue;
    held.unref();
    return first;
  }
  throw new Error("no block of ports is free");
}
export async function freePort() {
  const first = await (block ??= blockOfOurs());
  while (++given < BLOCK) {
    const port = first + given, probe = await listen(port);
    if (!probe) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
  throw new Error("no port is left in the block");
}

// Starts it and waits until it is ready. `clock` is where its clock starts; `env` adds settings; `dir` uses a folder that is there, `port` one that was used before.
export async function start({ clock, env = {}, dir, port: wanted } = {}) {
  const folder = dir ?? mkdtempSync(join(tmpdir(), "ch-"));
  const port = wanted ?? await freePort();
  const settings = {
    ...process.env,
    COMMONHOLD_DIR: folder,
    COMMONHOLD_LISTEN: `127.0.0.1:${port}`,
    COMMONHOLD_BASE_URL: `http://127.0.0.1:${port}`,
    COMMONHOLD_LOG: "warn",
    COMMONHOLD_RATE_LIMIT: "0",
    COMMONHOLD_REQUEST_TIMEOUT_MS: "60000", // a test that stands still for a while, as on a busy machine, is no attacker who dawdles
    ...(clock ? { COMMONHOLD_CLOCK: clock } : {}),
    ...env,
  };
  const child = spawn(binary, ["serve"], { env: settings, stdio: ["ignore", "inherit", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk) => { log += chunk; });
  const exited = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
  const url = `http://127.0.0.1:${port}`;
  for (const end = performance.now() + PATIENCE; ;) {
    const ready = await fetch(`${url}/readyz`).then((r) => r.ok, () => false);
    if (ready) break;
    if (child.exitCode !== null || performance.now() > end) throw new Error(`the server did not start:\n${log}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    url, port, dir: folder, child, settings, log: () => log, exited,
    // Runs a command of the program on the same instance. The clock of the command starts at `at`.
    command(args, at) {
      return execFileSync(binary, args, { env: { ...settings, ...(at ? { COMMONHOLD_CLOCK: at } : {}) }, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    },
    async stop() {
      if (child.exitCode === null) child.kill("SIGTERM");
      const how = await exited;
      if (!dir) rmSync(folder, { recursive: true, force: true });
      return how;
    },
  };
}

// Somebody who speaks to a server: keeps a token, answers {status, body, headers}.
export class Client {
  constructor(url, token) { this.url = url; this.token = token; }

  async request(method, path, { json, body, headers = {}, type } = {}) {
    const init = { method, headers: { ...headers }, redirect: "manual" };
    if (this.token) init.headers.authorization ??= `Bearer ${this.token}`;
    if (json !== undefined) { init.body = JSON.stringify(json); init.headers["content-type"] = "application/json"; }
    if (body !== undefined) { init.body = body; if (type) init.headers["content-type"] = type; }
    // A connection that the server closed while this process was not looking (waiting for a command) is noticed first, by a round of the event loop.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    const answer = await fetch(this.url + path, init);
    const bytes = Buffer.from(await answer.arrayBuffer());
    const kind = answer.headers.get("content-type") ?? "";
    return { status: answer.status, headers: answer.headers, bytes, text: bytes.toString("utf8"), body: /json/.test(kind) && !/ndjson/.test(kind) ? JSON.parse(bytes.toString("utf8") || "null") : undefined };
  }
  get(path, o) { return this.request("GET", path, o); }
  post(path, json, o) { return this.request("POST", path, { json, ...o }); }
  put(path, json, o) { return this.request("PUT", path, { json, ...o }); }
  patch(path, json, o) { return this.request("PATCH", path, { json, ...o }); }
  delete(path, o) { return this.request("DELETE", path, o); }
}

// What the private cluster of an instance says of itself: process and socket folder, from its lock file.
export function cluster(dir) {
  const lock = execFileSync("find", ["-L", dir, "-name", "postmaster.pid"], { encoding: "utf8" }).split("\n")[0];
  const lines = readFileSync(lock, "utf8").split("\n");
  return { pid: Number(lines[0]), socket: lines[4].trim() };
}

let people = 0;
// A new account with a personal token.
export async function person(server, name = `Person ${++people}`) {
  const email = `person${++people}@example.org`;
  const password = "correct horse battery";
  const anyone = new Client(server.url);
  const made = await anyone.post("/api/v1/accounts", { email, name, password });
  if (made.status !== 201) throw new Error(`register: ${made.status} ${made.text}`);
  const session = await anyone.post("/api/v1/sessions", { email, password });
  if (session.status !== 201) throw new Error(`sign in: ${session.status} ${session.text}`);
  const cookie = session.headers.get("set-cookie").split(";")[0];
  const { csrf } = (await anyone.get("/api/v1/me", { headers: { cookie } })).body;
  const token = await anyone.post("/api/v1/tokens", { name: "test" }, { headers: { cookie, "x-csrf-token": csrf } });
  if (token.status !== 201) throw new Error(`token: ${token.status} ${token.text}`);
  const client = new Client(server.url, token.body.secret ?? token.body.token);
  return Object.assign(client, { email, password, account: made.body.id, cookie, csrf });
}

export const charter = (over = {}) => ({
  name: "Alpine Voices",
  scope: { domain: "language", region: "CH", language: ["en", "de"] },
  release: { uses: ["train.gen"], purposes: ["research"], audience: "gated_manual", k_contributors: 1 },
  cadence: { rrule: "FREQ=MONTHLY;BYMONTHDAY=1", start: "2026-01-01T06:00:00Z", lead: "P1D", notice: "P7D", voting: "P2D", cooling_off: "P1D" },
  gate: { rule: "n_of_m_admins", n: 1 },
  membership: { admission: "open" },
  ...over,
});
