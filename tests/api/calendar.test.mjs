// Calendars as a stock parser (ical.js) reads them: a co-op's, for anybody, and a person's own at a secret address.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import ICAL from "ical.js";
import { published } from "./published.mjs";

const name = "Alpen, Stimmen; und Übriges: ein Name, der so lang ist, dass seine Zeilen gefaltet werden müssen";
let here;

before(async () => { here = await published({ over: { name, membership: { admission: "open" } } }); });
after(() => here?.stop());

const ok = (status, answer) => {
  assert.equal(answer.status, status, answer.text);
  return answer;
};
function parse(text) {
  assert.ok(text.split("\r\n").every((line) => Buffer.byteLength(line) <= 75), "lines are folded");
  assert.ok(!/[^\r]\n/.test(text), "lines end in CRLF");
  const calendar = new ICAL.Component(ICAL.parse(text));
  assert.equal(calendar.getFirstPropertyValue("version"), "2.0");
  assert.ok(calendar.getFirstPropertyValue("prodid"));
  const events = calendar.getAllSubcomponents("vevent").map((c) => {
    for (const required of ["uid", "dtstamp", "dtstart", "summary"]) assert.equal(c.getAllProperties(required).length, 1, required);
    return { uid: c.getFirstPropertyValue("uid"), at: c.getFirstPropertyValue("dtstart").toJSDate().toISOString(), stamp: c.getFirstPropertyValue("dtstamp").toJSDate(),
      summary: c.getFirstPropertyValue("summary"), url: c.getFirstPropertyValue("url"), alarms: c.getAllSubcomponents("valarm").length, sequence: c.getFirstPropertyValue("sequence") };
  });
  assert.equal(new Set(events.map((e) => e.uid)).size, events.length, "every date has an id of its own");
  return events;
}
const path = () => `/api/v1/coops/${here.slug}`;
const calendar = async (client = here.anyone()) => ok(200, await client.get(`${path()}/calendar.ics`));

test("a co-op's calendar tells cut-offs, publications and ballots to anybody", async () => {
  const answer = await calendar();
  assert.match(answer.headers.get("content-type"), /^text\/calendar/);
  const events = parse(answer.text);
  const at = (end) => events.find((e) => e.uid.endsWith(end));
  const release = ok(200, await here.admin.get(`${path()}/releases/${here.release.id}`)).body;
  const ballot = ok(200, await here.admin.get(`${path()}/ballots/${release.ballot}`)).body;
  const same = (event, instant, what) => {
    assert.ok(event, what);
    assert.equal(event.at.slice(0, 19), new Date(instant).toISOString().slice(0, 19), what);
    assert.ok(event.summary.startsWith(`${name}: `), event.summary);
  };
  same(at(`release-${release.id}-cutoff@commonhold`), release.cutoff_at, "the cut-off");
  same(at(`release-${release.id}-published@commonhold`), release.published_at, "the publication");
  same(at(`ballot-${ballot.id}-opens@commonhold`), ballot.opens_at, "the opening");
  assert.ok(at(`ballot-${ballot.id}-closes@commonhold`), "the close");
  assert.ok(!answer.text.includes(ballot.title), "titles of ballots are for members");
  for (const e of events) assert.ok(e.url.startsWith(`${here.server.url}/coops/${here.slug}/`), e.url);
  const ahead = events.filter((e) => new Date(e.at) > new Date("2026-02-11T10:00:00Z"));
  assert.ok(ahead.some((e) => /cut-off/.test(e.summary)), "the next cut-off is there");
});

test("a calendar that has not changed is not sent again", async () => {
  const first = await calendar(), again = await calendar();
  assert.equal(first.text, again.text, "the same bytes");
  const answer = await here.anyone().get(`${path()}/calendar.ics`, { headers: { "if-none-match": first.headers.get("etag") } });
  assert.equal(answer.status, 304);
});

test("a person's calendar has the dates of their co-ops, titles of ballots and their checkup, at an address that opens nothing else", async () => {
  assert.deepEqual(ok(200, await here.member.get("/api/v1/me/calendar")).body, { made_at: null, url: null });
  const { url } = ok(201, await here.member.post("/api/v1/me/calendar")).body;
  const feed = new URL(url).pathname;
  const events = parse(ok(200, await here.anyone().get(feed)).text);
  const due = events.find((e) => e.uid.startsWith("checkup-"));
  assert.equal(due.at.slice(0, 10), "2027-01-01");
  assert.equal(due.alarms, 1);
  const release = ok(200, await here.member.get(`${path()}/releases/${here.release.id}`)).body;
  const ballot = ok(200, await here.member.get(`${path()}/ballots/${release.ballot}`)).body;
  assert.equal(events.find((e) => e.uid.includes(`${ballot.id}-opens`)).summary, `${name}: ${ballot.title} opens`);
  const secret = feed.split("/").pop().replace(/\.ics$/, "");
  assert.equal((await here.anyone().get("/api/v1/me", { headers: { authorization: `Bearer ${secret}` } })).status, 401);
  assert.equal(ok(200, await here.member.get("/api/v1/me/calendar")).body.url, null, "it is told once");
});

test("a new address ends the one before, and ending it ends it", async () => {
  const first = new URL(ok(201, await here.outsider.post("/api/v1/me/calendar")).body.url).pathname;
  assert.deepEqual(parse(ok(200, await here.anyone().get(first)).text), [], "whoever is in no co-op has no dates");
  const second = new URL(ok(201, await here.outsider.post("/api/v1/me/calendar")).body.url).pathname;
  ok(404, await here.anyone().get(first));
  ok(200, await here.anyone().get(second));
  ok(204, await here.outsider.delete("/api/v1/me/calendar"));
  ok(404, await here.anyone().get(second));
  ok(404, await here.anyone().get("/api/v1/calendars/ch_calendar_nonsense.ics"));
});
