"""What the graph reads but does not make: external assets, so that lineage and staleness reach the edge of the house.

What belongs here: asset specs without a body. What does not: anything that runs. The model registry is external because the loop
closes through it and a graph has no cycles: closing round R reports partition R.
https://docs.dagster.io/guides/build/assets/external-assets
"""

from __future__ import annotations

import dagster as dg

from assets.partitions import PREVIOUS, weekly

# A group of their own: in the groups of the stages they would close the graph of groups to a circle that no layout can draw.
INPUTS = "inputs"
log_files = dg.AssetSpec("log_files", group_name=INPUTS, kinds={"json"}, owners=["team:post-training"],
                         description="Production logs as they arrive in the landing folder.")  # fmt: skip
consent_ledger = dg.AssetSpec("consent_ledger", group_name=INPUTS, kinds={"json", "restricted"}, owners=["team:governance"],
                              description="Append-only record of who allowed what, when, on which basis. Absence is refusal.")  # fmt: skip
gold_items = dg.AssetSpec("gold_items", group_name=INPUTS, kinds={"json"}, owners=["team:annotation"],
                          description="Tasks whose answer is known, below data/gold.")  # fmt: skip
guideline = dg.AssetSpec("guideline", group_name=INPUTS, kinds={"markdown"}, owners=["team:annotation"],
                         description="The rubric in force, named by version and SHA-256.")  # fmt: skip
label_files = dg.AssetSpec("label_files", group_name=INPUTS, kinds={"json", "restricted"}, owners=["team:annotation"], partitions_def=weekly,
                           description="Answers of raters as they arrive in the label inbox; the sensor reports each new set.")  # fmt: skip
model_registry = dg.AssetSpec("model_registry", group_name=INPUTS, kinds={"json"}, owners=["team:post-training"], partitions_def=weekly,
                              description="Which model serves and scores after each round. Partition R is reported when round R closes.")  # fmt: skip

REGISTRY_AS_OF_ROUND = dg.AssetDep("model_registry", partition_mapping=PREVIOUS)
EXTERNAL = [log_files, consent_ledger, gold_items, guideline, label_files, model_registry]
