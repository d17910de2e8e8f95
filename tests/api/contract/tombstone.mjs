// The feed of tombstones, whatever is in it by now: lines that number themselves, and its signed head. What happens to releases is tested in ../redaction.test.mjs.
import { test } from "node:test";
import assert from "node:assert/strict";

export default function (here) {
  const { anyone, coop } = here;

  test("anybody reads what is to be deleted from every copy", async () => {
    const all = await anyone().get(`${coop}/tombstones`);
    assert.equal(all.status, 200, all.text);
    const lines = all.text.trimEnd().split("\n").map((line) => JSON.parse(line)), head = lines.pop();
    assert.equal(head.payloadType, "application/vnd.commonhold.tombstone-head+json");
    const said = JSON.parse(Buffer.from(head.payload, "base64"));
    assert.deepEqual(lines.map((t) => t.idx), lines.map((_, i) => i));
    assert.equal(said.upto, lines.length - 1);
    assert.equal((await anyone().get(`${coop}/tombstones`, { headers: { "if-none-match": all.headers.get("etag") } })).status, 304);
    assert.equal((await anyone().get(`${coop}/tombstones?since=${said.upto}`)).text.trimEnd().split("\n").length, 1);
    const asked = await anyone().get(`${coop}/tombstones?since=never`);
    assert.deepEqual([asked.status, asked.body.code], [400, "bad_request"]);
  });
}
