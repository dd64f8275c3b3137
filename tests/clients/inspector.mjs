// How MCP Inspector's command line is run.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

export const BOARD = "ui://sf/dispatch-board/v1";

export const INSPECTOR = fileURLToPath(new URL("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", import.meta.url));

/// Its exit code and what it printed.
export function inspect(options, env = process.env) {
    const settings = { env: { ...env, MCP_INSPECTOR_SECRET_STORE: "memory" }, timeout: 60_000, maxBuffer: 8 << 20 };
    return new Promise((resolve) => {
        const child = execFile(process.execPath, [INSPECTOR, ...options], settings, (error, stdout, stderr) =>
            resolve({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }));
        child.stdin.end();
    });
}
