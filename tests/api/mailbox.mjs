// A real mail server for tests: smtp-server with STARTTLS and sign-in, which keeps what it is given as mailparser reads it.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { simpleParser } from "mailparser";
import { freePort, PATIENCE } from "./server.mjs";

// A certificate authority of the test's own in a folder, and certificates from it.
export class Authority {
  constructor(dir, name = "ca") {
    this.dir = dir;
    this.name = name;
    this.file = join(dir, `${name}.pem`);
    this.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", `/CN=${name} of the tests`,
      "-keyout", join(dir, `${name}.key`), "-out", this.file);
  }
  openssl(...args) { execFileSync("openssl", args, { stdio: ["ignore", "ignore", "ignore"] }); }
  issue(host) {
    const path = (end) => join(this.dir, `${this.name}-${host}.${end}`);
    this.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${host}`, "-keyout", path("key"), "-out", path("csr"));
    writeFileSync(path("ext"), `subjectAltName=DNS:${host}\n`);
    this.openssl("x509", "-req", "-in", path("csr"), "-CA", this.file, "-CAkey", join(this.dir, `${this.name}.key`), "-CAcreateserial", "-days", "30", "-extfile", path("ext"),
      "-out", path("pem"));
    return { key: readFileSync(path("key")), cert: readFileSync(path("pem")) };
  }
}

const refusal = (code, text) => Object.assign(new Error(text), { responseCode: code });

export class Mailbox {
  // `identity`: a key and certificate; `starttls`: whether it is offered; `secure`: TLS from the first byte; `user`, `password`: asked for when given.
  static async begin({ port, identity, starttls = true, secure = false, user, password } = {}) {
    const box = new Mailbox();
    box.port = port ?? await freePort();
    box.mail = [];        // what arrived, parsed, with .envelope and .raw
    box.recipients = [];  // every address that was asked for
    box.answers = {};     // address: [code, text] for RCPT
    box.sender = undefined; // [code, text] for MAIL
    box.data = undefined; // [code, text] for DATA
    box.connections = 0;
    box.server = new SMTPServer({
      ...identity, secure, size: 1 << 20, logger: false, disableReverseLookup: true, closeTimeout: 50,
      disabledCommands: [...(starttls ? [] : ["STARTTLS"]), ...(user ? [] : ["AUTH"])],
      authMethods: ["PLAIN", "LOGIN"],
      onAuth: (auth, session, done) => {
        box.secure = session.secure;
        done(auth.username === user && auth.password === password ? null : refusal(535, "5.7.8 Wrong name or password"), { user });
      },
      onConnect: (session, done) => {
        box.connections++;
        done();
      },
      onMailFrom: (address, session, done) => done(box.sender ? refusal(...box.sender) : null),
      onRcptTo: (address, session, done) => {
        box.recipients.push(address.address);
        const answer = box.answers[address.address];
        done(answer ? refusal(...answer) : null);
      },
      onData: (stream, session, done) => {
        const chunks = [];
        stream.on("data", (chunk) => chunks.push(chunk));
        stream.on("end", async () => {
          if (box.data) return done(refusal(...box.data));
          const raw = Buffer.concat(chunks);
          const parsed = await simpleParser(raw, { skipTextToHtml: true });
          box.mail.push(Object.assign(parsed, { raw: raw.toString("latin1"), envelope: session.envelope }));
          done(null, "taken");
        });
      },
    });
    box.server.on("error", (error) => { box.error = error; });
    await new Promise((resolve) => box.server.listen(box.port, "127.0.0.1", resolve));
    return box;
  }
  end() { return new Promise((resolve) => this.server.close(resolve)); }
  // What COMMONHOLD_SMTP_… of an instance that sends its mail here are; without TLS, as on this machine.
  get env() { return { COMMONHOLD_SMTP_URL: `smtp://127.0.0.1:${this.port}`, COMMONHOLD_MAIL_FROM: "Commonhold <mail@coop.example>" }; }
  // The first mail to somebody that fits and was not waited for before; waits until it comes.
  async next(to, fits = () => true) {
    for (const end = performance.now() + PATIENCE; performance.now() < end;) {
      const found = this.to(to).find((m) => !m.seen && fits(m));
      if (found) {
        found.seen = true;
        return found;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`no such mail came to ${to}; there came: ${this.mail.map((m) => `${m.to.text}: ${m.subject}`).join("; ") || "none"}`);
  }
  // The secret of a mailed sign-in link.
  async link(to) {
    const { text } = await this.next(to, (m) => /sign-in\/link\?secret=/.test(m.text));
    return text.match(/sign-in\/link\?secret=([A-Za-z0-9_-]+)/)[1];
  }
  to(address) { return this.mail.filter((m) => m.to.value.some((a) => a.address === address)); }
}
