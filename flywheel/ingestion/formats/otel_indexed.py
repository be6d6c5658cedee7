"""The two families that flatten messages into attributes: OpenLLMetry (`gen_ai.prompt.N.role`) and OpenInference
(`llm.input_messages.N.message.role`), and OpenInference's `input.value` / `output.value`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from flywheel.ingestion.formats.otel_attributes import Tree, dense, is_index, loss_name
from flywheel.ingestion.formats.otel_messages import Lost, Turn, answer_of, openai_turn, role_of, text_id, tool_call
from flywheel.ingestion.formats.otel_wire import from_json
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_list, kind, text_of

OPENLLMETRY = {"role": "role", "content": "content", "name": "name", "tool_call_id": "tool_call_id", "refusal": "content"}
OPENINFERENCE = {
    "prompt.text": "content", "completion.text": "content", "message.role": "role", "message.content": "content", "message.name": "name", "message.tool_call_id": "tool_call_id",
}  # fmt: skip
OF_ANSWERS = frozenset({"finish_reason", "message.finish_reason"})
CALLED = {
    "id": "id", "name": "name", "arguments": "arguments", "function.name": "name", "function.arguments": "arguments", "type": "type",
    "tool_call.id": "id", "tool_call.function.name": "name", "tool_call.function.arguments": "arguments", "tool_call.type": "type",
}  # fmt: skip
OLD_CALL = {"message.function_call_name": "name", "message.function_call_arguments_json": "arguments",
            "function_call.name": "name", "function_call.arguments": "arguments"}  # fmt: skip
CONTENT_TYPES = frozenset(
    {"text", "image_url", "input_text", "output_text", "image", "input_image", "input_audio", "tool_use", "tool_result"}
)


def turns_of_tree(tree: Tree, name: str, lost: Lost, role: str | None = None) -> list[Turn]:
    """Messages of `gen_ai.prompt.*` or `llm.input_messages.*`. Raises `Rejected`."""
    return [_turn(fields, f"{name}.{n}", lost, role, answer=False) for n, fields in dense(tree, name)]


def answers_of_tree(tree: Tree, name: str, lost: Lost) -> list[Turn]:
    """Answers of `gen_ai.completion.*` or `llm.output_messages.*`. Raises `Rejected`."""
    made = []
    for n, fields in dense(tree, name):
        turn = _turn(fields, f"{name}.{n}", lost, "assistant", answer=True)
        made.append(answer_of(turn, fields.get("finish_reason", fields.get("message.finish_reason"))))
    return made


@lru_cache(maxsize=4096)
def _field(key: str) -> tuple[str, str, int]:
    """What a field of a message is: kind, name, index. Raises `Rejected` for an index that is none."""
    if (name := OPENLLMETRY.get(key) or OPENINFERENCE.get(key)) is not None:
        return "said", name, 0
    if key in OLD_CALL:
        return "old", OLD_CALL[key], 0
    if key in OF_ANSWERS:
        return "finish", "", 0
    for prefix, sort in (("tool_calls.", "call"), ("message.tool_calls.", "call"), ("message.contents.", "content")):
        if key.startswith(prefix):
            head, _, rest = key[len(prefix) :].partition(".")
            if not is_index(head):
                raise Rejected("invalid_field", f"{prefix}N: this N is no index", f"{prefix}{head}"[:200])
            name = CALLED.get(rest) if sort == "call" else rest
            return (sort, name, int(head)) if name is not None else ("lost", f"tool_calls.N.{loss_name(rest)}", 0)
    return "lost", loss_name(key), 0


def _turn(fields: Mapping[str, Any], field: str, lost: Lost, role: str | None, *, answer: bool) -> Turn:
    said: Turn = {}
    old: Turn = {}
    contents: Tree = {}
    calls: Tree = {}
    for key, value in fields.items():
        sort, name, index = _field(key)
        if sort == "said":
            said.setdefault(name, value)
        elif sort == "call":
            calls.setdefault(index, {}).setdefault(name, value)
        elif sort == "content":
            contents.setdefault(index, {})[name] = value
        elif sort == "old":
            old[name] = value
        elif sort == "lost" or not answer:  # a question has no reason to end
            lost.add(f"{loss_name(field)}.{name or loss_name(key)}")
    spoken = role if answer else said.get("role") or role  # an answer is the assistant's, whatever an instrumentation calls it
    turn: Turn = {"role": role_of(spoken, f"{field}.role"), "content": _content(said.get("content"), field, lost)}
    if contents:
        text = "\n".join(_texts_of_contents(contents, field, lost))
        if turn["content"] and text != turn["content"]:
            lost.add("message.contents.N (beside message.content)")
        turn["content"] = turn["content"] or text
    made = [
        tool_call(c.get("name"), c.get("arguments"), c.get("id"), f"{field}.tool_calls.{n}") for n, c in dense(calls, f"{field}.tool_calls")
    ]
    if old:
        made.append(tool_call(old.get("name"), old.get("arguments"), None, f"{field}.function_call"))
    for key in ("name", "tool_call_id"):
        if key in said and (told := text_id(said[key], f"{field}.{key}")) is not None:
            turn[key] = told
    if made:
        turn["tool_calls"] = made
    return turn


def _content(content: Any, field: str, lost: Lost) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        if not content.startswith("[{"):
            return content
        try:  # a list of parts that was written into one attribute as JSON
            parts = from_json(content)
        except ValueError:
            return content
        if not all(isinstance(p, dict) and isinstance(p.get("type"), str) and p["type"] in CONTENT_TYPES for p in parts):
            return content
        return text_of(parts, f"{field}.content", lost.counts, lost.format)
    if isinstance(content, list):
        return text_of(content, f"{field}.content", lost.counts, lost.format)
    raise Rejected("invalid_field", f"{field}.content must be text, is {kind(content)}", f"{field}.content")


def _texts_of_contents(tree: Tree, field: str, lost: Lost) -> list[str]:
    texts = []
    for n, part in dense(tree, f"{field}.message.contents"):
        text, sort = part.get("message_content.text"), part.get("message_content.type", "text")
        if sort == "text" and isinstance(text, str):
            texts.append(text)
        elif sort == "text" and text is not None:
            raise Rejected(
                "invalid_field", f"{field}.message.contents.{n} must hold text", f"{field}.message.contents.{n}.message_content.text"
            )
        else:
            lost.add(f"message content of type {sort if isinstance(sort, str) and sort.isalpha() and len(sort) < 20 else 'unknown'}")
    return texts


def raw_request(value: Any, field: str, lost: Lost) -> list[Turn] | None:
    """Messages of `input.value`: a request or a list of messages as JSON, otherwise the question itself. Raises `Rejected`."""
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
        if len(value) == 1 and isinstance(value[0], list):  # LangChain: a batch of one conversation
            value = value[0]
    if isinstance(value, list) and value and all(isinstance(t, dict) and "role" in t for t in value):
        return [openai_turn(t, f"{field}.messages.{i}", lost) for i, t in enumerate(value)]
    if isinstance(value, dict):  # a text completion, or OpenAI's Responses
        value = next((value[k] for k in ("prompt", "input") if isinstance(value.get(k), str)), value)
    if isinstance(value, str):
        return [{"role": "user", "content": value}] if value.strip() else None
    raise Rejected("invalid_field", f"{field} is neither text nor a request with messages", field)


def raw_response(value: Any, field: str, lost: Lost) -> list[Turn] | None:
    """Answers of `output.value`: a response with choices, a message, or the answer itself. Raises `Rejected`."""
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        made = []
        for n, choice in enumerate(value["choices"]):
            inner = choice.get("message") if isinstance(choice, dict) else None
            if not isinstance(inner, dict):
                raise Rejected("missing_field", f"{field}.choices.{n} has no message", f"{field}.choices.{n}.message")
            made.append(answer_of(openai_turn(inner, f"{field}.choices.{n}.message", lost, "assistant"), choice.get("finish_reason")))
        return made or None
    if isinstance(value, dict) and ("role" in value or "content" in value):
        return [answer_of(openai_turn(value, field, lost, "assistant"), value.get("finish_reason"))]
    if isinstance(value, str):
        return [{"text": value}] if value.strip() else None
    raise Rejected("invalid_field", f"{field} is neither text nor a response with choices", field)


def parsed(text: str) -> Any:
    """The value of a JSON text; the text itself where it is none, or only a number or a word."""
    if text[:1] in ("{", "["):
        try:
            return from_json(text)
        except ValueError:
            return text
    return text


def logprobs_of(value: Any, field: str) -> list[float] | None:
    """The tokens' log-probabilities of one choice. Raises `Rejected`."""
    content = value.get("content") if isinstance(value, dict) else None
    if not content:
        return None
    made = []
    for n, token in enumerate(demand_list(content, f"{field}.content")):
        logprob = token.get("logprob") if isinstance(token, dict) else None
        if isinstance(logprob, bool) or not isinstance(logprob, (int, float)):
            raise Rejected("invalid_field", f"{field}.content.{n}.logprob must be a number", f"{field}.content.{n}.logprob")
        made.append(logprob)
    return made
