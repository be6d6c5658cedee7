"""The interactions as programs around OpenAI's API log them: request and response in several wrappings, Responses API, batch, stored."""

from __future__ import annotations

import json
from typing import Any

from tests.ingestion.dialects.interactions import ASKED_OF, MODEL, Interaction, Json

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}


def turn(said: Json, *, arguments: bool = False) -> Json:
    """A canonical turn in the API's words; `arguments`: as an object, as some loggers keep them."""
    made = {k: v for k, v in said.items() if k != "tool_calls"}
    if said.get("tool_calls"):
        made["tool_calls"] = [
            {"id": c["id"], "type": "function",
             "function": {"name": c["name"], "arguments": json.loads(c["arguments"]) if arguments else c["arguments"]}}
            for c in said["tool_calls"]
        ]  # fmt: skip
        made["content"] = made.get("content") or None
    return made


def turns(one: Interaction, *, arguments: bool = False) -> list[Json]:
    made = [turn(m, arguments=arguments) for m in one.messages]
    if one.images:  # an image between the user's lines
        first, second = made[-1]["content"].split("\n")
        made[-1]["content"] = [{"type": "text", "text": first}, IMAGE, {"type": "text", "text": second}]
    return made


def request(one: Interaction, *, arguments: bool = False) -> Json:
    asked = {k: v for k, v in one.parameters.items() if k != "max_tokens"}
    made: Json = {
        "model": ASKED_OF,
        "messages": turns(one, arguments=arguments),
        **asked,
        "max_completion_tokens": one.parameters["max_tokens"],
        "user": one.user,
    }
    if len(one.answers) > 1:
        made["n"] = len(one.answers)
    return made


def answer(one: Interaction, said: Json, *, arguments: bool = False) -> Json:
    spoken = turn({"role": "assistant", "content": said["text"], **{k: said[k] for k in ("tool_calls",) if k in said}}, arguments=arguments)
    spoken["refusal"] = None
    if one.name == "refusal":
        spoken["refusal"], spoken["content"] = said["text"], None
    return {**spoken, "annotations": []}


def logprobs(said: Json) -> Json | None:
    found = said.get("token_logprobs")
    if found is None:
        return None
    return {"content": [{"token": "x", "logprob": p, "bytes": [120], "top_logprobs": []} for p in found], "refusal": None}


def response(one: Interaction, *, arguments: bool = False) -> Json:
    asked, answered = one.tokens
    choices = [
        {"index": i, "message": answer(one, a, arguments=arguments), "logprobs": logprobs(a), "finish_reason": a["finish_reason"]}
        for i, a in enumerate(one.answers)
    ]
    usage = {
        "prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    return {"id": one.id, "object": "chat.completion", "created": one.seconds, "model": MODEL, "choices": choices, "usage": usage}


def failure(one: Interaction) -> Json:
    return {"error": {"message": "Rate limit reached", "type": "requests", "param": None, "code": one.failed}}


def beside(one: Interaction) -> Json:
    """What a logger knows beyond the API."""
    made: Json = {"conversation_id": one.conversation, "timestamp": one.began.isoformat().replace("+00:00", "Z")}
    if one.feedback:
        made["feedback"] = one.feedback
    if one.template:
        made["template"] = one.template
    return made


def side_by_side(one: Interaction) -> list[Json]:
    return [{"request": request(one), "response": failure(one) if one.failed else response(one), **beside(one)}]


def object_arguments(one: Interaction) -> list[Json]:
    return [
        {"request": request(one, arguments=True), "response": failure(one) if one.failed else response(one, arguments=True), **beside(one)}
    ]


def json_text(one: Interaction) -> list[Json]:
    row = side_by_side(one)[0]
    return [{**row, "request": json.dumps(row["request"]), "response": json.dumps(row["response"])}]


def merged(one: Interaction) -> list[Json]:
    if one.failed:
        return [{**request(one), **failure(one), **beside(one)}]
    return [{**request(one), **response(one), **beside(one)}]


def flat_request(one: Interaction) -> list[Json]:
    return [{**request(one), "response": failure(one) if one.failed else response(one), **beside(one)}]


def keyword_arguments(one: Interaction) -> list[Json]:
    """As wrappers around the client keep a call."""
    return [{"kwargs": request(one), "response": failure(one) if one.failed else response(one), **beside(one)}]


def http(one: Interaction) -> list[Json]:
    """As a proxy keeps an exchange."""
    status = 429 if one.failed else 200
    return [{"request": {"method": "POST", "url": "https://api.openai.com/v1/chat/completions", "body": request(one)},
             "response": {"status": status, "body": failure(one) if one.failed else response(one)}, **beside(one)}]  # fmt: skip


def http_text(one: Interaction) -> list[Json]:
    row = http(one)[0]
    for side in ("request", "response"):
        row[side] = {**row[side], "body": json.dumps(row[side]["body"])}
    return [row]


def bodies(one: Interaction) -> list[Json]:
    return [{"request_body": request(one), "response_body": failure(one) if one.failed else response(one), **beside(one)}]


def nvidia(one: Interaction) -> list[Json]:
    """The blueprint's log: whole seconds, arguments as objects (its own sample data has them so)."""
    row = object_arguments(one)[0]
    return [{**row, "timestamp": one.seconds, "client_id": "shop", "workload_id": "support"}]


def stream(one: Interaction) -> list[Json]:
    """The chunks of a stream, kept as they came."""
    whole = response(one)
    head = {"id": one.id, "object": "chat.completion.chunk", "created": one.seconds, "model": MODEL}
    chunks: list[Json] = []
    for choice in whole["choices"]:
        said, index = choice["message"], choice["index"]
        chunks.append(
            {**head, "choices": [{"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}], "usage": None}
        )
        for key in ("content", "refusal"):
            text = said.get(key) or ""
            tokens = (choice["logprobs"] or {}).get("content") or []
            cut = len(text) // 2
            for part, held in ((text[:cut], tokens[:1]), (text[cut:], tokens[1:])):
                if part:
                    told = {"content": held, "refusal": None} if held else None
                    chunks.append(
                        {
                            **head,
                            "choices": [{"index": index, "delta": {key: part}, "logprobs": told, "finish_reason": None}],
                            "usage": None,
                        }
                    )
        for at, called in enumerate(said.get("tool_calls") or ()):
            named = {"index": at, "id": called["id"], "type": "function", "function": {"name": called["function"]["name"], "arguments": ""}}
            chunks.append({**head, "choices": [{"index": index, "delta": {"tool_calls": [named]}, "finish_reason": None}]})
            for letters in (called["function"]["arguments"][:5], called["function"]["arguments"][5:]):
                delta = {"tool_calls": [{"index": at, "function": {"arguments": letters}}]}
                chunks.append({**head, "choices": [{"index": index, "delta": delta, "finish_reason": None}]})
        chunks.append({**head, "choices": [{"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    chunks.append({**head, "choices": [], "usage": whole["usage"]})
    asked = {**request(one), "stream": True, "stream_options": {"include_usage": True}}
    return [{"request": asked, "response": failure(one) if one.failed else chunks, **beside(one)}]


def server_sent_events(one: Interaction) -> list[Json]:
    """A stream as it came over the wire."""
    row = stream(one)[0]
    if isinstance(row["response"], list):
        row["response"] = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in row["response"]) + "data: [DONE]\n\n"
    return [row]


def batch(one: Interaction) -> list[Json]:
    """Lines of the output file and of the input file."""
    asked = {**request(one), "metadata": {"conversation_id": one.conversation}}
    line: Json = {"id": f"batch_req_{one.number}", "custom_id": f"log-{one.name}"}
    if one.failed:
        line |= {"response": None, "error": {"code": one.failed, "message": "x"}}
    else:
        line |= {"response": {"status_code": 200, "request_id": f"req_{one.number}", "body": response(one)}, "error": None}
    return [line, {"custom_id": f"log-{one.name}", "method": "POST", "url": "/v1/chat/completions", "body": asked}]


def stored(one: Interaction) -> list[Json]:
    """A page of stored completions and the page of one's messages."""
    asked = request(one)
    kept = {k: asked[k] for k in ("temperature", "top_p", "seed")}
    whole = {**response(one), "request_id": f"req_{one.number}", "tool_choice": None, **kept, "max_completion_tokens": asked["max_completion_tokens"],
             "presence_penalty": 0.0, "frequency_penalty": 0.0, "input_user": one.user, "service_tier": "default", "tools": None,
             "metadata": {"conversation_id": one.conversation}, "response_format": None}  # fmt: skip
    messages = []
    for i, said in enumerate(asked["messages"]):
        parts = said["content"] if isinstance(said["content"], list) else None
        messages.append(
            {**said, "id": f"{one.id}-{i}", "content": said["content"] if parts is None else "", "content_parts": parts, "name": None}
        )
    return [
        {"object": "list", "data": [whole], "first_id": one.id, "last_id": one.id, "has_more": False},
        {"object": "list", "data": messages, "first_id": messages[0]["id"], "last_id": messages[-1]["id"], "has_more": False},
    ]


def items(one: Interaction) -> list[Json]:
    """The prompt as items of the Responses API."""
    made: list[Json] = []
    for said in turns(one):
        if said["role"] == "system":
            continue
        if said["role"] == "tool":
            made.append({"type": "function_call_output", "call_id": said["tool_call_id"], "output": said["content"]})
            continue
        content: Any = said["content"]
        sort = "output_text" if said["role"] == "assistant" else "input_text"
        if isinstance(content, list):
            content = [
                {"type": sort, "text": p["text"]} if p["type"] == "text" else {"type": "input_image", "image_url": "x"} for p in content
            ]
        elif content and said["role"] == "assistant":
            content = [{"type": sort, "text": content, "annotations": []}]
        if content:
            made.append({"role": said["role"], "content": content})
        for called in said.get("tool_calls", ()):
            made.append({"type": "function_call", "call_id": called["id"], **called["function"], "id": f"fc_{called['id']}"})
    return made


def responses_api(one: Interaction) -> list[Json]:
    asked: Json = {"model": ASKED_OF, "input": items(one), "temperature": one.parameters["temperature"], "top_p": one.parameters["top_p"],
                   "max_output_tokens": one.parameters["max_tokens"], "user": one.user}  # fmt: skip
    system = [m["content"] for m in one.messages if m["role"] == "system"]
    if system:
        asked["instructions"] = system[0]
    output: list[Json] = []
    for said in one.answers:
        part: Json = {"type": "output_text", "text": said["text"], "annotations": [], "logprobs": (logprobs(said) or {}).get("content", [])}
        if one.name == "refusal":
            part = {"type": "refusal", "refusal": said["text"]}
        if said["text"]:
            output.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]})
        for called in said.get("tool_calls", ()):
            output.append({"type": "function_call", "id": f"fc_{called['id']}", "call_id": called["id"], "name": called["name"],
                           "arguments": called["arguments"], "status": "completed"})  # fmt: skip
    usage = {"input_tokens": one.tokens[0], "output_tokens": one.tokens[1], "total_tokens": sum(one.tokens),
             "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}  # fmt: skip
    answered = {"id": one.id, "object": "response", "created_at": one.seconds, "model": MODEL, "status": "completed", "error": None,
                "incomplete_details": None, "output": output, "usage": usage, "temperature": 0.2, "top_p": 0.9}  # fmt: skip
    if one.failed:
        answered |= {"status": "failed", "error": {"code": one.failed, "message": "x"}, "usage": None}
    return [{"request": asked, "response": answered, **beside(one)}]
