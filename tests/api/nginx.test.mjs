// The shipped nginx configuration in front of a real server: TLS, HTTP/2, IPv6, slow clients, and what must not get through.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn, execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync, rmSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:net";
import https from "node:https";
import http from "node:http";
import http2 from "node:http2";
import tls from "node:tls";
import { freePort, start, root, PATIENCE } from "./server.mjs";

const nginx = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].find(existsSync);
const skip = nginx ? false : "nginx is not installed";

let server, proxy, folder, port, plain, ca, hasIpv6 = true;

// The shipped file with this machine's ports and paths, and nothing else changed.
function configuration() {
  let text = readFileSync(join(root, "server/deploy/nginx.conf"), "utf8");
  const swap = (from, to) => {
    assert.ok(text.includes(from), `${from} is not in nginx.conf`);
    text = text.replaceAll(from, to);
  };
  swap("user www-data;", process.getuid() === 0 ? "user root;" : "");
  swap("/run/nginx.pid", join(folder, "nginx.pid"));
  swap("/var/log/nginx/error.log", join(folder, "error.log"));
  swap("127.0.0.1:8080", `127.0.0.1:${server.port}`);
  swap("listen 80;", `listen 127.0.0.1:${plain};`);
  swap("listen [::]:80;", hasIpv6 ? `listen [::1]:${plain};` : "");
  swap("listen 443 ssl", `listen 127.0.0.1:${port} ssl`);
  swap("listen [::]:443 ssl http2;", hasIpv6 ? `listen [::1]:${port} ssl http2;` : "");
  swap("/etc/ssl/commonhold/fullchain.pem", join(folder, "cert.pem"));
  swap("/etc/ssl/commonhold/privkey.pem", join(folder, "key.pem"));
  swap("server_name example.org;", "server_name localhost;");
  for (const what of ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    text = text.replace("http {", `http {\n\t${what}_temp_path ${join(folder, what)};`);
  return text;
}

const get = (path, options = {}) => new Promise((resolve, reject) => {
  const request = https.request({ host: "127.0.0.1", port, path, ca, servername: "localhost", headers: { host: `localhost:${port}` }, agent: false, ...options }, (answer) => {
    const chunks = [];
    answer.on("data", (chunk) => chunks.push(chunk));
    answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(chunks).toString(), protocol: answer.socket?.getProtocol?.() }));
  });
  request.on("error", reject);
  request.end(options.body);
});

const connect = () => new Promise((resolve, reject) => {
  const socket = tls.connect({ host: "127.0.0.1", port, ca, servername: "localhost" }, () => resolve(socket));
  socket.on("error", reject);
});

before(async () => {
  if (skip) return;
  folder = mkdtempSync(join(tmpdir(), "ch-nginx-"));
  [port, plain] = [await freePort(), await freePort()];
  const probe = createServer();
  hasIpv6 = await new Promise((resolve) => { probe.on("error", () => resolve(false)); probe.listen(0, "::1", () => probe.close(() => resolve(true))); });
  server = await start({ env: { COMMONHOLD_BASE_URL: `https://localhost:${port}`, COMMONHOLD_TRUST_PROXY: "yes" } });
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")], { stdio: "ignore" });
  ca = readFileSync(join(folder, "cert.pem"));
  writeFileSync(join(folder, "nginx.conf"), configuration());
  const checked = spawnSync(nginx, ["-t", "-p", folder, "-c", join(folder, "nginx.conf")], { encoding: "utf8" });
  assert.equal(checked.status, 0, checked.stderr);
  assert.doesNotMatch(checked.stderr, /\[warn\]/);
  proxy = spawn(nginx, ["-p", folder, "-c", join(folder, "nginx.conf"), "-g", "daemon off;"], { stdio: "ignore" });
  for (const end = performance.now() + PATIENCE; performance.now() < end;) {
    if (await get("/healthz").then((a) => a.status === 200, () => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nginx did not start: ${readFileSync(join(folder, "error.log"), "utf8")}`);
});

after(async () => {
  if (skip) return;
  if (proxy) {
    const ended = new Promise((resolve) => proxy.on("exit", resolve));
    proxy.kill("SIGTERM");
    await ended;
  }
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("a TLS handshake with a current protocol is answered, and the answer binds the browser to https", { skip }, async () => {
  const answer = await get("/healthz");
  assert.equal(answer.status, 200);
  assert.match(answer.headers["strict-transport-security"], /max-age=\d{8}/);
  assert.equal(answer.headers["x-content-type-options"], "nosniff");
  assert.match(answer.headers["x-request-id"], /^[0-9a-f]{32}$/);
  assert.doesNotMatch(answer.headers.server ?? "", /\d/);
});

test("an old TLS version is refused", { skip }, async () => {
  await assert.rejects(get("/healthz", { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }));
});

test("HTTP/2 is spoken", { skip }, async () => {
  const session = http2.connect(`https://localhost:${port}`, { ca, lookup: (_h, o, done) => (o.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)) });
  const statuses = await Promise.all(Array.from({ length: 20 }, () => new Promise((resolve, reject) => {
    const stream = session.request({ ":path": "/healthz" });
    let status;
    stream.on("response", (headers) => { status = headers[":status"]; });
    stream.on("data", () => {});
    stream.on("end", () => resolve(status));
    stream.on("error", reject);
  })));
  assert.equal(session.alpnProtocol, "h2");
  assert.ok(statuses.every((status) => status === 200));
  session.close();
});

test("plain HTTP leads to https", { skip }, async () => {
  const answer = await new Promise((resolve, reject) => http.get({ host: "127.0.0.1", port: plain, path: "/coops/x?y=1", headers: { host: "localhost" } }, resolve).on("error", reject));
  answer.resume();
  assert.equal(answer.statusCode, 301);
  assert.equal(answer.headers.location, "https://localhost/coops/x?y=1");
});

test("IPv6 is answered", { skip }, async (t) => {
  if (!hasIpv6) return t.skip("this machine has no IPv6");
  assert.equal((await get("/healthz", { host: "::1" })).status, 200);
});

test("fifty slow clients do not delay another one", { skip }, async () => {
  const slow = await Promise.all(Array.from({ length: 50 }, connect));
  let ended = 0;
  for (const socket of slow) {
    socket.on("close", () => { ended++; });
    socket.on("error", () => {});
    socket.write(`POST /api/v1/sessions HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{`);
  }
  const dripping = setInterval(() => slow.forEach((socket) => socket.writable && socket.write(" ")), 200);
  try {
    for (let i = 0; i < 20; i++)
      assert.equal((await get("/healthz")).status, 200);
    // None of them holds one of the server's workers: the proxy still collects their bodies.
    const metrics = await fetch(`${server.url}/metrics`).then((a) => a.text());
    assert.match(metrics, /^commonhold_http_in_flight 1$/m);
    assert.equal(ended, 0, "the slow clients were still there");
  } finally {
    clearInterval(dripping);
    slow.forEach((socket) => socket.destroy());
  }
});

test("metrics stay inside", { skip }, async () => {
  assert.equal((await get("/metrics")).status, 404);
});

test("a request with two framings gets no further than the proxy", { skip }, async () => {
  const socket = await connect();
  socket.write(`POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += chunk;
  assert.match(text, /^HTTP\/1\.1 400 /);
  assert.equal(text.match(/HTTP\/1\.1 /g).length, 1);
});

test("an ordinary body is capped, a batch is not", { skip }, async () => {
  const body = Buffer.alloc(3 << 20, "\n");
  const options = (type) => ({ method: "POST", body, headers: { host: `localhost:${port}`, "content-type": type, "content-length": body.length } });
  const outcome = (path, type) => get(path, options(type)).catch((error) => ({ status: error.code }));
  assert.equal((await outcome("/api/v1/coops/none/contributions", "application/json")).status, 413);
  const batch = (await outcome("/api/v1/coops/none/contributions/batch", "application/x-ndjson")).status;
  assert.notEqual(batch, 413);
  assert.notEqual(batch, 502);
  // Without a length the proxy collects the chunks and says one.
  const chunked = await get("/api/v1/coops/none/contributions/batch", { method: "POST", body: "{}\n", headers: { host: `localhost:${port}`, "content-type": "application/x-ndjson", "transfer-encoding": "chunked" } });
  assert.notEqual(JSON.parse(chunked.text).code, "length_required");
  assert.equal(chunked.status, batch);
});

test("a browser behind the proxy has its origin accepted and a foreign one refused", { skip }, async () => {
  const post = (origin) => get("/api/v1/sessions", { method: "POST", body: "{}", headers: { host: `localhost:${port}`, origin, "content-type": "application/json", "content-length": 2 } });
  assert.equal(JSON.parse((await post("https://evil.example")).text).code, "csrf");
  assert.notEqual(JSON.parse((await post(`https://localhost:${port}`)).text).code, "csrf");
});

test("style and script come compressed, pages do not", { skip }, async () => {
  const ask = (path) => get(path, { headers: { host: `localhost:${port}`, "accept-encoding": "gzip" } });
  assert.equal((await ask("/static/commonhold.css")).headers["content-encoding"], "gzip");
  assert.equal((await ask("/healthz")).headers["content-encoding"], undefined);
});
