// Somebody's webhook, as a process of its own that fails in the ways webhooks do. Started with fork(): {behave: […]} sets what the next requests get (then "ok" again); every request is
// reported as {headers, body, path, how} once it has been read; {release: true} lets those go that were held.
import { createServer } from "node:http";

let plan = [];
const held = [];

function answer(how, request, response) {
  const [what, value] = how.split("=");
  if (what === "lost") return request.socket.destroy();
  if (what === "hold") return held.push(response);
  if (what === "slow") return setTimeout(() => response.end("late"), Number(value));
  if (what === "redirect") return response.writeHead(307, { location: value }).end();
  if (what === "patience") return response.writeHead(429, { "retry-after": value }).end();
  if (what === "busy") return response.writeHead(503, { "retry-after": value }).end();
  if (what === "huge") return response.writeHead(200).end("x".repeat(1 << 20));
  if (what === "drop") {
    response.writeHead(200, { "content-length": "1000" });
    response.write("half");
    return setTimeout(() => request.socket.destroy(), 50);
  }
  return response.writeHead(what === "ok" ? 204 : Number(what)).end();
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("error", () => {});
  request.on("end", () => {
    const how = plan.shift() ?? "ok";
    process.send({ headers: request.headers, body: Buffer.concat(chunks).toString(), path: request.url, how });
    answer(how, request, response);
  });
});
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("message", (message) => {
  if (message.behave) plan = message.behave;
  if (message.release) for (const response of held.splice(0)) response.writeHead(204).end();
});
process.on("disconnect", () => process.exit(0));
