// A server process that speaks the S3 protocol (REST, 2006-03-01) for one bucket, strictly: Signature Version 4 is computed here from what arrived, payload hashes and checksums are
// compared, multipart uploads keep their rules, listings come in short pages, and a bucket may keep versions. Failures: see mock.mjs.
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { Refusal, serve, sha256 } from "./mock.mjs";

const settings = {
  bucket: process.env.S3_BUCKET ?? "mirror",
  keyId: process.env.S3_KEY_ID ?? "AKIAEXAMPLE",
  secret: process.env.S3_SECRET ?? "an example of a secret",
  region: process.env.S3_REGION ?? "eu-test-1",
  page: Number(process.env.S3_PAGE ?? 3),
};
// public: may be read without credentials. versioned: keeps versions. versionless: does not know the word (501).
const bucket = { public: false, versioned: process.env.S3_VERSIONED === "1", versionless: false, locked: false };
const objects = new Map(); // key -> [{versionId, marker, body, etag, headers, at}], newest first
const uploads = new Map(); // id -> {key, headers, parts: Map}

const LEAST_PART = 5 * 1024 * 1024;
const md5 = (b) => createHash("md5").update(b).digest("hex");
const hmac = (k, s) => createHmac("sha256", k).update(s).digest();
const escape = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
const xml = (s) => String(s).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" })[c]);
const document = (root, inner) => `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</${root}>`;

/* ---- Signature Version 4 ---- */

function canonicalQuery(search) {
  if (!search) return "";
  return search.split("&").map((pair) => {
    const i = pair.indexOf("=");
    const [k, v] = i < 0 ? [pair, ""] : [pair.slice(0, i), pair.slice(i + 1)];
    return [escape(decodeURIComponent(k)), escape(decodeURIComponent(v))];
  }).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : 1)).map(([k, v]) => `${k}=${v}`).join("&");
}

function checkSignature({ method, path, search, headers, body }) {
  const said = /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(headers.authorization ?? "");
  if (!said) throw new Refusal(400, "AuthorizationHeaderMalformed", "The authorization header is malformed.");
  const [keyId, day, region, service, end] = said[1].split("/");
  if (keyId !== settings.keyId) throw new Refusal(403, "InvalidAccessKeyId", `The key ${keyId} is not known.`);
  if (region !== settings.region || service !== "s3" || end !== "aws4_request") throw new Refusal(400, "AuthorizationHeaderMalformed", `The region '${region}' is wrong; expecting '${settings.region}'`);
  const date = headers["x-amz-date"];
  if (!/^\d{8}T\d{6}Z$/.test(date ?? "") || !date.startsWith(day)) throw new Refusal(403, "AccessDenied", "x-amz-date is missing or of another day.");
  const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (Math.abs(at - Date.now()) > 15 * 60000) throw new Refusal(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.");
  const signed = said[2].split(";");
  if (signed.join() !== [...signed].sort().join()) throw new Refusal(403, "SignatureDoesNotMatch", "Signed headers are not sorted.");
  for (const needed of ["host", ...Object.keys(headers).filter((h) => h.startsWith("x-amz-"))])
    if (!signed.includes(needed)) throw new Refusal(403, "AccessDenied", `There were headers present in the request which were not signed: ${needed}`);
  for (const said of signed) if (!(said in headers)) throw new Refusal(403, "SignatureDoesNotMatch", `The signed header ${said} was not sent.`);
  const payload = headers["x-amz-content-sha256"];
  if (!/^[0-9a-f]{64}$/.test(payload ?? "")) throw new Refusal(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
  const canonical = [method, path.split("/").map((s) => escape(decodeURIComponent(s))).join("/"), canonicalQuery(search),
    ...signed.map((h) => `${h}:${String(headers[h] ?? "").trim().replace(/ +/g, " ")}`), "", signed.join(";"), payload].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", date, scope, sha256(canonical)].join("\n");
  const key = hmac(hmac(hmac(hmac(`AWS4${settings.secret}`, day), region), "s3"), "aws4_request");
  const wanted = createHmac("sha256", key).update(toSign).digest();
  // As the real service: the refusal tells the key id and what was signed. None of it may end in a log of ours.
  if (!timingSafeEqual(wanted, Buffer.from(said[3], "hex")))
    throw new Refusal(403, "SignatureDoesNotMatch", `The request signature we calculated does not match. AWSAccessKeyId ${keyId} StringToSign ${toSign} CanonicalRequest ${canonical}`);
  if (payload !== sha256(body)) throw new Refusal(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.");
}

function checkBody(headers, body) {
  if (headers["content-md5"] && headers["content-md5"] !== createHash("md5").update(body).digest("base64")) throw new Refusal(400, "BadDigest", "The Content-MD5 you specified did not match.");
  const sum = headers["x-amz-checksum-sha256"];
  if (sum && sum !== createHash("sha256").update(body).digest("base64")) throw new Refusal(400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.");
}

/* ---- objects ---- */

const kept = (headers) => Object.fromEntries(Object.entries(headers).filter(([k]) => k.startsWith("x-amz-meta-") || k === "content-type"));
const current = (key) => { const v = objects.get(key)?.[0]; return v && !v.marker ? v : undefined; };

function put(key, body, etag, headers) {
  const version = { versionId: bucket.versioned ? randomBytes(12).toString("hex") : "null", body, etag, headers, at: new Date().toISOString() };
  objects.set(key, bucket.versioned ? [version, ...(objects.get(key) ?? [])] : [version]);
  return version;
}

function checkConditions(key, headers) {
  const there = current(key);
  if (headers["if-none-match"] === "*" && there) throw new Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
  if (headers["if-match"] && !there) throw new Refusal(404, "NoSuchKey", "The specified key does not exist.");
  if (headers["if-match"] && there.etag !== headers["if-match"]) throw new Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
}

const about = (v) => ({ etag: v.etag, ...v.headers, ...(v.checksum ? { "x-amz-checksum-sha256": v.checksum } : {}), ...(bucket.versioned ? { "x-amz-version-id": v.versionId } : {}) });

function putObject(key, { headers, body }) {
  checkConditions(key, headers);
  if (headers["x-amz-acl"] && headers["x-amz-acl"] !== "private") throw new Refusal(403, "AccessDenied", "This mirror asks for no public objects.");
  const source = headers["x-amz-copy-source"];
  if (source) {
    const from = current(decodeURIComponent(source).replace(/^\//, "").slice(settings.bucket.length + 1));
    if (!from) throw new Refusal(404, "NoSuchKey", "The specified key does not exist.");
    if (headers["x-amz-copy-source-if-match"] && headers["x-amz-copy-source-if-match"] !== from.etag) throw new Refusal(412, "PreconditionFailed", "copy source");
    const v = put(key, from.body, `"${md5(from.body)}"`, headers["x-amz-metadata-directive"] === "REPLACE" ? kept(headers) : from.headers);
    return { headers: about(v), body: document("CopyObjectResult", `<ETag>${xml(v.etag)}</ETag><LastModified>${v.at}</LastModified>`) };
  }
  checkBody(headers, body);
  const v = put(key, body, `"${md5(body)}"`, kept(headers));
  v.checksum = headers["x-amz-checksum-sha256"];
  return { headers: about(v) };
}

function getObject(key, { method, query }) {
  const list = objects.get(key) ?? [];
  const v = query.has("versionId") ? list.find((x) => x.versionId === query.get("versionId")) : list[0];
  if (!v || v.marker) throw new Refusal(404, "NoSuchKey", "The specified key does not exist.");
  return { headers: { ...about(v), ...(method === "HEAD" ? { "x-size": v.body.length } : {}) }, body: v.body };
}

function deleteObject(key, { query }) {
  const list = objects.get(key) ?? [];
  if (query.has("versionId")) {
    if (bucket.locked) throw new Refusal(403, "AccessDenied", "Access Denied because object protected by object lock.");
    objects.set(key, list.filter((v) => v.versionId !== query.get("versionId")));
    if (!objects.get(key).length) objects.delete(key);
  } else if (bucket.versioned) {
    objects.set(key, [{ versionId: randomBytes(12).toString("hex"), marker: true, at: new Date().toISOString() }, ...list]);
  } else {
    objects.delete(key);
  }
  return { status: 204 };
}

/* ---- multipart ---- */

const upload = (query, key) => {
  const u = uploads.get(query.get("uploadId"));
  if (!u || u.key !== key) throw new Refusal(404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.");
  return u;
};

function createUpload(key, { headers }) {
  const id = randomBytes(16).toString("hex");
  uploads.set(id, { key, headers: kept(headers), algorithm: headers["x-amz-checksum-algorithm"], parts: new Map() });
  return { body: document("InitiateMultipartUploadResult", `<Bucket>${settings.bucket}</Bucket><Key>${xml(key)}</Key><UploadId>${id}</UploadId>`) };
}

function putPart(key, { query, headers, body }) {
  const u = upload(query, key);
  const no = Number(query.get("partNumber"));
  if (!(no >= 1 && no <= 10000)) throw new Refusal(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
  if (u.algorithm === "SHA256" && !headers["x-amz-checksum-sha256"]) throw new Refusal(400, "InvalidRequest", "The part has no checksum of the type that the upload was begun with.");
  checkBody(headers, body);
  const etag = `"${md5(body)}"`;
  u.parts.set(no, { etag, body, checksum: headers["x-amz-checksum-sha256"] });
  return { headers: { etag } };
}

function completeUpload(key, { query, headers, body }) {
  const u = upload(query, key);
  const text = body.toString("utf8");
  const listed = [...text.matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, p]) => ({
    no: Number(/<PartNumber>(\d+)<\/PartNumber>/.exec(p)?.[1]),
    etag: /<ETag>(.*?)<\/ETag>/.exec(p)?.[1].replace(/&quot;/g, '"').replace(/&#34;/g, '"'),
    checksum: /<ChecksumSHA256>(.*?)<\/ChecksumSHA256>/.exec(p)?.[1],
  }));
  if (!/^(<\?xml[^>]*\?>\s*)?<CompleteMultipartUpload[ >]/.test(text) || !listed.length) throw new Refusal(400, "MalformedXML", "The XML you provided was not well-formed");
  if (listed.some((p, i) => i && p.no <= listed[i - 1].no)) throw new Refusal(400, "InvalidPartOrder", "The list of parts was not in ascending order.");
  for (const p of listed) {
    const there = u.parts.get(p.no);
    if (!there || there.etag !== p.etag || (p.checksum && p.checksum !== there.checksum)) throw new Refusal(400, "InvalidPart", "One or more of the specified parts could not be found.");
  }
  const parts = listed.map((p) => u.parts.get(p.no));
  if (parts.slice(0, -1).some((p) => p.body.length < LEAST_PART)) throw new Refusal(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size");
  checkConditions(key, headers);
  const whole = Buffer.concat(parts.map((p) => p.body));
  const v = put(key, whole, `"${md5(Buffer.concat(parts.map((p) => Buffer.from(p.etag.slice(1, -1), "hex"))))}-${parts.length}"`, u.headers);
  uploads.delete(query.get("uploadId"));
  return { headers: about(v), body: document("CompleteMultipartUploadResult", `<Bucket>${settings.bucket}</Bucket><Key>${xml(key)}</Key><ETag>${xml(v.etag)}</ETag>`) };
}

/* ---- listings ---- */

const encoded = (query, s) => (query.get("encoding-type") === "url" ? escape(s).replaceAll("%2F", "/") : xml(s));

function listObjects({ query }) {
  if (query.get("list-type") !== "2") throw new Refusal(400, "InvalidArgument", "This service lists by version 2 alone.");
  const token = query.get("continuation-token");
  const after = token ? Buffer.from(token, "base64url").toString() : "";
  const keys = [...objects.keys()].filter((k) => current(k) && k.startsWith(query.get("prefix") ?? "") && k > after).sort();
  const page = keys.slice(0, Math.min(settings.page, Number(query.get("max-keys") ?? 1000)));
  const more = keys.length > page.length;
  return { body: document("ListBucketResult", `<Name>${settings.bucket}</Name><KeyCount>${page.length}</KeyCount><IsTruncated>${more}</IsTruncated>` +
    page.map((k) => `<Contents><Key>${encoded(query, k)}</Key><ETag>${xml(current(k).etag)}</ETag><Size>${current(k).body.length}</Size></Contents>`).join("") +
    (more ? `<NextContinuationToken>${Buffer.from(page.at(-1)).toString("base64url")}</NextContinuationToken>` : "")) };
}

function listVersions({ query }) {
  if (bucket.versionless) throw new Refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented.");
  const all = [...objects.keys()].filter((k) => k.startsWith(query.get("prefix") ?? "")).sort().flatMap((key) => objects.get(key).map((v) => ({ key, ...v })));
  const [key, version] = [query.get("key-marker"), query.get("version-id-marker")];
  const from = key ? all.findIndex((v) => v.key === key && (!version || v.versionId === version)) + 1 : 0;
  const page = all.slice(from, from + settings.page);
  const more = from + page.length < all.length;
  const line = (v) => { const tag = v.marker ? "DeleteMarker" : "Version"; return `<${tag}><Key>${encoded(query, v.key)}</Key><VersionId>${v.versionId}</VersionId></${tag}>`; };
  return { body: document("ListVersionsResult", `<IsTruncated>${more}</IsTruncated>` + page.map(line).join("") +
    (more ? `<NextKeyMarker>${encoded(query, page.at(-1).key)}</NextKeyMarker><NextVersionIdMarker>${page.at(-1).versionId}</NextVersionIdMarker>` : "")) };
}

function listUploads({ query }) {
  const all = [...uploads].filter(([, u]) => u.key.startsWith(query.get("prefix") ?? "")).sort((a, b) => (a[1].key < b[1].key ? -1 : 1));
  const marker = query.get("upload-id-marker");
  const from = marker ? all.findIndex(([id]) => id === marker) + 1 : 0;
  const page = all.slice(from, from + settings.page);
  const more = from + page.length < all.length;
  return { body: document("ListMultipartUploadsResult", `<IsTruncated>${more}</IsTruncated>` +
    page.map(([id, u]) => `<Upload><Key>${encoded(query, u.key)}</Key><UploadId>${id}</UploadId></Upload>`).join("") +
    (more ? `<NextKeyMarker>${encoded(query, page.at(-1)[1].key)}</NextKeyMarker><NextUploadIdMarker>${page.at(-1)[0]}</NextUploadIdMarker>` : "")) };
}

/* ---- the service ---- */

// [bucket, key]: in the path, or the bucket in the host.
function placeOf({ path, headers }) {
  const host = (headers.host ?? "").split(":")[0];
  const whole = decodeURIComponent(path).replace(/^\//, "");
  if (host.startsWith(`${settings.bucket}.`)) return [settings.bucket, whole];
  const cut = whole.indexOf("/");
  return cut < 0 ? [whole, ""] : [whole.slice(0, cut), whole.slice(cut + 1)];
}

function opOf(asked) {
  const { method, query } = asked;
  const [, key] = placeOf(asked);
  if (!key) return query.has("versions") ? "list_versions" : query.has("uploads") ? "list_uploads" : "list";
  if (method === "POST") return query.has("uploads") ? "create" : "complete";
  if (method === "PUT") return query.has("partNumber") ? "part" : asked.headers["x-amz-copy-source"] ? "copy" : "put";
  if (method === "DELETE") return query.has("uploadId") ? "abort" : "delete";
  return method === "HEAD" ? "head" : "get";
}

function handle(asked) {
  const [name, key] = placeOf(asked);
  if (name !== settings.bucket) throw new Refusal(404, "NoSuchBucket", "The specified bucket does not exist");
  if (!asked.headers.authorization) {
    if (!bucket.public || !["get", "head", "list"].includes(asked.op)) throw new Refusal(403, "AccessDenied", "Access Denied");
  } else {
    checkSignature(asked);
  }
  switch (asked.op) {
    case "list": return listObjects(asked);
    case "list_versions": return listVersions(asked);
    case "list_uploads": return listUploads(asked);
    case "create": return createUpload(key, asked);
    case "part": return putPart(key, asked);
    case "complete": return completeUpload(key, asked);
    case "abort": upload(asked.query, key); uploads.delete(asked.query.get("uploadId")); return { status: 204 };
    case "put": case "copy": return putObject(key, asked);
    case "delete": return deleteObject(key, asked);
    default: return getObject(key, asked);
  }
}

function refusal(e, { method }) {
  const body = method === "HEAD" ? "" : `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${e.code}</Code><Message>${xml(e.message)}</Message><RequestId>${randomBytes(8).toString("hex")}</RequestId></Error>`;
  return { status: e.status, headers: { "content-type": "application/xml", ...e.headers }, body };
}

function state(change) {
  Object.assign(bucket, change?.bucket ?? {});
  if (change?.upload) uploads.set(randomBytes(16).toString("hex"), { key: change.upload, headers: {}, parts: new Map() });
  return {
    bucket, uploads: [...uploads].map(([id, u]) => ({ id, key: u.key, parts: [...u.parts.keys()] })),
    objects: Object.fromEntries([...objects].filter(([k]) => current(k)).map(([k]) => [k, { size: current(k).body.length, sha256: sha256(current(k).body), etag: current(k).etag, headers: current(k).headers,
      text: current(k).body.length < 2000 ? current(k).body.toString("utf8") : undefined }])),
    versions: [...objects].flatMap(([key, list]) => list.map((v) => ({ key, versionId: v.versionId, marker: Boolean(v.marker) }))),
  };
}

serve({ handle, opOf, refusal, state, port: Number(process.env.PORT ?? 0) });
