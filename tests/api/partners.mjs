// Live instances with a co-op each that come to know each other and share their pools under an agreement: what the tests of merging begin with.
import { charter, ok } from "./server.mjs";
import { World, until } from "./world.mjs";

export const start = "2026-01-10T09:00:00Z", voting = "2026-01-17T09:30:00Z", closed = "2026-01-19T10:00:00Z";
export const env = { COMMONHOLD_ALLOW_PRIVATE: "yes" };

// An instance with the co-op `slug`: where it is in the API, the key it goes by, one admin and one member.
export async function begin(slug, { rules = {}, clock = start } = {}) {
  const world = await World.begin({ clock, env });
  Object.assign(world, { slug, coop: `/api/v1/coops/${slug}` });
  world.admin = await world.person(`Admin of ${slug}`);
  world.member = await world.person(`Member of ${slug}`);
  world.key = ok(201, await world.admin.post("/api/v1/coops", { slug, charter: charter({ name: slug, ...rules }) })).key_name;
  ok(201, await world.member.post(`${world.coop}/members`));
  return world;
}

// Two of them that have confirmed each other's keys.
export async function beginTwo(rules = [{}, {}]) {
  const [north, south] = await Promise.all([begin("north-words", { rules: rules[0] }), begin("south-words", { rules: rules[1] })]);
  await Promise.all([[north, south], [south, north]].map(async ([world, other]) => { world.peer = await meet(world, other); }));
  return [north, south];
}

// What somebody contributes may be in what models are trained with.
export async function allow(world, who = world.member) {
  ok(200, await who.put(`${world.coop}/members/me/consent`, { purposes: ["research"], accept_defaults: false }));
  ok(201, await who.post(`${world.coop}/statements`, { statements: [{ uses: ["train.gen"], effect: "allow" }] }));
}

export const contribute = async (world, text) => ok(201, await world.member.post(`${world.coop}/contributions`, { kind: "example", lang: "en", content: { input: text, output: "An answer." } }));

// Messages of a co-op that found the other instance not up yet go again now, and not when their turn comes.
export async function again(world) {
  if (!world.server) return;
  const { items } = (await world.admin.get(`${world.coop}/merge/messages`)).body;
  for (const m of items.filter((m) => m.state === "waiting" && m.attempts > 0)) await world.admin.post(`${world.coop}/merge/messages/${m.id}/again`);
}

// Asks as `until` does for what a partner has to hear first: where a message found the other instance not up yet, it goes again meanwhile.
export function untilHeard(worlds, ask, wanted, what) {
  let asked = 0;
  return until(async () => {
    if (++asked % 20 === 0) await Promise.all(worlds.map(again));
    return ask();
  }, wanted, what);
}

// The other's id as a partner, met at `url` and confirmed: its admin has compared the fingerprint.
export async function meet(world, other, url = other.url) {
  for (const side of [world, other]) (side.near ??= new Set()).add(world).add(other);
  const met = ok(201, await world.admin.post(`${world.coop}/peers`, { url, name: other.slug }));
  return ok(200, await world.admin.post(`${world.coop}/peers/${met.id}/confirm`, { fingerprint: met.fingerprint })).id;
}

// An agreement as one side has it, and once it is in a state there.
export const agreementAt = (world, digest) => world.admin.get(`${world.coop}/agreements/${digest}`);
export const agreementIs = (world, digest, state) => untilHeard([...world.near], () => agreementAt(world, digest), (a) => a.body?.state === state, `${world.slug}: ${state}`);

// An agreement drafted at one and proposed to the other.
export async function propose(from, to, terms, peer = from.peer) {
  const draft = ok(201, await from.admin.post(`${from.coop}/agreements`, { peer, terms }));
  ok(200, await from.admin.post(`${from.coop}/agreements/${draft.sha256}/propose`));
  await agreementIs(to, draft.sha256, "proposed");
  return draft;
}

// Both make their previews, and each waits for the dry run of them: without it no ballot opens. Gives both dry runs.
export async function tryOut(worlds, digest) {
  const at = (world, what) => `${world.coop}/agreements/${digest}/${what}`;
  for (const world of worlds) ok(201, await world.admin.post(at(world, "previews")));
  return Promise.all(worlds.map(async (world) => ok(200, await untilHeard(worlds, () => world.admin.get(at(world, "dry-run")), (a) => a.status === 200, `the dry run at ${world.slug}`))));
}

export const askMembers = async (world, digest) => ok(200, await world.admin.post(`${world.coop}/agreements/${digest}/ballot`));

// Everybody says yes on a ballot, once it is open.
export async function vote(world, ballot, people = [world.admin, world.member]) {
  await until(() => world.admin.get(`${world.coop}/ballots/${ballot}`), (a) => a.body.state === "open", "the ballot to open");
  for (const who of people) ok(200, await who.put(`${world.coop}/ballots/${ballot}/vote`, { choice: "for" }));
}
export const voteOn = async (world, digest, people) => vote(world, ok(200, await agreementAt(world, digest)).ballot, people);

// Both have voted for what one proposed; what is left is that the ballots close.
export async function agree(from, to, terms) {
  const draft = await propose(from, to, terms);
  await tryOut([from, to], draft.sha256);
  for (const world of [from, to]) await askMembers(world, draft.sha256);
  await Promise.all([from.at(voting), to.at(voting)]);
  for (const world of [from, to]) await voteOn(world, draft.sha256);
  return draft;
}
