"""An import that is killed leaves nothing half done: the next one gives what an undisturbed one gives. (`bench.campaign_ingestion` is the
long form: 50 kills over more rows.)"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.campaign_ingestion import differences, killed_import, mixed_folder


@pytest.mark.slow
def test_killed_imports_of_a_mixed_folder_end_as_an_undisturbed_one(tmp_path: Path) -> None:
    mixed_folder(tmp_path / "landing", 30_000)
    calm = killed_import(tmp_path / "landing", tmp_path / "calm", [])
    assert calm.problems == []
    assert calm.result["counts"]["accepted"] >= 30_000
    rng = random.Random(1)
    killed = killed_import(tmp_path / "landing", tmp_path / "killed", sorted(rng.uniform(0.2, 4.0) for _ in range(4)))
    assert differences(calm.result, killed) == []
