"""The lake: same rows, same bytes; a reader sees a whole partition or none; altered files are noticed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from flywheel.errors import BadInput, IntegrityError, NotFound
from flywheel.records import CostEvent, EmbeddingRow
from flywheel.storage import Lake, to_table

R1, R2 = "2026-01-05", "2026-01-12"


def costs(n: int, round: str = R1, price: float = 0.5) -> pa.Table:
    return to_table(
        CostEvent,
        [
            {"round": round, "kind": f"k{i:05d}", "quantity": 1, "unit": "label", "unit_price_usd": price, "amount_usd": price}
            for i in range(n)
        ],
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", tmp_path / "restricted")


def test_the_same_rows_give_the_same_hash_which_is_the_files_sha256(lake: Lake, tmp_path: Path) -> None:
    first, second = lake.write("cost_events", R1, costs(50)), lake.write("cost_events", R1, costs(50))
    assert first == second
    stored = (tmp_path / "lake/cost_events" / f"round={R1}" / first.file).read_bytes()
    assert hashlib.sha256(stored).hexdigest() == first.sha256


def test_chunking_does_not_change_the_hash(lake: Lake) -> None:
    whole = costs(50)
    pieces = pa.concat_tables([whole.slice(0, 20), whole.slice(20)])
    assert lake.write("cost_events", R1, whole).sha256 == lake.write("cost_events", R1, pieces).sha256


def test_a_superseded_file_stays_for_readers_that_hold_the_old_manifest(lake: Lake, tmp_path: Path) -> None:
    old = lake.write("cost_events", R1, costs(5))
    lake.write("cost_events", R1, costs(6))
    assert (tmp_path / "lake/cost_events" / f"round={R1}" / old.file).exists()
    assert lake.read("cost_events", R1).num_rows == 6


def test_rows_of_another_round_are_refused(lake: Lake) -> None:
    with pytest.raises(BadInput, match=r"rows of other rounds.*2026-01-12"):
        lake.write("cost_events", R1, costs(3, R2))


def test_wrong_columns_are_named(lake: Lake) -> None:
    with pytest.raises(BadInput, match=r"missing columns \['amount_usd'\], unexpected columns \['price'\]"):
        lake.write(
            "cost_events",
            R1,
            costs(1).rename_columns(["round", "schema_version", "kind", "domain", "quantity", "unit", "unit_price_usd", "price"]),
        )


def test_null_in_a_column_that_allows_none_is_refused(lake: Lake) -> None:
    broken = costs(2).set_column(2, pa.field("kind", pa.string()), pa.array(["a", None]))
    with pytest.raises(BadInput, match="kind"):
        lake.write("cost_events", R1, broken)


def test_an_unknown_table_is_refused(lake: Lake) -> None:
    with pytest.raises(BadInput, match="not a table"):
        lake.write("cost_eventz", R1, costs(1))


def test_an_altered_file_is_an_integrity_error(lake: Lake, tmp_path: Path) -> None:
    manifest = lake.write("cost_events", R1, costs(5))
    path = tmp_path / "lake/cost_events" / f"round={R1}" / manifest.file
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="audit verify"):
        lake.read("cost_events", R1)


def test_a_missing_partition_says_how_to_get_it(lake: Lake) -> None:
    with pytest.raises(NotFound, match="flywheel round status 2026-01-12"):
        lake.read("cost_events", R2)


def test_embeddings_are_stored_as_fixed_size_float32(lake: Lake) -> None:
    row = {
        "round": R1,
        "pair_id": "p",
        "record_id": "r",
        "vector": [0.5, 0.5],
        "embedder": "e",
        "text_sha256": "t",
        "duplicate_group": "g",
        "duplicate_count": 1,
    }
    lake.write("embeddings", R1, to_table(EmbeddingRow, [row]))
    assert lake.read("embeddings", R1).schema.field("vector").type == pa.list_(pa.float32(), 2)


def test_every_table_has_a_view_even_before_its_first_round(lake: Lake) -> None:
    lake.write("cost_events", R1, costs(3))
    connection = duckdb.connect()
    views = lake.create_views(connection)
    assert "annotations" in views
    assert "inference_logs" not in views
    assert connection.sql("select count(*), min(round)::varchar from cost_events").fetchall() == [(3, R1)]
    assert connection.sql("select count(*) from annotations").fetchall() == [(0,)]
    assert connection.sql("select typeof(round) from cost_events limit 1").fetchall() == [("DATE",)]


def test_the_restricted_zone_is_closed_to_others(lake: Lake, tmp_path: Path) -> None:
    from flywheel.records import QuarantinedRow

    row = {"round": R1, "stage": "ingestion", "file": "f", "line": 1, "reason": "malformed_json", "message": "m", "raw": "x"}
    lake.write("quarantine", R1, to_table(QuarantinedRow, [row]))
    assert (tmp_path / "restricted").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "lake").exists()


def test_an_object_store_holds_the_open_zone(tmp_path: Path) -> None:
    lake = Lake("memory://bucket/lake", tmp_path / "restricted")
    manifest = lake.write("cost_events", R1, costs(4))
    assert lake.rounds("cost_events") == [R1]
    assert lake.read("cost_events", R1).num_rows == manifest.rows == 4
    connection = duckdb.connect()
    lake.create_views(connection)
    assert connection.sql("select count(*) from cost_events").fetchall() == [(4,)]


def _write_for_ever(folder: str) -> None:
    lake = Lake(Path(folder) / "lake", Path(folder) / "restricted")
    n = 0
    while True:
        n += 1
        lake.write("cost_events", R1, costs(2_000 + n % 7, price=float(n)))


def _read(folder: Path) -> tuple[int, int]:
    """(rows, distinct prices) through the views: one write has one price."""
    connection = duckdb.connect()
    Lake(folder / "lake", folder / "restricted").create_views(connection)
    found: tuple[int, int] = connection.sql("select count(*), count(distinct unit_price_usd) from cost_events").fetchall()[0]
    return found


def test_audit_reads_succeed_while_a_partition_is_being_rewritten(tmp_path: Path) -> None:
    Lake(tmp_path / "lake", tmp_path / "restricted").write("cost_events", R1, costs(2_000))
    writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(str(tmp_path),))
    writer.start()
    try:
        seen = [_read(tmp_path) for _ in range(60)]
    finally:
        writer.kill()
        writer.join()
    assert all(rows >= 2_000 and prices == 1 for rows, prices in seen)


def test_kill_9_while_writing_leaves_a_whole_partition(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", tmp_path / "restricted")
    lake.write("cost_events", R1, costs(2_000))
    for moment in (1.2, 1.5, 1.9):
        writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(str(tmp_path),))
        writer.start()
        time.sleep(moment)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        assert lake.read("cost_events", R1).num_rows >= 2_000
    assert lake.write("cost_events", R1, costs(10)).rows == lake.read("cost_events", R1).num_rows == 10


def test_the_auditors_file_is_whole_read_only_and_swapped_by_rename(lake: Lake, tmp_path: Path) -> None:
    target = tmp_path / "audit.duckdb"
    lake.write("cost_events", R1, costs(3))
    lake.export(target)
    old = duckdb.connect(str(target), read_only=True)
    lake.write("cost_events", R1, costs(4))
    assert lake.export(target)["cost_events"] == 4
    assert old.sql("select count(*) from cost_events").fetchall() == [(3,)]
    assert target.stat().st_mode & 0o222 == 0
    old.close()
    assert duckdb.connect(str(target), read_only=True).sql("select count(*) from cost_events").fetchall() == [(4,)]
