"""Labeling: selected pairs to raters, their answers back.

In: the round's selection, judge labels and pairs; gold items; the guideline; label files. Out: the frozen batch (`labeling_batch`), an
export for raters, the annotation journal, the `annotations` table, a quarantine for what could not be used.
Guarantees: what a rater gets tells neither gold nor side; an accepted answer is on disk, stored once and never changed; a rater has one
answer a task; nothing delivered is lost; people's free text enters the lake only redacted.
"""

from flywheel.labeling.annotations import fold_annotations
from flywheel.labeling.batch import build_batch
from flywheel.labeling.export import export_batch, write_label_file
from flywheel.labeling.gold import gold_sha256, load_gold
from flywheel.labeling.guideline import load_guideline, load_guidelines
from flywheel.labeling.import_files import ImportResult, event_id, import_label_files, label_set_sha256
from flywheel.labeling.journal import AppendResult, Journal, JournalEntry
from flywheel.labeling.ranking import decompose_ranking
from flywheel.labeling.raters import read_raters
from flywheel.labeling.sandbox import check_code_answers

__all__ = [
    "AppendResult", "ImportResult", "Journal", "JournalEntry", "build_batch", "check_code_answers", "decompose_ranking", "event_id", "export_batch",
    "fold_annotations", "gold_sha256", "import_label_files", "label_set_sha256", "load_gold", "load_guideline", "load_guidelines", "read_raters",
    "write_label_file",
]  # fmt: skip
