// The operators' panel in real headless Chromium: an operator finds a company, looks, acts, and nobody else gets in.

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import {
    LARGEST, NASTY, addCompany, hidden, looked, send, signIn, startBrowser, startService, tabTo, weight,
} from "./pages.mjs";
import { eventually } from "./server.mjs";

const OPERATOR = "operator@example.com";
/// Another operator: one address gets three mails in ten minutes.
const OLGA = "olga@example.com";
const ANNA = "anna@example.com";
const DAY = 86_400_000;

describe("The operators' panel", () => {
    let service, browser, acme, oscar;
    const at = (rest = "", company = acme) => `/admin/tenants/${company.id}${rest}`;

    before(async () => {
        service = await startService({ operators: [OPERATOR, OLGA] });
        browser = await startBrowser(service);
        oscar = await browser.person({ expected: [404, 422] });
        await signIn(service, oscar, OPERATOR, "/admin");
    });
    after(async () => {
        await browser?.close();
        await service?.stop();
    });

    /// One call as an AI client makes it; what its first request is answered with.
    async function call() {
        const client = new Client({ name: "panel-test", version: "1" });
        const requestInit = { headers: { authorization: `Bearer ${acme.token}` } };
        await client.connect(new StreamableHTTPClientTransport(new URL(acme.mcpUrl), { requestInit }));
        const board = await client.callTool({ name: "get_dispatch_board", arguments: {} });
        await client.close();
        assert.ok(!board.isError, JSON.stringify(board.content));
    }
    const asked = async () => {
        const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: {} });
        const headers = { authorization: `Bearer ${acme.token}`, "content-type": "application/json", accept: "application/json, text/event-stream" };
        return (await fetch(acme.mcpUrl, { method: "POST", headers, body })).status;
    };
    /// Companies and calls, more than a page has.
    function fill() {
        const database = new DatabaseSync(service.database, { timeout: 5000 });
        database.exec("BEGIN");
        const tenant = database.prepare("INSERT INTO tenants (id, company, tier, note, created_at, activated_at, suspended_at, suspended_why, seen_at) VALUES (?, ?, ?, '', ?, ?, ?, ?, ?)");
        const member = database.prepare("INSERT INTO members (id, tenant_id, email, role, scopes, created_at) VALUES (?, ?, ?, 'owner', 'sf:read', 1)");
        const sums = database.prepare("INSERT INTO usage_days (tenant_id, day, tool, status, client, origin, calls, duration_ms, bytes) VALUES (?, ?, ?, ?, 'claude-ai', 'hosted', ?, ?, 1)");
        const today = Math.floor(Date.now() / DAY) * DAY;
        for (let n = 1; n <= 120; n += 1) {
            const id = `ten_many${String(n).padStart(3, "0")}`;
            const suspended = n % 40 === 0 ? Date.now() : null;
            tenant.run(id, `Company ${String(n).padStart(3, "0")}`, n % 10 ? "free" : "enterprise", n, n % 5 ? n : null, suspended, suspended && "unpaid", Date.now() - n * 1000);
            member.run(`mem_${n}`, id, `owner${n}@many.example.com`);
            sums.run(id, today, "search_jobs", "ok", n * 3, n * 900);
        }
        for (let ago = 0; ago < 30; ago += 1) {
            sums.run(acme.id, today - ago * DAY, "search_jobs", "ok", 30 + ((ago * 17) % 50), 9_000);
            if (ago % 3 === 0) sums.run(acme.id, today - ago * DAY, "search_jobs", "timeout", 4, 0);
        }
        const event = database.prepare("INSERT INTO usage_events (tenant_id, id, at, tool, endpoint, status, duration_ms, bytes, client, era, origin, received_at) VALUES (?, ?, ?, 'search_jobs', 'GET /v1/jobs', ?, ?, 0, ?, '2026-07-28', 'hosted', 1)");
        for (let n = 0; n < 200; n += 1) event.run(acme.id, `event-${n}`, Date.now() - n * 60_000, n % 20 ? "ok" : "timeout", 20 + n, n % 7 ? "claude-ai/1" : NASTY.slice(0, 60));
        database.exec("COMMIT");
        database.close();
    }

    test("is empty before anybody has signed up", async () => {
        await oscar.getByText("Nobody has signed up yet.").waitFor();
        await looked(oscar, "admin-empty");
        await oscar.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Fleet" }).click();
        await oscar.getByText("No calls yet.").waitFor();
        await looked(oscar, "admin-fleet-empty");
        assert.deepEqual(oscar.problems, []);
    });

    test("shows who signed up and the first call", async () => {
        acme = await addCompany(service, "Acme Heating", ANNA);
        await call();
        await oscar.goto("/admin");
        await oscar.getByLabel("Search").fill("anna@");
        await oscar.getByRole("button", { name: "Show", exact: true }).click();
        await oscar.getByRole("link", { name: "Acme Heating" }).click();
        await oscar.getByRole("heading", { level: 1, name: "Acme Heating" }).waitFor();
        await oscar.getByText("process").first().waitFor();
        // Calls are counted in the background.
        const counted = async () => {
            await oscar.reload();
            return oscar.getByRole("region", { name: "By tool", exact: true }).getByRole("row", { name: /get_dispatch_board 1 / }).count();
        };
        await eventually(counted, "the first call is counted");
        assert.deepEqual(oscar.problems, []);
    });

    test("moves the company to another tier, after showing what changes", async () => {
        await oscar.goto(at());
        await oscar.getByLabel("Tier", { exact: true }).selectOption("pro");
        await oscar.getByLabel("Calls a day").fill("many");
        await oscar.getByRole("button", { name: "Look at these limits" }).click();
        await oscar.getByRole("alert").getByText("Calls a day must be a whole number").waitFor();
        await looked(oscar, "admin-limits-wrong");
        await oscar.getByLabel("Calls a day").fill("9000");
        await oscar.getByRole("button", { name: "Look at these limits" }).click();
        await oscar.getByText(/9000 a day, \d+ under way at once, some of them its own/).waitFor();
        await looked(oscar, "admin-limits");
        await oscar.getByRole("button", { name: "Set these limits" }).click();
        await oscar.getByRole("status").getByText("hold from the next call on").waitFor();
        await oscar.getByText("Now: tier pro").waitFor();
        assert.deepEqual(oscar.problems, []);
    });

    test("suspends the company, whose next request is refused, and resumes it", async () => {
        assert.notEqual(await asked(), 403);
        await oscar.goto(at());
        await oscar.getByRole("link", { name: "Suspend …" }).click();
        await looked(oscar, "admin-suspend");
        await oscar.getByLabel("Why").fill(NASTY);
        await oscar.getByRole("button", { name: "Suspend the company" }).click();
        await oscar.getByRole("status").getByText("The company is suspended").waitFor();
        assert.equal(await asked(), 403);
        await oscar.getByLabel("For operators alone").fill(`${NASTY}\nsecond line`);
        await oscar.getByRole("button", { name: "Keep the note" }).click();
        await oscar.getByRole("status").getByText("The note is kept").waitFor();
        assert.equal(await oscar.getByLabel("For operators alone").inputValue(), `${NASTY}\nsecond line`);
        await oscar.getByRole("button", { name: "Resume the company" }).click();
        await oscar.getByRole("status").getByText("served again").waitFor();
        assert.notEqual(await asked(), 403);
        await call();
        assert.deepEqual(oscar.problems, []);
    });

    test("exports the usage of a period, of all and of one", async () => {
        const today = new Date().toISOString().slice(0, 10);
        const exported = async (button) => {
            await oscar.getByLabel("From").fill(today);
            await oscar.getByLabel("To, included").fill(today);
            const [download] = await Promise.all([oscar.waitForEvent("download"), oscar.getByRole("button", { name: button }).click()]);
            const pieces = [];
            for await (const piece of await download.createReadStream()) pieces.push(piece);
            return Buffer.concat(pieces).toString();
        };
        await oscar.goto("/admin");
        assert.match(await exported("Download all companies"), new RegExp(`^tenant,company,calls,errors,duration_ms,bytes\r\n${acme.id},Acme Heating,[1-9]`));
        await oscar.goto(at());
        assert.match(await exported("Download by day"), new RegExp(`\r\n${today},[1-9]`));
        assert.deepEqual(oscar.problems, []);
    });

    test("says in the log who did what", async () => {
        await oscar.goto(at());
        await oscar.getByRole("link", { name: "What was changed" }).click();
        for (const what of ["set tier and limits", "suspended", "resumed", "changed the note", "signed up"]) {
            await oscar.getByRole("row").filter({ has: oscar.getByRole("rowheader", { name: what, exact: true }) }).first().waitFor();
        }
        await oscar.getByLabel("What").selectOption({ label: "suspended" });
        await oscar.getByRole("button", { name: "Show", exact: true }).click();
        await oscar.waitForURL(/action=tenant.suspend/);
        const row = oscar.getByRole("row").nth(1);
        assert.ok((await row.innerText()).includes(OPERATOR));
        assert.ok((await row.innerText()).includes(NASTY));
        await looked(oscar, "admin-audit");
        assert.deepEqual(oscar.problems, []);
    });

    test("searches, filters, sorts and turns pages among many, also without a script", async () => {
        fill();
        const plain = await browser.person({ javaScript: false });
        await signIn(service, plain, OLGA, "/admin");
        for (const page of [oscar, plain]) {
            await page.goto("/admin?sort=company");
            const names = () => page.locator("tbody th a").allInnerTexts();
            assert.equal((await names()).length, 50);
            assert.equal((await names())[0], "Acme Heating");
            assert.equal(await page.getByRole("columnheader", { name: "Company" }).getAttribute("aria-sort"), "ascending");
            await page.getByRole("link", { name: "Next page" }).click();
            await page.getByText("51 to 100 of 121", { exact: true }).waitFor();
            assert.equal((await names())[0], "Company 050");
            await page.getByRole("link", { name: "Calls today" }).click();
            assert.deepEqual((await names()).slice(0, 2), ["Company 120", "Company 119"]);
            await page.getByRole("link", { name: "Calls today" }).click();
            assert.equal(await page.getByRole("columnheader", { name: "Calls today" }).getAttribute("aria-sort"), "ascending");
            await page.getByLabel("State").selectOption("suspended");
            await page.getByLabel("Tier").selectOption("enterprise");
            await page.getByRole("button", { name: "Show", exact: true }).click();
            assert.deepEqual(await names(), ["Company 040", "Company 080", "Company 120"]);
            await page.getByLabel("Search").fill("owner40@");
            await page.getByRole("button", { name: "Show", exact: true }).click();
            assert.deepEqual(await names(), ["Company 040"]);
            await page.getByLabel("Search").fill(NASTY);
            await page.getByRole("button", { name: "Show", exact: true }).click();
            await page.getByText("No company is like that.").waitFor();
            assert.equal(await page.getByLabel("Search").inputValue(), NASTY.slice(0, 100));
        }
        await oscar.goto("/admin");
        await looked(oscar, "admin-companies");
        assert.deepEqual([...oscar.problems, ...plain.problems], []);
    });

    test("shows one company's figures and the fleet's", async () => {
        await oscar.goto(at());
        await oscar.getByRole("img", { name: /Calls by day: \d+ calls in 30 days/ }).waitFor();
        await oscar.getByRole("row", { name: /Last 24 hours 2\d\d / }).waitFor();
        await oscar.getByRole("region", { name: "Calls that failed lately" }).getByText("took too long").first().waitFor();
        await looked(oscar, "admin-company");
        await oscar.goto("/admin/fleet");
        await oscar.getByText("121 in all.").waitFor();
        await oscar.getByText("SQLite").waitFor();
        await oscar.getByRole("region", { name: "Most calls in seven days" }).getByRole("link", { name: "Company 120" }).waitFor();
        await looked(oscar, "admin-fleet");
        assert.deepEqual(oscar.problems, []);
    });

    test("is small on the wire", async (t) => {
        for (const path of ["/admin", at(), "/admin/fleet", "/admin/audit"]) {
            const bytes = await weight(oscar, path);
            t.diagnostic(`${path}: ${bytes} bytes`);
            assert.ok(bytes > 1000 && bytes <= LARGEST, `${path}: ${bytes} bytes`);
        }
    });

    test("is used with the keyboard alone", async () => {
        await oscar.goto("/admin");
        await oscar.keyboard.press("Tab");
        assert.equal(await oscar.evaluate(() => document.activeElement.innerText), "Skip to the content");
        await tabTo(oscar, "Search");
        await oscar.keyboard.type("acme");
        await oscar.keyboard.press("Enter");
        await oscar.waitForURL(/q=acme/);
        await tabTo(oscar, "Acme Heating");
        await oscar.keyboard.press("Enter");
        await oscar.waitForURL(`**${at()}`);
        await tabTo(oscar, "Suspend …");
        await oscar.keyboard.press("Enter");
        await oscar.waitForURL("**/suspend");
        await tabTo(oscar, "Why");
        await oscar.keyboard.type("asked for it");
        await tabTo(oscar, "Suspend the company");
        await oscar.keyboard.press("Enter");
        await oscar.waitForURL(/done=suspended/);
        await tabTo(oscar, "Resume the company");
        await oscar.keyboard.press("Enter");
        await oscar.waitForURL(/done=resumed/);
        assert.deepEqual(oscar.problems, []);
    });

    test("is not there for people who are no operators", async () => {
        const anna = await browser.person({ expected: [404] });
        await signIn(service, anna, ANNA, "/admin");
        await anna.getByRole("heading", { name: "There is no such page" }).waitFor();
        const page = await anna.content();
        for (const path of [at(), "/admin/fleet", "/admin/audit", at("/delete")]) {
            const answer = await anna.goto(path);
            assert.equal(answer.status(), 404, path);
            assert.equal(await anna.content(), page, path);
        }
        assert.equal(await anna.getByRole("link", { name: "Operate" }).count(), 0);
        assert.deepEqual(anna.problems, []);
    });

    test("takes no form from elsewhere, and nobody may frame it", async () => {
        await oscar.goto(at("/suspend"));
        const form = { ...(await hidden(oscar, at("/suspend"))), why: "x" };
        const elsewhere = await send(oscar, at("/suspend"), { form, headers: { origin: "https://evil.example" } });
        assert.equal(elsewhere.status, 403);
        const bare = await send(oscar, at("/suspend"), { form: { why: "x" } });
        assert.equal(bare.status, 403);
        const replayed = await send(oscar, at("/resume"), { form });
        assert.equal(replayed.status, 403);
        assert.notEqual(await asked(), 403);
        const answer = await oscar.goto("/admin");
        assert.match(answer.headers()["content-security-policy"], /frame-ancestors 'none'/);
        assert.equal(answer.headers()["x-frame-options"], "DENY");
    });

    test("ends a session that nobody uses, and deletes a company by its name", async () => {
        const database = new DatabaseSync(service.database, { timeout: 5000 });
        database.prepare("UPDATE sessions SET operated_at = ? WHERE email = ?").run(Date.now() - 31 * 60_000, OPERATOR);
        await oscar.goto(at("/delete"));
        await oscar.waitForURL("**/sign-in?**");
        await signIn(service, oscar, OPERATOR, at("/delete"));
        await oscar.getByLabel("Type the company's name").fill(NASTY);
        await oscar.getByRole("button", { name: "Delete the company for good" }).click();
        await oscar.getByRole("alert").getByText("Nothing was deleted").waitFor();
        await looked(oscar, "admin-delete");
        // A sign-in of a quarter of an hour ago is too old for this.
        database.prepare("UPDATE sessions SET created_at = ? WHERE email = ?").run(Date.now() - 15 * 60_000, OPERATOR);
        await oscar.goto(at("/delete"));
        await oscar.getByRole("button", { name: "Sign in again" }).click();
        await oscar.waitForURL("**/sign-in?**");
        await signIn(service, oscar, OPERATOR, at("/delete"));
        await oscar.getByLabel("Type the company's name").fill("Acme Heating");
        await oscar.getByRole("button", { name: "Delete the company for good" }).click();
        await oscar.getByRole("status").getByText("The company is deleted.").waitFor();
        assert.equal(database.prepare("SELECT COUNT(*) AS n FROM tenants WHERE id = ?").get(acme.id).n, 0);
        assert.equal(await asked(), 401);
        database.close();
        assert.deepEqual(oscar.problems, []);
    });
});

describe("A service for trying", () => {
    test("says who its operator is, and lets that person in", async () => {
        const service = await startService({ operators: [], env: { SF_SUPERVISOR_OPERATORS: undefined } });
        const browser = await startBrowser(service);
        try {
            const [, url, address] = service.log().match(/open (\S+\/admin) and sign in as (\S+);/);
            assert.equal(url, `${service.origin}/admin`);
            const page = await browser.person();
            await signIn(service, page, address, "/admin");
            await page.getByRole("heading", { level: 1, name: "Companies" }).waitFor();
            assert.deepEqual(page.problems, []);
        } finally {
            await browser.close();
            await service.stop();
        }
    });
});
