// What every client must be able to do with the server, whatever SDK and protocol era it speaks.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Ajv } from "ajv";

import { catalogue, emptyHome, eventually, names, startSandbox } from "./server.mjs";

const BOARD = "ui://sf/dispatch-board/v1";

/// Ids for the next question come from the answers before, as in a real conversation.
const QUESTIONS = [
    ["list_technicians", () => ({ working_today: true }), (answer, known) => (known.technician = answer.technicians[0].name)],
    ["search_jobs", () => ({ status: ["open"], limit: 5 }), (answer, known) => (known.job = answer.jobs[0])],
    ["search_jobs", () => ({ date: "this week", fields: ["total", "payment_status"] })],
    ["search_jobs", (known) => ({ technician: known.technician, limit: 3 })],
    ["get_job", (known) => ({ job_id: known.job.job_id })],
    ["get_job", (known) => ({ number: known.job.number, include: ["technicians", "visits", "tasks", "notes", "charges", "equipment", "invoices"] })],
    ["search_customers", () => ({ query: "alvarez" })],
    ["get_customer", (known) => ({ customer_id: known.job.customer_id })],
    ["get_customer", (known) => ({ customer_id: known.job.customer_id, include: ["jobs", "estimates", "equipment", "balance"] })],
    ["search_estimates", () => ({ open: true, limit: 5 }), (answer, known) => (known.estimate = answer.estimates[0])],
    ["get_estimate", (known) => ({ estimate_id: known.estimate.estimate_id })],
    ["list_equipment", (known) => ({ customer_id: known.job.customer_id })],
    ["get_dispatch_board", () => ({})],
    ["get_dispatch_board", () => ({ date: "this week" })],
    ["get_technician_schedule", (known) => ({ technician: known.technician })],
    ["get_technician_schedule", () => ({ free_from: "14:00", near: "Plano" })],
    ["list_follow_ups", () => ({ limit: 3 })],
    ...["job_statuses", "job_categories", "sources", "payment_types"].map((kind) => ["list_reference_data", () => ({ kind })]),
];

/// `connect(env, args)` gives a connected client; `call(client, params, options)` is the SDK's way to call a tool.
export function conversation(name, { connect, call, protocol, close = (client) => client.close(), pid }) {
    describe(`${name}, the demo company`, () => {
        const home = emptyHome();
        let client;
        before(async () => (client = await connect(home.env, ["serve", "--demo"])));
        after(async () => {
            await close(client);
            home.remove();
        });

        test("the protocol is the one this client speaks", () => {
            assert.equal(protocol.negotiated(client), protocol.expected);
            assert.match(client.getInstructions(), /Service Fusion/);
            assert.equal(client.getServerVersion().name, "sf-mcp");
        });

        test("tools, prompts and resources are listed", async () => {
            const { tools } = await client.listTools();
            const { prompts } = await client.listPrompts();
            const { resources } = await client.listResources();

            assert.deepEqual(names(tools), catalogue());
            assert.ok(tools.every((tool) => tool.title && tool.description && tool.outputSchema));
            assert.ok(prompts.length > 0);
            assert.ok(resources.some((resource) => resource.uri === BOARD));
        });

        test("every prompt without required arguments can be had", async () => {
            const { prompts } = await client.listPrompts();
            const free = prompts.filter((prompt) => !prompt.arguments?.some((argument) => argument.required));

            for (const prompt of free) {
                const { messages } = await client.getPrompt({ name: prompt.name });
                assert.ok(messages[0].content.text.length > 40, prompt.name);
            }
            assert.ok(free.length > 0);
        });

        test("every listed resource can be read, the board's view among them", async () => {
            const { resources } = await client.listResources();

            for (const { uri } of resources) {
                const { contents } = await client.readResource({ uri });
                assert.equal(contents[0].uri, uri);
                assert.ok(contents[0].text.length > 0, uri);
            }
            const { contents } = await client.readResource({ uri: BOARD });
            assert.equal(contents[0].mimeType, "text/html;profile=mcp-app");
            assert.match(contents[0].text, /^<!doctype html>/i);
        });

        test("every reading tool answers as its output schema says", async () => {
            const { tools } = await client.listTools();
            const ajv = new Ajv({ strict: false });
            const schemas = new Map(tools.map((tool) => [tool.name, ajv.compile(tool.outputSchema)]));
            const known = {};

            for (const [tool, argumentsFrom, remember] of QUESTIONS) {
                const asked = argumentsFrom(known);
                const answer = await call(client, { name: tool, arguments: asked });
                const said = `${tool} ${JSON.stringify(asked)}: ${answer.content[0]?.text}`;
                assert.ok(!answer.isError, said);
                assert.ok(answer.content[0].text.length > 0, said);
                assert.ok(schemas.get(tool)(answer.structuredContent), `${said}\n${ajv.errorsText(schemas.get(tool).errors)}`);
                remember?.(answer.structuredContent, known);
            }
            const asked = new Set(QUESTIONS.map(([tool]) => tool));
            assert.deepEqual(tools.filter((tool) => tool.annotations.readOnlyHint && !asked.has(tool.name)), []);
        });

        test("a page's cursor leads to other jobs", async () => {
            const first = await call(client, { name: "search_jobs", arguments: { limit: 10 } });
            const cursor = first.structuredContent.next_cursor;
            const second = await call(client, { name: "search_jobs", arguments: { limit: 10, cursor } });

            const ids = [first, second].flatMap((page) => page.structuredContent.jobs.map((job) => job.job_id));
            assert.equal(new Set(ids).size, 20);
        });

        test("a dry run says what would be created and creates nothing", async () => {
            const jobs = async () => (await call(client, { name: "search_jobs", arguments: { limit: 1 } })).structuredContent;
            const before = await jobs();
            const customer_id = before.jobs[0].customer_id;

            for (const [name, asked] of [
                ["create_job", { customer_id, description: "No heat upstairs", date: "tomorrow", dry_run: true }],
                ["create_estimate", { customer_id, description: "New furnace", dry_run: true }],
                ["create_customer", { name: "Nobody Of That Name", phone: "214-555-0999", dry_run: true }],
            ]) {
                const answer = await call(client, { name, arguments: asked });
                assert.ok(!answer.isError, `${name}: ${answer.content[0].text}`);
                assert.equal(answer.structuredContent.dry_run, true, name);
            }
            assert.equal((await jobs()).total, before.total);
        });

        test("a misspelt argument is an error that names the right one", async () => {
            const answer = await call(client, { name: "search_jobs", arguments: { technicain: "Luis" } });

            assert.equal(answer.isError, true);
            assert.match(answer.content[0].text, /`technician`/);
        });

        test("an unknown tool is refused and the conversation goes on", async () => {
            await assert.rejects(call(client, { name: "delete_everything", arguments: {} }), /delete_everything|not found|unknown/i);

            assert.deepEqual(names((await client.listTools()).tools), catalogue());
        });
    });

    describe(`${name}, a company with many jobs`, () => {
        let home, sandbox, client;
        before(async () => {
            home = emptyHome();
            sandbox = await startSandbox("--extra-jobs", "600");
            client = await connect({ ...home.env, ...sandbox.env }, ["serve"]);
            await client.listTools();
        });
        after(async () => {
            await close(client);
            await sandbox.stop();
            home.remove();
        });

        test("a long walk reports its progress", async () => {
            const steps = [];
            const asked = { technician: "Luis Ortega", limit: 100 };

            const answer = await call(client, { name: "search_jobs", arguments: asked }, { onprogress: (step) => steps.push(step) });

            assert.ok(!answer.isError, answer.content[0].text);
            assert.ok(steps.length > 2, `${steps.length} steps`);
            assert.ok(steps.every((step, index) => index === 0 || step.progress > steps[index - 1].progress), JSON.stringify(steps));
        });

        test("a cancelled call ends its request to Service Fusion and the server lives on", async () => {
            const cancelled = (await sandbox.state()).cancelled;
            await sandbox.addFaults({ kind: "hang", match: { path_contains: "/jobs" }, times: 1 });
            const abort = new AbortController();

            const hanging = call(client, { name: "search_jobs", arguments: { city: "Plano" } }, { signal: abort.signal });
            const refused = assert.rejects(hanging);
            await eventually(async () => (await sandbox.state()).in_flight > 0, "the request reaches the sandbox");
            abort.abort("the user changed their mind");
            await refused;

            await eventually(async () => (await sandbox.state()).cancelled > cancelled, "the request is given up");
            await sandbox.clearFaults();
            const next = await call(client, { name: "search_jobs", arguments: { city: "Plano" } });
            assert.ok(!next.isError, next.content[0].text);
        });

        // A hosted server stays for the next client.
        test("closing the client ends the server", { skip: !pid }, async () => {
            const leaving = await connect({ ...home.env, ...sandbox.env }, ["serve"]);
            const server = pid(leaving);

            await close(leaving);

            await eventually(() => !isAlive(server), "the server ends");
        });
    });
}

function isAlive(process_id) {
    try {
        process.kill(process_id, 0);
        return true;
    } catch {
        return false;
    }
}
