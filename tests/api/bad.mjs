// Bodies that a schema does not admit, made from the schema and one body that it does. Each has a name and the bytes to send, and says what must be answered: one of its
// `pointers` is named ("below" stands for any place inside the first), or the status is `status`, or, with `any`, something from 400 to 499.
const isObject = (v) => v !== null && typeof v === "object" && !Array.isArray(v);
const step = (key) => String(key).replace(/~/g, "~0").replace(/\//g, "~1");
const clone = (v) => structuredClone(v);

// The schema with its reference followed, together with what its own conditions add for this value.
function resolve(schema, document) {
  let s = schema;
  while (s?.$ref) s = s.$ref.split("/").slice(1).reduce((at, part) => at[part.replace(/~1/g, "/").replace(/~0/g, "~")], document);
  return s ?? {};
}

// Every place of a value with the schema that stands there.
function* places(value, schema, document, pointer = "") {
  const s = resolve(schema, document);
  yield { value, schema: s, pointer };
  const applies = (condition) => Object.entries(condition?.properties ?? {}).every(([k, c]) => (c.enum ?? [c.const]).includes(value?.[k]));
  const options = [s, ...(s.allOf ?? []).filter((branch) => branch.if && applies(branch.if)).map((branch) => resolve(branch.then, document))];
  if (isObject(value)) {
    for (const [key, child] of Object.entries(value)) {
      const found = options.map((o) => o.properties?.[key]).filter(Boolean).at(-1) ?? (isObject(s.additionalProperties) ? s.additionalProperties : undefined);
      if (found) yield* places(child, found, document, `${pointer}/${step(key)}`);
    }
  }
  if (Array.isArray(value) && value.length) yield* places(value[0], s.prefixItems?.[0] ?? s.items ?? {}, document, `${pointer}/0`);
}

function replaced(body, pointer, change) {
  const copy = clone(body);
  const path = pointer.split("/").slice(1).map((k) => k.replace(/~1/g, "/").replace(/~0/g, "~"));
  if (!path.length) return change(copy);
  const last = path.pop();
  const parent = path.reduce((at, k) => at[k], copy);
  const next = change(parent[last]);
  if (next === undefined) delete parent[last];
  else parent[last] = next;
  return copy;
}

const parses = (text) => {
  try { return Boolean(JSON.parse(text)) || true; } catch { return false; }
};

const OTHERS = [null, true, 42, 1.5, "text", [], {}, ["text"], { a: 1 }];
const MARK = "@@here@@";

// `admits(body)` says whether the schema takes a body after all; such mutations are left out.
export function* badBodies(body, schema, document, admits) {
  const made = function* (name, next, pointers) {
    if (!admits(next)) yield { name, bytes: Buffer.from(JSON.stringify(next)), pointers };
  };
  // Puts raw text where a value stands.
  const spliced = (pointer, text) => Buffer.from(JSON.stringify(replaced(body, pointer, () => MARK)).replace(`"${MARK}"`, () => text), "latin1");
  for (const { value, schema: s, pointer } of places(body, schema, document)) {
    const at = pointer || "(whole)";
    for (const other of OTHERS) yield* made(`${at} is ${JSON.stringify(other)}`, replaced(body, pointer, () => clone(other)), [pointer, "below"]);
    if (isObject(value)) {
      for (const key of s.required ?? []) {
        if (key in value) yield* made(`${at} lacks ${key}`, replaced(body, pointer, (o) => { delete o[key]; return o; }), [`${pointer}/${step(key)}`, pointer]);
      }
      if (s.additionalProperties === false) yield* made(`${at} has an unknown member`, replaced(body, pointer, (o) => ({ ...o, "no such/member": 1 })), [`${pointer}/no such~1member`]);
      const text = JSON.stringify(value);
      const [key] = Object.keys(value);
      if (key !== undefined) {
        const twice = `{${JSON.stringify(key)}:${JSON.stringify(value[key])},${text.slice(1)}`;
        const bytes = pointer ? Buffer.from(JSON.stringify(replaced(body, pointer, () => MARK)).replace(`"${MARK}"`, () => twice)) : Buffer.from(twice);
        yield { name: `${at} has ${key} twice`, bytes, status: 400 };
      }
    }
    if (typeof value === "string") {
      if (s.maxLength < 20000) yield* made(`${at} is too long`, replaced(body, pointer, () => "é".repeat(s.maxLength + 1)), [pointer]);
      if (s.minLength) yield* made(`${at} is empty`, replaced(body, pointer, () => ""), [pointer]);
      yield { name: `${at} holds NUL`, bytes: spliced(pointer, '"a\\u0000b"'), any: true };
      yield { name: `${at} holds a lone surrogate`, bytes: spliced(pointer, '"a\\ud800b"'), status: 400 };
      yield { name: `${at} holds invalid UTF-8`, bytes: spliced(pointer, '"a\xffb"'), status: 400 };
      yield { name: `${at} holds an overlong NUL`, bytes: spliced(pointer, '"a\xc0\x80b"'), status: 400 };
      yield { name: `${at} holds an encoded surrogate`, bytes: spliced(pointer, '"a\xed\xa0\x80b"'), status: 400 };
      yield { name: `${at} holds a raw control character`, bytes: spliced(pointer, '"a\x01b"'), status: 400 };
    }
    if (typeof value === "number") {
      for (const number of ["1e400", "-1e400", "123456789012345678901234567890", "-1", "0.5", "1e-400", "01", "+1", "NaN", "0x10"])
        if (!parses(number) || !admits(replaced(body, pointer, () => Number(number)))) yield { name: `${at} is ${number}`, bytes: spliced(pointer, number), any: true };
    }
    if (Array.isArray(value)) {
      if (s.minItems) yield* made(`${at} has too few`, replaced(body, pointer, () => []), [pointer]);
      if (s.maxItems < 3000 && value.length) yield* made(`${at} has too many`, replaced(body, pointer, (a) => Array.from({ length: s.maxItems + 1 }, () => a[0])), [pointer, "below"]);
      if (s.uniqueItems && value.length) yield* made(`${at} says the same twice`, replaced(body, pointer, (a) => [...a, a[0]]), [pointer, `${pointer}/${value.length}`]);
    }
    yield { name: `${at} is nested too deep`, bytes: spliced(pointer, "[".repeat(200) + "]".repeat(200)), any: true };
  }
  const text = JSON.stringify(body);
  const raw = { nothing: "", blanks: "   ", "half of it": text.slice(0, -1), "a word": "nul", "two of them": `${text}${text}`, "a comment": `/* */${text}`, "single quotes": "{'a':1}", "a trailing comma": `${text.slice(0, -1)},}`,
    "a byte order mark": `\ufeff${text}`, "a NUL byte": `${text}\0`, "an unfinished escape": '{"a":"\\u12' };
  for (const [name, bytes] of Object.entries(raw)) yield { name: `the body is ${name}`, bytes: Buffer.from(bytes), status: 400 };
  for (const [name, bytes] of [["arrays", "[".repeat(20000)], ["objects", '{"a":'.repeat(8000)]]) yield { name: `the body is deep ${name}`, bytes: Buffer.from(bytes), status: 413 };
}
