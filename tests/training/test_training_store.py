from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import IntegrityError, NotFound
from flywheel.records import ModelManifest
from flywheel.training import ModelStore


def folder_with(path: Path, text: str = "weights") -> Path:
    (path / "sub").mkdir(parents=True)
    (path / "model.safetensors").write_text(text)
    (path / "sub" / "config.json").write_text("{}")
    return path


def add(store: ModelStore, folder: Path, **fields: Any) -> ModelManifest:
    return store.add(folder, **{"kind": "dpo", "base": "tiny", "seed": 0, **fields})


def test_a_stored_model_is_named_by_its_content_and_lineage(tmp_path: Path) -> None:
    store, source = ModelStore(tmp_path / "models"), folder_with(tmp_path / "source")
    first = add(store, source, round="2026-01-05")
    assert first.model_id.startswith("dpo-")
    assert add(store, source, round="2026-01-05") == first
    assert add(store, source, round="2026-01-12").model_id != first.model_id
    assert set(first.files) == {"model.safetensors", "sub/config.json"}
    assert (store.path(first.model_id) / "model.safetensors").read_text() == "weights"
    assert len(store.list()) == 2


def test_what_differs_from_run_to_run_does_not_change_the_manifest(tmp_path: Path) -> None:
    store, source = ModelStore(tmp_path / "models"), folder_with(tmp_path / "source")
    made = add(store, source, run={"wall_s": 1.0})
    before = (store.path(made.model_id) / "manifest.json").read_bytes()
    add(store, source, run={"wall_s": 2.0})
    assert (store.path(made.model_id) / "manifest.json").read_bytes() == before
    assert store.run(made.model_id) == {"wall_s": 1.0}


def test_an_unknown_model_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    made = add(store, folder_with(tmp_path / "source"))
    with pytest.raises(NotFound, match=made.model_id):
        store.get("dpo-0")


def test_altered_and_missing_files_are_found(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    made = add(store, folder_with(tmp_path / "source"))
    assert store.verify(made.model_id) == []
    (store.path(made.model_id) / "model.safetensors").write_text("tampered")
    os.unlink(store.path(made.model_id) / "sub" / "config.json")
    problems = store.verify(made.model_id)
    assert len(problems) == 2
    assert "SHA-256" in problems[0]
    assert "missing" in problems[1]
    with pytest.raises(IntegrityError, match="train again"):
        store.demand_intact(made.model_id)


def test_a_manifest_moved_to_another_name_is_found(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    made = add(store, folder_with(tmp_path / "source"))
    os.rename(store.path(made.model_id), tmp_path / "models" / "dpo-0000000000000000")
    assert "does not belong" in " ".join(store.verify("dpo-0000000000000000"))


def test_a_job_finds_the_model_that_it_made(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    made = add(store, folder_with(tmp_path / "source"), recipe={"job_sha256": "abc"})
    assert store.find("abc") == made
    assert store.find("other") is None


def test_a_folder_that_was_left_half_is_no_model(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    folder_with(tmp_path / "models" / ".incoming-killed")
    folder_with(tmp_path / "models" / "dpo-without-manifest")
    assert store.list() == []
