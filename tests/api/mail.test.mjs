// Mail through a real mail server: what arrives, what is tried again, what is refused, and what a person can do about it.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Authority, Mailbox } from "./mailbox.mjs";
import { binary } from "./server.mjs";
import { World, until } from "./world.mjs";

const host = "mail.localhost"; // resolves to this machine, but is not excused from TLS
const credentials = { user: "commonhold", password: "pass-word-of-the-relay" };
let folder, authority, other, box, world, ada, bea;

const settingsFor = (port, over = {}) => ({
  COMMONHOLD_SMTP_URL: `smtp://${host}:${port}`, COMMONHOLD_SMTP_CA: authority.file, COMMONHOLD_SMTP_USER: credentials.user, COMMONHOLD_SMTP_PASSWORD: credentials.password,
  COMMONHOLD_MAIL_FROM: "Commonhold für alle <mail@coop.example>", COMMONHOLD_MAIL_BOUNCES: "bounces@coop.example", COMMONHOLD_LOG: "info", ...over,
});

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "ch-mail-"));
  authority = new Authority(folder);
  other = new Authority(folder, "stranger");
  box = await Mailbox.begin({ identity: authority.issue(host), ...credentials });
  world = await World.begin({ clock: "2026-03-02T09:00:00Z", env: settingsFor(box.port) });
  [ada, bea] = await Promise.all([world.person("Ada Örn"), world.person("Bea")]);
});
after(async () => {
  try { await world?.end(); } finally {
    await box?.end();
    if (folder) rmSync(folder, { recursive: true, force: true });
  }
});

let told = 0;
const quote = (text) => `'${text.replaceAll("'", "''")}'`;
// What notify_send writes, for notices that no act of this test causes.
function tell(person, kind, data, { essential = false, mail = "now", topic = "ballots" } = {}) {
  const text = quote(JSON.stringify({ title: `Notice ${++told}`, text: "Something happened.", ...data }));
  const now = quote(world.now ?? "2026-03-02T09:00:00Z");
  world.sql(`WITH n AS (INSERT INTO notice (account_id, id, kind, topic, data, essential, mail, at)
      VALUES ('${person.account}', gen_random_uuid(), '${kind}', '${topic}', ${text}, ${essential}, '${mail}', ${now}) RETURNING id),
    m AS (INSERT INTO mail (id, kind, account_id, notice_id, due, queued_at) SELECT gen_random_uuid(), '${kind}', '${person.account}', id, ${now}, ${now} FROM n WHERE '${mail}' = 'now')
    INSERT INTO job (id, kind, args, state, due, queued_at) VALUES (gen_random_uuid(), 'notify.send', '{}', 'waiting', ${now}, ${now})`);
  return `Notice ${told}`;
}
const arrives = (person, subject) => until(() => box.to(person.email).find((m) => m.subject === subject), (m) => m !== undefined, `the mail "${subject}"`);
const settings = async (person) => (await person.get("/api/v1/me/notice-settings")).body;
// Beside this process, which is the mail server: waiting for the program without answering it would be no test.
const doctor = () => new Promise((resolve) => execFile(binary, ["doctor"], { env: world.server.settings }, (error, out, err) => resolve({ status: error?.code ?? 0, out, err })));
const at = async (clock) => { world.now = clock; await world.at(clock); };
const idle = () => until(() => Number(world.sql("SELECT count(*) FROM job WHERE kind = 'notify.send' AND (state = 'running' OR (state = 'waiting' AND key IS DISTINCT FROM 'later'))")[0][0]), (n) => n === 0, "the end of sending");

test("a notice arrives as text and HTML, over TLS, from a signed-in sender, and says how to end it", async () => {
  const subject = "Über 100 Stimmen: <b>Abstimmung</b> über die nächste Veröffentlichung läuft bis Freitag";
  tell(ada, "ballot.opened", { title: subject, text: "Zoë & Ada <script>alert(1)</script>", url: "/coops/x/ballots/1", ballot: "Frei = offen?", closes: "Friday" });
  const mail = await arrives(ada, subject);
  assert.equal(box.secure, true);
  assert.deepEqual(mail.from.value, [{ address: "mail@coop.example", name: "Commonhold für alle" }]);
  assert.equal(mail.headers.get("auto-submitted"), "auto-generated");
  assert.equal(mail.headers.get("content-type").value, "multipart/alternative");
  assert.ok(Math.abs(mail.date - new Date("2026-03-02T09:00:00Z")) < 600_000, "the date is the injected clock's");
  assert.match(mail.messageId, /^<[a-z2-7]{52}@coop\.example>$/);
  assert.match(mail.envelope.mailFrom.address, /^bounces\+[a-z2-7]{52}@coop\.example$/);
  assert.match(mail.text, /Hello Ada Örn,/);
  assert.match(mail.text, /Zoë & Ada <script>alert\(1\)<\/script>/);
  assert.match(mail.text, /Question: Frei = offen\?\nCloses: Friday/);
  assert.ok(mail.text.includes(`Vote:\n${world.url}/coops/x/ballots/1`));
  assert.match(mail.html, /Zoë &amp; Ada &lt;script&gt;/);
  assert.ok(mail.html.includes(`href="${world.url}/coops/x/ballots/1"`));
  assert.ok(!/<script|<img|http-equiv/i.test(mail.html), "nothing runs and nothing is fetched");
  assert.ok(mail.raw.split("\r\n").every((line) => line.length <= 200), "lines are short");
  assert.ok(!/[^\x00-\x7f]/.test(mail.raw), "everything travels as ASCII");
  assert.match(mail.headers.get("list").unsubscribe.url, new RegExp(`^${world.url}/unsubscribe/`));
  assert.equal(mail.headers.get("list")["unsubscribe-post"].name, "List-Unsubscribe=One-Click");
  const inbox = (await ada.get("/api/v1/me/notices?state=unread")).body;
  assert.equal(inbox.unread, 1);
  assert.equal(inbox.items[0].title, subject);
});

test("a name that wants to be a header stays a name", async () => {
  const subject = "Hello\r\nBcc: victim@example.org\r\n\r\nSpam";
  tell(ada, "something.odd", { title: subject });
  const mail = await arrives(ada, "Hello  Bcc: victim@example.org    Spam");
  assert.equal(mail.bcc, undefined);
  assert.deepEqual(mail.envelope.rcptTo.map((r) => r.address), [ada.email]);
});

test("one click ends mail about a topic without signing in, and following the link alone does not", async () => {
  const mail = await arrives(ada, tell(ada, "ballot.closed", {}));
  const url = mail.headers.get("list").unsubscribe.url;
  const page = await fetch(url);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /Stop this mail/);
  const how = async () => (await settings(ada)).topics.find((t) => t.topic === "ballots");
  assert.deepEqual([(await how()).how, (await how()).chosen], ["now", false]);
  const forged = url.slice(0, -1) + (url.endsWith("A") ? "B" : "A");
  assert.equal((await fetch(forged, { method: "POST", body: new URLSearchParams({ "List-Unsubscribe": "One-Click" }) })).status, 404);
  assert.equal((await how()).how, "now");
  const posted = await fetch(url, { method: "POST", body: new URLSearchParams({ "List-Unsubscribe": "One-Click" }), redirect: "manual" });
  assert.equal(posted.status, 200);
  assert.equal((await how()).how, "inbox");
  assert.equal((await settings(bea)).topics.find((t) => t.topic === "ballots").how, "now", "it is nobody else's");
  const back = await ada.put("/api/v1/me/notice-settings", { topics: { ballots: "daily" } });
  assert.equal(back.body.topics.find((t) => t.topic === "ballots").how, "daily");
});

test("what is essential has no unsubscribe link", async () => {
  const mail = await arrives(bea, tell(bea, "membership.lapsed", {}, { essential: true, topic: "membership" }));
  assert.equal(mail.headers.get("list"), undefined);
  assert.match(mail.text, /whatever your settings say/);
});

test("a server that says not now is asked again", async () => {
  box.answers[bea.email] = [451, "4.7.1 Greylisted, come back"];
  const subject = tell(bea, "ballot.opened", {});
  await until(() => world.sql("SELECT attempts, code, said FROM mail WHERE state = 'waiting' AND code IS NOT NULL"), (rows) => rows.length === 1, "the first attempt");
  assert.deepEqual(world.sql("SELECT attempts, code, said FROM mail WHERE state = 'waiting'")[0], ["1", "451", "4.7.1 Greylisted, come back"]);
  delete box.answers[bea.email];
  await at("2026-03-02T09:30:00Z");
  await arrives(bea, subject);
  assert.equal((await settings(bea)).trouble, null);
});

test("a refusal for good is told to the person, and only essential mail is tried until they say that the address works", async () => {
  box.answers[bea.email] = [550, `5.1.1 <${bea.email}> no such user`];
  tell(bea, "ballot.opened", {});
  const trouble = (await until(() => settings(bea), (s) => s.trouble !== null, "the refusal")).trouble;
  assert.deepEqual([trouble.refusals, trouble.unreachable, trouble.status], [1, true, "5.1.1"]);
  assert.equal(trouble.said, "5.1.1 ... no such user", "the address is not kept");
  const asked = box.recipients.length;
  tell(bea, "ballot.closed", {});
  await until(() => world.sql("SELECT count(*) FROM mail WHERE state = 'dropped'")[0][0], (n) => n === "1", "the mail that is not tried");
  assert.equal(box.recipients.length, asked);
  tell(bea, "account.factor_changed", {}, { essential: true, topic: "account" });
  await until(() => settings(bea), (s) => s.refused === 2, "the refusal of the essential one");
  assert.equal(box.recipients.length, asked + 1);
  delete box.answers[bea.email];
  assert.equal((await bea.post("/api/v1/me/notice-settings/retry")).status, 204);
  await arrives(bea, tell(bea, "ballot.opened", {}));
  const now = await settings(bea);
  assert.equal(now.trouble, null);
  assert.equal(now.refused, 2);
});

test("a message that is refused says nothing about the address", async () => {
  box.data = [554, "5.6.0 I do not like it"];
  tell(bea, "ballot.opened", {});
  await until(() => world.sql("SELECT said FROM mail WHERE state = 'refused' AND code = 554"), (rows) => rows.length === 1, "the refusal");
  box.data = undefined;
  assert.equal((await settings(bea)).trouble, null);
});

test("a sender that is refused puts its mail off, and says nothing about the address", async () => {
  box.sender = [553, "5.7.1 Not your address"];
  const subject = tell(bea, "ballot.opened", {});
  await until(() => world.sql("SELECT attempts, code FROM mail WHERE state = 'waiting' AND code = 553"), (rows) => rows.length === 1, "the first attempt");
  box.sender = undefined;
  await arrives(bea, tell(bea, "ballot.closed", {}));
  assert.equal((await settings(bea)).trouble, null);
  await at("2026-03-02T09:50:00Z");
  await arrives(bea, subject);
});

test("many mails share a connection, and what somebody waits for passes them", async () => {
  await idle();
  const before = box.connections, many = 60;
  const now = "(SELECT max(queued_at) FROM mail)";
  world.sql(`WITH n AS (INSERT INTO notice (account_id, id, kind, topic, data, essential, mail, at) SELECT '${bea.account}', gen_random_uuid(), 'ballot.opened', 'ballots',
      '{"title":"Bulk"}', false, 'now', ${now} FROM generate_series(1, ${many}) RETURNING id)
    INSERT INTO mail (id, kind, account_id, notice_id, due, queued_at) SELECT gen_random_uuid(), 'ballot.opened', '${bea.account}', id, ${now}, ${now} FROM n`);
  const anyone = world.client();
  assert.ok((await anyone.post("/api/v1/sign-in-links", { email: ada.email })).status < 300);
  await until(() => box.to(bea.email).filter((m) => m.subject === "Bulk").length, (n) => n === many, "all of them");
  assert.ok(box.connections - before <= 4, `${box.connections - before} connections`);
  const order = box.mail.slice(-(many + 1)).map((m) => m.subject);
  assert.ok(order.indexOf("Sign in to Commonhold") < 21 && order.includes("Sign in to Commonhold"), "the link is early");
});

const report = (mail, { action = "failed", status = "5.1.1", to = "bounces@coop.example", id = mail.messageId } = {}) => [
  "From: MAILER-DAEMON@elsewhere.example", `To: ${to}`, "Subject: Undelivered Mail Returned to Sender", "MIME-Version: 1.0",
  "Content-Type: multipart/report; report-type=delivery-status;", "\tboundary=\"B.1/x\"", "", "This is a MIME-encapsulated message.", "", "--B.1/x",
  "Content-Type: text/plain; charset=us-ascii", "", "I'm sorry.", "", "--B.1/x", "Content-Type: message/delivery-status", "",
  "Reporting-MTA: dns; elsewhere.example", "", `Final-Recipient: rfc822; ${mail.envelope.rcptTo[0].address}`, `Action: ${action}`, `Status: ${status}`,
  `Diagnostic-Code: smtp; 550 ${status}`, `    <${mail.envelope.rcptTo[0].address}>: mailbox gone`, "", "--B.1/x", "Content-Type: text/rfc822-headers", "",
  "From: mail@coop.example", `Message-ID: ${id}`, "Subject: x", "", "--B.1/x--", "",
].join("\r\n");

test("a delivery report that comes back later counts, whether it is found by the return path or by the message's id", async () => {
  const first = await arrives(bea, tell(bea, "ballot.opened", {})), second = await arrives(bea, tell(bea, "ballot.opened", {}));
  const delayed = world.run(["bounce"], { input: report(first, { action: "delayed", status: "4.4.1" }) });
  assert.deepEqual([delayed.status, (await settings(bea)).trouble], [0, null], delayed.err);
  const forged = report(first, { id: first.messageId.replace(/^<[a-z2-7]/, (s) => (s === "<a" ? "<b" : "<a")) });
  assert.equal(world.run(["bounce"], { input: forged }).status, 1);
  assert.equal(world.run(["bounce"], { input: "Subject: hello\r\n\r\nI am no report.\r\n" }).status, 1);
  const byId = world.run(["bounce"], { input: report(first, { status: "5.2.2" }) });
  assert.match(byId.out, /recorded/);
  assert.match(world.run(["bounce"], { input: report(first, { status: "5.2.2" }) }).out, /changes nothing/, "once");
  let { trouble } = await settings(bea);
  assert.deepEqual([trouble.refusals, trouble.unreachable, trouble.status], [1, false, "5.2.2"]);
  assert.ok(!trouble.said.includes(bea.email));
  const byPath = world.run(["bounce"], { input: report(second, { to: second.envelope.mailFrom.address, id: "<lost@elsewhere.example>" }).replaceAll("\r\n", "\n") });
  assert.match(byPath.out, /recorded/, byPath.err);
  ({ trouble } = await settings(bea));
  assert.deepEqual([trouble.refusals, trouble.unreachable], [2, true]);
  assert.equal((await bea.post("/api/v1/me/notice-settings/retry")).status, 204);
});

test("what waited for a summary comes in one mail, the day after", async () => {
  const first = tell(ada, "ballot.opened", { text: "One." }, { mail: "digest" }), second = tell(ada, "ballot.closed", { text: "Two.", url: "/coops/x" }, { mail: "digest" });
  tell(ada, "delegation.act", { text: "Zoë voted for you." }, { mail: "digest", topic: "delegates" });
  await idle();
  const before = box.to(ada.email).length;
  await at("2026-03-03T07:00:00Z");
  const mail = await until(() => box.to(ada.email).find((m) => /^Your summary/.test(m.subject)), (m) => m !== undefined, "the summary");
  assert.equal(mail.subject, "Your summary: 2 notices");
  for (const title of [first, second]) assert.ok(mail.text.includes(title) && mail.html.includes(title));
  await idle();
  assert.equal(box.to(ada.email).length, before + 1, "what delegates did waits for the quarter");
  await at("2026-04-01T07:00:00Z");
  const quarter = await until(() => box.to(ada.email).find((m) => /delegates did/.test(m.subject)), (m) => m !== undefined, "the quarter's summary");
  assert.match(quarter.text, /Zoë voted for you\./);
  const one = await fetch(mail.headers.get("list").unsubscribe.url, { method: "POST", body: new URLSearchParams({ "List-Unsubscribe": "One-Click" }) });
  assert.equal(one.status, 200);
  const how = Object.fromEntries((await settings(ada)).topics.map((t) => [t.topic, t.how]));
  assert.deepEqual([how.ballots, how.delegates, how.releases, how.account], ["inbox", "inbox", "inbox", "now"], "whatever came in summaries stops");
});

test("a server that is down loses nothing", async () => {
  await box.end();
  const subject = tell(bea, "ballot.opened", {});
  await until(() => world.server.log(), (log) => log.includes("mail.server_down"), "the attempt");
  const { port } = box;
  box = await Mailbox.begin({ port, identity: authority.issue(host), ...credentials });
  await at("2026-04-01T07:10:00Z");
  await arrives(bea, subject);
  assert.equal(box.to(bea.email).length, 1);
});

test("without TLS, with a stranger's certificate, or with the wrong password nothing is handed over", async () => {
  const subject = tell(bea, "ballot.opened", {});
  await arrives(bea, subject);
  for (const [what, options, over] of [
    ["plain", { starttls: false, identity: authority.issue(host), ...credentials }, {}],
    ["a stranger's certificate", { identity: other.issue(host), ...credentials }, {}],
    ["a certificate of another host", { identity: authority.issue("elsewhere.localhost"), ...credentials }, {}],
    ["the wrong password", { identity: authority.issue(host), ...credentials }, { COMMONHOLD_SMTP_PASSWORD: "another-secret" }],
  ]) {
    const bad = await Mailbox.begin(options);
    world.env = settingsFor(bad.port, over);
    await at("2026-04-02T07:00:00Z");
    tell(bea, "ballot.opened", {});
    await until(() => world.server.log(), (log) => log.includes("mail.server_down"), `the attempt with ${what}`);
    assert.equal(bad.recipients.length, 0, what);
    const said = await doctor();
    assert.equal(said.status, 1, what);
    assert.match(said.err, /The mail server cannot be used: /, what);
    await bad.end();
  }
  world.env = settingsFor(box.port);
  await at("2026-04-02T08:00:00Z");
  await until(() => box.to(bea.email).length, (n) => n >= 6, "all that waited");
  assert.match((await doctor()).out, /the mail server takes mail from us/);
});

test("neither addresses nor secrets are in the logs", async () => {
  await world.pause();
  for (const secret of [credentials.password, "another-secret", ada.email, bea.email, "Ada Örn"]) assert.ok(!world.logs.includes(secret), secret);
});
