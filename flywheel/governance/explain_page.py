"""`privacy explain` on a page and in the terminal: spans coloured by type, outlined by layer; nothing is loaded from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from flywheel.governance.explain import ExplainedRecord, ExplainedText
from flywheel.governance.spans import LAYERS, Span

if TYPE_CHECKING:
    from rich.text import Text as RichText

# characters that would steer the reader's eye away from what is there
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
TYPES = ("PERSON", "EMAIL", "PHONE", "ORDER", "ACCOUNT", "ADDRESS", "SECRET", "PIN", "DOB", "CARD")
COLOURS = ("#ffd6a5", "#bde0fe", "#caffbf", "#d0bfff", "#ffc6ff", "#fdffb6", "#ffadad", "#9bf6ff", "#e2ece9", "#f1c0e8")
TERMINAL = ("yellow", "blue", "green", "magenta", "bright_magenta", "bright_yellow", "red", "cyan", "white", "bright_cyan")
OUTLINES = ("solid", "dashed", "dotted", "double")


def visible(text: str) -> str:
    """Control, zero-width and direction-changing characters as their code."""
    return UNSEEN.sub(lambda m: f"<U+{ord(m[0]):04X}>", text)


def _index(type: str) -> int:
    from flywheel.governance.identity import alias_name

    short = alias_name(type)
    return TYPES.index(short) if short in TYPES else sum(map(ord, short)) % len(TYPES)


def terminal_text(explained: ExplainedText) -> RichText:
    """The text with its spans coloured, each followed by its alias and layer."""
    from rich.text import Text as Rich

    shown, at = Rich(), 0
    for span, alias in zip(explained.spans, explained.aliases, strict=True):
        shown.append(visible(explained.text[at : span.start]))
        shown.append(visible(explained.text[span.start : span.end]), style=f"bold black on {TERMINAL[_index(span.type)]}")
        shown.append(f" {alias} {span.layer}", style="dim")
        at = span.end
    shown.append(visible(explained.text[at:]))
    return shown


_STYLE = """
:root { color-scheme: light; } body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.3rem; } h2 { font: 600 .9rem ui-monospace, monospace; margin: 1.6rem 0 .3rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #ccc; border-radius: 4px; padding: .6rem; margin: .2rem 0; unicode-bidi: plaintext; }
mark { color: inherit; border-radius: 3px; padding: 0 .1em; border-width: 2px; border-color: #555; }
.warn { background: #fff3cd; border: 1px solid #b58900; padding: .5rem .8rem; border-radius: 4px; }
table { border-collapse: collapse; font-size: .85rem; margin: .3rem 0; } th, td { border: 1px solid #ddd; padding: .2rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } .legend mark { margin-right: .6rem; display: inline-block; }
"""


def page(record: ExplainedRecord) -> str:
    """One self-contained HTML page. Holds raw text: only for the restricted zone."""
    types = sorted({c.span.type for t in record.texts for c in t.candidates})
    layers = [layer for layer in LAYERS if any(c.span.layer == layer for t in record.texts for c in t.candidates)]
    legend = "".join(_mark(escape(t), t, "") for t in types) + "".join(
        f'<mark style="background:#eee;border-style:{_outline(layer)}">{escape(layer)}</mark>' for layer in layers
    )
    body = "".join(_text(t) for t in record.texts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Redaction of {record.record_id[:8]}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Redaction of record {record.record_id}</h1><p>Round {escape(record.round)}, conversation {record.conversation_id}</p>"
        '<p class="warn">This page shows raw personal data. It belongs in the restricted zone; the look is on record.</p>'
        f'<p class="legend">Colour: type. Outline: layer. {legend}</p>{body}</body></html>\n'
    )


def _outline(layer: str) -> str:
    return OUTLINES[LAYERS.index(layer) % len(OUTLINES)] if layer in LAYERS else "solid"


def _mark(inner: str, type: str, layer: str, title: str = "") -> str:
    return f'<mark title="{escape(title)}" style="background:{COLOURS[_index(type)]};border-style:{_outline(layer)}">{inner}</mark>'


def _text(explained: ExplainedText) -> str:
    parts, at = [], 0
    for span, alias in zip(explained.spans, explained.aliases, strict=True):
        parts.append(escape(visible(explained.text[at : span.start])))
        title = f"{span.type} by {span.layer}, score {span.score:.2f}: {alias}"
        parts.append(_mark(escape(visible(explained.text[span.start : span.end])), span.type, span.layer, title))
        at = span.end
    parts.append(escape(visible(explained.text[at:])))
    rows = "".join(_row(c.span, c.value, c.decision) for c in explained.candidates)
    table = (
        f"<table><tr><th>characters</th><th>value</th><th>type</th><th>layer</th><th>score</th><th>decision</th></tr>{rows}</table>"
        if rows
        else ""
    )
    return f"<h2>{escape(explained.path)}</h2><pre>{''.join(parts)}</pre><pre>{escape(visible(explained.redacted))}</pre>{table}"


def _row(span: Span, value: str, decision: str) -> str:
    cells: Iterable[str] = (escape(visible(value)), escape(span.type), escape(span.layer))
    return (
        f'<tr><td class="n">{span.start}–{span.end}</td>' + "".join(f"<td>{c}</td>" for c in cells) + f'<td class="n">{span.score:.2f}</td>'
        f"<td>{escape(decision)}</td></tr>"
    )
