"""The page's section on what the week's prompts are about."""

from __future__ import annotations

from flywheel.ingestion.taxonomy_coverage import COVERAGE_COLUMNS, coverage_table, effective_number
from flywheel.reporting import wording
from flywheel.reporting.figures import bar
from flywheel.reporting.layout import Cell, Column, Section, Table
from flywheel.storage import Home

TITLE = "Prompt diversity"


def diversity_section(home: Home, round: str) -> Section:
    """Records by domain, task type and language, from the redacted table, beside what was picked of them."""
    if home.lake.manifest("redacted_logs", round) is None:
        return Section("diversity", TITLE, "Not reached: no records are redacted yet.")
    found = coverage_table(home.lake.read("redacted_logs", round, COVERAGE_COLUMNS))
    if not found:
        return Section("diversity", TITLE, "No record of this week may be used.")
    types: dict[str, int] = {}
    for row in found:
        types[row["task_type"]] = types.get(row["task_type"], 0) + row["records"]
    largest, most = max(types.items(), key=lambda t: (t[1], t[0]))
    whole = sum(types.values())
    lead = (
        f"{wording.count(whole)} redacted records of {_some(len(types), 'task type')} in {_some(len({r['domain'] for r in found}), 'domain')}. "
        f"The largest type, {_word(largest)}, holds {wording.percent(most / whole)}; by their shares the types are as diverse as "
        f"{wording.number(effective_number(list(types.values())), 1)} of one size."
    )
    widest = max(r["share"] for r in found)
    rows: list[list[Cell]] = [
        [
            r["domain"], _word(r["task_type"]), r["language"] or wording.ABSENT,
            bar(r["share"] / widest, label=f"{r['domain']}, {_word(r['task_type'])}: {wording.percent(r['share'])} of the records"),
            wording.count(r["records"]), wording.percent(r["share"]), wording.count(r["prompt_shapes"]), wording.count(r["conversations"]),
        ]
        for r in found
    ]  # fmt: skip
    columns = (
        Column("Domain"), Column("Task type"), Column("Language"), Column("", "picture"), Column("Records", "number"), Column("Share", "number"),
        Column("Prompt shapes", "number"), Column("Conversations", "number"),
    )  # fmt: skip
    caption = "Records by domain, task type and language. Prompts of one shape differ in numbers, letter case and white space only."
    return Section("diversity", TITLE, lead, [Table(caption, columns, rows)])


def _word(code: str) -> str:
    return code.replace("_", " ")


def _some(n: int, thing: str) -> str:
    return f"{n} {thing}{'' if n == 1 else 's'}"
