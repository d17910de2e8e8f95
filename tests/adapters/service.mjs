// Starts a mock service as a process of its own, and gives it orders.
import { spawn } from "node:child_process";

export async function service(name, env = {}) {
  const child = spawn(process.execPath, [new URL(`./${name}.mjs`, import.meta.url).pathname], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  const port = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk) => { text += chunk; const said = /port=(\d+)/.exec(text); if (said) resolve(Number(said[1])); });
    child.on("exit", () => reject(new Error(`${name} did not start`)));
  });
  const url = `http://127.0.0.1:${port}`;
  const order = async (what, body) => {
    const answer = await fetch(`${url}/_mock/${what}`, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) });
    return answer.json();
  };
  return {
    url, port,
    fail: (...failures) => order("fail", failures),
    calm: () => order("calm", {}),
    log: () => order("log"),
    forget: () => order("forget", {}),
    release: () => order("release", {}),
    held: () => order("held"),
    state: (change) => order("state", change),
    stop: () => { child.kill("SIGKILL"); },
  };
}
