// A person proves an address, sets a second factor, loses both and comes back: every operation of signing in.
import { test } from "node:test";
import assert from "node:assert/strict";
import { totp } from "../totp.mjs";

export default function (here) {
  const { anyone, ok } = here;
  const email = "fay@example.org", password = "a long enough secret";
  let fay, secret, codes;

  // Somebody whose cookies are kept, as a browser keeps them.
  const browser = () => {
    const client = anyone(), jar = new Map(), original = client.request.bind(client);
    client.request = async (method, path, options = {}) => {
      const headers = { ...options.headers, cookie: [...jar].map((c) => c.join("=")).join("; "), ...(client.csrf ? { "x-csrf-token": client.csrf } : {}) };
      const answer = await original(method, path, { ...options, headers });
      for (const line of answer.headers.getSetCookie()) {
        const [name, value] = line.split(";")[0].split("=");
        value ? jar.set(name, value) : jar.delete(name);
      }
      return answer;
    };
    client.signedIn = async () => { client.csrf = ok(200, await client.get("/api/v1/me")).csrf; return client; };
    return client;
  };
  // By the server's own clock.
  const now = async () => Date.parse((await anyone().get("/healthz")).headers.get("date"));
  const refused = (answer, status, code, reason) => assert.deepEqual([answer.status, answer.body?.code, answer.body?.reason], [status, code, reason], answer.text);

  test("a new address is proved by the link that is mailed to it", async () => {
    fay = browser();
    assert.equal(ok(201, await fay.post("/api/v1/accounts", { email, name: "Fay", password })).email_verified_at, null);
    ok(201, await fay.post("/api/v1/sessions", { email, password }));
    await fay.signedIn();
    refused(await fay.post("/api/v1/me/factor", { current_password: password }), 422, "refused", "email_unverified");
    const link = await here.mails().link(email);
    refused(await anyone().post("/api/v1/sign-in-links/use", { secret: link }), 403, "forbidden", "link_other_browser");
    const proved = ok(201, await fay.post("/api/v1/sign-in-links/use", { secret: link }));
    assert.ok(proved.account.email_verified_at && proved.expires_at === null);
    refused(await fay.post("/api/v1/sign-in-links/use", { secret: link }), 410, "gone", "link_used");
    refused(await fay.post("/api/v1/sign-in-links/use", { secret: "ch_link_forged" }), 401, "token_invalid", "link_unknown");
  });

  test("a mailed link signs in, and answers alike for an address without an account", async () => {
    const asks = browser();
    ok(202, await asks.post("/api/v1/sign-in-links", { email }));
    ok(202, await asks.post("/api/v1/sign-in-links", { email: "nobody@example.org" }));
    ok(201, await asks.post("/api/v1/sign-in-links/use", { secret: await here.mails().link(email) }));
    await asks.signedIn();
    assert.ok(ok(200, await asks.get("/api/v1/sessions")).items.some((s) => s.how === "link" && s.current));
    assert.equal((await asks.delete("/api/v1/sessions/others")).status, 204);
    assert.equal((await fay.get("/api/v1/me")).status, 401);
    assert.equal((await asks.delete("/api/v1/sessions/all")).status, 204);
    assert.equal((await asks.get("/api/v1/me")).status, 401);
  });

  test("a second factor is set up, asked for, renewed and ended", async () => {
    fay = browser();
    ok(201, await fay.post("/api/v1/sessions", { email, password }));
    await fay.signedIn();
    assert.equal(ok(200, await fay.get("/api/v1/me/factor")).on, false);
    refused(await fay.post("/api/v1/me/factor", {}), 422, "invalid", "proof_needed");
    const setup = ok(201, await fay.post("/api/v1/me/factor", { current_password: password }));
    secret = setup.secret;
    assert.match(setup.uri, new RegExp(`^otpauth://totp/.*secret=${secret}&`));
    refused(await fay.post("/api/v1/me/factor/confirm", { code: "000000" }), 401, "bad_credentials", "factor_wrong");
    codes = ok(200, await fay.post("/api/v1/me/factor/confirm", { code: totp(secret, await now()) })).recovery_codes;
    const again = browser();
    refused(await again.post("/api/v1/sessions", { email, password }), 401, "unauthenticated", "factor_needed");
    ok(201, await again.post("/api/v1/sessions", { email, password, code: codes[0] }));
    refused(await again.post("/api/v1/sessions", { email, password, code: codes[0] }), 401, "bad_credentials", "recovery_used");
    const newer = ok(200, await fay.post("/api/v1/me/factor/recovery-codes", { code: codes[1] })).recovery_codes;
    assert.equal(ok(200, await fay.get("/api/v1/me/factor")).recovery_codes_left, 10);
    assert.equal((await fay.post("/api/v1/me/factor/end", { code: newer[0] })).status, 204);
  });

  test("a password is changed by proof; an identity is listed and parted from", async () => {
    assert.equal((await fay.put("/api/v1/me/password", { password: "another good one", current_password: password })).status, 204);
    const { id } = ok(200, await fay.get("/api/v1/me"));
    here.world().sql(`INSERT INTO account_identity (issuer, subject, account_id, linked_at) VALUES ('https://op.example', '1', '${id}', commonhold_now())`);
    assert.equal(ok(200, await fay.get("/api/v1/me/identities")).items[0].issuer, "https://op.example");
    assert.equal((await fay.post("/api/v1/me/identities/end", { issuer: "https://op.example", current_password: "another good one" })).status, 204);
    assert.deepEqual(ok(200, await fay.get("/api/v1/me/identities")).items, []);
  });
}
