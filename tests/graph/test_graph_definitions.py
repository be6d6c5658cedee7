"""The definitions: a snapshot, what every asset carries, round keys, and no warning from our code."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.definitions import build_defs
from assets.jobs import JOBS
from assets.partitions import weekly
from flywheel.records import TABLES
from flywheel.storage import Home
from tests.graph.definitions_text import lines
from tests.small_rounds import CHECKOUT, R1, environment, succeed

SNAPSHOT = Path(__file__).with_name("definitions.txt")
GROUPS = {"ingestion", "governance", "selection", "labeling", "quality", "dataset", "training", "reporting", "inputs"}
# In the asset table of the design, but a page or a pin and no table of the lake.
NO_TABLE = {"round_context", "round_report"}


@pytest.fixture(scope="module")
def graph() -> object:
    return build_defs().resolve_asset_graph()


def test_the_graph_is_the_one_on_record() -> None:
    """A change of the graph shows up in review: python -m tests.graph.definitions_text > tests/graph/definitions.txt"""
    assert "\n".join(lines(build_defs())) == SNAPSHOT.read_text().rstrip("\n")


def test_every_asset_says_what_it_is_and_whose(graph) -> None:
    for key in graph.get_all_asset_keys():
        node, name = graph.get(key), key.to_user_string()
        assert node.description, name
        assert node.group_name in GROUPS, name
        assert node.owners, name
        assert node.kinds, name
        if not node.is_external:
            assert node.code_version, name
            assert node.partitions_def == weekly, name


def test_every_table_of_the_graph_declares_its_columns(graph) -> None:
    made = {k.to_user_string() for k in graph.get_all_asset_keys() if not graph.get(k).is_external}
    assert made - NO_TABLE <= set(TABLES)
    for name in made - NO_TABLE:
        columns = graph.get(dg.AssetKey(name)).metadata["dagster/column_schema"].columns
        assert [c.name for c in columns] == list(TABLES[name].model_fields), name


def test_all_gates_block_and_are_partitioned(graph) -> None:
    gates = {k.name: k for k in graph.asset_check_keys}
    assert {"consent_gate", "residual_leak_gate", "agreement_gate", "promotion_gate"} <= set(gates)
    for key in gates.values():
        assert graph.get(key).blocking, key
        assert graph.get(key).partitions_def == weekly, key


def test_every_asset_is_in_a_job_and_rounds_run_one_at_a_time(graph) -> None:
    defs = build_defs()
    covered = set()
    for job in JOBS:
        resolved = defs.resolve_job_def(job.name)
        covered |= {k.to_user_string() for k in resolved.asset_layer.executable_asset_keys}
        assert (resolved.tags.get("flywheel/serial") == "round") == (job.name != "report")
    assert covered == {k.to_user_string() for k in graph.get_all_asset_keys() if not graph.get(k).is_external}


def test_round_keys_are_mondays() -> None:
    keys = weekly.get_partition_keys(current_time=datetime(2026, 12, 31, tzinfo=UTC))
    assert keys[0] == R1
    assert {datetime.fromisoformat(k).weekday() for k in keys} == {0}


def test_a_round_is_a_partition_only_after_its_week() -> None:
    assert weekly.get_partition_keys(current_time=datetime(2026, 1, 11, 23, 59, tzinfo=UTC)) == []
    assert weekly.get_partition_keys(current_time=datetime(2026, 1, 12, 6, tzinfo=UTC)) == [R1]


def test_a_table_tells_rows_and_content_hash_after_a_run(small_home: Home) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        succeed(small_home, "import_labels", R1, instance=instance)
        succeed(small_home, "close_round", R1, select=["preferences", "preference_dataset"], instance=instance)
        for name in ("annotations", "rater_quality", "agreement", "preferences", "preference_dataset"):
            event = instance.get_latest_materialization_event(dg.AssetKey(name))
            assert event is not None
            assert event.asset_materialization is not None
            shown, manifest = event.asset_materialization.metadata, small_home.lake.demand(name, R1)
            assert shown["dagster/row_count"].value == manifest.rows, name
            assert shown["content_sha256"].value == manifest.sha256, name
            assert event.asset_materialization.partition == R1


LOADING = """
import warnings
warnings.simplefilter("error")
import dagster as dg
with warnings.catch_warnings():
    pass
from assets.definitions import build_defs
build_defs(path={home!r}).get_repository_def()
"""
RUNNING = """
import os, pathlib, warnings
import dagster as dg
for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, dg.PreviewWarning, dg.BetaWarning, dg.SupersessionWarning):
    warnings.simplefilter("error", kind)
{exceptions}
from tests import small_rounds as small
home = small.reopen(pathlib.Path({home!r}))
for job in ("import_labels", "close_round", "report"):
    small.succeed(home, job, small.R1)
small.succeed(home, "weekly_round", small.R2)
"""
# Each warning of other people's packages that a round meets, by its reason. Ours: none but the Preview one of assets/checks/gates.py.
EXCEPTIONS = {
    "Presidio imports spaCy, whose command line (weasel, typer, click) uses names that click has deprecated; we call none of it": 'warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(spacy|weasel|thinc|click|typer|confection)")',
    "spaCy configures itself with pydantic v1 models, which pydantic 2 warns of; ours are v2": 'warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pydantic")',
    "torch and transformers look at their own deprecated names while they are imported": 'warnings.filterwarnings("ignore", category=FutureWarning, module=r"(torch|transformers)")',
    "torch.jit decorators inside torch and sentence-transformers are deprecated by torch itself; no released version is without them": 'warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(torch|transformers|sentence_transformers)")',
}


def test_loading_warns_of_nothing(tmp_path: Path) -> None:
    """Partitioned asset checks are Preview in Dagster 1.13 and silenced where they are declared (assets/checks/gates.py)."""
    code = LOADING.format(home=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, env=environment(tmp_path), check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_a_round_warns_of_nothing(small_home: Home) -> None:
    code = RUNNING.format(home=str(small_home.root), exceptions="\n".join(EXCEPTIONS.values()))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, env=environment(small_home.root), check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
