"""`flywheel privacy`: measure redaction, use it from outside, see why it did what it did."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from flywheel.errors import BadInput, NotFound
from flywheel.governance import proof_commands
from flywheel.governance.ner.commands import train_ner
from flywheel.output import frame, print_frame, print_table, say
from flywheel.settings import Settings
from flywheel.storage import Home

if TYPE_CHECKING:
    from flywheel.governance.evaluate import LayerShare, Scores
    from flywheel.governance.outside import FoundSpan, StoredValue

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Redaction: measure it, use it, look into it, prove it."
)
JSON = typer.Option(False, "--json", help="One JSON object on standard output.")
LAYERS_OPTION = typer.Option("", "--layers", help="Only these layers (a,b,c), or all but some (-a,-b).")
ROLE = typer.Option("", "--role", help="auditor: raw values are shown to nobody else.")
REASON = typer.Option("", "--reason", help="Why, in words; goes on record.")
PROFILE = typer.Option([], "--profile", help="What is known about the writer: field=value, as name=Ada. Repeat it.")
LARGEST = 64_000_000


def chosen_layers(given: str) -> tuple[str, ...]:
    """`--layers` as names. Raises `BadInput` on one that there is not."""
    from flywheel.governance.spans import LAYERS

    names = [n.strip() for n in given.split(",") if n.strip()]
    unknown = sorted({n.removeprefix("-") for n in names} - set(LAYERS))
    if unknown:
        raise BadInput(f"there is no layer {', '.join(unknown)}; there are {', '.join(LAYERS)}")
    left_out = {n[1:] for n in names if n.startswith("-")}
    wanted = [n for n in names if not n.startswith("-")]
    return tuple(n for n in LAYERS if n not in left_out and (not wanted or n in wanted))


@app.command()
def evaluate(
    file: str = typer.Argument(..., help="Labelled dialogues, a JSON object a line, plain or gzip."),
    layers: str = LAYERS_OPTION,
    profile: bool = typer.Option(True, "--profile/--no-profile", help="Use each dialogue's profile."),
    by_layer: bool = typer.Option(False, "--by-layer", help="Also each layer alone and left out (two passes a layer)."),
    limit: int = typer.Option(0, "--limit", min=0, help="Only the first so many dialogues; 0: all."),
    processes: int = typer.Option(1, "--processes", min=1, max=256, help="Spread over so many processes."),
    misses: int = typer.Option(0, "--misses", min=0, help="Also print so many labelled spans that were not covered (raw text)."),
    as_json: bool = JSON,
) -> None:
    """Recall by type, character precision, label accuracy, F2 and dialogues a second on a labelled file.

    Form: {"turns": [[speaker, text, [[start, end, TYPE], ...]], ...], "profile": {field: value}}
    """
    from flywheel.governance.dialogues import read_dialogues
    from flywheel.governance.evaluate import evaluate as measure
    from flywheel.governance.evaluate import layer_shares

    settings, names = Settings.load().governance, chosen_layers(layers)
    dialogues = list(islice(read_dialogues(Path(file)), limit or None))
    scores = measure(dialogues, settings, layers=names, with_profile=profile, processes=processes, keep_missed=misses)
    shares = layer_shares(dialogues, settings, layers=names, with_profile=profile) if by_layer else []
    if not as_json:
        _print_scores(scores, shares)
        return
    result = scores.result()
    if by_layer:
        result["by_layer"] = {s.layer: {"alone": _brief(s.alone), "without": _brief(s.without)} for s in shares}
    if misses:
        result["misses"] = [{"type": t, "value": v, "text": text} for t, v, text in scores.missed]
    counts = {
        "dialogues": scores.dialogues, "characters": scores.characters, "spans": scores.spans.total(), "covered": scores.covered.total(),
        "right_type": scores.right_type, "labelled_characters": scores.gold_characters, "covered_characters": scores.predicted_characters,
        "both": scores.both_characters,
    }  # fmt: skip
    asked = {"file": file, "layers": list(names), "profile": profile, "processes": processes, "limit": limit}
    warnings = [] if scores.spans else ["the file labels nothing: recall and label accuracy cannot be told"]
    print_frame(frame("privacy.evaluate", input=asked, counts=counts, result=result, warnings=warnings))


def _brief(scores: Scores) -> dict[str, Any]:
    return {"recall": scores.recall, "char_precision": scores.char_precision, "label_accuracy": scores.label_accuracy, "f2": scores.f2,
            "docs_per_s": scores.docs_per_s}  # fmt: skip


def _print_scores(scores: Scores, shares: list[LayerShare]) -> None:
    rows = [(t, v["n"], v["recall"]) for t, v in scores.result()["by_type"].items()]
    print_table("Recall (every character of a span covered)", ["type", "spans", "recall"], rows, empty="The file labels nothing.")
    whole = [scores.recall, scores.char_precision, scores.label_accuracy, scores.f2, scores.docs_per_s]
    print_table("All", ["recall", "char precision", "label accuracy", "F2", "dialogues/s"], [whole], empty="")
    if scores.wrong_type:
        print_table("Covered, but as another type", ["labelled", "found", "spans"],
                    [(a, b, n) for (a, b), n in scores.wrong_type.most_common(12)], empty="")  # fmt: skip
    if shares:

        def drop(left_out: float | None) -> float | None:
            return None if scores.recall is None or left_out is None else round(scores.recall - left_out, 4)

        print_table(
            "What each layer adds",
            ["layer", "recall alone", "char precision alone", "recall lost without it", "char precision without it", "dialogues/s without it"],
            [(s.layer, s.alone.recall, s.alone.char_precision, drop(s.without.recall), s.without.char_precision, s.without.docs_per_s) for s in shares],
            empty="",
        )  # fmt: skip
    if scores.missed:
        print_table("Not covered", ["type", "value", "text"], scores.missed, empty="")


@app.command()
def redact(
    file: str = typer.Argument("-", help="Text or canonical JSONL; - is standard input."),
    form: str = typer.Option("auto", "--form", help="text, jsonl, or auto (JSONL when the first line is a JSON object)."),
    profile: list[str] = PROFILE,
    layers: str = LAYERS_OPTION,
    vault: bool = typer.Option(False, "--vault", help="Store what was found in the run state's vault; spans then name tokens."),
    as_json: bool = JSON,
) -> None:
    """Redact a text or canonical log lines: redacted on standard output, with --json also each span. Stores nothing unless --vault."""
    from flywheel.governance.detection import Detector
    from flywheel.governance.outside import parse_lines, parse_profile, redact_lines, redact_plain

    if form not in ("auto", "text", "jsonl"):
        raise BadInput(f"--form {form}: there are auto, text and jsonl")
    fields = parse_profile(profile)
    name = "standard input" if file == "-" else file
    text = _read(file)
    detector = Detector(Settings.load().governance, frozenset(chosen_layers(layers)))
    result: Any
    if form == "jsonl" or (form == "auto" and _is_lines(text)):
        if fields:
            raise BadInput("--profile is for a text; a canonical line brings its own `profile`")
        rows = parse_lines(text.split("\n"), name)
        spans, values = redact_lines(rows, detector)
        tokens = _store(values) if vault else {}
        result = {
            "form": "jsonl",
            "records": [{"record": r, "spans": [_shown(s, tokens) for s in there]} for r, there in zip(rows, spans, strict=True)],
        }
        out, total = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), [s for there in spans for s in there]
    else:
        out, total, values = redact_plain(text, detector, fields)
        tokens = _store(values) if vault else {}
        result = {"form": "text", "text": out, "spans": [_shown(s, tokens) for s in total]}
    if as_json:
        counts = {"spans": len(total), "characters": len(text), "stored": len(tokens)}
        print_frame(frame("privacy.redact", input={"file": file, "vault": vault}, counts=counts, result=result))
        return
    sys.stdout.buffer.write(out.encode("utf-8", "surrogatepass"))
    sys.stdout.flush()


def _shown(span: FoundSpan, tokens: dict[str, str]) -> dict[str, Any]:
    shown = span.as_json()
    return {**shown, "token": tokens[span.alias]} if span.alias in tokens else shown


def _store(values: list[StoredValue]) -> dict[str, str]:
    """Into the vault, held by the installation; alias to token."""
    from flywheel.governance.spans import CERTAIN
    from flywheel.governance.vault import Finding, Vault

    opened = Vault.open(Home(Settings.load()))
    try:
        made = opened.tokens([Finding(v.type, v.value, certain=v.layer in CERTAIN) for v in values])
    finally:
        opened.close()
    return {v.alias: token for v, token in zip(values, made, strict=True)}


def _read(file: str) -> str:
    """The whole input as text. Raises `NotFound` or `BadInput` for what is missing, binary, damaged or too large."""
    path = Path(file)
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if file == "-" else _bytes(path)
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{file}: its gzip compression is damaged or cut short ({error})") from None
    if len(data) > LARGEST:
        raise BadInput(f"{file} is larger than {LARGEST // 1_000_000} MB; split it, or bring it in as logs (`flywheel round run`)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is no UTF-8 text (byte {error.start}); nothing was printed") from None
    if "\0" in text:
        raise BadInput(f"{file} holds zero bytes: binary, no text; nothing was printed")
    return text


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name a file")
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return unpacked.read(LARGEST + 1)
        return file.read(LARGEST + 1)


def _is_lines(text: str) -> bool:
    first = next((line for line in text.split("\n") if line.strip()), "")
    if not first.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


@app.command()
def explain(
    record: str = typer.Argument(..., help="A record_id, or its first 8 digits."),
    role: str = ROLE,
    reason: str = REASON,
    round: str = typer.Option("", "--round", help="The Monday of its week; left out: the newest that has it."),
    html: bool = typer.Option(False, "--html", help="Also write a page below <home>/restricted/explain."),
    as_json: bool = JSON,
) -> None:
    """Why a record reads as it does: spans by layer and type, scores, decisions. Shows raw text: needs --role auditor --reason."""
    from flywheel.governance import provenance_log
    from flywheel.governance.explain import explain_record
    from flywheel.governance.explain_page import page, terminal_text
    from flywheel.storage import write_atomically

    home = Home(Settings.load())
    found = explain_record(home, record, role=role, reason=reason, log=provenance_log(home), at=home.now(), round=round)
    target = home.restricted / "explain" / f"{found.record_id}.html"
    if html:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(target, page(found).encode("utf-8", "surrogatepass"), mode=0o600)
    if as_json:
        texts = [
            {"path": t.path, "text": t.text, "redacted": t.redacted, "candidates": [c.as_json() for c in t.candidates]} for t in found.texts
        ]
        result = {"record_id": found.record_id, "round": found.round, "texts": texts, "html": str(target) if html else None}
        counts = {"texts": len(texts), "spans": sum(len(t.spans) for t in found.texts)}
        print_frame(frame("privacy.explain", input={"record": record, "round": round}, counts=counts, result=result))
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    for text in found.texts:
        if text.candidates or text.path.endswith((".content", ".text")):
            console.print(f"\n{text.path}", style="bold", markup=False)
            console.print(terminal_text(text))
            if text.candidates:
                rows = [(c.span.start, c.span.end, c.value, c.span.type, c.span.layer, c.span.score, c.decision) for c in text.candidates]
                print_table("", ["from", "to", "value", "type", "layer", "score", "decision"], rows, empty="")
    if html:
        say(f"{target}")


app.command("train-ner")(train_ner)
app.command()(proof_commands.scan)
app.command()(proof_commands.canaries)
app.command()(proof_commands.sample)
