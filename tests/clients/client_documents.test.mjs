// Client ID Metadata Documents for real: the official clients name an https address, and the service fetches what stands
// there. Such an address must be public and on port 443, so all of this runs in a network of its own that nothing else
// is in: run it as `unshare --user --map-root-user --net --mount node --test client_documents.test.mjs`.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { openCallback } from "./callback.mjs";
import { startHosted } from "./hosted.mjs";
import { CLIENTS, connect, Login } from "./login.mjs";
import { openBrowser, Person } from "./person.mjs";
import { binary } from "./server.mjs";

// Nobody's in here, though it looks like anybody's.
const PUBLIC = "93.184.216.34";
const HOST = "client.example.com";
/// A name with an address that is not public, and one that the certificate does not have.
const INSIDE = "inside.example.com";
const STRANGE = "strange.example.com";

if (Object.keys(networkInterfaces()).some((name) => name !== "lo")) {
    throw new Error("this must run in a network of its own: see the top of this file");
}

/// A host of documents: `documents` has what it answers by path.
async function openHost(folder) {
    const run = (...options) => execFileSync("openssl", options, { cwd: folder, stdio: "pipe" });
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
        "-days", "2", "-subj", "/CN=Test authority", "-addext", "basicConstraints=critical,CA:TRUE");
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "host.key", "-out", "host.csr", "-subj", `/CN=${HOST}`);
    writeFileSync(join(folder, "host.ext"), `subjectAltName=DNS:${HOST},DNS:${INSIDE}\n`);
    run("x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "host.pem", "-days", "2", "-extfile", "host.ext");
    const documents = new Map();
    const requests = [];
    const server = createServer(
        { key: readFileSync(join(folder, "host.key")), cert: readFileSync(join(folder, "host.pem")) },
        (request, response) => {
            requests.push(request);
            const answer = documents.get(request.url) ?? { status: 404, body: "" };
            response.writeHead(answer.status ?? 200, { "content-type": "application/json", ...answer.headers });
            response.end(answer.body ?? JSON.stringify(answer.document));
        },
    );
    server.listen(443, "0.0.0.0");
    await once(server, "listening");
    return {
        documents,
        requests,
        authority: join(folder, "ca.pem"),
        async close() {
            server.close();
            server.closeAllConnections();
            await once(server, "close");
        },
    };
}

describe("Client ID Metadata Documents", () => {
    const folder = mkdtempSync(join(tmpdir(), "sf-mcp-documents-"));
    let host, service, browser, callback, person;
    let count = 0;
    before(async () => {
        execFileSync("ip", ["link", "set", "lo", "up"]);
        execFileSync("ip", ["address", "add", `${PUBLIC}/32`, "dev", "lo"]);
        const hosts = join(folder, "hosts");
        writeFileSync(hosts, `127.0.0.1 localhost\n${PUBLIC} ${HOST}\n127.0.0.1 ${INSIDE}\n${PUBLIC} ${STRANGE}\n`);
        execFileSync("mount", ["--bind", hosts, "/etc/hosts"]);
        host = await openHost(folder);
        service = await startHosted({}, ["serve", "--demo"], binary, { SSL_CERT_FILE: host.authority });
        browser = await openBrowser();
    });
    after(async () => {
        await browser?.close();
        await service?.stop();
        await host?.close();
        rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    });
    beforeEach(async () => {
        callback = await openCallback();
        const email = `person${(count += 1)}@acme.test`;
        service.addMember(email);
        person = await Person.at(browser, service, email);
        host.documents.clear();
        host.requests.length = 0;
        // So many strangers' documents in a minute are more than the service fetches.
        service.change("DELETE FROM counters");
    });
    afterEach(async () => {
        await person.close();
        await callback.close();
    });

    /// Puts a document there and returns its address, which is the client's id.
    const publish = (path, changes = {}, answer = {}) => {
        const id = `https://${HOST}${path}`;
        // A port is not named: the client listens where there is room.
        const document = { client_id: id, client_name: "Documented", redirect_uris: ["http://127.0.0.1/callback"], token_endpoint_auth_method: "none", ...changes };
        host.documents.set(path, { document, ...answer });
        return id;
    };

    for (const [name, kind] of Object.entries(CLIENTS)) {
        test(`${name} is known by its document`, async () => {
            const id = publish(`/oauth/${encodeURIComponent(name)}.json`);
            const login = new Login(callback, { name: "Never sent", clientMetadataUrl: id });

            const client = await connect(kind, service.url, login, person, { write: false });
            const board = await kind.call(client, { name: "get_dispatch_board", arguments: {} });
            await client.close();

            assert.ok(board.structuredContent.technicians.length > 0);
            assert.equal(login.kept.client.client_id, id);
            assert.equal(host.requests.length, 1, "it is fetched once and kept");
            for (const header of ["cookie", "authorization", "referer"]) assert.equal(host.requests[0].headers[header], undefined);
            const [connection] = service.ask("SELECT client_name, client_host FROM oauth_families WHERE client_id = ?", id);
            assert.deepEqual({ ...connection }, { client_name: "Documented", client_host: HOST });
            assert.equal(service.ask("SELECT count(*) AS n FROM oauth_clients WHERE name = 'Never sent'")[0].n, 0);
            assert.deepEqual(person.problems, []);
        });
    }

    test("the Python client is known by its document", async () => {
        const id = publish("/oauth/python.json");
        const program = spawn(".venv/bin/python", ["login.py", service.url, id, callback.url], { stdio: ["pipe", "pipe", "inherit"] });
        const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();

        await person.decide((await lines.next()).value, {});
        program.stdin.write(`${await callback.next()}\n`);
        const got = JSON.parse((await lines.next()).value);
        await once(program, "exit");

        assert.equal(got.client_id, id);
        assert.ok(got.technicians > 0);
        assert.equal(host.requests.length, 1);
    });

    test("the person is shown whose document it is and where they are sent", async () => {
        const id = publish("/oauth/shown.json", { client_name: "Shown <b>name</b>" });
        await person.page.goto(await asked(id));
        await person.signIn();

        const text = await person.page.getByRole("main").innerText();
        assert.match(text, /Shown <b>name<\/b>/);
        assert.match(text, new RegExp(HOST));
        assert.match(text, /127\.0\.0\.1 \(this computer\)/);
    });

    /// Where a client with this id sends the person.
    const asked = async (id) => {
        const kind = CLIENTS["client 2.4.0, auto"];
        const login = new Login(callback, { clientMetadataUrl: id });
        await assert.rejects(kind.make().connect(kind.transport(service.url, login)), /unauthorized/i);
        return String(login.asked[0]);
    };

    for (const [why, said, path, changes, answer] of [
        ["is another client's", /another client/, "/oauth/other.json", { client_id: `https://${HOST}/oauth/else.json` }],
        ["leads elsewhere", /another status/, "/oauth/moved.json", {}, { status: 302, headers: { location: "/oauth/target.json" } }],
        ["is not there", /another status/, "/oauth/missing.json", {}, { status: 404 }],
        ["is no JSON", /not JSON/, "/oauth/page.json", {}, { headers: { "content-type": "text/html" } }],
        ["is too long", /64 kB/, "/oauth/long.json", { padding: "x".repeat(70_000) }],
        ["names no address that can be used", /redirect_uris/, "/oauth/none.json", { redirect_uris: ["http://example.com/callback"] }],
        ["does not name the address that is asked for", /not registered/, "/oauth/evil.json", { redirect_uris: [`https://${HOST}/callback`] }],
    ]) {
        test(`a document that ${why} leads nowhere`, async () => {
            const url = await asked(publish(path, changes, answer));

            const page = await person.page.goto(url);

            assert.equal(page.status(), 400);
            assert.match(await person.page.getByRole("main").innerText(), said);
            assert.equal(host.requests.length, 1);
            assert.equal(callback.isUnvisited(), true);
        });
    }

    test("nothing inside is reached, whatever its name", async () => {
        publish("/oauth/inside.json");
        for (const id of [
            `https://${INSIDE}/oauth/inside.json`, `https://${STRANGE}/oauth/inside.json`, `https://${HOST}:8443/oauth/inside.json`,
            `https://localhost/oauth/inside.json`, `https://127.0.0.1/oauth/inside.json`, `https://${PUBLIC}/oauth/inside.json`,
        ]) {
            const page = await person.page.goto(await asked(id));

            assert.equal(page.status(), 400, id);
        }
        assert.equal(host.requests.length, 0);
    });
});
