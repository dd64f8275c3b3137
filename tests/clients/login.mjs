// What a program keeps of a login, for both official TypeScript packages, and the dance itself.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const modern = (mode) => ({
    make: () => new ModernClient({ name: "sf-mcp-tests", version: "1" }, { versionNegotiation: { mode } }),
    transport: (url, login, options) => new ModernTransport(new URL(url), { authProvider: login, ...options }),
    finish: (transport, params) => transport.finishAuth(params),
    call: (client, params) => client.callTool(params),
    protocol: (client) => client.getNegotiatedProtocolVersion(),
});

/// The official clients, by what they are.
export const CLIENTS = {
    "client 2.4.0, legacy": { ...modern("legacy"), speaks: "2025-11-25" },
    "client 2.4.0, auto": { ...modern("auto"), speaks: "2026-07-28" },
    "client 2.4.0, pinned": { ...modern({ pin: "2026-07-28" }), speaks: "2026-07-28" },
    "sdk 1.32.2": {
        make: () => new Client({ name: "sf-mcp-tests", version: "1" }),
        transport: (url, login, options) => new StreamableHTTPClientTransport(new URL(url), { authProvider: login, ...options }),
        finish: (transport, params) => transport.finishAuth(params.get("code")),
        call: (client, params) => client.callTool(params),
        protocol: (client) => client.transport.protocolVersion,
        speaks: "2025-11-25",
    },
};

/// An `OAuthClientProvider` in memory.
export class Login {
    constructor(callback, { name = "Test client", clientMetadataUrl } = {}) {
        Object.assign(this, { callback, name, clientMetadataUrl, kept: {}, asked: [] });
    }

    get redirectUrl() {
        return this.callback.url;
    }
    get clientMetadata() {
        return {
            client_name: this.name,
            redirect_uris: [this.callback.url],
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: "none",
        };
    }
    state() {
        return (this.kept.state = randomBytes(16).toString("base64url"));
    }
    clientInformation() {
        return this.kept.client;
    }
    saveClientInformation(client) {
        this.kept.client = client;
    }
    tokens() {
        return this.kept.tokens;
    }
    saveTokens(tokens) {
        this.kept.tokens = tokens;
    }
    codeVerifier() {
        return this.kept.verifier;
    }
    saveCodeVerifier(verifier) {
        this.kept.verifier = verifier;
    }
    discoveryState() {
        return this.kept.discovery;
    }
    saveDiscoveryState(discovery) {
        this.kept.discovery = discovery;
    }
    redirectToAuthorization(url) {
        this.asked.push(url);
    }
    invalidateCredentials(what) {
        for (const name of what === "all" ? Object.keys(this.kept) : [what]) delete this.kept[name];
    }
}

/// A connected client; a person decides where one is needed.
export async function connect(kind, url, login, person, decision, options) {
    const first = kind.make();
    const transport = kind.transport(url, login, options);
    const asked = login.asked.length;
    try {
        await first.connect(transport);
        return first;
    } catch (error) {
        if (login.asked.length === asked) throw error;
        assert.equal(error.name === "UnauthorizedError" || error.constructor.name === "UnauthorizedError", true, error.stack);
    } finally {
        if (login.asked.length > asked) await first.close();
    }
    await finish(kind, transport, login, person, decision);
    const client = kind.make();
    await client.connect(kind.transport(url, login, options));
    return client;
}

/// The browser's part of a login that a client has begun.
export async function finish(kind, transport, login, person, decision) {
    await person.decide(login.asked.at(-1), decision);
    const params = await login.callback.next();
    assert.equal(params.get("state"), login.kept.state);
    assert.equal(params.get("iss"), person.service.origin);
    await kind.finish(transport, params);
}
