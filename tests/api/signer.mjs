// An Ed25519 key that signs DSSE envelopes, with nothing of the program's: what mirrors return and prove.
import { createHash, createHmac, generateKeyPairSync, sign } from "node:crypto";

const canonical = (value) => JSON.stringify(value, (key, v) => (v && typeof v === "object" && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v));

export class Signer {
  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    this.privateKey = privateKey;
    this.publicKey = Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url");
    this.key = createHash("sha256").update(this.publicKey).digest("hex");
  }

  envelope(type, value) {
    const payload = Buffer.from(canonical(value));
    const signed = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
    return { payload: payload.toString("base64"), payloadType: type, signatures: [{ keyid: this.key, sig: sign(null, signed, this.privateKey).toString("base64") }] };
  }

  // What registering asks for.
  proof(coop, at) { return this.envelope("application/vnd.commonhold.mirror-key+json", { at, coop, key: this.key }); }
  receipt(mirror, said) { return this.envelope("application/vnd.commonhold.receipt+json", { key: this.key, mirror, releases: [], method: "deleted", ...said }); }
}

// Whether a webhook is signed as Standard Webhooks says.
export function webhookIsSigned(secret, { headers, body }) {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const mac = createHmac("sha256", key).update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`).digest("base64");
  return headers["webhook-signature"].split(" ").includes(`v1,${mac}`);
}
