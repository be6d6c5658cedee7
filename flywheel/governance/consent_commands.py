"""`flywheel consent`: grant, withdraw, import, show, status, quarantine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import typer

from flywheel.errors import AccessRefused, BadInput, FlywheelError
from flywheel.governance import ConsentCheck, consent_ledger, make_consent_event
from flywheel.governance.consent import PURPOSES, Action, ConsentLedger
from flywheel.governance.consent_answers import SOON, answers, status
from flywheel.output import frame, print_frame, print_table, say
from flywheel.records import Purpose
from flywheel.settings import Settings
from flywheel.storage import Home

consent = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Who allows what. Absence is refusal.")
JSON = typer.Option(False, "--json", help="One JSON object on standard output.")
SUBJECT = typer.Argument(metavar="USER", help="The user id as in the logs, or a subject id (32 hex digits).")
PURPOSE = typer.Option([], "--purpose", help="labeling, training or evaluation; may be given more than once.")
ALL = typer.Option(False, "--all", help="Every purpose.")
FILES = typer.Argument(metavar="FILE...", help="CSV with a header or JSON lines, plain, gzip or Zstandard.")
MAP = typer.Option([], "--map", metavar="THEIRS=OURS", help="A column under another name; OURS - leaves it out.")
SHOWN_LINES = 20


def _subject(home: Home, ledger: ConsentLedger, given: str) -> str:
    """Its keyed id. 32 hex digits may be either (a user id may be a UUID): whichever of the two the ledger knows."""
    if not given.strip():
        raise BadInput("the user id is empty")
    keyed = home.ids.make("subject", given)
    is_id = len(given) == 32 and all(c in "0123456789abcdef" for c in given)
    return keyed if not is_id or (ledger.knows(keyed) and not ledger.knows(given)) else given


def _purposes(given: list[str], every: bool) -> list[Purpose]:
    if every == bool(given):
        raise BadInput(f"name the purposes (--purpose {' or --purpose '.join(PURPOSES)}), or take --all of them")
    for name in given:
        if name not in PURPOSES:
            raise BadInput(f"purpose {name!r} is none of {', '.join(get_args(Purpose))}")
    return [p for p in PURPOSES if every or p in given]


def _moment(text: str, option: str) -> datetime:
    """ISO 8601; a day alone is its last moment (what was said on it counts); without a zone, UTC."""
    try:
        found = datetime.fromisoformat(text.strip())
        if len(text.strip()) <= len("2026-03-01"):
            found += timedelta(days=1) - timedelta(microseconds=1)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # the second: of another zone, beyond the years 1 to 9999 in UTC
        raise BadInput(f"{option} {text!r} is no time: 2026-03-01, or 2026-03-01T12:00:00+00:00") from None


def _close_open_tasks(home: Home, ledger: ConsentLedger) -> tuple[dict[str, int], list[str]]:
    """Take withdrawn tasks out of the files that raters still work on: round to tasks out, and what went wrong (the withdrawal stands)."""
    from flywheel.rounds import close_withdrawn_tasks

    try:
        return close_withdrawn_tasks(home, ConsentCheck(home).ask("labeling")), []
    except (FlywheelError, OSError) as error:
        return {}, [f"recorded; but the batch files could not be looked through ({error}): run `flywheel round import R` for open rounds"]


def _record(
    action: Action, given: str, purposes: list[Purpose], basis: str, policy: str, source: str, expires: datetime | None, as_json: bool
) -> None:
    home = Home(Settings.load())
    ledger, now = consent_ledger(home), home.now()
    for name, value in (("--basis", basis), ("--policy", policy), ("--source", source)):
        if not value.strip():
            raise BadInput(f"{name} is empty")
    if expires is not None and expires <= now:
        raise BadInput(f"--expires {expires:%Y-%m-%d %H:%M:%S} UTC does not lie after now ({now:%Y-%m-%d %H:%M:%S} UTC)")
    subject = _subject(home, ledger, given)
    is_new = not ledger.knows(subject)
    events = [
        make_consent_event(
            home.ids, subject, p, action, legal_basis=basis, policy_version=policy, effective_at=now, recorded_at=now, source=source,
            expires_at=expires,
        ) for p in purposes
    ]  # fmt: skip
    added = ledger.append(events)
    allowed = [p for p, answer in answers(ledger, subject, now, None).items() if answer["allowed"]]
    taken_out, warnings = _close_open_tasks(home, ledger) if "labeling" in purposes else ({}, [])
    if is_new:
        warnings.append(f"the ledger had no entry about {given!r} before: is this the user id as in the logs?")
    for purpose in purposes:
        if (purpose in allowed) != (action == "granted"):
            warnings.append(f"{purpose} not in force: the ledger holds a withdrawal of this very moment ({now:%Y-%m-%d %H:%M:%S} UTC)")
    if as_json:
        result = {
            "subject_id": subject,
            "allowed_now": allowed,
            "events": [e.model_dump(mode="json") for e in events],
            "tasks_out": taken_out,
        }
        print_frame(frame("consent", input={"subject": subject, "purposes": purposes, "action": action}, counts={"added": added},
                          result=result, warnings=warnings))  # fmt: skip
        return
    typer.echo(
        f"{action}: {', '.join(purposes)} by subject {subject}, from {now:%Y-%m-%d %H:%M:%S} UTC. Every stage asks again from now on."
    )
    _tell(taken_out, warnings)


def _tell(taken_out: dict[str, int], warnings: list[str]) -> None:
    for round, n in taken_out.items():
        typer.echo(f"batches/{round}.jsonl is without {n} withdrawn tasks: hand the file out again where raters have a copy.")
    for warning in warnings:
        say(f"note: {warning}")


@consent.command()
def grant(
    subject: str = SUBJECT,
    purpose: list[str] = PURPOSE,
    every: bool = ALL,
    basis: str = typer.Option(..., "--basis", help="Legal basis, as consent or contract."),
    policy: str = typer.Option(..., "--policy", help="Version of the policy that the subject agreed to."),
    expires: str = typer.Option("", "--expires", help="Until when, as 2027-03-01."),
    source: str = typer.Option("command line", "--source", help="Where it was said."),
    as_json: bool = JSON,
) -> None:
    """Record that a subject allows purposes from now on."""
    until = _moment(expires, "--expires") if expires else None
    _record("granted", subject, _purposes(purpose, every), basis, policy, source, until, as_json)


@consent.command()
def withdraw(
    subject: str = SUBJECT,
    purpose: list[str] = PURPOSE,
    every: bool = ALL,
    policy: str = typer.Option("-", "--policy"),
    source: str = typer.Option("command line", "--source", help="Where it was said."),
    as_json: bool = JSON,
) -> None:
    """Record a withdrawal: no stage uses the subject's rows for these purposes from now on."""
    _record("withdrawn", subject, _purposes(purpose, every), "withdrawal", policy, source, None, as_json)


@consent.command("import")
def import_(
    files: list[Path] = FILES,
    columns: list[str] = MAP,
    as_json: bool = JSON,
) -> None:
    """Statements of consent from files: every line checked, all of them at once or none. Bad lines go to `flywheel consent quarantine`;
    a withdrawal in one is heard where its subject and purposes can be read. Exit code 0 also then, 2 when no line could be used."""
    from flywheel.governance.consent_import import import_consent

    home = Home(Settings.load())
    ledger = consent_ledger(home)
    found = import_consent(home, ledger, files, {**home.settings.governance.consent_columns, **_mapping(columns)}, now=home.now())
    taken_out, warnings = _close_open_tasks(home, ledger) if found.counts["added"] else ({}, [])
    if found.unheard:
        warnings.append(f"{found.unheard} bad lines speak of a withdrawal that could not be heard: mend them and import them again")
    if found.strangers:
        warnings.append(
            f"{found.strangers} withdrawals are of subjects that the ledger did not know: are these the user ids as in the logs?"
        )
    if not found.counts["lines"]:
        warnings.append("there was no statement in it")
    if as_json:
        print_frame(frame("consent.import", input={"files": [str(f) for f in files]}, counts=found.counts, result={"tasks_out": taken_out},
                          quarantine=found.rejected, losses=found.losses, warnings=warnings))  # fmt: skip
    else:
        print_table("Consent import", ["what", "count"], list(found.counts.items()), empty="")
        columns_ = ["file", "line", "reason", "field", "message", "withdrawals_heard"]
        rows = [tuple(r[c] for c in columns_) for r in found.rejected[:SHOWN_LINES]]
        print_table(
            "Bad lines" + f", the first {SHOWN_LINES}" * (len(found.rejected) > SHOWN_LINES), columns_, rows, empty="Every line was good."
        )
        if found.losses:
            print_table("Columns left out", ["column", "lines"], list(found.losses.items()), empty="")
        _tell(taken_out, warnings)
    if found.rejected and not found.counts["statements"] and not found.counts["withdrawals_heard"]:
        raise BadInput("no line could be used; `flywheel consent quarantine` lists them")


def _mapping(given: list[str]) -> dict[str, str]:
    found = {}
    for pair in given:
        theirs, mark, ours = pair.rpartition("=")
        if not mark or not theirs or not ours:
            raise BadInput(f"--map {pair!r} is not THEIRS=OURS")
        found[theirs] = ours
    return found


@consent.command()
def show(
    subject: str = SUBJECT,
    at: str = typer.Option("", "--at", help="A moment of the past, as 2026-03-01 (the day's end) or 2026-03-01T12:00:00Z."),
    as_json: bool = JSON,
) -> None:
    """Every entry of the ledger about a subject and what is allowed now; with --at, what was allowed at that moment, by what is known now
    and by what was known then."""
    home = Home(Settings.load())
    ledger, now = consent_ledger(home), home.now()
    ledger.judged_by(now)
    moment = _moment(at, "--at") if at else now
    subject_id = _subject(home, ledger, subject)
    events = list(ledger.events(subject_id))
    allowed = [p for p, answer in answers(ledger, subject_id, now, None).items() if answer["allowed"]]
    known_now, known_then = answers(ledger, subject_id, moment, None), answers(ledger, subject_id, moment, moment)
    differ = [p for p in PURPOSES if known_now[p]["allowed"] != known_then[p]["allowed"]]
    if as_json:
        result: dict[str, Any] = {"allowed_now": allowed, "events": [e.model_dump(mode="json") for e in events]}
        if at:
            result |= {"at": moment.isoformat(), "by_what_is_known_now": known_now, "by_what_was_known_then": known_then, "differ": differ}
        print_frame(frame("consent.show", input={"subject": subject_id, "at": at}, counts={"events": len(events)}, result=result))
        return
    rows = [(e.effective_at, e.recorded_at, e.purpose, e.action, e.legal_basis, e.policy_version, e.expires_at, e.source) for e in events]
    print_table(f"Subject {subject_id}", ["effective", "recorded", "purpose", "action", "basis", "policy", "expires", "source"], rows,
                empty="The ledger has no entry for this subject: nothing is allowed.")  # fmt: skip
    if at:
        typer.echo(f"At {moment:%Y-%m-%d %H:%M:%S} UTC:")
        for purpose in PURPOSES:
            typer.echo(
                f"  {purpose:<10} {_in_words(known_now[purpose])}, by what is known now"
                + _otherwise(known_then[purpose], purpose in differ)
            )
    typer.echo(f"Allowed now: {', '.join(allowed) or 'nothing'}")


def _in_words(answer: dict[str, Any]) -> str:
    return "allowed" if answer["allowed"] else f"not allowed ({answer['because'].replace('_', ' ')})"


def _otherwise(then: dict[str, Any], differs: bool) -> str:
    return f"; but {_in_words(then)}, by what was known then" if differs else " and then"


@consent.command("status")
def status_(as_json: bool = JSON) -> None:
    """Subjects by purpose and legal basis: who allows it, who will not within 30 days, whose grant has expired, who has withdrawn."""
    home = Home(Settings.load())
    ledger, now = consent_ledger(home), home.now()
    rows = status(ledger, now)
    subjects = len(ledger.state().subjects)
    retention = {p: dict(days) for p, days in home.settings.governance.retention.items()}
    columns = ["purpose", "legal_basis", "allowed", "expiring", "expired", "withdrawn"]
    if as_json:
        print_frame(frame("consent.status", input={}, counts={"subjects": subjects, "events": len(ledger.state())},
                          result={"at": now.isoformat(), "subjects": rows, "expiring_within_days": SOON.days, "retention_days": retention}))  # fmt: skip
        return
    print_table(f"{subjects:,} subjects, {len(ledger.state()):,} entries; expiring: of those allowed, within {SOON.days} days", columns,
                [tuple(r[c] for c in columns) for r in rows], empty="The ledger is empty: nothing is allowed.")  # fmt: skip
    for purpose, days in retention.items():
        typer.echo(f"Retention for {purpose}: {', '.join(f'{n} days ({basis})' for basis, n in days.items())}")


@consent.command()
def quarantine(
    look: str = typer.Option(
        "", "--show", metavar="REASON", help="Also print the lines as they came. Needs a reason for looking; audited."
    ),
    as_json: bool = JSON,
) -> None:
    """Lines of consent files that could not be used, by file, line, reason and field. Mend them at the source and import them again."""
    from flywheel.governance import provenance_log
    from flywheel.governance.audit import consent_quarantine

    home = Home(Settings.load())
    columns = ["file", "line", "reason", "field", "message", "withdrawals_heard", "recorded_at"] + (["raw"] if look.strip() else [])
    if look and not look.strip():
        raise AccessRefused("looking at raw lines needs a reason: --show REASON")
    if look:
        provenance_log(home).append("restricted_read", {"query": "consent quarantine", "reason": look}, datetime.now(UTC))
    rows = [{c: body[c] for c in columns} for body in consent_quarantine(home).lines()]
    if as_json:
        print_frame(frame("consent.quarantine", input={}, counts={"rows": len(rows)}, result=None, quarantine=rows))
        return
    print_table("Consent quarantine", columns, [tuple(r.values()) for r in rows], empty="Nothing is in quarantine.")
