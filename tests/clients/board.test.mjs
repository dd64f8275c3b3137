// The dispatch board as people see it: the server's own view with the server's own answers, in headless Chromium.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";

import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { chromium } from "playwright-core";

import { empty, MARKUP, nasty } from "./board_samples.mjs";
import { binary, emptyHome } from "./server.mjs";

const ARTEFACTS = fileURLToPath(new URL("../artefacts/", import.meta.url));
const HOST = readFileSync(new URL("board_host.html", import.meta.url), "utf8");
const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const ORIGIN = "http://chat-client.test/";
const FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
// Afternoon of a working day: some jobs are done, some late, some to come.
const NOW = "2026-06-10T14:30";

describe("the dispatch board", () => {
    const home = emptyHome();
    let client, browser, html, day, samples;

    before(async () => {
        mkdirSync(ARTEFACTS, { recursive: true });
        client = new Client({ name: "sf-mcp-tests", version: "1" });
        const args = ["serve", "--demo", "--now", NOW];
        await client.connect(new StdioClientTransport({ command: binary, args, env: home.env, stderr: "inherit" }));
        const { tools } = await client.listTools();
        const uri = tools.find((tool) => tool.name === "get_dispatch_board")._meta.ui.resourceUri;
        html = (await client.readResource({ uri })).contents[0].text;

        day = await client.callTool({ name: "get_dispatch_board", arguments: {} });
        const week = await client.callTool({ name: "get_dispatch_board", arguments: { date: "this week" } });
        const made = (structuredContent) => ({ content: [{ type: "text", text: "" }], structuredContent });
        samples = { day, week, nasty: made(nasty(day.structuredContent)), empty: made(empty(day.structuredContent)) };

        browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });
    });
    after(async () => {
        await browser?.close();
        await client?.close();
        home.remove();
    });

    /// A chat client's window with the board in it; `problems` collects what must never happen.
    async function open(result, { theme = "light", width = 1280, input = {}, again } = {}) {
        const page = await browser.newPage({ viewport: { width, height: 540 }, colorScheme: theme });
        const problems = [];
        page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
        page.on("console", (message) => message.type() === "error" && problems.push(`console: ${message.text()}`));
        page.on("dialog", (dialog) => {
            problems.push(`dialog: ${dialog.message()}`);
            dialog.dismiss();
        });
        await page.route("**/*", (route) => {
            if (route.request().url() === ORIGIN) return route.fulfill({ body: HOST, contentType: "text/html" });
            problems.push(`request: ${route.request().url()}`);
            return route.abort();
        });
        const calls = [];
        await page.exposeFunction("callServer", (params) => {
            calls.push(params);
            return client.callTool(params);
        });
        await page.goto(ORIGIN);
        await page.evaluate((view) => window.openView(view), { html, theme, input, result, again });
        const view = await (await page.waitForSelector("iframe")).contentFrame();
        await view.waitForSelector("h1, [role=alert]", { state: "attached" });
        await page.waitForFunction(() => window.messages.some(({ method }) => method.endsWith("/size-changed")));
        // The host follows the view's size in the next frames.
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        return { page, view, problems, calls };
    }

    const cards = (view) => view.locator(".card:visible").count();
    const wordsOf = (view) => view.evaluate(() => document.getElementById("app").innerText);

    async function tabTo(page, view, label) {
        for (let presses = 0; presses < 20; presses += 1) {
            await page.keyboard.press("Tab");
            if ((await view.evaluate(() => document.activeElement.innerText ?? "")).startsWith(label)) return;
        }
        assert.fail(`the keyboard does not reach ${label}`);
    }

    test("there is a column for each busy technician and a card for each job", async () => {
        const { page, view, problems } = await open(day);
        const { technicians, unassigned, counts } = day.structuredContent;

        const busy = technicians.filter((technician) => technician.jobs.length > 0);
        const headings = await view.locator("h2").allInnerTexts();
        assert.deepEqual(headings, [...(unassigned.length ? ["Unassigned"] : []), ...busy.map(({ name }) => name)]);
        const jobs = unassigned.length + busy.reduce((sum, technician) => sum + technician.jobs.length, 0);
        assert.ok(jobs >= counts.jobs && jobs > 10, `${jobs} jobs`);
        assert.equal(await cards(view), jobs);
        assert.deepEqual(problems, []);
        await page.close();
    });

    test("late jobs and jobs at risk are marked by a word, not by colour alone", async () => {
        const { page, view } = await open(day);

        for (const [mark, word] of [["late", "Late"], ["at_risk", "At risk"]]) {
            const marked = await view.locator(`.card.${mark} .tag.${mark}`).allInnerTexts();
            assert.equal(marked.length, day.structuredContent.counts[mark], mark);
            assert.ok(marked.length > 0, `${mark}: the sample has none`);
            assert.ok(marked.every((text) => text.includes(word)), marked.join());
        }
        await page.close();
    });

    test("the filters work by keyboard", async () => {
        const { page, view, problems } = await open(day);
        const all = await cards(view);
        const { late, at_risk, unassigned } = day.structuredContent.counts;

        for (const [label, shown, key] of [["Late", late, "Enter"], ["At risk", at_risk, "Space"], ["Unassigned", unassigned, "Enter"]]) {
            await tabTo(page, view, label);
            await page.keyboard.press(key);
            assert.equal(await cards(view), shown, label);
            assert.ok((await view.locator("[aria-pressed=true]").innerText()).startsWith(label));
            assert.match(await view.locator("#shown").textContent(), new RegExp(`^${shown} of ${all}`));
        }
        await page.keyboard.press("Enter");
        assert.equal(await cards(view), all, "a second press lifts the filter");
        assert.deepEqual(problems, []);
        await page.close();
    });

    test("a card opens by keyboard", async () => {
        const { page, view } = await open(day);

        await tabTo(page, view, "All");
        await view.locator(".card summary").first().focus();
        await page.keyboard.press("Enter");

        assert.ok(await view.locator(".card details").first().evaluate((details) => details.open));
        await page.close();
    });

    test("markup in a customer's data stays text", async () => {
        const { page, view, problems } = await open(samples.nasty);

        assert.ok((await wordsOf(view)).includes(MARKUP));
        assert.equal(await view.locator("img, main script, main a, main iframe").count(), 0);
        assert.deepEqual(problems, []);
        await page.close();
    });

    test("a day without jobs says so", async () => {
        const { page, view, problems } = await open(samples.empty);

        assert.match(await wordsOf(view), /No jobs on Wednesday, June 10/);
        assert.deepEqual(problems, []);
        await page.close();
    });

    test("a week is shown by day", async () => {
        const { page, view, problems } = await open(samples.week, { input: { date: "this week" } });
        const { technicians, unassigned } = samples.week.structuredContent;
        const dates = new Set([...unassigned, ...technicians.flatMap(({ jobs }) => jobs)].map(({ date }) => date));

        assert.ok(dates.size >= 5, [...dates].join());
        assert.equal(new Set(await view.locator("h3:visible").allInnerTexts()).size, dates.size);
        assert.match(await wordsOf(view), /\(today\)/);
        assert.deepEqual(problems, []);
        await page.close();
    });

    test("an answer the host has cut is fetched again from the server", async () => {
        const cut = { content: [{ type: "text", text: JSON.stringify(day.structuredContent).slice(0, 900) }] };
        const { page, view, problems, calls } = await open(cut, { input: { date: "today" } });

        await view.waitForSelector(".card");
        assert.deepEqual(calls, [{ name: "get_dispatch_board", arguments: { date: "today" } }]);
        assert.deepEqual(problems, []);
        await page.close();
    });

    test("a cut answer and a host that refuses calls end in words and a button", async () => {
        const { page, view, problems } = await open({ content: [], structuredContent: { pointer: "x" } }, { again: "refuse" });

        await view.waitForSelector("[role=alert]");
        assert.match(await wordsOf(view), /could not be loaded/);
        assert.ok(await view.getByRole("button", { name: "Try again" }).isVisible());
        assert.deepEqual(problems, []);
        await page.close();
    });

    test("the server's error is shown in its own words", async () => {
        const error = await client.callTool({ name: "get_dispatch_board", arguments: { date: "someday" } });
        const { page, view, problems } = await open(error);

        assert.equal(error.isError, true);
        assert.ok((await wordsOf(view)).includes(error.content[0].text.split("\n")[0]));
        assert.deepEqual(problems, []);
        await page.close();
    });

    for (const theme of ["light", "dark"]) {
        for (const width of [360, 768, 1280]) {
            test(`nothing overflows and axe finds nothing, ${theme}, ${width} px`, async () => {
                for (const [name, result] of Object.entries(samples)) {
                    const { page, view, problems } = await open(result, { theme, width });
                    await page.screenshot({ path: `${ARTEFACTS}board-${name}-${theme}-${width}.png` });

                    const inner = await view.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
                    const outer = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
                    assert.ok(inner[0] <= inner[1] && outer[0] <= outer[1], `${name}: ${inner} ${outer}`);
                    const columns = await view.evaluate(() => document.querySelector(".board")?.scrollWidth ?? 0);
                    assert.ok(width > 360 || columns <= width, `${name}: a phone scrolls sideways, ${columns}`);
                    assert.ok((await view.evaluate(() => document.documentElement.getBoundingClientRect().height)) <= 500, name);
                    assert.deepEqual(await violations(view, theme), [], name);
                    assert.deepEqual(problems, [], name);
                    await page.close();
                }
            });
        }
    }
});

async function violations(view, theme) {
    await view.evaluate(AXE);
    // The view is transparent; axe must judge its text on the colour the host has behind it.
    await view.evaluate((colour) => (document.documentElement.style.background = colour), theme === "dark" ? "#1b1b1d" : "#ffffff");
    const { violations } = await view.evaluate(() =>
        axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("\n")}`);
}
