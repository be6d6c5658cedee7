"""Dataset: accepted preferences become versions that never change.

In: the preferences of one round, and the agreement gate's passing verdict for exactly the annotations behind them. Out: version
v1, v2, ... with a manifest that names its parts, its parent and what made it; training rows; files in the formats of TRL and of
OpenAI and Together.
Guarantees: append-only, and each manifest holds the SHA-256 of its parent's; no version without a passing verdict; the same round
and rows give the version that already holds them; two publishers never both win; a crash leaves the old head. The random
evaluation arm is never given out for training, and consent is asked again at every use.
"""

from flywheel.dataset.exports import FORMATS, ExportReport, export_openai, export_trl, exportable, write_exports
from flywheel.dataset.publish import publish_round
from flywheel.dataset.splits import ConsentFilter, control_rows, evaluation_rows, training_losses, training_rows
from flywheel.dataset.store import DatasetStore
from flywheel.dataset.verify import verify_datasets

__all__ = [
    "FORMATS", "ConsentFilter", "DatasetStore", "ExportReport", "control_rows", "evaluation_rows", "export_openai", "export_trl",
    "exportable", "publish_round", "training_losses", "training_rows", "verify_datasets", "write_exports",
]  # fmt: skip
