// The official TypeScript client of 2026, in the three ways it can meet a server.

import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { conversation } from "./conversation.mjs";
import { binary } from "./server.mjs";

for (const [name, mode, expected] of [
    ["client 2.4.0, legacy", "legacy", "2025-11-25"],
    ["client 2.4.0, auto", "auto", "2026-07-28"],
    ["client 2.4.0, pinned", { pin: "2026-07-28" }, "2026-07-28"],
]) {
    conversation(name, {
        async connect(env, args) {
            const client = new Client({ name: "sf-mcp-tests", version: "1" }, { versionNegotiation: { mode } });
            await client.connect(new StdioClientTransport({ command: binary, args, env, stderr: "inherit" }));
            return client;
        },
        call: (client, params, options) => client.callTool(params, options),
        pid: (client) => client.transport.pid,
        protocol: { expected, negotiated: (client) => client.getNegotiatedProtocolVersion() },
    });
}
