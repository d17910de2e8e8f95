// Where a mirror that the instance keeps itself lies. What goes there is for adapters.test.mjs; here the place cannot be reached.
import { test } from "node:test";
import assert from "node:assert/strict";

export default function (here) {
  const { coop, ok } = here;

  test("a mirror's place is set by an admin, told without its credentials, tried again and forgotten", async () => {
    const { ada, carl } = here.people();
    const { mirror } = ok(201, await ada.post(`${coop}/mirrors`, { name: "A bucket", kind: "s3" }));
    const target = `${coop}/mirrors/${mirror.id}/target`;
    assert.equal((await ada.get(target)).status, 404);
    const wanted = { endpoint: "https://s3.invalid", place: "mirror", prefix: "alpine", region: "eu-test-1", audience: "members", confirm: true, key_id: "AKIAEXAMPLE", secret: "not to be seen" };
    assert.equal((await carl.put(target, wanted)).status, 403);
    assert.equal((await ada.put(target, { ...wanted, confirm: false })).status, 422);
    const set = ok(200, await ada.put(target, wanted));
    assert.deepEqual([set.kind, set.audience, set.confirmed_by, set.copies], ["s3", "members", ada.account, []]);
    for (const answer of [await ada.get(target), await ada.post(`${target}/retry`), await ada.put(target, { ...wanted, key_id: undefined, secret: undefined })]) {
      ok(200, answer);
      assert.ok(!/AKIAEXAMPLE|not to be seen/.test(answer.text));
    }
    assert.equal((await ada.put(target, { ...wanted, place: "elsewhere", key_id: undefined, secret: undefined })).body.errors[0].pointer, "/secret", "credentials go nowhere but where they were given for");
    assert.equal((await ada.delete(`${target}?erase=false`)).status, 204);
    assert.equal((await ada.get(target)).status, 404);
    ok(200, await ada.post(`${coop}/mirrors/${mirror.id}/state`, { state: "ended" }));
  });
}
