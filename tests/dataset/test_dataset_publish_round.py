"""Publishing a round of an installation: parent, selector and effect follow from the pin."""

from datetime import UTC, datetime

import pytest

from flywheel.dataset import DatasetStore, publish_round
from flywheel.records import RoundContext, SelectionPick, Verdict
from flywheel.settings import Settings
from flywheel.storage import Home, to_table
from flywheel.weeks import round_end

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path):
    return Home(Settings(home=tmp_path / "home"))


@pytest.fixture
def publish_into(home):
    def do(preferences, week, **options):
        pinned = RoundContext(
            round=week, cutoff=round_end(week), pinned_at=NOW, guideline_version="1.0", guideline_sha256="g", gold_sha256="o",
            settings_sha256="s", code_version="abc123",
        )  # fmt: skip
        verdict = Verdict(gate="agreement", round=week, subject_sha256="a", state="pass", decided_at=NOW)
        return publish_round(home, preferences, pinned=pinned, verdict=verdict, annotations_sha256="a", now=NOW, **options)

    return do


def test_rounds_follow_each_other_and_a_rerun_gives_the_same_version(home, publish_into, preferences, rounds):
    first, rows = publish_into(preferences(rounds[0]), rounds[0])
    assert (first.version, rows.num_rows, set(rows["dataset_version"].to_pylist())) == ("v1", 3, {"v1"})
    second, rows = publish_into(preferences(rounds[1], 2), rounds[1])
    assert (second.parent, rows.num_rows, second.rows) == ("v1", 2, 5)
    again, rows = publish_into(preferences(rounds[0]), rounds[0])
    assert (again, rows.num_rows) == (first, 3)
    home.lake.write("preference_dataset", rounds[0], rows)
    assert DatasetStore(home.datasets).verify() == []


def test_the_selector_names_the_strategies_and_the_code_that_ran(home, publish_into, preferences, rounds):
    pick = {"round": rounds[0], "pair_id": "p", "record_id": "r", "domain": "code", "rank": 0, "score": 0.5, "reason": "r", "seed": 0}
    picks = [{**pick, "arm": "active", "strategy": "hybrid"}, {**pick, "arm": "random_control", "strategy": "random"}]
    home.lake.write("selection", rounds[0], to_table(SelectionPick, picks))
    assert publish_into(preferences(rounds[0]), rounds[0])[0].selector == "hybrid+random@abc123"


def test_a_live_round_takes_effect_now_and_a_backfilled_one_at_its_cutoff(home, publish_into, preferences, rounds):
    assert publish_into(preferences(rounds[0]), rounds[0])[0].effective_at == NOW
    assert publish_into(preferences(rounds[1]), rounds[1], backfill=True)[0].effective_at == round_end(rounds[1])
