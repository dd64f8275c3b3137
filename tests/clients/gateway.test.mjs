// The official TypeScript clients and Inspector at the hosted endpoint, by its URL and a bearer token.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { conversation } from "./conversation.mjs";
import { startHosted } from "./hosted.mjs";
import { BOARD, inspect } from "./inspector.mjs";
import { catalogue, names } from "./server.mjs";

const authorized = (token) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } });
const services = new WeakMap();

/// A client of a service of its own, which ends with it.
async function connected(client, Transport, env, args) {
    const service = await startHosted(env, args);
    services.set(client, service);
    await client.connect(new Transport(new URL(service.url), authorized(service.token)));
    return client;
}

async function close(client) {
    await client.close();
    await services.get(client).stop();
}

for (const [name, mode, expected] of [
    ["hosted, client 2.4.0, legacy", "legacy", "2025-11-25"],
    ["hosted, client 2.4.0, auto", "auto", "2026-07-28"],
    ["hosted, client 2.4.0, pinned", { pin: "2026-07-28" }, "2026-07-28"],
]) {
    conversation(name, {
        connect: (env, args) =>
            connected(new ModernClient({ name: "sf-mcp-tests", version: "1" }, { versionNegotiation: { mode } }), ModernTransport, env, args),
        close,
        call: (client, params, options) => client.callTool(params, options),
        protocol: { expected, negotiated: (client) => client.getNegotiatedProtocolVersion() },
    });
}

conversation("hosted, sdk 1.32.2", {
    connect: (env, args) => connected(new Client({ name: "sf-mcp-tests", version: "1" }), StreamableHTTPClientTransport, env, args),
    close,
    call: (client, params, options) => client.callTool(params, undefined, options),
    protocol: { expected: "2025-11-25", negotiated: (client) => client.transport.protocolVersion },
});

describe("A token that is not known", () => {
    let service;
    before(async () => (service = await startHosted()));
    after(() => service.stop());

    test("is refused, and the client says so", async () => {
        const client = new Client({ name: "sf-mcp-tests", version: "1" });
        const transport = new StreamableHTTPClientTransport(new URL(service.url), authorized(`${service.token}x`));

        await assert.rejects(client.connect(transport), /401|unauthorized/i);
    });
});

for (const [era, protocol] of [["legacy", "2025-11-25"], ["modern", "2026-07-28"]]) {
    describe(`Inspector at the hosted endpoint, ${era}`, () => {
        let service;
        before(async () => (service = await startHosted()));
        after(() => service.stop());

        const ask = (...options) => {
            const header = `Authorization: Bearer ${service.token}`;
            return inspect(["--cli", service.url, "--transport", "http", "--protocol-era", era, "--header", header, ...options]);
        };

        test("the protocol is the one of the era", async () => {
            const { code, stdout, stderr } = await ask("--method", "initialize");

            assert.equal(code, 0, stderr);
            assert.equal(JSON.parse(stdout).protocolVersion, protocol);
        });

        test("the tool schemas pass its lint", async () => {
            const { code, stdout, stderr } = await ask("--method", "tools/list", "--strict");

            assert.equal(code, 0, stderr);
            assert.deepEqual(names(JSON.parse(stdout).tools), catalogue());
            assert.doesNotMatch(stderr, /error|warning/i);
        });

        test("the board is read and wired to its tool", async () => {
            const read = await ask("--method", "resources/read", "--uri", BOARD);
            const wired = await ask("--method", "tools/call", "--tool-name", "get_dispatch_board", "--app-info");

            assert.equal(read.code, 0, read.stderr);
            assert.equal(JSON.parse(read.stdout).contents[0].mimeType, "text/html;profile=mcp-app");
            assert.equal(wired.code, 0, wired.stderr);
            assert.equal(JSON.parse(wired.stdout).resourceUri, BOARD);
        });

        test("a tool answers, and without a token nothing does", async () => {
            const board = await ask("--method", "tools/call", "--tool-name", "get_dispatch_board");
            const stranger = await inspect(["--cli", service.url, "--transport", "http", "--protocol-era", era, "--method", "tools/list", "--stored-auth-only"]);

            assert.equal(board.code, 0, board.stderr);
            assert.ok(JSON.parse(board.stdout).structuredContent.technicians.length > 0);
            assert.notEqual(stranger.code, 0, stranger.stdout);
        });
    });
}
