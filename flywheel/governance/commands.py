"""`flywheel consent` and `flywheel audit`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import typer

from flywheel.errors import BadInput
from flywheel.governance import consent_ledger, make_consent_event, verify_audit
from flywheel.output import fail, frame, print_frame, print_table, say
from flywheel.records import Purpose
from flywheel.settings import Settings
from flywheel.storage import Home

consent = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Who allows what. Absence is refusal.")
audit = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Prove that nothing was altered.")
JSON = typer.Option(False, "--json", help="One JSON object on standard output.")
SUBJECT = typer.Argument(help="The user id as in the logs, or a subject id (32 hex digits).")
PURPOSE = typer.Option(..., "--purpose", help="labeling, training or evaluation.")


def _subject(home: Home, given: str) -> str:
    """Its keyed id. 32 hex digits may be either (a user id may be a UUID): whichever of the two the ledger knows."""
    keyed = home.ids.make("subject", given)
    is_id = len(given) == 32 and all(c in "0123456789abcdef" for c in given)
    if not is_id:
        return keyed
    known = {e.subject_id for e in consent_ledger(home).events()}
    return keyed if keyed in known and given not in known else given


def _purpose(given: str) -> Purpose:
    for known in get_args(Purpose):
        if given == known:
            purpose: Purpose = known
            return purpose
    raise BadInput(f"purpose {given!r} is none of {', '.join(get_args(Purpose))}")


def _record(action: str, given: str, purpose: str, basis: str, policy: str, as_json: bool) -> None:
    home = Home(Settings.load())
    now = home.now()
    event = make_consent_event(
        home.ids, _subject(home, given), _purpose(purpose), "granted" if action == "granted" else "withdrawn", legal_basis=basis,
        policy_version=policy, effective_at=now, recorded_at=now, source="command line",
    )  # fmt: skip
    ledger = consent_ledger(home)
    is_new = all(e.subject_id != event.subject_id for e in ledger.events())
    added = ledger.append([event])
    allowed = event.subject_id in ledger.allowed(event.purpose, now)
    warnings = [f"the ledger had no entry about {given!r} before: is this the user id as in the logs?"] if is_new else []
    if allowed != (action == "granted"):
        warnings.append(f"not in force: the ledger holds a withdrawal of this very moment ({now:%Y-%m-%d %H:%M:%S} UTC)")
    if as_json:
        print_frame(
            frame(
                "consent",
                input={"subject": event.subject_id, "purpose": purpose, "action": action},
                counts={"added": added},
                result={**event.model_dump(mode="json"), "allowed_now": allowed},
                warnings=warnings,
            )
        )
        return
    typer.echo(f"{action}: {purpose} by subject {event.subject_id}, from {now:%Y-%m-%d %H:%M:%S} UTC. Every stage asks again from now on.")
    for warning in warnings:
        say(f"note: {warning}")


@consent.command()
def grant(
    subject: str = SUBJECT,
    purpose: str = PURPOSE,
    basis: str = typer.Option(..., "--basis", help="Legal basis, as consent or contract."),
    policy: str = typer.Option(..., "--policy", help="Version of the policy that the subject agreed to."),
    as_json: bool = JSON,
) -> None:
    """Record that a subject allows a purpose from now on."""
    _record("granted", subject, purpose, basis, policy, as_json)


@consent.command()
def withdraw(subject: str = SUBJECT, purpose: str = PURPOSE, policy: str = typer.Option("-", "--policy"), as_json: bool = JSON) -> None:
    """Record a withdrawal: no stage uses the subject's rows for this purpose from now on."""
    _record("withdrawn", subject, purpose, "withdrawal", policy, as_json)


@consent.command()
def show(subject: str = SUBJECT, as_json: bool = JSON) -> None:
    """Every entry of the ledger about a subject, and what is allowed now."""
    home = Home(Settings.load())
    now = home.now()
    ledger, subject_id = consent_ledger(home), _subject(home, subject)
    events = [e for e in ledger.events() if e.subject_id == subject_id]
    allowed = [p for p in get_args(Purpose) if subject_id in ledger.allowed(p, now)]
    if as_json:
        print_frame(frame("consent.show", input={"subject": subject_id}, counts={"events": len(events)},
                          result={"allowed_now": allowed, "events": [e.model_dump(mode="json") for e in events]}))  # fmt: skip
        return
    print_table(f"Subject {subject_id}", ["effective", "purpose", "action", "basis", "policy", "expires", "source"],
                [(e.effective_at, e.purpose, e.action, e.legal_basis, e.policy_version, e.expires_at, e.source) for e in events],
                empty="The ledger has no entry for this subject: nothing is allowed.")  # fmt: skip
    typer.echo(f"Allowed now: {', '.join(allowed) or 'nothing'}")


@audit.command()
def export(
    path: str = typer.Argument("", help="Where to; <home>/audit.duckdb when left out."),
    as_json: bool = JSON,
) -> None:
    """Write every open table into one read-only DuckDB file for an auditor, put in place by rename: whoever has the old one open
    reads on undisturbed."""
    home = Home(Settings.load())
    target = Path(path) if path else home.root / "audit.duckdb"
    counts = home.lake.export(target)
    if as_json:
        print_frame(frame("audit.export", input={"path": str(target)}, counts=counts, result={"path": str(target)}))
        return
    typer.echo(f"{target}: {len(counts)} tables, {sum(counts.values()):,} rows")


@audit.command()
def verify(as_json: bool = JSON) -> None:
    """Recompute every hash that a manifest or a chain names: provenance, consent ledger, lake, datasets, models. Exit code 4 when
    something was altered."""
    home = Home(Settings.load())
    report = verify_audit(home)
    if as_json:
        print_frame(frame("audit.verify", input={"home": str(home.root)}, counts={**report.checked, "problems": len(report.problems)},
                          result={"ok": report.ok, "problems": report.problems, "heads": report.heads}))  # fmt: skip
    else:
        print_table("Checked", ["what", "count"], list(report.checked.items()), empty="Nothing is stored yet.")
        for name, head in report.heads.items():
            typer.echo(f"head of {name}: {head}  (note it elsewhere: a cut end shows only against such a note)")
        for problem in report.problems:
            typer.echo(f"ALTERED: {problem}")
    if not report.ok:
        fail(f"{len(report.problems)} things are not what was recorded", 4)
