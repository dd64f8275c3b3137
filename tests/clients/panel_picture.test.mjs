// The picture of the operators' panel in the README: a company as its operator sees it after a month.

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { addCompany, picture, signIn, startBrowser, startService } from "./pages.mjs";

const OPERATOR = "operator@example.com";
const DAY = 86_400_000;
const WIDTH = 1200;
/// Calls of a working day by tool, as offices ask.
const TOOLS = {
    get_dispatch_board: 34, search_jobs: 27, get_customer: 19, get_job: 15, search_customers: 14,
    get_technician_schedule: 9, search_estimates: 6, list_follow_ups: 4, create_job: 3,
};
const CLIENTS = { "claude-ai/1.0": 0.6, "Cursor/2.1": 0.25, "Visual Studio Code/1.106": 0.15 };

describe("the README's picture of the panel", () => {
    let service, browser, oscar, acme;
    before(async () => {
        service = await startService({ operators: [OPERATOR] });
        browser = await startBrowser(service);
        acme = await addCompany(service, "Lone Star Comfort", "maria@lonestar.example.com");
        month();
        await used();
        oscar = await browser.person({ width: WIDTH, scale: 0.75 });
        await signIn(service, oscar, OPERATOR, "/admin");
    });
    after(async () => {
        await browser?.close();
        await service?.stop();
    });

    /// Thirty days of calls: fewer at weekends, slowly more, a few that ended otherwise.
    function month() {
        const database = new DatabaseSync(service.database, { timeout: 5000 });
        database.exec("BEGIN");
        const sum = database.prepare(
            "INSERT INTO usage_days (tenant_id, day, tool, status, client, origin, calls, duration_ms, bytes) VALUES (?, ?, ?, ?, ?, 'hosted', ?, ?, ?)");
        const event = database.prepare(
            "INSERT INTO usage_events (tenant_id, id, at, tool, endpoint, status, duration_ms, bytes, client, era, origin, received_at) VALUES (?, ?, ?, ?, '', 'ok', ?, 4000, ?, '2026-07-28', 'hosted', 1)");
        database.prepare("UPDATE tenants SET tier = 'pro', note = ? WHERE id = ?").run("Pays by invoice. Maria is in the office until four.", acme.id);
        const today = Math.floor(Date.now() / DAY) * DAY;
        for (let ago = 29; ago >= 0; ago -= 1) {
            const day = today - ago * DAY;
            const weekday = new Date(day).getUTCDay();
            const busy = [0.05, 0.9, 1, 1.1, 0.95, 1.05, 0.3][weekday] * (0.6 + (29 - ago) / 60) * (ago ? 1 : 0.5);
            for (const [tool, usual] of Object.entries(TOOLS)) {
                for (const [client, share] of Object.entries(CLIENTS)) {
                    const calls = Math.round(usual * busy * share * (0.85 + ((ago * 7 + tool.length * 5) % 10) / 30));
                    if (calls > 0) sum.run(acme.id, day, tool, "ok", client, calls, calls * (180 + tool.length * 15), calls * 4000);
                }
            }
            if (weekday % 3 === 1) sum.run(acme.id, day, "create_job", "refused", "claude-ai/1.0", 2, 300, 900);
        }
        for (let n = 0; n < 400; n += 1) {
            const tool = Object.keys(TOOLS)[n % 9];
            event.run(acme.id, `event-${n}`, Date.now() - n * 90_000, tool, 120 + ((n * 37) % 500), "claude-ai/1.0");
        }
        database.exec("COMMIT");
        database.close();
    }

    /// What the company's own people did: its time zone, and the call that started its process.
    async function used() {
        const headers = { authorization: `Bearer ${acme.token}`, "content-type": "application/json" };
        const body = JSON.stringify({ time_zone: "America/Chicago" });
        assert.ok((await fetch(`${service.origin}/api/tenant`, { method: "PATCH", headers, body })).ok);
        const client = new Client({ name: "panel-picture", version: "1" });
        await client.connect(new StreamableHTTPClientTransport(new URL(acme.mcpUrl), { requestInit: { headers } }));
        await client.listTools();
        await client.close();
    }

    test("is taken anew, and small enough for a page", async () => {
        await oscar.goto(`/admin/tenants/${acme.id}`);
        const chart = await oscar.locator(".card", { has: oscar.getByRole("heading", { name: "Calls by day" }) }).boundingBox();
        const clip = { x: 0, y: 0, width: WIDTH, height: Math.ceil(chart.y + chart.height) + 12 };
        const file = await picture(oscar, "panel", { clip });
        assert.ok(statSync(file).size < 150_000, `${statSync(file).size} bytes`);
        assert.deepEqual(oscar.problems, []);
    });
});
