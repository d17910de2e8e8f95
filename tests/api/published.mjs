// A server on which a co-op has published its first release: founded, peopled, filled, frozen, voted on and built through the API alone. Between the steps the server is stopped and
// started again with its clock moved on, on the same folder.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start, person, charter, Client, PATIENCE } from "./server.mjs";

export async function until(what, look) {
  for (const end = performance.now() + PATIENCE; performance.now() < end;) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain for ${what}`);
}

function expect(answer, status) {
  if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}: ${answer.text}`);
  return answer.body;
}

// {server, slug, release, admin, member, outsider, at(clock), stop()}. `over` are members of the charter in the place of the usual ones; `fill` contributes more before the cut-off.
export async function published({ slug = "alpine", over = {}, fill } = {}) {
  const dir = mkdtempSync(join(tmpdir(), "ch-"));
  const here = { dir, slug, server: undefined };
  const people = [];
  here.at = async (clock, env) => {
    await here.server?.stop();
    here.server = undefined;
    here.server = await start({ clock, dir, env });
    for (const p of people) p.url = here.server.url;
    return here.server;
  };
  here.newcomer = async (name) => {
    const p = await person(here.server, name);
    people.push(p);
    return p;
  };
  here.stop = async () => {
    await here.server?.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  here.anyone = () => new Client(here.server.url);
  try {
    await publish(here, charter(over), fill);
  } catch (e) {
    await here.stop();
    throw e;
  }
  return here;
}

async function publish(here, draft, fill) {
  const { slug } = here;
  const path = `/api/v1/coops/${slug}`;

  await here.at("2026-01-01T09:00:00Z");
  here.admin = await here.newcomer("Ada Admin");
  here.member = await here.newcomer("Max Member");
  here.outsider = await here.newcomer("Lab Outside");
  expect(await here.admin.post("/api/v1/coops", { slug, charter: draft }), 201);
  expect(await here.member.post(`${path}/members`), 201);
  for (const p of [here.admin, here.member]) {
    expect(await p.put(`${path}/members/me/consent`, { purposes: ["research"], accept_defaults: false }), 200);
    expect(await p.post(`${path}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] }), 201);
    for (const input of ["When is hay cut?", "How deep do roots go?"])
      expect(await p.post(`${path}/contributions`, { kind: "example", lang: "en", content: { input: `${input} asks ${p === here.admin ? "one" : "another"}`, output: "An answer." } }), 201);
  }
  await fill?.(here);
  // The first release is scheduled by a job that founding queues.
  const { id } = await until("the first release to be scheduled", async () => expect(await here.admin.get(`${path}/releases`), 200).items[0]);
  const state = (wanted) => until(`the release to be ${wanted}`, async () => {
    const r = expect(await here.admin.get(`${path}/releases/${id}`), 200);
    if (["failed", "expired", "cancelled"].includes(r.state)) throw new Error(`the release ${r.state}: ${r.failure}`);
    return r.state === wanted && r;
  });

  await here.at("2026-02-01T06:10:00Z");
  const frozen = await state("notice");
  await here.at("2026-02-08T07:00:00Z");
  await state("open");
  expect(await here.admin.put(`${path}/ballots/${frozen.ballot}/vote`, { choice: "for" }), 200);
  await here.at("2026-02-10T08:00:00Z");
  await state("cooling_off");
  await here.at("2026-02-11T09:30:00Z");
  here.release = await state("published");
}
