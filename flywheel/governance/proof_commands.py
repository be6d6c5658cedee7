"""`flywheel privacy scan`: what stands beyond the restricted zone (mounted by `privacy_commands`)."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from flywheel.errors import BadInput, NotFound
from flywheel.governance.scan import Place
from flywheel.output import fail, frame, print_frame, print_table, say
from flywheel.settings import Settings
from flywheel.storage import Home

JSON = typer.Option(False, "--json", help="One JSON object on standard output.")
PATHS = typer.Argument(None, help="Files or folders on their way out; left out: everything below home but restricted/.")


def _progress(name: str) -> None:
    sys.stderr.write(f"\r\x1b[K  {name[:100]}\r")


def _shown(places: Counter[Place]) -> list[dict[str, Any]]:
    return [{**asdict(p), "times": n} for p, n in sorted(places.items())]


def scan(paths: list[Path] | None = PATHS, as_json: bool = JSON) -> None:
    """Search every byte outside the restricted zone for every value that the vault knows: as it is, escaped, in base64, percent-encoded, in
    hex, in archives, in Parquet and SQLite. Exit code 4 when one is found or a file cannot be read. Never shows a value."""
    from flywheel.governance.scan import scan_home, scan_paths
    from flywheel.governance.vault_commands import opened

    home = Home(Settings.load())
    missing = [str(p) for p in paths or () if not p.exists()]
    if missing:
        raise NotFound(f"there is no {', '.join(missing)}")
    shown = sys.stderr.isatty() and not as_json
    with opened(home) as vault:
        report = scan_paths(paths, vault) if paths else scan_home(home, vault, progress=_progress if shown else None)
    if as_json:
        counts = {
            "files": report.files, "bytes": report.bytes, "leaks": len(report.leaks), "guesses": len(report.guesses), "sought_everywhere": report.sought_everywhere,
            "sought_in_holders_rows": report.sought_in_holders_rows, "not_sought": sum(report.excluded.values()),
        }  # fmt: skip
        leaks = _shown(report.leaks)
        result = {
            "clean": report.clean,
            "leaks": leaks,
            "problems": report.problems,
            "not_sought": report.excluded,
            "seconds": round(report.seconds, 2),
        }
        print_frame(
            frame("privacy.scan", input={"home": str(home.root), "paths": [str(p) for p in paths or ()]}, counts=counts, result=result)
        )
    else:
        typer.echo(f"{report.files:,} files, {report.bytes / 1e6:,.1f} MB in {report.seconds:,.1f} s, outside restricted/")
        typer.echo(
            f"{report.sought_everywhere:,} values were sought in every byte, {report.sought_in_holders_rows:,} (single names, short numbers, guesses) in rows "
            "of those who hold them"
        )
        for reason, count in report.excluded.items():
            typer.echo(f"{count:,} not sought: {reason}")
        places = Counter({(p.file, p.where, p.type, p.form, p.token): n for p, n in report.leaks.items()})
        print_table("LEAKS", ["file", "where", "type", "form", "token"], sorted(places)[:200], empty="No value of the vault was found.")
        if report.guesses:
            typer.echo(
                f"{len(report.guesses):,} places hold what a rule of dialogue guessed in a later text to be personal (--json lists them)"
            )
        for problem in report.problems:
            say(f"problem: {problem}")
    if report.leaks:
        fail(f"{len(report.leaks)} places hold a value of the vault (`flywheel vault reveal TOKEN` shows which, to an auditor)", 4)
    if report.problems:
        fail(f"{len(report.problems)} files could not be read, so this is no proof", 4)


def canaries(
    plant: int = typer.Option(0, "--plant", min=0, help="Put log files with so many invented values into the landing folder of --round."),
    round: str = typer.Option("", "--round", help="The round that will read them, as 2026-01-05."),
    seed: int = typer.Option(0, "--seed", help="Other values."),
    as_json: bool = JSON,
) -> None:
    """Plant invented values of every type in every place and disguise (--plant N --round R); without --plant, look for them everywhere
    outside the restricted zone. Exit code 4 when one got through. For a trial run state: planted rows are rows like others."""
    from flywheel.governance import canaries as birds

    home = Home(Settings.load())
    if plant:
        if not round:
            raise BadInput("--plant needs --round R: the round that will read them")
        made = birds.plant(home, round, plant, seed=seed)
        counts = {"planted": len(made)}
        if as_json:
            print_frame(
                frame(
                    "privacy.canaries",
                    input={"plant": plant, "round": round, "seed": seed},
                    counts=counts,
                    result={"landing": home.landing},
                )
            )
        else:
            typer.echo(f"{len(made):,} canaries lie in {home.landing}; run round {round}, then `flywheel privacy canaries`")
        return
    report = birds.check_canaries(home, birds.planted(home))
    counts = {"planted": len(report.canaries), "leaked": len(report.found), "files": report.scan.files, "bytes": report.scan.bytes}
    tables = {
        what: {k: {"leaked": a, "planted": b} for k, (a, b) in sorted(report.by(what).items())} for what in ("type", "place", "disguise")
    }
    listed = {c.number: c for c in report.canaries}
    birds_out = [(listed[n], places) for n, places in sorted(report.found.items())]
    leaks = [{"canary": c.number, "type": c.type, "place": c.place, "disguise": c.disguise, "found": p[:20]} for c, p in birds_out]
    if as_json:
        result = {"clean": not leaks and not report.scan.problems, "leaks": leaks, "problems": report.scan.problems, **tables}
        print_frame(frame("privacy.canaries", input={"home": str(home.root)}, counts=counts, result=result))
    else:
        rows = [(what, k, v["planted"], v["leaked"]) for what, table in tables.items() for k, v in table.items()]
        print_table("Canaries", ["by", "", "planted", "leaked"], rows, empty="")
        print_table("LEAKED", ["canary", "type", "place", "disguise", "found"], [(c.number, c.type, c.place, c.disguise, p[0]) for c, p in birds_out[:100]],
                    empty=f"None of {len(report.canaries):,} canaries stands outside the restricted zone.")  # fmt: skip
    if leaks or report.scan.problems:
        fail(f"{len(leaks)} of {len(report.canaries)} canaries leaked, {len(report.scan.problems)} files could not be read", 4)


def sample(
    round: str = typer.Argument(..., help="The round's Monday, as 2026-01-05."),
    n: int = typer.Option(0, "-n", "--count", min=0, help="How many conversations; 0: governance.audit_sample."),
    answers: str = typer.Option("", "--answers", help="The sample with `leaks` filled in (whole number, 0: nothing personal)."),
    by: str = typer.Option("", "--by", help="Who read it."),
    as_json: bool = JSON,
) -> None:
    """Draw redacted conversations of a round for a person to read, or take in what the person found (--answers FILE --by NAME). The round
    report then shows the exact bound of the leak rate."""
    from flywheel.governance import audit_sample

    home = Home(Settings.load())
    if not answers:
        path, drawn, of = audit_sample.draw_sample(home, round, n)
        if as_json:
            result = {"path": str(path), "bound_if_none_leaks": round_to(audit_sample.clopper_pearson_upper(0, drawn))}
            print_frame(
                frame("privacy.sample", input={"round": round, "n": n}, counts={"sampled": drawn, "conversations": of}, result=result)
            )
        else:
            typer.echo(
                f"{path}: {drawn:,} of {of:,} conversations. Fill in `leaks` of each line, then: flywheel privacy sample {round} --answers FILE --by NAME"
            )
        return
    found = audit_sample.take_answers(home, round, Path(answers), by)
    if as_json:
        counts = {"conversations": found.conversations, "sampled": found.sampled, "read": found.read, "leaking": found.leaking}
        print_frame(frame("privacy.sample", input={"round": round, "answers": answers, "by": by}, counts=counts,
                          result={"leak_rate_upper_95": round_to(found.bound)}))  # fmt: skip
        return
    typer.echo(
        f"{found.leaking:,} of {found.read:,} conversations hold personal data: at most {found.bound:.1%} of all do (95 %, Clopper-Pearson)"
    )


def round_to(value: float) -> float:
    """Four digits are what a person reads."""
    return float(f"{value:.4g}")
