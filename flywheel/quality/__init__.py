"""Quality: do the raters agree, whose labels count, and what is each pair's label.

In: the `annotations` of a round and its batch. Out: `rater_quality`, `agreement` with the gate's verdict, `preferences`, `demonstrations`.
Guarantees: a statistic without value is `undefined`, never NaN; intervals resample items; the verdict is bound to the annotations' hash
and carries every threshold; labels of paused raters count nowhere; doubt goes to experts, never into the dataset.
The statistics stand alone: counts in, `Estimate` out, no library beyond NumPy.
"""

from flywheel.quality.aggregation import aggregate, dawid_skene_posterior, majority_posterior
from flywheel.quality.agreement import agreement_table
from flywheel.quality.alpha import alpha_statistic, krippendorff_alpha
from flywheel.quality.counts import count_matrix
from flywheel.quality.demonstrations import demonstrations
from flywheel.quality.estimate import Estimate
from flywheel.quality.gate import agreement_verdict
from flywheel.quality.gwet import gwet_ac1
from flywheel.quality.intervals import bootstrap_interval, gold_items_needed, wilson_interval
from flywheel.quality.kappa import cohen_kappa, confusion_matrix, fleiss_kappa, percent_agreement
from flywheel.quality.preferences import aggregate_preferences
from flywheel.quality.raters import rater_quality

__all__ = [
    "Estimate", "aggregate", "aggregate_preferences", "agreement_table", "agreement_verdict", "alpha_statistic", "bootstrap_interval",
    "cohen_kappa", "confusion_matrix", "count_matrix", "dawid_skene_posterior", "demonstrations", "fleiss_kappa", "gold_items_needed",
    "gwet_ac1", "krippendorff_alpha", "majority_posterior", "percent_agreement", "rater_quality", "wilson_interval",
]  # fmt: skip
