// A real SMTP server on loopback that takes everything, or refuses what a test says, and reads the mail that came.
import { SMTPServer } from "smtp-server";
import { simpleParser } from "mailparser";

// `refuse(address)` may answer an error { responseCode, message } for a recipient. `url` is what COMMONHOLD_SMTP_URL takes.
export async function mailServer({ refuse = () => undefined, port = 0 } = {}) {
  const messages = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS", "AUTH"],
    logger: false,
    onRcptTo(address, session, done) {
      const error = refuse(address.address);
      done(error ? Object.assign(new Error(error.message ?? "no"), error) : null);
    },
    onData(stream, session, done) {
      const chunks = [];
      stream.on("data", (chunk) => chunks.push(chunk));
      stream.on("end", async () => {
        const raw = Buffer.concat(chunks);
        const mail = await simpleParser(raw);
        messages.push({ from: session.envelope.mailFrom.address, to: session.envelope.rcptTo.map((r) => r.address), raw: raw.toString("utf8"), mail, subject: mail.subject, text: mail.text ?? "", html: mail.html || "" });
        done();
      });
    },
  });
  server.on("error", () => {});
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    messages,
    port: server.server.address().port,
    get url() { return `smtp://127.0.0.1:${this.port}`; },
    get env() { return { COMMONHOLD_SMTP_URL: this.url, COMMONHOLD_MAIL_FROM: "Commonhold <mail@coop.example>" }; },
    // The first mail to somebody that fits and was not waited for before; waits until it comes.
    async mail(to, fits = () => true) {
      for (let i = 0; i < 400; i++) {
        const found = messages.find((m) => !m.seen && m.to.includes(to) && fits(m));
        if (found) {
          found.seen = true;
          return found;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`no such mail came to ${to}; there came: ${messages.map((m) => `${m.to}: ${m.subject}`).join("; ") || "none"}`);
    },
    // What the link in a mailed sign-in carries.
    async link(to) {
      const { text } = await this.mail(to, (m) => /sign-in\/link\?secret=/.test(m.text));
      return text.match(/sign-in\/link\?secret=([A-Za-z0-9_-]+)/)[1];
    },
    stop: () => new Promise((resolve) => server.close(resolve)),
  };
}
