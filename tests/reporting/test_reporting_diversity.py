"""The report's section on prompt diversity: what the week's redacted prompts are about."""

from __future__ import annotations

from flywheel.records import RedactedRecord
from flywheel.reporting.page_diversity import diversity_section

R1 = "2026-01-05"


def rows(section) -> list[list[str]]:
    return [[c for c in row if isinstance(c, str) and "<svg" not in c] for row in section.tables[0].rows]


def test_a_round_that_has_not_come_so_far_says_so(world):
    assert diversity_section(world.home, R1).lead.startswith("Not reached")


def test_records_by_domain_type_and_language_with_shapes(world):
    def record(n, domain, task, text, language=None):
        return {
            "record_id": f"r{n}", "conversation_id": f"c{n}", "subject_id": "s", "timestamp": "2026-01-06T00:00:00Z", "domain": domain, "task_type": task,
            "language": language, "messages": [{"role": "user", "content": text}], "responses": [{"text": "a", "generation": {"model_id": "m"}}],
            "source": {"format": "f", "file": "f"}, "content_sha256": "x", "purposes": ["labeling"], "redaction_version": "1",
        }  # fmt: skip

    world.write("redacted_logs", R1, RedactedRecord, [
        record(0, "support", "generation", "Where is [ORDER_1]?", "en"), record(1, "support", "generation", "where is [ORDER_2]?", "en"),
        record(2, "support", "question_answering", "Why?"), record(3, "code", "code", "def f(): ..."),
    ])  # fmt: skip
    section = diversity_section(world.home, R1)
    assert rows(section) == [
        ["code", "code", "–", "1", "25.0 %", "1", "1"], ["support", "generation", "en", "2", "50.0 %", "1", "2"],
        ["support", "question answering", "–", "1", "25.0 %", "1", "1"],
    ]  # fmt: skip
    assert "4 redacted records of 3 task types in 2 domains" in section.lead
    assert "generation, holds 50.0 %" in section.lead
    assert "as diverse as 2.8 of one size" in section.lead
