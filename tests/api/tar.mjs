// A tar as a map from names to bytes, in order, read with nothing of the program's.
export function untar(bytes) {
  const files = new Map();
  for (let at = 0; at + 512 <= bytes.length;) {
    const header = bytes.subarray(at, at + 512);
    if (header.every((b) => b === 0)) break;
    const text = (from, n) => header.subarray(from, from + n).toString("utf8").replace(/\0.*$/s, "");
    const size = parseInt(text(124, 12), 8);
    files.set(text(0, 100), bytes.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
export const rows = (file) => (file ? file.toString("utf8").trimEnd().split("\n").map((line) => JSON.parse(line)) : []);
