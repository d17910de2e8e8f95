// What stands between two instances: passes everything on, unless it is told to misbehave. `how` says of a request: "redirect", "endless", "cut", "other" (another body of the same size), or nothing.
import { createServer } from "node:http";

export async function stand(behind) {
  const seen = [];
  const server = createServer(async (request, response) => {
    seen.push({ url: request.url, range: request.headers.range, proof: request.headers["commonhold-proof"] });
    const how = server.how?.(request);
    if (how === "redirect") {
      response.writeHead(302, { location: `http://127.0.0.1:${behind.port}${request.url}` });
      return response.end();
    }
    if (how === "endless") {
      response.writeHead(200, { "content-type": "application/json" });
      const more = setInterval(() => response.write(" ".repeat(262144)), 1);
      return response.on("close", () => clearInterval(more));
    }
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !["host", "connection"].includes(name)));
    const answer = await fetch(`http://127.0.0.1:${behind.port}${request.url}`, { method: request.method, headers, ...(request.method === "GET" ? {} : { body: request, duplex: "half" }) }).catch(() => undefined);
    if (!answer) return response.destroy(); // the one behind is away
    const body = Buffer.from(await answer.arrayBuffer());
    const kept = Object.fromEntries([...answer.headers].filter(([name]) => ["content-type", "content-range", "etag"].includes(name)));
    response.writeHead(answer.status, { ...kept, "content-length": body.length });
    if (how === "cut") {
      response.write(body.subarray(0, body.length >> 1));
      return setTimeout(() => response.destroy(), 100);
    }
    response.end(how === "other" ? body.fill(" ") : body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, seen, url: `http://127.0.0.1:${server.address().port}` };
}
