"""Jobs over one partition key: stable execution targets. A round is three of them with people between the first and the second.

What belongs here: asset selections with a name. What does not: assets, triggers. https://docs.dagster.io/guides/build/jobs
"""

from __future__ import annotations

import dagster as dg

from assets.labeling import LabelSource

# One at a time, in the order of submission (dagster.yaml limits the tag): rounds build on each other.
SERIAL = {"flywheel/serial": "round"}
OPENING = dg.AssetSelection.assets("labeling_batch").upstream()
LATE = dg.AssetSelection.assets("inference_logs", "consented_logs", "redacted_logs")
IMPORTING = dg.AssetSelection.assets("annotations", "rater_quality", "agreement")
CLOSING = dg.AssetSelection.assets(
    "preferences", "demonstrations", "preference_dataset", "sft_model", "reward_model", "dpo_model", "evaluation", "promotion"
)
REPORTING = dg.AssetSelection.assets("cost_events", "round_report")
SIMULATED = dg.RunConfig(ops={"annotations": LabelSource(simulated=True)})

weekly_round = dg.define_asset_job("weekly_round", OPENING, tags=SERIAL, description="From the week's logs to a published labeling batch.")
late_logs = dg.define_asset_job(
    "late_logs", LATE, tags=SERIAL, description="Takes in rows that came after their week was run: they enter the next pool."
)
import_labels = dg.define_asset_job(
    "import_labels", IMPORTING, tags=SERIAL, description="Delivered labels to rater quality and the agreement verdict."
)
close_round = dg.define_asset_job(
    "close_round", CLOSING, tags=SERIAL, description="Accepted preferences to dataset, models, evaluation and promotion."
)
report = dg.define_asset_job("report", REPORTING, description="Costs and the round's page; also after a failure.")
demo_round = dg.define_asset_job(
    "demo_round", OPENING | IMPORTING | CLOSING, tags=SERIAL, config=SIMULATED,
    description="A whole round in one run, answered by the demo world's simulated raters. Needs demo logs in the landing folder.",
)  # fmt: skip
# The report follows each of these, as a run of its own: it reads what is stored, and within the run it would come too early.
ROUND_JOBS = [weekly_round, import_labels, close_round, demo_round]
JOBS = [*ROUND_JOBS, late_logs, report]
