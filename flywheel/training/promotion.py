"""Whether a candidate may serve: better overall, worse nowhere, not merely longer."""

from __future__ import annotations

import pyarrow as pa

from flywheel.records import EvaluationRow
from flywheel.settings import EvaluationSettings
from flywheel.storage.arrow import from_table
from flywheel.training.evaluation import ALL, GREEDY


def promotion_decision(evaluation: pa.Table, settings: EvaluationSettings) -> tuple[bool, list[str]]:
    """Decision, and a reason for each demand (met ones too, so that a promotion explains itself).

    Demands: the lower 95 % bound of the overall win rate at the production temperature exceeds `win_rate_floor`; the lower bound of every
    domain's win rate in every decoding exceeds `non_inferiority`; every length ratio lies within `maximum_length_ratio` either way. A
    missing figure refuses: an unmeasured demand is not met.
    """
    rows = from_table(EvaluationRow, evaluation)
    production = f"temperature_{settings.production_temperature:g}"
    found = {(r.domain, r.decoding, r.metric): r for r in rows}
    domains = sorted({r.domain for r in rows} - {ALL})
    outcomes: list[tuple[bool, str]] = []
    overall = found.get((ALL, production, "win_rate"))
    if overall is None or overall.low is None or not domains:
        outcomes.append((False, f"no overall win rate at {production}: nothing was compared"))
    else:
        met = overall.low > settings.win_rate_floor
        outcomes.append((met, f"overall win rate at {production} {_shown(overall)}, lower bound must exceed {settings.win_rate_floor:g}"))
    for domain in domains:
        for decoding in (GREEDY, production):
            row = found.get((domain, decoding, "win_rate"))
            if row is None or row.low is None:
                outcomes.append((False, f"{domain}: no win rate at {decoding}"))
                continue
            met = row.low > settings.non_inferiority
            outcomes.append((met, f"{domain} win rate at {decoding} {_shown(row)}, lower bound must exceed {settings.non_inferiority:g}"))
    for (domain, decoding, metric), row in sorted(found.items()):
        if metric == "length_ratio":
            met = 1 / settings.maximum_length_ratio <= row.value <= settings.maximum_length_ratio
            if not met or domain == ALL:
                limit = settings.maximum_length_ratio
                outcomes.append(
                    (met, f"{domain} length ratio at {decoding} {row.value:.3f}, must lie within {1 / limit:.2f} to {limit:.2f}")
                )
    promote = all(met for met, _ in outcomes)
    return promote, [("met: " if met else "not met: ") + reason for met, reason in outcomes]


def _shown(row: EvaluationRow) -> str:
    return f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
