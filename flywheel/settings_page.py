"""`docs/settings.md`, made from the settings themselves: `python -m flywheel.settings_page > docs/settings.md`."""

from __future__ import annotations

import sys
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from flywheel.settings import Section, Settings

HEAD = """# Settings

<!-- made by `python -m flywheel.settings_page > docs/settings.md`; a test compares -->

Strongest first: `FLYWHEEL_*` variables, `flywheel.toml` (in the run state's folder, else in the working directory), defaults. A key of a
section is a line of that table in the file, and two underscores in a variable: `selection.budget = 800` is

```toml
[selection]
budget = 800
```

or `FLYWHEEL_SELECTION__BUDGET=800`. Lists and tables in a variable are JSON. An unknown key or variable is an error that names it. `flywheel --home X` is
`FLYWHEEL_HOME=X`. Beside these there are `FLYWHEEL_ID_KEY` and `FLYWHEEL_VAULT_KEY` (64 hex digits each), which replace the key files of the
restricted zone, for installations that keep keys in a secret store.

A round is bound to the settings it was opened with: changed ones are refused until the batch is out, or pinned anew with
`flywheel round run R --repin REASON`. Where things lie and what time it is (`home`, `lake`, `landing`, `clock`) does not count as a change,
nor do `governance.retention` and `consent_columns`: consent is judged now.
"""


def settings_markdown() -> str:
    """The whole page: every key with type, default and what it does."""
    fields = Settings.model_fields
    plain = {name: f for name, f in fields.items() if not _is_section(f)}
    parts = [HEAD, _table("General", "", plain, "")]
    for name, field in fields.items():
        if _is_section(field):
            section = field.annotation
            assert isinstance(section, type)  # noqa: S101 - _is_section has looked; for the type checker
            parts.append(_table(f"`[{name}]`", section.__doc__ or "", section.model_fields, f"{name}."))
    return "\n".join(parts)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _table(title: str, lead: str, fields: dict[str, FieldInfo], prefix: str) -> str:
    lines = [f"## {title}", ""]
    if lead.strip():
        lines += [" ".join(lead.split()), ""]
    lines += ["| key | type | default | what it does |", "|---|---|---|---|"]
    for name, field in fields.items():
        kind = _kind(field.annotation) + _bounds(field)
        cells = (f"`{prefix}{name}`", kind, _default(field.get_default(call_default_factory=True)), field.description or "")
        lines.append("| " + " | ".join(c.replace("|", "\\|").replace("<", "&lt;") for c in cells) + " |")
    return "\n".join(lines) + "\n"


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(f"`{v}`" for v in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(_kind(a) for a in get_args(annotation) if a is not NoneType) + ", or unset"
    if origin is list:
        return f"list of {_kind(get_args(annotation)[0])}"
    if origin is dict:
        return "table of tables" if get_origin(get_args(annotation)[1]) is dict else "table of text"
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Path": "path", "date": "date"}
    return names.get(getattr(annotation, "__name__", ""), str(annotation))


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [f"{sign} {getattr(m, key):g}" for m in field.metadata for key, sign in signs.items() if getattr(m, key, None) is not None]
    return f" {', '.join(found)}" if found else ""


def _default(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, dict):
        return "; ".join(f"{k} `{v}`" for k, v in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(f"`{v}`" for v in value) or "none"
    return f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(settings_markdown())
