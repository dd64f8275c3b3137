// The real sf-supervisor with one company in it, whose child is the real sf-mcp with what environment a test wants.

import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { binary, eventually } from "./server.mjs";

const supervisor = process.env.SF_SUPERVISOR_BIN;
if (!supervisor) {
    throw new Error("SF_SUPERVISOR_BIN must name the sf-supervisor binary; `tests/run` sets it");
}

/// `sf-supervisor serve --dev`. Its `/mcp` is `url`, and `token` opens it.
export async function startHosted(env = {}, args = ["serve", "--demo"], program = binary) {
    const folder = mkdtempSync(join(tmpdir(), "sf-supervisor-gateway-"));
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    const child = spawn(supervisor, ["serve", "--dev", "--listen", `127.0.0.1:${port}`], {
        env: { PATH: process.env.PATH, HOME: folder, STATE_DIRECTORY: folder, SF_SUPERVISOR_CHILD: childOf(folder, env, [program, ...args]) },
        stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    child.stderr.on("data", (text) => (log += text));
    const ready = () => child.exitCode !== null || fetch(`${origin}/readyz`).then(({ ok }) => ok, () => false);
    await eventually(ready, `the service answers\n${log}`);
    if (child.exitCode !== null) throw new Error(log);
    return {
        url: `${origin}/mcp`,
        token: addCompany(join(folder, "supervisor.db")),
        async stop() {
            if (child.exitCode === null) {
                child.kill("SIGTERM");
                await once(child, "exit");
            }
            rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
        },
    };
}

/// A program that starts another with this environment: the service gives its children none.
function childOf(folder, env, command) {
    const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    const settings = Object.entries({ HOME: folder, SF_MCP_HOME: folder, ...env }).map(([name, value]) => quoted(`${name}=${value}`));
    const program = join(folder, "child");
    writeFileSync(program, `#!/bin/sh\nexec env -i ${settings.join(" ")} ${command.map(quoted).join(" ")}\n`);
    chmodSync(program, 0o755);
    return program;
}

/// Puts a company and a bearer token into the database; the token is the answer.
function addCompany(file) {
    const token = `sfb_${randomBytes(32).toString("base64url")}`;
    const hash = createHash("sha256").update(token).digest("base64url");
    const database = new DatabaseSync(file, { timeout: 5000 });
    // The tiers have tests of their own.
    const limits = JSON.stringify({ per_minute: 1_000_000, burst: 1_000_000, per_day: 100_000_000 });
    database.prepare("INSERT INTO tenants (id, company, tier, limits, note, created_at) VALUES ('ten_1', 'Acme', 'free', ?, '', 1)").run(limits);
    database.prepare(
        "INSERT INTO tokens (id, tenant_id, kind, name, hash, scopes, created_at) VALUES ('tok_1', 'ten_1', 'bearer', 'test', ?, 'sf:read sf:write', 1)",
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
