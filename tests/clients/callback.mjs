// Where a program on a person's machine waits for the browser to come back.

import { once } from "node:events";
import { createServer } from "node:http";

export async function openCallback(path = "/callback") {
    const came = [];
    const waiting = [];
    const server = createServer((request, response) => {
        const url = new URL(request.url, "http://127.0.0.1");
        if (url.pathname !== path) return response.writeHead(404).end();
        response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Done</title><p>You may close this window.</p>");
        const next = waiting.shift();
        if (next) next(url.searchParams);
        else came.push(url.searchParams);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
        url: `http://127.0.0.1:${server.address().port}${path}`,
        /// What the browser brings, each time once.
        next: () => (came.length ? Promise.resolve(came.shift()) : new Promise((resolve) => waiting.push(resolve))),
        isUnvisited: () => came.length === 0,
        async close() {
            server.close();
            server.closeAllConnections();
            await once(server, "close");
        },
    };
}
