// An instance whose clock a test moves: it is stopped and started again with the same folder, and everybody keeps speaking to it.
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { execFileSync, spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start, person, Client, binary, PATIENCE } from "./server.mjs";

export const postgres = (() => {
  const found = spawnSync("sh", ["-c", "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1"], { encoding: "utf8" }).stdout.trim();
  return found;
})();

export class World {
  static async begin({ clock, env = {} } = {}) {
    const world = new World();
    world.dir = mkdtempSync(join(tmpdir(), "ch-"));
    chmodSync(world.dir, 0o755);
    world.env = env;
    world.clients = [];
    world.logs = "";
    await world.at(clock);
    return world;
  }

  // (Re)starts the server with its clock at an instant.
  async at(clock) {
    await this.pause();
    this.server = await start({ clock, env: this.env, dir: this.dir, port: this.port });
    this.port = this.server.port;
    for (const client of this.clients) client.url = this.server.url;
    return this;
  }

  async pause() {
    if (!this.server) return;
    const how = await this.server.stop();
    this.logs += this.server.log();
    this.server = undefined;
    const fault = this.logs.match(/.*(AddressSanitizer|LeakSanitizer|runtime error).*/);
    if (fault) throw new Error(`a sanitizer found something: ${fault[0]}\n${this.logs.slice(-6000)}`);
    if (how.code !== 0) throw new Error(`the server ended with ${JSON.stringify(how)}\n${this.logs.slice(-3000)}`);
  }

  async end() {
    try {
      await this.pause();
    } finally {
      rmSync(this.dir, { recursive: true, force: true });
    }
  }

  get url() { return this.server.url; }

  keep(client) {
    this.clients.push(client);
    return client;
  }
  async person(name) { return this.keep(await person(this.server, name)); }
  client(token) { return this.keep(new Client(this.server.url, token)); }

  // Runs a command of the program; answers its exit status and what it wrote.
  run(args, { at, env = {}, input } = {}) {
    const settings = { ...this.server?.settings ?? { ...process.env, COMMONHOLD_DIR: this.dir, ...this.env }, ...(at ? { COMMONHOLD_CLOCK: at } : {}), ...env };
    const done = spawnSync(binary, args, { env: settings, encoding: "utf8", input, maxBuffer: 1 << 28 });
    return { status: done.status, out: done.stdout, err: done.stderr };
  }

  // Asks the private cluster as its superuser: rows of text fields.
  sql(statement, database = "commonhold") {
    const socket = this.socket();
    const args = ["-h", socket, "-p", "5432", "-U", "postgres", "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement];
    const text = execFileSync(join(postgres, "psql"), args, { encoding: "utf8", maxBuffer: 1 << 28 });
    return text.split("\n").filter((line) => line !== "").map((line) => line.split("|"));
  }

  socket() {
    return spawnSync("sh", ["-c", `sed -n 5p "${this.dir}"/*/postmaster.pid "${this.dir}"/*/*/postmaster.pid 2>/dev/null | head -n 1`], { encoding: "utf8" }).stdout.trim();
  }
  postmaster() {
    return Number(spawnSync("sh", ["-c", `sed -n 1p "${this.dir}"/*/postmaster.pid "${this.dir}"/*/*/postmaster.pid 2>/dev/null | head -n 1`], { encoding: "utf8" }).stdout.trim());
  }
}

// Asks until the answer is as wanted; for what a job does in its own time.
export async function until(ask, wanted, what = "it") {
  let answer;
  for (const end = performance.now() + PATIENCE; performance.now() < end;) {
    answer = await ask();
    if (wanted(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not come about: ${answer?.text ?? JSON.stringify(answer)}`);
}

// A batch's answer: its verdicts and the summary at the end.
export const verdicts = (answer) => {
  const lines = answer.text.trim().split("\n").map((line) => JSON.parse(line));
  return { lines: lines.slice(0, -1), summary: lines.at(-1) };
};
