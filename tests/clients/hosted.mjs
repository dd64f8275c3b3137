// The real sf-supervisor with one company in it, whose child is the real sf-mcp with what environment a test wants.

import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
export async function startHosted(env = {}, args = ["serve", "--demo"], program = binary, settings = {}) {
    const folder = mkdtempSync(join(tmpdir(), "sf-supervisor-gateway-"));
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    const child = spawn(supervisor, ["serve", "--dev", "--listen", `127.0.0.1:${port}`], {
        env: {
            PATH: process.env.PATH, HOME: folder, STATE_DIRECTORY: folder,
            SF_SUPERVISOR_CHILD: childOf(folder, env, [program, ...args]), ...settings,
        },
        stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    child.stderr.on("data", (text) => (log += text));
    const ready = () => child.exitCode !== null || fetch(`${origin}/readyz`).then(({ ok }) => ok, () => false);
    await eventually(ready, `the service answers\n${log}`);
    if (child.exitCode !== null) throw new Error(log);
    const database = join(folder, "supervisor.db");
    return {
        url: `${origin}/mcp`,
        origin,
        token: addCompany(database),
        /// Somebody who may sign in.
        addMember: (email, { tenant = "ten_1" } = {}) => addMember(database, email, "sf:read sf:write", tenant),
        /// One more company.
        addCompany: (name) => addTenant(database, name),
        /// Changes what the database holds, for what would take hours otherwise.
        change: (statement, ...values) => change(database, statement, values),
        ask: (statement, ...values) => ask(database, statement, values),
        letters: () => letters(join(folder, "mail")),
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
    const id = addTenant(file, "Acme", "ten_1");
    const owner = addMember(file, "owner@acme.test", "sf:read sf:write", id, "owner");
    change(
        file,
        "INSERT INTO tokens (id, tenant_id, member_id, kind, name, hash, scopes, created_at) VALUES ('tok_1', ?, ?, 'bearer', 'test', ?, 'sf:read sf:write', 1)",
        [id, owner, hash],
    );
    return token;
}

function addTenant(file, company, id = `ten_${randomBytes(9).toString("base64url")}`) {
    // The tiers have tests of their own.
    const limits = JSON.stringify({ per_minute: 1_000_000, burst: 1_000_000, per_day: 100_000_000, in_flight: 1_000 });
    change(file, "INSERT INTO tenants (id, company, tier, limits, note, created_at) VALUES (?, ?, 'free', ?, '', 1)", [id, company, limits]);
    return id;
}

function addMember(file, email, scopes, tenant, role = "member") {
    const id = `mem_${randomBytes(9).toString("base64url")}`;
    const statement = "INSERT INTO members (id, tenant_id, email, role, scopes, created_at) VALUES (?, ?, ?, ?, ?, 1)";
    change(file, statement, [id, tenant, email, role, scopes]);
    return id;
}

function change(file, statement, values) {
    const database = new DatabaseSync(file, { timeout: 5000 });
    const { changes } = database.prepare(statement).run(...values);
    database.close();
    return Number(changes);
}

function ask(file, statement, values) {
    const database = new DatabaseSync(file, { timeout: 5000 });
    const rows = database.prepare(statement).all(...values);
    database.close();
    return rows;
}

/// The mails so far, oldest first.
function letters(folder) {
    const names = readdirSync(folder).filter((name) => name.endsWith(".eml")).sort();
    return names.map((name) => readFileSync(join(folder, name), "utf8"));
}

export async function freePort() {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    server.close();
    await once(server, "close");
    return port;
}
