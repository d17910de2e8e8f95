// A server process that speaks the part of the Hugging Face Hub's protocol that a publisher of datasets uses, strictly: tokens with and without the right to write, repositories with
// visibility and gate, pre-upload, LFS batches with one request or several parts, verification, commits as NDJSON on their parent, tags, references, LFS files with history rewritten, squashing,
// deletion. Commits are kept while something refers to them and are gone after. Failures: see mock.mjs.
import { createHash, randomBytes } from "node:crypto";
import { Refusal, serve, sha256 } from "./mock.mjs";

const tokens = new Map([[process.env.HUB_TOKEN ?? "hf_write", "write"], [process.env.HUB_READ_TOKEN ?? "hf_read", "read"]]);
// chunk: LFS objects over this go up in parts. keep: after a squash old commits can still be asked for so many times. verify: uploads count only once verified. plain: no path is kept in LFS.
const mode = { chunk: Number(process.env.HUB_CHUNK ?? 1 << 20), keep: 0, verify: true, plain: false, converts: false, leak: false, page: 3, rewrites: true };
const repos = new Map(); // "ns/name" -> repository

const git = (kind, body) => createHash("sha1").update(`${kind} ${body.length}\0`).update(body).digest("hex");
const json = (v, status = 200, headers = {}) => ({ status, headers: { "content-type": "application/json; charset=utf-8", ...headers }, body: JSON.stringify(v) });
const bad = (message) => { throw new Refusal(400, "BadRequest", message); };
const LFS = "application/vnd.git-lfs+json";

function newCommit(repo, parent, title, description, tree) {
  const oid = createHash("sha1").update(randomBytes(20)).digest("hex");
  repo.commits.set(oid, { oid, parent, title, message: description ?? "", date: new Date().toISOString(), tree });
  return oid;
}

function makeRepo(id, isPrivate) {
  const repo = { id, private: isPrivate, gated: false, commits: new Map(), branches: new Map(), tags: new Map(), converts: new Map(), lfs: new Map(), staged: new Map(), multipart: new Map(), ghosts: new Map() };
  const attributes = Buffer.from("*.gz filter=lfs diff=lfs merge=lfs -text\n*.bin filter=lfs diff=lfs merge=lfs -text\n");
  repo.branches.set("main", newCommit(repo, null, "initial commit", "", new Map([[".gitattributes", { content: attributes }]])));
  repos.set(id, repo);
  return repo;
}

const isLfs = (path) => !mode.plain && /\.(gz|bin)$/.test(path);

// What something refers to stays.
function collect(repo) {
  const live = new Set();
  for (const tip of [...repo.branches.values(), ...repo.tags.values()])
    for (let oid = tip; oid && !live.has(oid); oid = repo.commits.get(oid)?.parent) live.add(oid);
  for (const [oid, commit] of repo.commits)
    if (!live.has(oid)) {
      repo.commits.delete(oid);
      if (mode.keep) repo.ghosts.set(oid, { left: mode.keep, commit });
    }
}

function commitOf(repo, revision) {
  const oid = repo.branches.get(revision) ?? repo.tags.get(revision) ?? repo.converts.get(revision) ?? (repo.commits.has(revision) ? revision : undefined);
  if (oid) return repo.commits.get(oid);
  const ghost = repo.ghosts.get(revision);
  if (ghost && ghost.left-- > 0) return ghost.commit;
  throw new Refusal(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
}

/* ---- who may ---- */

function roleOf({ headers }) {
  const said = headers.authorization;
  if (!said) return undefined;
  const role = tokens.get(said.replace(/^Bearer /, ""));
  if (!role) throw new Refusal(401, "InvalidToken", "Invalid credentials in Authorization header");
  return role;
}

function needWrite(asked) {
  const role = roleOf(asked);
  if (!role) throw new Refusal(401, "Unauthorized", "Invalid username or password.");
  if (role !== "write") throw new Refusal(403, "Forbidden", "You don't have the rights to create or change this; the token can only read.");
}

function repoFor(asked, id) {
  const repo = repos.get(id);
  if (!repo) throw roleOf(asked) ? new Refusal(404, "RepoNotFound", "Repository not found") : new Refusal(401, "RepoNotFound", "Repository not found");
  if (repo.private && !roleOf(asked)) throw new Refusal(401, "RepoNotFound", "Repository not found");
  return repo;
}

/* ---- repositories ---- */

function parse(asked) {
  if (!/^application\/json/.test(asked.headers["content-type"] ?? "")) bad("The body has to be application/json.");
  try { return JSON.parse(asked.body.toString("utf8")); } catch { return bad("The body is not JSON."); }
}

function create(asked) {
  needWrite(asked);
  const { type, organization, name, private: isPrivate, visibility } = parse(asked);
  if (type !== "dataset" || !organization || !/^[\w.-]{1,96}$/.test(name ?? "")) bad("type, organization or name is not right");
  const id = `${organization}/${name}`;
  if (repos.has(id)) throw new Refusal(409, "Conflict", "You already created this dataset repo");
  makeRepo(id, isPrivate ?? visibility === "private");
  return json({ url: `${asked.base}/datasets/${id}`, name: id, id: randomBytes(12).toString("hex") });
}

function removeRepo(asked) {
  needWrite(asked);
  const { type, organization, name } = parse(asked);
  if (type !== "dataset") bad("type");
  if (!repos.delete(`${organization}/${name}`)) throw new Refusal(404, "RepoNotFound", "Repository not found");
  return json({ success: true });
}

function settings(asked, repo) {
  needWrite(asked);
  const s = parse(asked);
  for (const key of Object.keys(s)) if (!["gated", "private", "visibility"].includes(key)) bad(`unknown setting ${key}`);
  if ("gated" in s) { if (![false, "auto", "manual"].includes(s.gated)) bad("gated"); repo.gated = s.gated; }
  if ("private" in s) repo.private = Boolean(s.private);
  if ("visibility" in s) { if (!["public", "private"].includes(s.visibility)) bad("visibility"); repo.private = s.visibility === "private"; }
  return json({ private: repo.private, gated: repo.gated, visibility: repo.private ? "private" : "public" });
}

function info(asked, repo, revision) {
  const c = commitOf(repo, revision);
  return json({ id: repo.id, private: repo.private, gated: repo.gated, sha: c.oid, siblings: [...c.tree.keys()].sort().map((rfilename) => ({ rfilename })) });
}

/* ---- uploading ---- */

function preupload(asked, repo, revision) {
  needWrite(asked);
  commitOf(repo, revision);
  const { files } = parse(asked);
  if (!Array.isArray(files) || !files.length || files.length > 256) bad("files: 1 to 256");
  for (const f of files) if (typeof f.path !== "string" || !Number.isInteger(f.size) || typeof f.sample !== "string" || Buffer.from(f.sample, "base64").length > 512) bad("a file needs path, size and sample");
  return json({ commitOid: repo.branches.get("main"), files: files.map((f) => ({ path: f.path, uploadMode: f.size && isLfs(f.path) ? "lfs" : "regular", shouldIgnore: false,
    oid: null })) });
}

function lfsBatch(asked, repo) {
  needWrite(asked);
  if (asked.headers["content-type"] !== LFS || asked.headers.accept !== LFS) bad("Content-Type and Accept have to be those of git-lfs");
  const b = JSON.parse(asked.body.toString("utf8"));
  if (b.operation !== "upload" || b.hash_algo !== "sha256" || !b.transfers?.includes("basic") || !Array.isArray(b.objects) || b.objects.length > 256) bad("operation, hash_algo, transfers or objects");
  const link = (what, oid, more = "") => `${asked.base}/_lfs/${what}/${repo.id}/${oid}?token=${ticket(oid)}${more}`;
  const objects = b.objects.map(({ oid, size }) => {
    if (!/^[0-9a-f]{64}$/.test(oid) || !Number.isInteger(size)) return { oid, size, error: { code: 422, message: "Invalid object" } };
    if (repo.lfs.has(oid)) return { oid, size };
    const verify = { href: `${asked.base}/datasets/${repo.id}.git/info/lfs/objects/verify`, header: { "X-Lfs-Verify": "1" } };
    repo.multipart.delete(oid);
    if (size > mode.chunk && b.transfers.includes("multipart")) {
      repo.multipart.set(oid, new Map());
      const header = { chunk_size: String(mode.chunk) };
      for (let i = 1; i <= Math.ceil(size / mode.chunk); i++) header[String(i).padStart(5, "0")] = link("part", oid, `&part=${i}`);
      return { oid, size, authenticated: true, actions: { upload: { href: link("complete", oid), header }, ...(mode.verify ? { verify } : {}) } };
    }
    return { oid, size, authenticated: true, actions: { upload: { href: link("put", oid), header: { "X-Storage": "yes" } }, ...(mode.verify ? { verify } : {}) } };
  });
  const multipart = objects.some((o) => o.actions?.upload.header.chunk_size);
  return { headers: { "content-type": LFS }, body: JSON.stringify({ transfer: multipart ? "multipart" : "basic", objects }) };
}

const secret = randomBytes(16);
const ticket = (oid) => createHash("sha256").update(secret).update(oid).digest("hex").slice(0, 32);

function storage(asked, what, repo, oid) {
  if (asked.headers.authorization) throw new Refusal(400, "InvalidRequest", "Only one auth mechanism allowed");
  if (asked.query.get("token") !== ticket(oid)) throw new Refusal(403, "AccessDenied", "The link is not signed.");
  if (what === "put") {
    if (asked.method !== "PUT" || asked.headers["x-storage"] !== "yes") throw new Refusal(403, "AccessDenied", "Headers of the action are missing.");
    if (sha256(asked.body) !== oid) throw new Refusal(400, "BadDigest", "The content does not match its name.");
    store(repo, oid, asked.body);
    return { headers: { etag: `"${createHash("md5").update(asked.body).digest("hex")}"` } };
  }
  if (what === "part") {
    if (asked.method !== "PUT" || !repo.multipart.has(oid)) throw new Refusal(404, "NoSuchUpload", "no such upload");
    const etag = `"${createHash("md5").update(asked.body).digest("hex")}"`;
    repo.multipart.get(oid).set(Number(asked.query.get("part")), { etag, body: asked.body });
    return { headers: { etag } };
  }
  if (asked.method !== "POST" || asked.headers["content-type"] !== LFS || asked.headers.accept !== LFS) bad("completion: POST as git-lfs");
  const { oid: named, parts } = JSON.parse(asked.body.toString("utf8"));
  const there = repo.multipart.get(oid);
  if (named !== oid || !there || !Array.isArray(parts) || parts.length !== there.size) bad("completion: oid or parts");
  const whole = Buffer.concat(parts.map(({ partNumber, etag }, i) => {
    const p = there.get(partNumber);
    if (partNumber !== i + 1 || !p || p.etag !== etag || (i + 1 < parts.length && p.body.length !== mode.chunk)) bad(`completion: part ${partNumber}`);
    return p.body;
  }));
  if (sha256(whole) !== oid) bad("completion: the content does not match its name");
  repo.multipart.delete(oid);
  store(repo, oid, whole);
  return json({ success: true });
}

function store(repo, oid, body) {
  (mode.verify ? repo.staged : repo.lfs).set(oid, body);
}

function verify(asked, repo) {
  needWrite(asked);
  if (asked.headers["x-lfs-verify"] !== "1") bad("Headers of the action are missing.");
  const { oid, size } = JSON.parse(asked.body.toString("utf8"));
  const body = repo.staged.get(oid) ?? repo.lfs.get(oid);
  if (!body || body.length !== size) throw new Refusal(404, "NotFound", "Object not found");
  repo.lfs.set(oid, body);
  repo.staged.delete(oid);
  return json({ message: "verified" });
}

/* ---- commits ---- */

function commit(asked, repo, revision) {
  needWrite(asked);
  if (asked.headers["content-type"] !== "application/x-ndjson") bad("Content-Type has to be application/x-ndjson");
  const head = repo.branches.get(revision);
  if (!head) throw new Refusal(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
  const lines = asked.body.toString("utf8").split("\n").filter(Boolean).map((l) => JSON.parse(l));
  const first = lines.shift();
  if (first?.key !== "header" || typeof first.value?.summary !== "string" || !first.value.summary) bad("The first line has to be a header with a summary");
  if (first.value.parentCommit && first.value.parentCommit !== head) throw new Refusal(412, "PreconditionFailed", "A commit has happened since. Please refresh and try again.");
  if (!lines.length) bad("There is nothing to commit");
  const tree = new Map(repo.commits.get(head).tree);
  const seen = new Set();
  for (const { key, value } of lines) {
    if (typeof value?.path !== "string" || seen.has(value.path) || value.path.startsWith("/") || value.path.split("/").includes("..")) bad(`path ${value?.path}`);
    seen.add(value.path);
    if (key === "file") {
      if (value.encoding !== "base64" || typeof value.content !== "string") bad(`file ${value.path}`);
      const content = Buffer.from(value.content, "base64");
      if (isLfs(value.path) && content.length) bad(`${value.path} has to be an LFS file`);
      tree.set(value.path, { content });
    } else if (key === "lfsFile") {
      if (value.algo !== "sha256" || repo.lfs.get(value.oid)?.length !== value.size) bad(`LFS pointer of ${value.path} names what is not there`);
      tree.set(value.path, { lfs: value.oid, size: value.size });
    } else if (key === "deletedFile") {
      if (!tree.delete(value.path)) bad(`${value.path} does not exist`);
    } else {
      bad(`unknown operation ${key}`);
    }
  }
  const oid = newCommit(repo, head, first.value.summary, first.value.description, tree);
  repo.branches.set(revision, oid);
  if (mode.converts) repo.converts.set("refs/convert/parquet", oid);
  return json({ success: true, commitOid: oid, commitUrl: `${asked.base}/datasets/${repo.id}/commit/${oid}`, hookOutput: "" });
}

function commits(repo, revision) {
  const list = [];
  for (let c = commitOf(repo, revision); c; c = repo.commits.get(c.parent)) list.push({ id: c.oid, title: c.title, message: c.message, date: c.date, authors: [{ user: "someone" }] });
  return json(list);
}

function tree(asked, repo, revision) {
  if (asked.query.get("recursive") !== "true" && asked.query.get("recursive") !== "1") bad("This service lists whole trees alone.");
  const all = [...commitOf(repo, revision).tree].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([path, f]) => (f.lfs
    ? { type: "file", path, size: f.size, oid: git("blob", Buffer.from(pointer(f))), lfs: { oid: f.lfs, size: f.size, pointerSize: pointer(f).length } }
    : { type: "file", path, size: f.content.length, oid: git("blob", f.content) }));
  return paged(asked, all);
}

const pointer = (f) => `version https://git-lfs.github.com/spec/v1\noid sha256:${f.lfs}\nsize ${f.size}\n`;

function paged(asked, all) {
  const from = Number(asked.query.get("cursor") ?? 0);
  const more = from + mode.page < all.length;
  const next = new URLSearchParams(asked.query);
  next.set("cursor", String(from + mode.page));
  return json(all.slice(from, from + mode.page), 200, more ? { link: `<${asked.base}${asked.path}?${next}>; rel="next"` } : {});
}

/* ---- references ---- */

function refs(repo) {
  const list = (map, prefix) => [...map].map(([name, oid]) => ({ name, ref: `${prefix}${name}`, targetCommit: oid }));
  return json({ branches: list(repo.branches, "refs/heads/"), tags: list(repo.tags, "refs/tags/"), converts: [...repo.converts].map(([ref, oid]) => ({ name: ref.split("/").at(-1), ref, targetCommit: oid })) });
}

function tag(asked, repo, name) {
  needWrite(asked);
  if (asked.method === "DELETE") {
    if (!repo.tags.delete(name)) throw new Refusal(404, "RevisionNotFound", `Tag ${name} does not exist`);
    collect(repo);
    return json({ success: true });
  }
  const { tag: wanted } = parse(asked);
  if (!wanted) bad("tag");
  if (repo.tags.has(wanted)) throw new Refusal(409, "Conflict", "Tag already exists");
  repo.tags.set(wanted, commitOf(repo, name).oid);
  return json({ success: true });
}

/* ---- erasing ---- */

function lfsFiles(asked, repo) {
  needWrite(asked);
  const names = new Map();
  for (const c of repo.commits.values()) for (const [path, f] of c.tree) if (f.lfs) names.set(f.lfs, path);
  return paged(asked, [...repo.lfs].map(([fileOid, body]) => ({ fileOid, filename: names.get(fileOid) ?? "", oid: fileOid.slice(0, 24), pushedAt: new Date().toISOString(), ref: "main", size: body.length })));
}

function lfsDelete(asked, repo) {
  needWrite(asked);
  const { deletions } = parse(asked);
  if (!Array.isArray(deletions?.sha) || !deletions.sha.length || deletions.sha.length > 1000 || typeof deletions.rewriteHistory !== "boolean") bad("deletions");
  const gone = new Set(deletions.sha);
  for (const oid of gone) repo.lfs.delete(oid);
  if (!deletions.rewriteHistory || !mode.rewrites) return json({ success: true });
  // Every commit that held one of them is written anew, and so are those after it.
  const renamed = new Map();
  const order = [];
  const place = (oid) => { const c = repo.commits.get(oid); if (!c || order.includes(oid)) return; place(c.parent); order.push(oid); };
  for (const oid of repo.commits.keys()) place(oid);
  for (const oid of order) {
    const c = repo.commits.get(oid);
    const kept = new Map([...c.tree].filter(([, f]) => !f.lfs || !gone.has(f.lfs)));
    if (kept.size === c.tree.size && !renamed.has(c.parent)) continue;
    renamed.set(oid, newCommit(repo, renamed.get(c.parent) ?? c.parent, c.title, c.message, kept));
  }
  for (const map of [repo.branches, repo.tags]) for (const [name, oid] of map) if (renamed.has(oid)) map.set(name, renamed.get(oid));
  collect(repo);
  return json({ success: true });
}

function squash(asked, repo, branch) {
  needWrite(asked);
  const { message } = parse(asked);
  const head = repo.commits.get(repo.branches.get(branch) ?? "");
  if (!head) throw new Refusal(404, "RevisionNotFound", `Invalid rev id: ${branch}`);
  repo.branches.set(branch, newCommit(repo, null, message ?? "Super-squash", "", head.tree));
  collect(repo);
  return json({ success: true });
}

function resolve(asked, repo, revision, path) {
  const f = commitOf(repo, revision).tree.get(path);
  const role = roleOf(asked);
  if (!f) throw new Refusal(404, "EntryNotFound", "Entry not found");
  if (repo.gated && !role && !mode.leak) throw new Refusal(401, "GatedRepo", `Access to dataset ${repo.id} is restricted. You must have access to it and be authenticated to access it.`);
  const body = f.lfs ? repo.lfs.get(f.lfs) : f.content;
  if (!body) throw new Refusal(404, "EntryNotFound", "The LFS object is gone");
  return { headers: { etag: `"${f.lfs ?? git("blob", f.content)}"`, "x-repo-commit": commitOf(repo, revision).oid }, body };
}

/* ---- the service ---- */

const API = /^\/api\/datasets\/([^/]+\/[^/]+)(?:\/(settings|preupload|commit|commits|tree|refs|tag|revision|lfs-files|super-squash)(?:\/(.+))?)?$/;

function opOf({ method, path }) {
  if (path === "/api/repos/create") return "create";
  if (path === "/api/repos/delete") return "delete_repo";
  const lfs = /^\/_lfs\/(put|part|complete)\//.exec(path);
  if (lfs) return `lfs_${lfs[1]}`;
  if (path.endsWith("/info/lfs/objects/batch")) return "lfs_batch";
  if (path.endsWith("/info/lfs/objects/verify")) return "lfs_verify";
  if (/\/resolve\//.test(path)) return "resolve";
  const api = API.exec(path);
  if (!api) return "unknown";
  if (api[2] === "lfs-files") return api[3] === "batch" ? "lfs_delete" : "lfs_list";
  if (api[2] === "tag" && method === "DELETE") return "untag";
  return api[2]?.replace("super-squash", "squash") ?? "info";
}

const methods = { create: "POST", delete_repo: "DELETE", settings: "PUT", preupload: "POST", commit: "POST", tag: "POST", untag: "DELETE", lfs_batch: "POST", lfs_verify: "POST", lfs_delete: "POST", squash: "POST" };

function handle(asked) {
  asked.base = `http://${asked.headers.host}`;
  if (methods[asked.op] && methods[asked.op] !== asked.method) throw new Refusal(405, "MethodNotAllowed", asked.method);
  if (asked.op === "create") return create(asked);
  if (asked.op === "delete_repo") return removeRepo(asked);
  const path = decodeURIComponent(asked.path);
  const stored = /^\/_lfs\/(\w+)\/([^/]+\/[^/]+)\/([0-9a-f]{64})$/.exec(path);
  if (stored) return storage(asked, stored[1], repos.get(stored[2]), stored[3]);
  const lfs = /^\/datasets\/(.+)\.git\/info\/lfs\/objects\/(batch|verify)$/.exec(path);
  if (lfs) return (lfs[2] === "batch" ? lfsBatch : verify)(asked, repoFor(asked, lfs[1]));
  const file = /^\/datasets\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
  if (file) return resolve(asked, repoFor(asked, file[1]), file[2], file[3]);
  const api = API.exec(path);
  if (!api) throw new Refusal(404, "NotFound", "Sorry, we can't find the page you are looking for.");
  const repo = repoFor(asked, api[1]);
  switch (asked.op) {
    case "info": return info(asked, repo, "main");
    case "revision": return info(asked, repo, api[3]);
    case "settings": return settings(asked, repo);
    case "preupload": return preupload(asked, repo, api[3]);
    case "commit": return commit(asked, repo, api[3]);
    case "commits": return commits(repo, api[3]);
    case "tree": return tree(asked, repo, api[3]);
    case "refs": return refs(repo);
    case "tag": case "untag": return tag(asked, repo, api[3]);
    case "lfs_list": return lfsFiles(asked, repo);
    case "lfs_delete": return lfsDelete(asked, repo);
    default: return squash(asked, repo, api[3]);
  }
}

function refusal(e) {
  return json({ error: e.message }, e.status, { "x-error-code": e.code, "x-error-message": e.message.replace(/[^\x20-\x7e]/g, "?"), ...e.headers });
}

function state(change) {
  Object.assign(mode, change?.mode ?? {});
  for (const [id, over] of Object.entries(change?.repos ?? {})) Object.assign(repos.get(id) ?? makeRepo(id, over.private ?? false), over);
  if (change?.convert) { const r = repos.get(change.convert); r.converts.set("refs/convert/parquet", r.branches.get("main")); }
  if (change?.unconvert) repos.get(change.unconvert).converts.clear();
  return { mode, repos: Object.fromEntries([...repos].map(([id, r]) => [id, {
    private: r.private, gated: r.gated, head: r.branches.get("main"), tags: Object.fromEntries(r.tags), converts: [...r.converts.keys()],
    commits: [...r.commits.values()].map((c) => ({ oid: c.oid, parent: c.parent, title: c.title })),
    files: Object.fromEntries([...r.commits.get(r.branches.get("main")).tree].map(([p, f]) => [p, f.lfs ?? sha256(f.content)])),
    lfs: [...r.lfs.keys()], staged: [...r.staged.keys()],
  }])) };
}

serve({ handle, opOf, refusal, state, port: Number(process.env.PORT ?? 0) });
