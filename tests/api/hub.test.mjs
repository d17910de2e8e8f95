// The stock npm client of the Hugging Face Hub, pointed at this server by its endpoint setting: lists and downloads a gated release with a token, and is refused without one.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { listFiles, downloadFile, datasetInfo, fileDownloadInfo, fileExists, pathsInfo, repoExists, checkRepoAccess, snapshotDownload } from "@huggingface/hub";
import { published } from "./published.mjs";

let here, hubUrl, token, personal, files;
const path = () => `/api/v1/coops/${here.slug}`;
const repo = { type: "dataset", name: "alpine/releases" };
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const all = async (cursor) => { const out = []; for await (const x of cursor) out.push(x); return out; };
const bytesOf = async (blob) => Buffer.from(await blob.arrayBuffer());
const quiet = async (work) => { const { debug } = console; console.debug = () => {}; try { return await work(); } finally { console.debug = debug; } };

before(async () => {
  here = await published();
  hubUrl = here.server.url;
  const { terms_sha256 } = (await here.outsider.get(`${path()}/access-terms`)).body;
  const request = await here.outsider.post(`${path()}/access-requests`, { purpose: "scientific", description: "Comparing what small models learn.", terms_sha256 });
  assert.equal(request.status, 201, request.text);
  const decided = await here.admin.post(`${path()}/access-requests/${request.body.id}/decision`, { decision: "grant" });
  assert.equal(decided.status, 200, decided.text);
  const made = await here.outsider.post(`${path()}/grants/${decided.body.grant}/token`);
  assert.equal(made.status, 201, made.text);
  token = `hf_${made.body.token}`; // the client takes no token without this prefix
  personal = `hf_${here.outsider.token}`;
  files = (await here.anyone().get(`${path()}/releases/latest/files`)).body.items;
});
after(() => here?.stop());

test("the dataset is described with its gate, revision and version", async () => {
  const info = await datasetInfo({ name: repo.name, hubUrl, additionalFields: ["sha", "author", "tags"] });
  assert.equal(info.name, "alpine/releases");
  assert.equal(info.gated, "manual");
  assert.equal(info.private, false);
  assert.equal(info.author, "alpine");
  assert.match(info.sha, /^[0-9a-f]{40}$/);
  assert.ok(here.release.manifest_sha256.startsWith(info.sha));
  assert.equal(info.updatedAt.toISOString(), new Date(here.release.published_at).toISOString());
  for (const revision of ["main", here.release.version, `v${here.release.version}`, info.sha])
    assert.equal((await datasetInfo({ name: repo.name, hubUrl, revision, additionalFields: ["sha"] })).sha, info.sha);
});

test("repositories that are there are told from those that are not", async () => {
  assert.equal(await repoExists({ repo, hubUrl }), true);
  await checkRepoAccess({ repo, hubUrl, accessToken: token });
  assert.equal(await repoExists({ repo: { type: "dataset", name: "alpine/models" }, hubUrl }), false);
  assert.equal(await repoExists({ repo: { type: "dataset", name: "nobody/releases" }, hubUrl }), false);
});

test("every file is listed with its size and SHA-256, folders too", async () => {
  const tree = await all(listFiles({ repo, hubUrl, recursive: true, accessToken: token }));
  const listed = tree.filter((e) => e.type === "file");
  for (const f of files) {
    const entry = listed.find((e) => e.path === f.path);
    assert.ok(entry, f.path);
    assert.equal(entry.size, f.size);
    assert.equal(entry.lfs.oid, f.sha256);
  }
  for (const seal of ["manifest.json", "manifest.dsse.json", "SHA256SUMS", "SHA256SUMS.minisig", "checkpoint", "release.tlog-proof"])
    assert.ok(listed.some((e) => e.path === seal), seal);
  assert.equal(listed.length, files.length + 6);
  assert.deepEqual(tree.filter((e) => e.type === "directory").map((e) => e.path), ["LICENSES", "data", "data/example"]);
});

test("a folder is listed by itself, and a page of files leads to the next", async () => {
  const top = await all(listFiles({ repo, hubUrl }));
  assert.ok(top.some((e) => e.type === "directory" && e.path === "data"));
  assert.ok(top.every((e) => !e.path.includes("/")));
  const below = await all(listFiles({ repo, hubUrl, path: "data", recursive: true, expand: true }));
  assert.ok(below.length > 1 && below.every((e) => e.path.startsWith("data/")));
  assert.match(below[0].lastCommit.title, /^Release /);
  await assert.rejects(all(listFiles({ repo, hubUrl, path: "dat" })), { statusCode: 404 });
  let pages = 0;
  const small = (url, init) => { pages++; return fetch(`${url}${/limit=/.test(url) ? "" : "&limit=3"}`, init); };
  const paged = await all(listFiles({ repo, hubUrl, recursive: true, fetch: small }));
  assert.deepEqual(paged.map((e) => e.path), (await all(listFiles({ repo, hubUrl, recursive: true }))).map((e) => e.path));
  assert.equal(pages, Math.ceil(paged.length / 3));
});

test("files are downloaded with a download token, byte for byte", async () => {
  for (const f of files) {
    const bytes = await bytesOf(await downloadFile({ repo, path: f.path, hubUrl, accessToken: token }));
    assert.equal(bytes.length, f.size, f.path);
    assert.equal(sha256(bytes), f.sha256, f.path);
  }
});

test("a personal token of who holds the grant opens the same, and a part can be asked for", async () => {
  const blob = await downloadFile({ repo, path: "manifest.json", revision: here.release.version, hubUrl, accessToken: personal });
  const whole = await bytesOf(blob);
  assert.equal(sha256(whole), here.release.manifest_sha256);
  assert.deepEqual(await bytesOf(blob.slice(10, 30)), whole.subarray(10, 30));
});

test("what one asks of a file is its size and its SHA-256 as ETag", async () => {
  const shard = files.find((f) => f.path.startsWith("data/"));
  const info = await fileDownloadInfo({ repo, path: shard.path, hubUrl, accessToken: token });
  assert.equal(info.size, shard.size);
  assert.equal(info.etag, `"${shard.sha256}"`);
  assert.equal(info.xet, undefined);
  assert.equal(await fileExists({ repo, path: shard.path, hubUrl, accessToken: token }), true);
  assert.equal(await fileExists({ repo, path: "data/nothing", hubUrl, accessToken: token }), false);
  assert.equal(await fileDownloadInfo({ repo, path: "nothing", hubUrl, accessToken: token }), null);
  const paths = await pathsInfo({ repo, hubUrl, paths: [shard.path, "nothing"], expand: true, accessToken: token });
  assert.equal(paths.length, 1);
  assert.equal(paths[0].lfs.oid, shard.sha256);
});

test("HEAD tells revision, size and tag without a byte", async () => {
  const shard = files.find((f) => f.path.startsWith("data/"));
  const answer = await fetch(`${hubUrl}/datasets/${repo.name}/resolve/main/${shard.path}`, { method: "HEAD", headers: { authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("x-repo-commit"), here.release.manifest_sha256.slice(0, 40));
  assert.equal(answer.headers.get("x-linked-size"), String(shard.size));
  assert.equal(answer.headers.get("content-length"), String(shard.size));
  assert.equal(answer.headers.get("x-linked-etag"), `"${shard.sha256}"`);
});

test("without a token nothing is downloaded, with another's neither", async () => {
  const refused = async (accessToken, statusCode) => {
    await assert.rejects(downloadFile({ repo, path: "README.md", hubUrl, accessToken }), (e) => e.statusCode === statusCode && /\S/.test(e.message));
    const answer = await fetch(`${hubUrl}/datasets/${repo.name}/resolve/main/README.md`, { headers: accessToken ? { authorization: `Bearer ${accessToken}` } : {} });
    assert.equal(answer.status, statusCode);
    return answer;
  };
  assert.equal((await refused(undefined, 401)).headers.get("x-error-code"), "GatedRepo");
  assert.equal((await refused(`hf_${here.member.token}`, 403)).headers.get("x-error-code"), "GatedRepo");
  await refused(`${token.slice(0, -4)}AAAA`, 401);
  await refused("hf_ch_pat_0123456789012345678901234567890123456789012", 401);
});

test("what is not there says what is missing", async () => {
  const code = async (url) => {
    const answer = await fetch(hubUrl + url, { headers: { authorization: `Bearer ${token}` } });
    return [answer.status, answer.headers.get("x-error-code")];
  };
  assert.deepEqual(await code("/datasets/alpine/models/resolve/main/README.md"), [404, "RepoNotFound"]);
  assert.deepEqual(await code("/datasets/alpine/releases/resolve/9.9.9/README.md"), [404, "RevisionNotFound"]);
  assert.deepEqual(await code("/datasets/alpine/releases/resolve/main/nothing"), [404, "EntryNotFound"]);
  assert.equal((await code("/datasets/alpine/releases/resolve/main/..%2f..%2f..%2fetc%2fpasswd"))[0], 400);
  assert.deepEqual(await code("/api/datasets/alpine/releases/tree/nowhere"), [404, "RevisionNotFound"]);
});

test("a snapshot of everything verifies offline", async () => {
  const cacheDir = mkdtempSync(join(tmpdir(), "hub-"));
  try {
    const folder = await quiet(() => snapshotDownload({ repo, hubUrl, accessToken: token, cacheDir }));
    execFileSync("sha256sum", ["--strict", "--quiet", "-c", "SHA256SUMS"], { cwd: folder });
    assert.equal(sha256(readFileSync(join(folder, "manifest.json"))), here.release.manifest_sha256);
    assert.equal(readFileSync(join(folder, "tombstones.jsonl")).length, 0);
  } finally {
    rmSync(cacheDir, { recursive: true, force: true });
  }
});

test("a token that has run out is refused", async () => {
  await here.at("2026-02-11T12:00:00Z");
  hubUrl = here.server.url;
  await assert.rejects(downloadFile({ repo, path: "README.md", hubUrl, accessToken: token }), { statusCode: 401 });
  await downloadFile({ repo, path: "README.md", hubUrl, accessToken: personal });
});
