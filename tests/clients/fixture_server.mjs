// Plays the server that the conformance suite has scenarios for, over stdio in the newest revision: what stands behind the
// hosted endpoint when the endpoint itself is examined. Results keep the shape of the version that each request names.

import { createHmac, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
const KEY = randomBytes(32);

const said = (value) => ({ type: "text", text: value });
const resource = (uri, mimeType, content) => ({ type: "resource", resource: { uri, mimeType, text: content } });
const image = { type: "image", data: PNG, mimeType: "image/png" };
const content = (...parts) => ({ content: parts });
const failed = (code, message, data) => Object.assign(new Error(message), { code, data });

const asks = {
    form: (message, name, type = "string") => ({
        method: "elicitation/create",
        params: { mode: "form", message, requestedSchema: { type: "object", properties: { [name]: { type } }, required: [name] } },
    }),
    model: (question, maxTokens) => ({
        method: "sampling/createMessage",
        params: { messages: [{ role: "user", content: said(question) }], maxTokens },
    }),
    roots: () => ({ method: "roots/list", params: {} }),
};

const seal = (state) => `${state}.${createHmac("sha256", KEY).update(state).digest("base64url")}`;
const unseal = (sealed) => {
    const state = String(sealed ?? "").split(".")[0];
    if (seal(state) !== sealed) throw failed(-32602, "requestState was changed");
    return state;
};
const required = (inputRequests, state) => ({ resultType: "input_required", inputRequests, ...(state && { requestState: seal(state) }) });

/// Asks for what is missing, or answers.
function input(inputRequests, answer, state) {
    return ({ inputResponses, requestState }) => {
        if (inputResponses && state) unseal(requestState);
        const isComplete = inputResponses && Object.keys(inputRequests).every((name) => typeof inputResponses[name] === "object");
        return isComplete ? content(said(answer(inputResponses))) : required(inputRequests, state);
    };
}

const TOOLS = {
    test_simple_text: () => content(said("This is a simple text response for testing.")),
    test_image_content: () => content(image),
    test_audio_content: () => content({ type: "audio", data: WAV, mimeType: "audio/wav" }),
    test_embedded_resource: () => content(resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")),
    test_multiple_content_types: () =>
        content(said("Multiple content types test:"), image, resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')),
    test_error_handling: () => ({ isError: true, ...content(said("This tool intentionally returns an error for testing")) }),
    async test_tool_with_progress(_, meta) {
        for (const progress of [0, 50, 100]) {
            if (meta.progressToken !== undefined) notify("notifications/progress", { progressToken: meta.progressToken, progress, total: 100 });
            await sleep(50);
        }
        return content(said("done"));
    },
    test_missing_capability(_, meta) {
        if (!meta[CAPABILITIES].sampling) throw failed(-32021, "sampling is needed", { requiredCapabilities: { sampling: {} } });
        return content(said("sampling is there"));
    },
    test_streaming_elicitation: input({ user_name: asks.form("What is your name?", "name") }, () => "done"),
    test_logging_tool: () => content(said("nothing is logged")),
    test_input_required_result_elicitation: input(
        { user_name: asks.form("What is your name?", "name") },
        ({ user_name }) => `Hello, ${user_name.content?.name}!`,
    ),
    test_input_required_result_sampling: input(
        { capital_question: asks.model("What is the capital of France?", 100) },
        ({ capital_question }) => JSON.stringify(capital_question.content),
    ),
    test_input_required_result_list_roots: input({ client_roots: asks.roots() }, ({ client_roots }) => JSON.stringify(client_roots.roots)),
    test_input_required_result_request_state: input({ confirm: asks.form("Please confirm", "ok", "boolean") }, () => "state-ok", "confirm"),
    test_input_required_result_tampered_state: input({ confirm: asks.form("Please confirm", "ok", "boolean") }, () => "state-ok", "tampered"),
    test_input_required_result_multiple_inputs: input(
        { user_name: asks.form("What is your name?", "name"), greeting: asks.model("Generate a greeting", 50), client_roots: asks.roots() },
        () => "all there",
        "several",
    ),
    test_input_required_result_multi_round({ inputResponses, requestState }) {
        const state = inputResponses ? unseal(requestState) : "";
        if (state === "second") return content(said("all rounds done"));
        return state === "first"
            ? required({ step2: asks.form("Step 2: What is your favorite color?", "color") }, "second")
            : required({ step1: asks.form("Step 1: What is your name?", "name") }, "first");
    },
    test_input_required_result_capabilities({ inputResponses }, meta) {
        if (inputResponses) return content(said("done"));
        const { elicitation, sampling } = meta[CAPABILITIES];
        return required({
            ...(elicitation && { user_name: asks.form("What is your name?", "name") }),
            ...(sampling && { greeting: asks.model("Generate a greeting", 50) }),
        });
    },
};

const user = (part) => ({ role: "user", content: part });
const PROMPTS = {
    test_simple_prompt: [[], () => ({ messages: [user(said("This is a simple prompt for testing."))] })],
    test_prompt_with_arguments: [
        ["arg1", "arg2"],
        ({ arguments: { arg1, arg2 } }) => ({ messages: [user(said(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))] }),
    ],
    test_prompt_with_embedded_resource: [
        ["resourceUri"],
        ({ arguments: { resourceUri } }) => ({
            messages: [
                user(resource(resourceUri, "text/plain", "Embedded resource content for testing.")),
                user(said("Please process the embedded resource above.")),
            ],
        }),
    ],
    test_prompt_with_image: [[], () => ({ messages: [user(image), user(said("Please analyze the image above."))] })],
    test_input_required_result_prompt: [
        [],
        ({ inputResponses }) =>
            inputResponses?.user_context
                ? { messages: [user(said(`Context: ${inputResponses.user_context.content?.context}`))] }
                : required({ user_context: asks.form("What context should the prompt use?", "context") }),
    ],
};

const RESOURCES = [
    { uri: "test://static-text", name: "text", mimeType: "text/plain", text: "This is the content of the static text resource." },
    { uri: "test://static-binary", name: "binary", mimeType: "image/png", blob: PNG },
];

function read({ uri }, { [VERSION]: version }) {
    const known = RESOURCES.find((one) => one.uri === uri);
    const id = /^test:\/\/template\/(.+)\/data$/.exec(uri)?.[1];
    if (id) {
        const data = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
        return { contents: [{ uri, mimeType: "application/json", text: data }], ...KEPT };
    }
    if (!known) throw failed(version === NEWEST ? -32602 : -32002, "there is no such resource", { uri });
    const { name, ...contents } = known;
    return { contents: [contents], ...KEPT };
}

const NEWEST = "2026-07-28";
const VERSION = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
const KEPT = { ttlMs: 1000, cacheScope: "private" };
const server = { name: "fixtures", version: "1" };

const METHODS = {
    "server/discover": () => ({
        supportedVersions: [NEWEST, "2025-11-25", "2025-06-18", "2025-03-26"],
        capabilities: { tools: {}, prompts: {}, resources: {}, completions: {} },
        ...KEPT,
    }),
    "tools/list": () => ({ tools: Object.keys(TOOLS).map((name) => ({ name, description: name, inputSchema: { type: "object", properties: {} } })), ...KEPT }),
    "tools/call"(params, meta) {
        if (!TOOLS[params.name]) throw failed(-32602, `there is no tool ${params.name}`);
        return TOOLS[params.name](params, meta);
    },
    "prompts/list": () => ({
        prompts: Object.entries(PROMPTS).map(([name, [names]]) => ({ name, description: name, arguments: names.map((one) => ({ name: one, description: one, required: true })) })),
        ...KEPT,
    }),
    "prompts/get"(params) {
        if (!PROMPTS[params.name]) throw failed(-32602, `there is no prompt ${params.name}`);
        return PROMPTS[params.name][1](params);
    },
    "resources/list": () => ({ resources: RESOURCES.map(({ uri, name, mimeType }) => ({ uri, name, mimeType })), ...KEPT }),
    "resources/templates/list": () => ({ resourceTemplates: [{ uriTemplate: "test://template/{id}/data", name: "template" }], ...KEPT }),
    "resources/read": read,
    "completion/complete": () => ({ completion: { values: ["paris", "park"], total: 2, hasMore: false } }),
};

function say(message) {
    process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
}

function notify(method, params) {
    say({ method, params });
}

for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    if (id !== undefined) void answer(id, method, params);
}

async function answer(id, method, params) {
    const meta = params._meta;
    try {
        if (!METHODS[method]) throw failed(-32601, `there is no method ${method}`);
        const result = await METHODS[method](params, meta);
        const modern = { resultType: "complete", _meta: { "io.modelcontextprotocol/serverInfo": server } };
        const { ttlMs, cacheScope, ...legacy } = result;
        say({ id, result: meta[VERSION] === NEWEST ? { ...modern, ...result } : legacy });
    } catch ({ code = -32603, message, data }) {
        say({ id, error: { code, message, data } });
    }
}
