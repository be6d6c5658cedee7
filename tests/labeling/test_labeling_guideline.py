"""Guidelines are files with a version, in effect from a moment on; what a rater saw is named by the file's hash."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel.errors import BadInput
from flywheel.labeling import load_guideline, load_guidelines

AT = datetime(2026, 1, 5, tzinfo=UTC)


def write(folder: Path, name: str, effective: str, *, title: str = "# A rubric", version: str | None = None) -> Path:
    path = folder / f"{name}.md"
    path.write_text(f"{title}\n\nversion: {version or name}\neffective: {effective}\n\nPrefer the better one.\n")
    return path


def test_the_newest_guideline_in_effect_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "v1", "2026-01-01T00:00:00Z")
    write(tmp_path, "v2", "2026-01-04T12:00:00+02:00")
    write(tmp_path, "v3", "2026-01-06T00:00:00Z")
    assert load_guideline(tmp_path, AT).version == "v2"
    assert [g.version for g in load_guidelines(tmp_path)] == ["v1", "v2", "v3"]


def test_a_guideline_is_named_by_the_hash_of_its_exact_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, "v1", "2026-01-01T00:00:00Z")
    assert load_guideline(tmp_path, AT).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_shipped_guideline_has_the_clauses_that_raters_cite() -> None:
    found = load_guideline(None, AT)
    assert found.version == "v1"
    for clause in [f"**P{i}**" for i in range(1, 9)] + [f"**C{i}**" for i in range(1, 7)]:
        assert clause in found.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no title\n", "line 1: no title"),
        ("# T\nversion: v1\n", "`effective:` is missing"),
        ("# T\nversion: v2\neffective: 2026-01-01T00:00:00Z\n", "line 2: version 'v2' is not the file's name 'v1'"),
        ("# T\nversion: v1\neffective: soon\n", "line 3: effective 'soon' is not an ISO 8601 time"),
        ("# T\nversion: v1\neffective: 2026-01-01T00:00:00\n", "has no offset"),
    ],
)
def test_a_file_that_is_no_guideline_is_an_error_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "v1.md").write_text(text)
    with pytest.raises(BadInput, match=r"v1\.md") as error:
        load_guideline(tmp_path, AT)
    assert says in str(error.value)


def test_before_the_first_guideline_there_is_none_and_the_error_says_from_when(tmp_path: Path) -> None:
    write(tmp_path, "v1", "2026-02-01T00:00:00Z")
    with pytest.raises(BadInput, match="the first, v1, takes effect at 2026-02-01"):
        load_guideline(tmp_path, AT)


def test_two_guidelines_may_not_take_effect_at_once(tmp_path: Path) -> None:
    write(tmp_path, "v1", "2026-01-01T00:00:00Z")
    write(tmp_path, "v2", "2026-01-01T01:00:00+01:00")
    with pytest.raises(BadInput, match="v1 and v2 take effect at the same moment"):
        load_guideline(tmp_path, AT)
