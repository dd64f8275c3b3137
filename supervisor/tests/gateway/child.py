"""Plays sf-mcp, well or badly: the name of the tool says how. The first argument is the folder of its diary."""

import json
import os
import sys
import time

diary, mood = sys.argv[1], sys.argv[2:]
held, cancelled, owner = {}, [], None


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer(number, result):
    say(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}))


def note(token, step, method="notifications/progress"):
    say(json.dumps({"jsonrpc": "2.0", "method": method, "params": {"progressToken": token, "progress": step}}))


def write_down(word):
    with open(os.path.join(diary, word), "a") as page:
        page.write(f"{os.getpid()}\n")


def discover(number):
    if "mute" in mood:
        return
    if "refuse" in mood:
        say(json.dumps({"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": "no"}}))
        return
    answer(number, {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                    "serverInfo": {"name": "scripted", "version": "1"}})


def call(number, message, line):
    global owner
    params = message["params"]
    asked, meta = params.get("arguments") or {}, params["_meta"]
    token = meta.get("progressToken")
    name = params.get("name")
    if "tenant" in asked:
        owner = owner or asked["tenant"]
    if name == "echo":
        answer(number, {"owner": owner, "said": asked, "process": os.getpid()})
    elif name == "line":
        answer(number, {"line": line})
    elif name == "steps":
        for step in range(asked["steps"]):
            note(token, step)
        answer(number, {"said": asked})
    elif name == "hold":
        held[number] = asked
        if token is not None:
            note(token, 0)
        write_down("held")
    elif name == "release":
        for waiting, said in list(held.items()):
            answer(waiting, {"said": said})
        held.clear()
        answer(number, {})
    elif name == "cancelled":
        answer(number, {"cancelled": cancelled, "held": len(held)})
    elif name == "write":
        write_down("written")
        os._exit(1)
    elif name == "close":
        os.close(1)
        time.sleep(1000)
    elif name == "junk":
        say("Traceback (most recent call last):")
        say("{}")
        say("[1, 2")
        for other in range(-5, 2000):
            if other != number:
                answer(other, {"said": "to somebody else"})
        answer(str(number), {"said": "as a string"})
        say(json.dumps({"jsonrpc": "2.0", "id": number, "method": "roots/list", "params": {}}))
        say(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x"}}))
        note(number + 1, 1)
        note("text", 1)
        sys.stdout.buffer.write(b"\xff\xfe\x00\n")
        answer(number, {"said": asked})
        answer(number, {"said": "once more"})
    elif name == "flood":
        for step in range(20000):
            note(token, step)
        answer(number, {"said": asked})
    elif name == "wide":
        answer(number, {"text": "x" * asked["bytes"], "said": asked.get("mark")})
    elif name == "stuck":
        write_down("stuck")
        time.sleep(1000)
    elif name == "raw":
        if token is not None:
            note(token, 0)
        say('{"jsonrpc":"2.0","id":%d,"result":%s}' % (number, asked["text"]))
    elif name == "error":
        say('{"jsonrpc":"2.0","id":%d,"error":{"code":%d,"message":"m","data":{"big":12345678901234567890123}}}' % (number, asked["code"]))
    elif name == "child":
        if os.fork() == 0:
            time.sleep(1000)
        answer(number, {})


write_down("started")
if "exit" in mood:
    sys.exit(3)
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "server/discover" and message["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == "sf-supervisor":
        discover(message["id"])
    elif message["method"] == "notifications/cancelled":
        gone = message["params"]["requestId"]
        cancelled.append(held.pop(gone, gone))
        write_down("cancelled")
    else:
        call(message["id"], message, line)
