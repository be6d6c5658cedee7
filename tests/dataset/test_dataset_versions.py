"""Versions: append-only, compare-and-swap, crash-safe, gated."""

import hashlib
import json
import multiprocessing
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.dataset import DatasetStore
from flywheel.errors import BadInput, GateNotPassed, IntegrityError, NotFound, RoundRefused

DAY = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 32)]


def test_the_first_round_makes_v1_and_the_next_one_v2_with_v1_as_its_parent(store, publish, preferences, rounds):
    first = publish(preferences(rounds[0], 3), rounds[0])
    second = publish(preferences(rounds[1], 2), rounds[1], "v1")
    assert (first.version, first.parent, first.rows) == ("v1", None, 3)
    assert (second.version, second.parent, second.rows) == ("v2", "v1", 5)
    assert second.parent_sha256 == hashlib.sha256((store.root / "v1/manifest.json").read_bytes()).hexdigest() == store.manifest_sha256("v1")
    assert second.parts[0] == first.parts[0], "the part of the first round is shared, not written again"
    assert len(list((store.root / "parts").iterdir())) == 2
    assert store.head() == second
    assert store.verify() == []


def test_a_manifest_counts_rows_by_domain_origin_and_outcome_and_says_what_made_them(publish, preferences, rounds):
    sandboxed = {"text": "print(1)", "generation": {"model_id": "base-3", "sandbox": {"verdict": "passed", "sandbox_version": "s1"}}}
    rows = [{"outcome": "a"}, {"outcome": "b", "origin": "simulated"}, {"outcome": "tie", "response_b": sandboxed}]
    made = publish(preferences(rounds[0], rows), rounds[0])
    assert made.rows_by_domain == {"code": 2, "support": 1}
    assert made.rows_by_origin == {"human": 2, "simulated": 1}
    assert made.rows_by_outcome == {"a": 1, "b": 1, "tie": 1}
    assert made.contains_simulated
    assert made.model_ids == ["base-1", "base-2", "base-3"]
    assert made.sandbox_versions == ["s1"]
    assert made.guideline_versions == {"1.0": "g" * 64}
    assert made.redaction_versions == ["1"]
    assert made.selector == "hybrid@1"


def test_the_same_round_and_rows_give_the_version_that_holds_them(store, publish, preferences, rounds):
    first = publish(preferences(rounds[0]), rounds[0])
    publish(preferences(rounds[1]), rounds[1], "v1")
    before = sorted(p.name for p in store.root.rglob("*"))
    shuffled = preferences(rounds[0]).take([2, 0, 1])
    assert publish(shuffled, rounds[0], "v1") == first, "whatever the order of the rows and the expected parent"
    assert store.head().version == "v2"
    assert sorted(p.name for p in store.root.rglob("*")) == before


def test_a_late_round_with_changed_rows_makes_a_new_version_that_replaces_only_its_part(store, publish, preferences, rounds):
    publish(preferences(rounds[0]), rounds[0])
    second = publish(preferences(rounds[1]), rounds[1], "v1")
    third = publish(preferences(rounds[0], 4), rounds[0], "v2")
    assert (third.version, third.parent, third.round) == ("v3", "v2", rounds[0])
    assert third.parts[1] == second.parts[1]
    assert third.parts[0].rows == 4
    assert store.rows("v2").num_rows == 6, "the version before is what it was"
    assert store.rows("v3").num_rows == 7
    assert store.verify() == []


def test_rows_say_which_version_accepted_them(store, publish, preferences, rounds):
    publish(preferences(rounds[0], 1), rounds[0])
    publish(preferences(rounds[1], 1), rounds[1], "v1")
    publish(preferences(rounds[0], 2), rounds[0], "v2")
    rows = store.rows("v3").select(["round", "dataset_version"]).to_pylist()
    assert [(r["round"], r["dataset_version"]) for r in rows] == [(rounds[0], "v3"), (rounds[0], "v3"), (rounds[1], "v2")]
    assert store.round_rows("v2", rounds[0])["dataset_version"].to_pylist() == ["v1"]


def test_a_round_taken_back_to_its_first_rows_is_a_new_version(store, publish, preferences, rounds):
    publish(preferences(rounds[0], 3), rounds[0])
    publish(preferences(rounds[0], 2), rounds[0], "v1")
    third = publish(preferences(rounds[0], 3), rounds[0], "v2")
    assert (third.version, third.rows) == ("v3", 3)
    assert set(store.rows("v3")["dataset_version"].to_pylist()) == {"v3"}


def test_rounds_that_were_skipped_are_listed_as_absent(publish, preferences, rounds):
    publish(preferences(rounds[0]), rounds[0])
    fourth = publish(preferences(rounds[3]), rounds[3], "v1")
    assert fourth.absent_rounds == [rounds[1], rounds[2]]
    late = publish(preferences(rounds[1]), rounds[1], "v2")
    assert late.absent_rounds == [rounds[2]]
    assert [p.round for p in late.parts] == [rounds[0], rounds[1], rounds[3]]


def test_a_round_without_accepted_pairs_is_present_with_no_rows(store, publish, preferences, rounds):
    publish(preferences(rounds[0]), rounds[0])
    empty = publish(preferences(rounds[1], 0), rounds[1], "v1")
    assert (empty.rows, empty.absent_rounds) == (3, [])
    assert store.rows("v2").num_rows == 3


def test_a_publisher_that_built_on_another_head_is_refused_with_both_named(store, publish, preferences, rounds):
    publish(preferences(rounds[0]), rounds[0])
    with pytest.raises(RoundRefused, match=r"built on the empty store, but the newest version is now v1"):
        publish(preferences(rounds[1]), rounds[1], None)
    assert store.head().version == "v1"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"state": "fail"}, "state is fail"), ({"state": "inconclusive"}, "state is inconclusive"), ({"gate": "consent"}, "gate is consent"),
        ({"round": "2026-01-12"}, "round is 2026-01-12"), ({"annotations": "b" * 64}, "subject is b"),
    ],
)  # fmt: skip
def test_nothing_is_published_without_a_pass_for_exactly_these_annotations(store, publish, preferences, rounds, changes, named):
    with pytest.raises(GateNotPassed, match=named) as refused:
        publish(preferences(rounds[0]), rounds[0], **changes)
    assert "flywheel round import" in str(refused.value)
    assert store.head() is None


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"pair_id": "x"}, {"pair_id": "x"}], "pair x: occurs twice"),
        ([{"round": "2026-01-12"}], "field round is 2026-01-12"),
        ([{"chosen": "b", "rejected": "a"}], "outcome a with chosen b"),
        ([{"outcome": "tie", "chosen": "a"}], "outcome tie with chosen a"),
        ([{"response_a": {"text": "no", "generation": {"model_id": "m"}}}], "identical"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_preferences_are_refused_by_name(store, publish, preferences, rounds, rows, named):
    with pytest.raises(BadInput, match=named):
        publish(preferences(rounds[0], rows), rounds[0])
    assert store.head() is None


def test_a_missing_column_is_refused_by_name(publish, preferences, rounds):
    with pytest.raises(BadInput, match=r"missing columns \['posterior'\]"):
        publish(preferences(rounds[0]).drop_columns(["posterior"]), rounds[0])


def test_a_pair_of_an_earlier_round_is_refused(publish, preferences, rounds):
    publish(preferences(rounds[0], [{"pair_id": "p"}]), rounds[0])
    with pytest.raises(BadInput, match=rf"pair p .*already in the part of round {rounds[0]}"):
        publish(preferences(rounds[1], [{"pair_id": "p"}]), rounds[1], "v1")


def test_one_guideline_version_with_two_texts_is_refused(publish, preferences, rounds):
    with pytest.raises(BadInput, match=r"guideline 1\.0 occurs with two texts"):
        publish(preferences(rounds[0], [{}, {"guideline_sha256": "h" * 64}]), rounds[0])


def test_an_unknown_version_names_the_newest(store, publish, preferences, rounds):
    with pytest.raises(NotFound, match="nothing is published yet"):
        store.get("v1")
    publish(preferences(rounds[0]), rounds[0])
    for wrong in ("v2", "v0", "v01", "1", "latest", "../x"):
        with pytest.raises(NotFound, match="newest is v1"):
            store.get(wrong)


# --- as of ---


def test_as_of_gives_what_a_round_could_know(store, publish, preferences, rounds):
    assert store.as_of(DAY[30], rounds[3]) is None
    publish(preferences(rounds[0]), rounds[0], effective_at=DAY[12])
    publish(preferences(rounds[1]), rounds[1], "v1", effective_at=DAY[19])
    publish(preferences(rounds[0], 4), rounds[0], "v2", effective_at=DAY[27])
    assert store.as_of(DAY[5], rounds[2]) is None, "nothing had taken effect"
    assert store.as_of(DAY[12], rounds[2]).version == "v1"
    assert store.as_of(DAY[30], rounds[1]).version == "v1", "v2 holds the round itself"
    assert store.as_of(DAY[26], rounds[2]).version == "v2"
    assert store.as_of(DAY[27], rounds[2]).version == "v3", "a correction counts from when it took effect"
    assert store.as_of(DAY[30], rounds[0]) is None


def test_a_time_without_a_zone_is_refused(publish, preferences, rounds):
    with pytest.raises(BadInput, match="time zone"):
        publish(preferences(rounds[0]), rounds[0], effective_at=datetime(2026, 1, 13))


# --- crashes and races ---


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_crash_before_head_leaves_the_old_version_and_a_rerun_succeeds(store, publish, preferences, rounds, monkeypatch, step):
    """Killed at the rename of the part, of the manifest, of HEAD."""
    publish(preferences(rounds[0]), rounds[0])
    clean = DatasetStore(store.root.with_name("clean"))
    publish(preferences(rounds[0]), rounds[0], into=clean)
    publish(preferences(rounds[1]), rounds[1], "v1", into=clean)
    real, calls = os.replace, []

    def dying(source, target):
        calls.append(target)
        if len(calls) == step + 1:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        publish(preferences(rounds[1]), rounds[1], "v1")
    monkeypatch.undo()
    assert store.head().version == "v1"
    assert store.verify() == []
    with pytest.raises(NotFound):
        store.get("v2")
    assert publish(preferences(rounds[1]), rounds[1], "v1").version == "v2"
    assert store.manifest_sha256("v2") == clean.manifest_sha256("v2"), "as if nothing had happened"
    assert store.verify() == []


def test_what_a_crash_left_does_not_bind_the_next_publication(store, publish, preferences, rounds, monkeypatch):
    publish(preferences(rounds[0]), rounds[0])
    head = (store.root / "HEAD").read_bytes()
    publish(preferences(rounds[1]), rounds[1], "v1")
    (store.root / "HEAD").write_bytes(head)  # as if killed between manifest and HEAD
    other = publish(preferences(rounds[2]), rounds[2], "v1")
    assert (other.version, [p.round for p in other.parts]) == ("v2", [rounds[0], rounds[2]])
    assert store.verify() == []


def _race(root: str, table: pa.Table, round: str, go, results) -> None:
    from flywheel.records import Verdict

    verdict = Verdict(gate="agreement", round=round, subject_sha256="a", state="pass", decided_at=DAY[0])
    go.wait()
    try:
        made = DatasetStore(Path(root)).publish(
            table, round=round, verdict=verdict, annotations_sha256="a", expected_parent=None, effective_at=DAY[0], selector="s"
        )
        results.put(made.version)
    except RoundRefused:
        results.put("refused")


def test_of_two_publishers_that_start_at_once_exactly_one_wins(store, preferences, rounds):
    fork = multiprocessing.get_context("fork")
    go, results = fork.Event(), fork.Queue()
    workers = [fork.Process(target=_race, args=(str(store.root), preferences(r), r, go, results)) for r in rounds]
    for worker in workers:
        worker.start()
    go.set()
    outcomes = sorted(results.get(timeout=20) for _ in workers)
    for worker in workers:
        worker.join()
    assert outcomes == ["refused", "refused", "refused", "v1"]
    assert store.verify() == []


# --- integrity ---


def test_an_altered_part_is_refused_and_reported(store, publish, preferences, rounds):
    made = publish(preferences(rounds[0]), rounds[0])
    part = store.root / made.parts[0].file
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=made.parts[0].file):
        store.rows("v1")
    assert any(made.parts[0].file in problem for problem in store.verify())


def test_an_altered_manifest_is_found_through_its_child_or_head(store, publish, preferences, rounds):
    publish(preferences(rounds[0]), rounds[0])
    publish(preferences(rounds[1]), rounds[1], "v1")
    path = store.root / "v1/manifest.json"
    path.write_text(path.read_text().replace('"selector": "hybrid@1"', '"selector": "random@1"'))
    assert [p for p in store.verify() if p.startswith("v1/manifest.json: altered")]
    with pytest.raises(IntegrityError, match="v1"):
        store.rows("v2")


def test_counts_that_do_not_follow_from_the_rows_are_reported_even_with_matching_hashes(store, publish, preferences, rounds):
    publish(preferences(rounds[0]), rounds[0])
    path = store.root / "v1/manifest.json"
    body = json.loads(path.read_text()) | {"contains_simulated": True, "rows": 7}
    path.write_text(json.dumps(body))
    head = {"version": "v1", "manifest_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (store.root / "HEAD").write_text(json.dumps(head))
    problems = " | ".join(store.verify())
    assert "contains_simulated does not follow" in problems
    assert "rows does not follow" in problems


def test_a_head_that_was_set_back_is_reported(store, publish, preferences, rounds):
    publish(preferences(rounds[0]), rounds[0])
    head = (store.root / "HEAD").read_bytes()
    publish(preferences(rounds[1]), rounds[1], "v1")
    publish(preferences(rounds[2]), rounds[2], "v2")
    (store.root / "HEAD").write_bytes(head)
    assert store.verify() == ["HEAD names v1, yet v3 lies there: HEAD was set back"]
    with pytest.raises(IntegrityError, match="v3 lies there"):  # it would write over v2
        publish(preferences(rounds[3]), rounds[3], "v1")
    (store.root / "HEAD").unlink()
    with pytest.raises(IntegrityError, match="v2 lies there"):
        publish(preferences(rounds[3]), rounds[3])


@pytest.mark.parametrize("damaged", [b"{", b"[]", b"{}", b'{"version": 2, "manifest_sha256": "x"}', b'{"version": "vx"}'])
def test_a_damaged_head_is_an_integrity_error_not_a_crash(store, publish, preferences, rounds, damaged):
    publish(preferences(rounds[0]), rounds[0])
    (store.root / "HEAD").write_bytes(damaged)
    for use in (store.head, lambda: store.get("v1"), lambda: publish(preferences(rounds[1]), rounds[1], "v1")):
        with pytest.raises(IntegrityError, match="HEAD is damaged"):
            use()
    assert store.verify()


def test_a_damaged_manifest_is_an_integrity_error_not_a_crash(store, publish, preferences, rounds):
    publish(preferences(rounds[0]), rounds[0])
    (store.root / "v1" / "manifest.json").write_bytes(b"{}")
    with pytest.raises(IntegrityError, match=r"v1/manifest\.json is damaged"):
        store.get("v1")


def test_a_missing_part_or_manifest_is_reported_not_raised(store, publish, preferences, rounds):
    made = publish(preferences(rounds[0]), rounds[0])
    publish(preferences(rounds[1]), rounds[1], "v1")
    (store.root / made.parts[0].file).unlink()
    (store.root / "v1/manifest.json").unlink()
    problems = store.verify()
    assert problems[0] == "v1/manifest.json: missing"
    assert any(p.startswith("v2: ") and "missing or altered" in p for p in problems)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5))
def test_any_history_of_publications_stays_sound(tmp_path_factory, publish, preferences, rounds, history):
    """Whatever rounds come in whatever order with whatever rows: the head holds each round's latest rows, and all verifies."""
    store = DatasetStore(tmp_path_factory.mktemp("history"))
    latest = {}
    for which, count in history:
        head = store.head()
        publish(preferences(rounds[which], count), rounds[which], head.version if head else None, into=store)
        latest[rounds[which]] = count
    head = store.head()
    assert {p.round: p.rows for p in head.parts} == latest
    assert store.rows(head.version).num_rows == head.rows == sum(latest.values())
    assert store.verify() == []
    assert [v.version for v in store.versions()] == [f"v{n}" for n in range(1, len(store.versions()) + 1)]
