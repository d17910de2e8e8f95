// The files of prompts, one collection as it grew over three months: read by definitions of their own, and what the importer is to make of a row.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { root } from "./server.mjs";

const shared = resolve(root, process.env.COMMONHOLD_SHARED_DATA ?? "../shared/data");
export const paths = ["2025-12", "2026-01", "2026-02"].map((month) => join(shared, `prompts-${month}.csv.gz`));
export const missing = paths.every(existsSync) ? false : `the files are not in ${shared}`;

// RFC 4180, a character at a time.
export function readCsv(text) {
  const rows = [];
  let row = [], cell = "", quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') { cell += c; i++; }
      else quoted = false;
    } else if (c === '"' && cell === "") quoted = true;
    else if (c === ",") { row.push(cell); cell = ""; }
    else if (c === "\n" || (c === "\r" && text[i + 1] === "\n")) {
      if (c === "\r") i++;
      row.push(cell);
      rows.push(row);
      row = [];
      cell = "";
    } else cell += c;
  }
  if (cell !== "" || row.length) rows.push([...row, cell]);
  const [names, ...records] = rows;
  return records.map((r) => {
    assert.equal(r.length, names.length);
    return Object.fromEntries(names.map((n, i) => [n, r[i]]));
  });
}

// The three months, oldest first.
export const months = () => paths.map((path) => readCsv(gunzipSync(readFileSync(path)).toString("utf8")));

// The same rows as a file of their own.
export const writeCsv = (rows) => ["act,prompt,for_devs,type,contributor", ...rows.map((r) => [r.act, r.prompt, r.for_devs, r.type, r.contributor].map((v) => `"${v.replaceAll('"', '""')}"`).join(","))].join("\n") + "\n";

export const mapping = {
  kind: "example", system: "prompts.chat", constants: { "/lang": "en", "/licence": "CC0-1.0" },
  columns: {
    act: { as: "text", to: "/content/title" }, prompt: { as: "text", to: "/content/input" }, for_devs: { as: "tag", to: "/content/tags/-", when: "TRUE" }, type: { as: "word", to: "/content/format" },
    contributor: { as: "user", separator: "," },
  },
};
// Canonical content of a row: its members are put in in their order.
export function contentOf(row) {
  const content = {};
  if (row.type) content.format = row.type.toLowerCase().replace(/[^a-z0-9]/g, "_");
  content.input = row.prompt;
  if (row.for_devs === "TRUE") content.tags = ["for_devs"];
  if (row.act) content.title = row.act;
  return JSON.stringify(content);
}
