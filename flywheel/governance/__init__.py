"""Governance: who allowed what, and nothing personal beyond the restricted zone.

In: canonical records, consent events, identities. Out: consented records, redacted records, verdicts, a tamper-evident log of what
happened. Guarantees: absence of consent is refusal, judged at the moment asked; the same conversation, key and settings give the same
redacted text; raw values lie only in the vault, sealed; a wrong key or role is refused and changes nothing; a looked-up value is on record.
"""

from flywheel.governance.audit import AuditReport, consent_ledger, provenance_log, verify_audit
from flywheel.governance.consent import ConsentLedger, allowed_rows, filter_consented, make_consent_event
from flywheel.governance.consent_gate import consent_verdict
from flywheel.governance.identity import Identity, alias_name, identifying_type
from flywheel.governance.provenance import ProvenanceLog
from flywheel.governance.redaction import REDACTION_VERSION, redact_logs, redact_text, redact_texts
from flywheel.governance.residual import Leak, excluded_values, residual_leaks, residual_verdict
from flywheel.governance.vault import Vault

__all__ = [
    "REDACTION_VERSION", "AuditReport", "ConsentLedger", "Identity", "Leak", "ProvenanceLog", "Vault", "alias_name", "allowed_rows",
    "consent_ledger", "consent_verdict", "excluded_values", "filter_consented", "identifying_type", "make_consent_event", "provenance_log", "redact_logs",
    "redact_text", "redact_texts", "residual_leaks", "residual_verdict", "verify_audit",
]  # fmt: skip
