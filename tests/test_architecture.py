"""The house stands as designed: who imports whom, what loading costs, how files are cut."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_rounds import CHECKOUT, environment

HEAVY = (
    "torch", "transformers", "presidio_analyzer", "presidio_anonymizer", "trl", "sentence_transformers", "spacy", "sklearn", "scipy", "matplotlib", "datasets",
)  # fmt: skip
ORCHESTRATION = ("dagster", "resources", "assets")
ROOT = Path(CHECKOUT)
# Imported by a test or run as a program: nobody imports them into the domain.
PROGRAMS = {"flywheel.cli"}
LIMIT = {"lines": 400, "megabytes": 200}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "core", "tools", "stuff", "manager", "lib"}


def in_a_subprocess(code: str, home: Path) -> dict:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, env=environment(home), check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def modules(package: str) -> list[str]:
    paths = sorted((ROOT / package).rglob("*.py"))
    return [".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in paths]


def source_files(*packages: str) -> list[Path]:
    return [p for package in packages for p in sorted((ROOT / package).rglob("*.py"))]


def test_no_module_of_flywheel_knows_dagster(tmp_path: Path) -> None:
    """Every module of the domain is imported in one process: none of the graph's world comes along. (The trainers import torch at
    their top and run as programs only.)"""
    names = [m for m in modules("flywheel") if m not in PROGRAMS and not m.endswith("trainer")]
    code = f"""
import importlib, json, sys
for name in {names!r}:
    importlib.import_module(name)
print(json.dumps({{"found": sorted(m for m in sys.modules if m.split(".")[0] in {ORCHESTRATION!r}), "heavy": sorted(set(m for m in sys.modules if m in {HEAVY!r}))}}))
"""
    found = in_a_subprocess(code, tmp_path)
    assert found["found"] == []
    assert found["heavy"] == [], "heavy imports belong inside functions"


@pytest.mark.parametrize("package", ["flywheel", "resources"])
def test_imports_go_one_way(package: str) -> None:
    """Also inside functions: flywheel <- resources <- assets."""
    banned = {"flywheel": {"dagster", "dagster_duckdb", "resources", "assets"}, "resources": {"assets"}}[package]
    for path in source_files(package):
        if path == ROOT / "flywheel" / "cli.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not banned & {n.split(".")[0] for n in names}, f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def test_loading_the_code_location_is_light(tmp_path: Path) -> None:
    code = f"""
import json, sys
import assets.definitions
from bench.orchestration import peak_megabytes
assets.definitions.defs.get_repository_def()
print(json.dumps({{"heavy": sorted(m for m in sys.modules if m in {HEAVY!r}), "megabytes": peak_megabytes()}}))
"""
    found = in_a_subprocess(code, tmp_path)
    assert found["heavy"] == []
    assert found["megabytes"] < LIMIT["megabytes"]


@pytest.mark.parametrize("path", source_files("flywheel", "resources", "assets", "bench", "tests"), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_one_idea(path: Path) -> None:
    # the schemas of every table stand in one place on purpose (DESIGN.md, Contracts)
    if path != ROOT / "flywheel" / "records.py":
        assert len(path.read_text().splitlines()) <= LIMIT["lines"]
    assert path.stem.lower() not in VAGUE
    # `base` is the base model of the training stage, no base class
    assert path.stem != "base" or path.parent.name == "training"


@pytest.mark.parametrize("path", source_files("resources", "assets"), ids=lambda p: str(p.relative_to(ROOT)))
def test_an_orchestration_module_opens_with_its_charter(path: Path) -> None:
    charter = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert charter
    if path.stem != "__init__" and path.parent.name != "commands":  # a command's module is its command
        assert "What belongs here" in charter
        assert "What does not" in charter
    if path.parent.name == "resources" and path.stem == "__init__":
        assert "belongs here" in charter


def test_every_stage_tells_what_comes_in_and_goes_out() -> None:
    for path in sorted((ROOT / "flywheel").glob("*/__init__.py")):
        charter = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert len(charter.split()) >= 15, path.parent.name
        assert "In:" in charter or "in:" in charter, path.parent.name


def test_an_asset_body_is_thin() -> None:
    """Load, one domain call, result: at most 25 statements' lines."""
    for path in sorted((ROOT / "assets").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any("stage" in ast.dump(d) or "'asset'" in ast.dump(d) for d in node.decorator_list):
                body = node.body[1:]
                length = (body[-1].end_lineno or 0) - body[0].lineno + 1
                assert length <= 25, f"{path.name}: {node.name} has {length} lines"
