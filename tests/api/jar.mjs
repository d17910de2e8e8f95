// A browser without a window: keeps cookies by host and port, sends forms with the token that their page has, follows redirects when told to.
export class Jar {
  constructor(base, agent = "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0") {
    this.base = base;
    this.agent = agent;
    this.cookies = new Map();
  }

  #at(url) {
    const { host } = new URL(url);
    if (!this.cookies.has(host)) this.cookies.set(host, new Map());
    return this.cookies.get(host);
  }
  cookie(name) { return this.#at(this.base).get(name); }

  // One request, no redirect followed: {status, url, location, text, headers}.
  async ask(method, path, { form, headers = {} } = {}) {
    const url = new URL(path, this.url ?? this.base).href, jar = this.#at(url);
    const init = { method, redirect: "manual", headers: { "user-agent": this.agent, cookie: [...jar].map((c) => c.join("=")).join("; "), ...headers } };
    if (form) { init.body = new URLSearchParams(form).toString(); init.headers["content-type"] = "application/x-www-form-urlencoded"; }
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    const answer = await fetch(url, init);
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(";"), at = pair.indexOf("=");
      if (/max-age=0/i.test(line) || /expires=thu, 01 jan 1970/i.test(line)) jar.delete(pair.slice(0, at));
      else jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const text = await answer.text(), location = answer.headers.get("location");
    return { status: answer.status, url, text, headers: answer.headers, location: location && new URL(location, url).href, reason: text.match(/data-reason="(\w+)"/)?.[1] };
  }

  // The same, and on through redirects to the page at their end, which is then where the browser is. `until` ends it before an address is asked.
  async go(method, path, { form, until, ...options } = {}) {
    let answer = await this.ask(method, path, { form, ...options });
    for (let i = 0; answer.location && i < 12; i++) {
      if (until?.(answer.location)) return answer;
      answer = await this.ask("GET", answer.location);
    }
    this.url = answer.url;
    this.page = answer;
    return answer;
  }
  open(path, options) { return this.go("GET", path, options); }

  // Sends the form of the present page that goes to `action`, with its hidden fields.
  send(action, fields = {}, options = {}) {
    const forms = [...this.page.text.matchAll(/<form[^>]*action="([^"]*)"[^>]*>([\s\S]*?)<\/form>/g)];
    const found = forms.find(([, to]) => new URL(to.replace(/&amp;/g, "&"), this.url).pathname === new URL(action, this.url).pathname) ?? forms.find(([, , body]) => body.includes(`formaction="${action}"`));
    if (!found) throw new Error(`there is no form to ${action} on ${this.url}: ${this.page.text.slice(0, 500)}`);
    const hidden = Object.fromEntries([...found[2].matchAll(/<input[^>]*type="hidden"[^>]*>/g)].map(([tag]) => [tag.match(/name="([^"]*)"/)[1], (tag.match(/value="([^"]*)"/)?.[1] ?? "").replace(/&amp;/g, "&").replace(/&#x2F;/g, "/").replace(/&quot;/g, '"')]));
    return this.go("POST", action, { form: { ...hidden, ...fields }, ...options });
  }

  get signedIn() { return /action="\/sign-out"/.test(this.page?.text ?? ""); }
}
