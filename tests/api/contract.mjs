// Holds a server to its own OpenAPI document: every answer is validated against the schema documented for its status, every operation that was called is
// remembered, and an answer that is not documented is a failure.
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { Client } from "./server.mjs";

export class Contract {
  static async of(server) {
    const document = (await new Client(server.url).get("/api/v1/openapi.json")).body;
    return new Contract(document);
  }

  constructor(document) {
    this.document = document;
    this.called = new Map();
    this.ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true });
    addFormats(this.ajv);
    this.ajv.addSchema(document, "openapi");
    this.paths = Object.keys(document.paths).map((template) => ({
      template,
      pattern: new RegExp("^" + template.replace(/[.]/g, "\\.").replace(/\{(path)\}/g, ".+").replace(/\{[^}]+\}/g, "[^/]+") + "$"),
      weight: (template.match(/\{/g) ?? []).length,
    })).sort((a, b) => a.weight - b.weight || b.template.length - a.template.length);
  }

  // The operation that a request is one of.
  operation(method, path) {
    const bare = path.split("?")[0];
    const candidates = this.paths.filter((p) => p.pattern.test(bare) && this.document.paths[p.template][method.toLowerCase()]);
    return candidates.length ? { template: candidates[0].template, ...this.document.paths[candidates[0].template][method.toLowerCase()] } : undefined;
  }

  validator(pointer) {
    const key = `openapi#${pointer}`;
    return this.ajv.getSchema(key) ?? this.ajv.compile({ $ref: key });
  }

  // Checks one answer; throws with what is wrong.
  check(method, path, answer) {
    const operation = this.operation(method, path);
    if (!operation) throw new Error(`${method} ${path} is not in the OpenAPI document`);
    let response = operation.responses[String(answer.status)];
    let pointer = `/paths/${escape(operation.template)}/${method.toLowerCase()}/responses/${answer.status}`;
    const documented = response !== undefined;
    if (!documented) {
      if (answer.status < 400 && answer.status !== 304 && answer.status !== 206) throw new Error(`${method} ${path} answered ${answer.status}, which is not documented`);
      response = operation.responses.default;
      pointer = response?.$ref?.slice(1);
    }
    if (documented) this.called.set(operation.operationId, (this.called.get(operation.operationId) ?? 0) + 1);
    if (answer.status >= 400) this.problem(method, path, answer);
    if (!documented || !response.content) return;
    const type = (answer.headers.get("content-type") ?? "").split(";")[0];
    const media = Object.keys(response.content)[0];
    if (media === "application/json") {
      if (type !== media) throw new Error(`${method} ${path} answered ${type}, documented is ${media}`);
      const validate = this.validator(`${pointer}/content/${escape(media)}/schema`);
      if (!validate(answer.body)) throw new Error(`${method} ${path}: ${this.ajv.errorsText(validate.errors)}\n${JSON.stringify(answer.body).slice(0, 2000)}`);
    }
  }

  // An answer that says what went wrong: in one of the shapes that the operation documents.
  problem(method, path, answer) {
    const type = (answer.headers.get("content-type") ?? "").split(";")[0];
    if (method === "HEAD") return;
    const named = this.operation(method, path)?.responses.default.$ref ?? "#/components/responses/Problem";
    const schema = this.document.components.responses[named.split("/").pop()].content[type]?.schema.$ref;
    if (!schema) throw new Error(`${method} ${path} answered ${answer.status} as ${type}: ${answer.text.slice(0, 300)}`);
    const validate = this.validator(schema.slice(1));
    if (!validate(answer.body)) throw new Error(`${method} ${path}: ${this.ajv.errorsText(validate.errors)}`);
  }

  // Operations of the document that no answer of their success status has been seen of.
  missing() {
    return Object.values(this.document.paths).flatMap((item) => Object.values(item)).filter((o) => o.operationId && !this.called.has(o.operationId)).map((o) => o.operationId);
  }

  // A client whose every answer is checked.
  wrap(client) {
    const contract = this;
    const original = client.request.bind(client);
    client.request = async (method, path, options) => {
      const answer = await original(method, path, options);
      contract.check(method, path, answer);
      return answer;
    };
    return client;
  }
}

const escape = (key) => key.replace(/~/g, "~0").replace(/\//g, "~1").replace(/\{/g, "%7B").replace(/\}/g, "%7D");
