"""The pages as a person sees them, in the system's Chromium: a round's report, and the Dagster UI of a real `flywheel up`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assets.run import open_instance, run_job
from flywheel.reporting import render_report
from flywheel.settings import Settings
from flywheel.storage import Home
from tests.small_rounds import R1, R2

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (as root `make test` installs it)"),
]


class Seen:
    """A tab, and what went wrong in it: messages of level error, uncaught exceptions, requests that leave this machine."""

    def __init__(self, page: Any) -> None:
        self.page, self.errors, self.outside = page, list[str](), list[str]()
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("request", lambda r: None if local(r.url) else self.outside.append(r.url))


def local(address: str) -> bool:
    return address.startswith(("file:", "data:", "blob:", "http://127.0.0.1:", "ws://127.0.0.1:"))


@pytest.fixture(scope="module")
def browser(home: Home) -> Iterator[Any]:
    """After `home`: Playwright keeps an event loop in this thread, and Dagster's own runs would meet it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def home(small_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Round 1 closed, round 2 published; some runs of it are in the instance that the UI shows."""
    root = Path(shutil.copytree(small_template, tmp_path_factory.mktemp("browser") / "home"))
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith(("FLYWHEEL_", "DAGSTER_"))]:
            patch.delenv(name)
        with open_instance(root) as instance:
            for job in ("import_labels", "report"):
                assert run_job(root, job, R1, instance=instance, progress=False).success
        os.environ.pop("DAGSTER_HOME", None)
    return Home(Settings.load(home=root))


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    """A running `flywheel up`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FLYWHEEL_", "DAGSTER_"))}
    command = [str(Path(sys.executable).with_name("flywheel")), "--home", str(home.root), "up", "--port", str(port)]
    log = home.root / "up.txt"
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        deadline = time.monotonic() + 120
        while "ready in" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (400, "light"), (1200, "dark")])
def test_the_report_opens_whole_in_any_window(browser: Any, home: Home, width: int, scheme: str) -> None:
    path = render_report(home, R1, now=datetime(2026, 1, 26, tzinfo=UTC)).resolve()
    seen = Seen(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page())

    seen.page.goto(path.as_uri())

    assert (seen.errors, seen.outside) == ([], [])
    titles = seen.page.locator("section.chapter > h2").all_inner_texts()
    assert {"Funnel", "Agreement", "Raters", "Selection", "Dataset version", "Model comparison", "Money", "Quarantine"} <= set(titles)
    assert seen.page.locator("article.gate").count() == 4
    assert "SIMULATED LABELS" in seen.page.inner_text("body")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width  # tables scroll, the page does not


def test_the_report_of_an_open_round_says_what_comes_next(browser: Any, home: Home) -> None:
    path = render_report(home, R2, now=datetime(2026, 1, 26, tzinfo=UTC)).resolve()
    seen = Seen(browser.new_page())
    seen.page.goto(path.as_uri())
    assert seen.errors == []
    assert "Deliver label files" in seen.page.inner_text(".next")


def test_the_asset_graph_shows_every_stage(browser: Any, address: str) -> None:
    seen = Seen(browser.new_context(viewport={"width": 1600, "height": 1000}).new_page())

    seen.page.goto(f"{address}/asset-groups")

    for group in ("inputs", "ingestion", "governance", "selection", "labeling", "quality", "dataset", "training", "reporting"):
        seen.page.get_by_text(group, exact=True).first.wait_for(timeout=30_000)
    assert (seen.errors, seen.outside) == ([], [])


def test_a_round_s_report_asset_is_shown_with_its_numbers(browser: Any, address: str) -> None:
    seen = Seen(browser.new_context(viewport={"width": 1600, "height": 1000}).new_page())

    seen.page.goto(f"{address}/assets/round_report?view=partitions&partition={R1}")

    seen.page.get_by_text("funnel_consented").first.wait_for(timeout=30_000)
    assert re.search(r"round-2026-01-05\.html", seen.page.inner_text("body"))
    assert (seen.errors, seen.outside) == ([], [])


def test_the_picture_of_agreement_is_an_image(browser: Any, address: str) -> None:
    seen = Seen(browser.new_context(viewport={"width": 1600, "height": 1000}).new_page())
    seen.page.goto(f"{address}/assets/agreement?view=partitions&partition={R1}")

    seen.page.get_by_text("[Show Markdown]").first.click(timeout=30_000)

    image = seen.page.locator("img[src^='data:image/svg+xml']").first
    image.wait_for(timeout=10_000)
    assert image.evaluate("i => i.complete && i.naturalWidth") > 300
    assert seen.errors == []
