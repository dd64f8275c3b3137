// The hosting service's bundles, taken apart and started as the clients do it: the official mcpb package and its command
// line, and a client over stdio.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { getMcpConfigForManifest, hasRequiredConfigMissing } from "@anthropic-ai/mcpb/node";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

import { binary, emptyHome, eventually } from "./server.mjs";

const supervisor = process.env.SF_SUPERVISOR_BIN;
if (!supervisor) {
    throw new Error("SF_SUPERVISOR_BIN must name the sf-supervisor binary; `tests/run` sets it");
}
const mcpb = fileURLToPath(new URL("node_modules/@anthropic-ai/mcpb/dist/cli/cli.js", import.meta.url));
const STRICT = `
import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
assert archive.comment == b""
for file in archive.infolist():
    assert (file.flag_bits, file.extra, file.comment, file.create_system) == (0, b"", b"", 3), file
    assert file.date_time == (1980, 1, 1, 0, 0, 0), file
print(" ".join(archive.namelist()))
`;
const COMPANY = `O'Brien "Heating" & Söhne $(id) \${__dirname}\n`;

describe("Bundles", () => {
    let folder, service;
    before(async () => {
        folder = mkdtempSync(join(tmpdir(), "sf-supervisor-bundles-"));
        service = await startService(join(folder, "state"));
    });
    after(async () => {
        await service?.stop();
        rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    });

    test("the extension is valid, and Claude Desktop's way of starting it gives the tools it names", async () => {
        const packed = join(folder, "service-fusion.mcpb");
        const unpacked = join(folder, "unpacked");
        writeFileSync(packed, Buffer.from(await (await service.get("mcpb")).arrayBuffer()));

        const strict = await promisify(execFile)("python3", ["-c", STRICT, packed]);
        await run(mcpb, "unpack", packed, unpacked);
        const validated = await run(mcpb, "validate", unpacked);
        const manifest = JSON.parse(readFileSync(join(unpacked, "manifest.json"), "utf8"));
        const config = await getMcpConfigForManifest({
            manifest, extensionPath: unpacked, systemDirs: {}, userConfig: {}, pathSeparator: "/",
        });
        const tools = await toolsOf(config);

        assert.equal(strict.stdout, "manifest.json icon.png server/sf-mcp\n");
        assert.match(validated.stdout, /schema validation passes/);
        assert.match(manifest.name, /^service-fusion-o-brien-heat-1$/);
        assert.equal(hasRequiredConfigMissing({ manifest }), false);
        assert.ok(statSync(config.command).mode & 0o100);
        assert.equal(config.env.SF_MCP_SUPERVISOR_URL, service.url);
        assert.deepEqual(manifest.tools.map(({ name }) => name), tools);
    });

    test("twenty downloads are fast, each with a token of its own", async () => {
        const begin = performance.now();
        const different = new Set();
        for (let count = 0; count < 20; count += 1) {
            const bytes = Buffer.from(await (await service.get("mcpb")).arrayBuffer());
            different.add(createHash("sha256").update(bytes).digest("hex"));
        }
        assert.equal(different.size, 20);
        assert.ok(performance.now() - begin < 60_000);
    });

    for (const [client, key] of [["claude-desktop", "mcpServers"], ["claude-code", "mcpServers"], ["cursor", "mcpServers"], ["vscode", "servers"]]) {
        test(`what ${client} is handed starts sf-mcp`, async () => {
            const config = await (await service.get(`${client}?command=${encodeURIComponent(binary)}`)).json();

            assert.ok((await toolsOf(config[key]["service-fusion"])).includes("get_dispatch_board"));
        });
    }
});

/// The names of a server's tools, started as its entry says.
async function toolsOf({ command, args, env }) {
    const home = emptyHome();
    const client = new Client({ name: "sf-mcp-tests", version: "1" });
    try {
        await client.connect(new StdioClientTransport({ command, args, env: { ...home.env, ...env }, stderr: "inherit" }));
        return (await client.listTools()).tools.map(({ name }) => name);
    } finally {
        await client.close();
        home.remove();
    }
}

/// `sf-supervisor serve --dev` with one company in it.
async function startService(state) {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const child = spawn(supervisor, ["serve", "--dev", "--listen", `127.0.0.1:${port}`], {
        env: { PATH: process.env.PATH, HOME: state, STATE_DIRECTORY: state, SF_SUPERVISOR_CHILD: binary },
        stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    child.stderr.on("data", (text) => (log += text));
    const ready = () => child.exitCode !== null || fetch(`${url}/readyz`).then(({ ok }) => ok, () => false);
    await eventually(ready, `the service answers\n${log}`);
    assert.equal(child.exitCode, null, log);
    const token = addCompany(join(state, "supervisor.db"));
    return {
        url,
        async get(path) {
            const answer = await fetch(`${url}/api/bundles/${path}`, { headers: { authorization: `Bearer ${token}` } });
            assert.equal(answer.status, 200, path);
            return answer;
        },
        async stop() {
            if (child.exitCode === null) {
                child.kill("SIGTERM");
                await once(child, "exit");
            }
        },
    };
}

/// Puts a company and a bearer token into the database; the token is the answer.
function addCompany(file) {
    const token = `sfb_${randomBytes(32).toString("base64url")}`;
    const hash = createHash("sha256").update(token).digest("base64url");
    const database = new DatabaseSync(file, { timeout: 5000 });
    database.prepare("INSERT INTO tenants (id, company, tier, note, created_at) VALUES ('ten_1', ?, 'free', '', 1)").run(COMPANY);
    database.prepare(
        "INSERT INTO tokens (id, tenant_id, kind, name, hash, scopes, created_at) VALUES ('tok_1', 'ten_1', 'bearer', 'test', ?, 'sf:read', 1)",
    ).run(hash);
    database.close();
    return token;
}

async function freePort() {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    server.close();
    await once(server, "close");
    return port;
}

function run(...command) {
    return promisify(execFile)(process.execPath, command, { timeout: 60_000 });
}
