// What is held about people, and the archive of it.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { untar, rows } from "../tar.mjs";

export default function (here) {
  const { anyone, coop, ok } = here;
  const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
  const credentials = { email: "hanna@example.org", password: "what is mine is mine" };
  let headers, archive;

  test("everybody can read where personal data are kept, on what ground and until when", async () => {
    const { items } = ok(200, await anyone().get("/api/v1/holdings"));
    assert.ok(items.find((h) => h.table === "contribution_content" && h.end === "deleted"));
    assert.ok(items.every((h) => (h.end === "deleted") === (h.reason === null)));
  });

  test("an archive is handed to whoever proves that it is theirs, and to no token", async () => {
    const hanna = anyone();
    ok(201, await hanna.post("/api/v1/accounts", { ...credentials, name: "Hanna" }));
    const cookie = (await hanna.post("/api/v1/sessions", credentials)).headers.get("set-cookie").split(";")[0];
    headers = { cookie, "x-csrf-token": ok(200, await hanna.get("/api/v1/me", { headers: { cookie } })).csrf };
    assert.equal((await anyone().get("/api/v1/me/archive")).status, 401);
    const { ada } = here.people();
    assert.equal((await ada.post("/api/v1/me/archive", {})).body.reason, "session_needed");
    assert.equal((await hanna.post("/api/v1/me/archive", {}, { headers })).body.reason, "proof_needed");
    assert.equal((await hanna.post("/api/v1/me/archive", { current_password: "not this one" }, { headers })).status, 401);
    assert.equal((await hanna.get("/api/v1/me/archive", { headers: { cookie } })).body.reason, "proof_needed");
    const answer = await hanna.post("/api/v1/me/archive", { current_password: credentials.password }, { headers });
    ok(200, answer);
    assert.equal(answer.headers.get("content-type"), "application/x-tar");
    assert.match(answer.headers.get("content-disposition"), /^attachment; filename="commonhold-archive-\d{4}-\d\d-\d\d\.tar"$/);
    archive = untar(answer.bytes);
    const manifest = JSON.parse(archive.get("archive.json"));
    assert.deepEqual([...archive.keys()], [...manifest.members.map((m) => m.path), "archive.json", "archive.dsse.json"]);
    for (const member of manifest.members) assert.equal(sha256(archive.get(member.path)), member.sha256, member.path);
    assert.equal(rows(archive.get("account.jsonl"))[0].email, credentials.email);
    assert.ok(!answer.text.includes(cookie.split("=")[1]), "no secret is in it");
    const mails = rows(untar((await hanna.post("/api/v1/me/archive", { current_password: credentials.password }, { headers })).bytes).get("notices.jsonl"));
    assert.ok(mails.find((n) => n.kind === "account.archive_taken"), "the first one was told of");
  });

  test("without a password a fresh sign-in is proof", async () => {
    const hanna = anyone();
    here.world().sql(`UPDATE account SET password_hash = NULL WHERE email = '${credentials.email}'`);
    ok(200, await hanna.get("/api/v1/me/archive", { headers: { cookie: headers.cookie } }));
    const one = await hanna.get(`/api/v1/me/archive?coop=${coop.split("/").pop()}`, { headers: { cookie: headers.cookie } });
    assert.equal(JSON.parse(untar(one.bytes).get("archive.json")).scope, "coop");
    assert.equal((await hanna.get("/api/v1/me/archive?coop=nowhere", { headers: { cookie: headers.cookie } })).status, 404);
  });

  test("what is no archive is refused with nothing taken", async () => {
    const { ada } = here.people();
    const send = (body, query = "") => ada.request("POST", `${coop}/archives${query}`, { body, type: "application/x-tar" });
    assert.equal((await send(Buffer.from("not a tar at all"))).body.reason, "archive_corrupt");
    assert.equal((await send(Buffer.alloc(1024))).body.reason, "archive_corrupt");
    assert.equal((await send(Buffer.alloc(1024), "?key=abc")).body.errors[0].pointer, "query/key");
  });

  test("one's archive of one co-op is contributed again, and is there already", async () => {
    const { ada } = here.people();
    const cookie = (await anyone().post("/api/v1/sessions", { email: ada.email, password: ada.password })).headers.get("set-cookie").split(";")[0];
    const { csrf } = ok(200, await anyone().get("/api/v1/me", { headers: { cookie } }));
    const taken = await anyone().post("/api/v1/me/archive", { current_password: ada.password, coop: coop.split("/").pop() }, { headers: { cookie, "x-csrf-token": csrf } });
    ok(200, taken);
    const report = ok(200, await ada.request("POST", `${coop}/archives`, { body: taken.bytes, type: "application/x-tar" }));
    assert.equal(report.seen, JSON.parse(untar(taken.bytes).get("archive.json")).coops[0].contributions);
    assert.equal(report.approved + report.pending, 0);
  });
}
