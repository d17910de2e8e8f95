// An OpenID provider for tests: the npm oidc-provider, as a process of its own on loopback. Started again with other keys, it is a provider that has changed them.
import { fork } from "node:child_process";
import { generateKeyPairSync, createHash } from "node:crypto";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { freePort } from "./server.mjs";

const self = fileURLToPath(import.meta.url);

// A signing key of one of the kinds that we take, as a private JWK. Its kid is its thumbprint's beginning.
export function signingKey(kind = "RS256") {
  const pair = { RS256: ["rsa", { modulusLength: 2048 }], ES256: ["ec", { namedCurve: "P-256" }], EdDSA: ["ed25519", {}] }[kind];
  const jwk = generateKeyPairSync(...pair).privateKey.export({ format: "jwk" });
  return { ...jwk, use: "sig", alg: kind, kid: createHash("sha256").update(jwk.n ?? jwk.x).digest("base64url").slice(0, 12) };
}

export class Provider {
  // `redirect` is the client's callback address.
  static async begin({ redirect, kind = "RS256", secret = "a secret of forty characters, more or less" }) {
    const provider = Object.assign(new Provider(), { redirect, kind, secret, port: await freePort(), keys: [signingKey(kind)] });
    await provider.start();
    return provider;
  }
  get issuer() { return `http://127.0.0.1:${this.port}`; }
  get env() {
    return { COMMONHOLD_OIDC_ISSUER: this.issuer, COMMONHOLD_OIDC_NAME: "Example ID", COMMONHOLD_OIDC_CLIENT_ID: "commonhold", COMMONHOLD_OIDC_CLIENT_SECRET: this.secret };
  }
  async start() {
    this.child = fork(self, { env: { ...process.env, OIDC: JSON.stringify({ port: this.port, issuer: this.issuer, redirect: this.redirect, kind: this.kind, secret: this.secret, keys: this.keys }) }, stdio: ["ignore", "ignore", "pipe", "ipc"] });
    let log = "";
    this.child.stderr.on("data", (chunk) => { log += chunk; });
    await new Promise((resolve, reject) => {
      this.child.once("message", resolve);
      this.child.once("exit", () => reject(new Error(`the provider ended:\n${log}`)));
    });
  }
  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill();
    await gone;
  }
  // New keys in the place of the old.
  async rotate(kind = this.kind) {
    await this.stop();
    this.keys = [signingKey(kind)];
    this.kind = kind;
    await this.start();
  }
}

// People at the provider are called as they please; whose name begins with "unproved" has an address that the provider has not confirmed.
async function serve({ port, issuer, redirect, kind, secret, keys }) {
  const { default: OidcProvider } = await import("oidc-provider");
  const provider = new OidcProvider(issuer, {
    clients: [{ client_id: "commonhold", client_secret: secret, redirect_uris: [redirect], grant_types: ["authorization_code"], response_types: ["code"], id_token_signed_response_alg: kind }],
    jwks: { keys },
    cookies: { keys: ["test"] },
    pkce: { methods: ["S256"], required: () => true },
    conformIdTokenClaims: false,
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "EdDSA"] },
    features: { devInteractions: { enabled: true } },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} of Example`, ...(id.startsWith("silent") ? {} : { email: `${id}@example.org`, email_verified: !id.startsWith("unproved") }) }) }),
  });
  createServer(provider.callback()).listen(port, "127.0.0.1", () => process.send("ready"));
}

if (process.argv[1] === self && process.env.OIDC) await serve(JSON.parse(process.env.OIDC));
