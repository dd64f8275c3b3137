// The older TypeScript SDK, which most clients of 2025 are built on.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

import { conversation } from "./conversation.mjs";
import { binary } from "./server.mjs";

conversation("sdk 1.32.2", {
    async connect(env, args) {
        const client = new Client({ name: "sf-mcp-tests", version: "1" });
        const transport = new StdioClientTransport({ command: binary, args, env, stderr: "inherit" });
        // The SDK tells only the transport which version was agreed on.
        transport.setProtocolVersion = (version) => (transport.agreed = version);
        await client.connect(transport);
        return client;
    },
    call: (client, params, options) => client.callTool(params, undefined, options),
    pid: (client) => client.transport.pid,
    protocol: { expected: "2025-11-25", negotiated: (client) => client.transport.agreed },
});
