"""Governance: who allowed what, and nothing personal beyond the restricted zone.

In: canonical records, consent events, identities. Out: consented records, redacted records, verdicts, a tamper-evident log of what
happened. Guarantees: absence of consent is refusal, judged at the moment asked; the same conversation, key and settings give the same
redacted text; raw values lie only in the vault, sealed; a wrong key or role is refused and changes nothing; a looked-up value is on record.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.governance.audit import AuditReport, consent_ledger, provenance_log, verify_audit
    from flywheel.governance.consent import ConsentLedger, Statement, make_consent_event
    from flywheel.governance.consent_check import Ask, ConsentCheck
    from flywheel.governance.consent_gate import consent_verdict
    from flywheel.governance.consent_rules import Permission, Retention, allowed_rows, filter_consented, permitted
    from flywheel.governance.identity import Identity, alias_name, flat_fields, identifying_type
    from flywheel.governance.provenance import ProvenanceLog
    from flywheel.governance.redaction import REDACTION_VERSION, redact_logs, redact_text, redact_texts
    from flywheel.governance.redaction_round import RoundRedaction
    from flywheel.governance.residual import Leak, excluded_values, residual_leaks, residual_verdict
    from flywheel.governance.residual_gate import stored_leaks
    from flywheel.governance.vault import Vault

# at first use: a process that reads logs needs none of what redaction needs
PLACES = {
    "AuditReport": "audit", "consent_ledger": "audit", "provenance_log": "audit", "verify_audit": "audit", "ConsentLedger": "consent",
    "Statement": "consent", "make_consent_event": "consent", "Ask": "consent_check", "ConsentCheck": "consent_check",
    "consent_verdict": "consent_gate", "Permission": "consent_rules", "Retention": "consent_rules", "allowed_rows": "consent_rules",
    "filter_consented": "consent_rules", "permitted": "consent_rules", "Identity": "identity", "alias_name": "identity",
    "flat_fields": "identity", "identifying_type": "identity", "ProvenanceLog": "provenance", "REDACTION_VERSION": "redaction", "redact_logs": "redaction",
    "redact_text": "redaction", "redact_texts": "redaction", "Leak": "residual", "excluded_values": "residual",
    "residual_leaks": "residual", "residual_verdict": "residual", "RoundRedaction": "redaction_round", "stored_leaks": "residual_gate", "Vault": "vault",
}  # fmt: skip
__all__ = [
    "REDACTION_VERSION", "Ask", "AuditReport", "ConsentCheck", "ConsentLedger", "Identity", "Leak", "Permission", "ProvenanceLog", "Retention",
    "RoundRedaction", "Statement", "Vault", "alias_name", "allowed_rows", "consent_ledger", "consent_verdict", "excluded_values", "filter_consented",
    "flat_fields", "identifying_type", "make_consent_event", "permitted", "provenance_log", "redact_logs", "redact_text", "redact_texts", "residual_leaks",
    "residual_verdict", "stored_leaks", "verify_audit",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{PLACES[name]}"), name)
