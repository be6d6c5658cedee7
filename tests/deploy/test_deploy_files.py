"""The production files: they parse, Dagster's own schemas accept them, and they keep what the rounds rely on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.workspace.config_schema import process_workspace_config

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTGRES_HOST", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"):
        monkeypatch.setenv(name, "flywheel")


@pytest.mark.usefixtures("database")
def test_dagster_accepts_the_production_instance() -> None:
    config, _ = dagster_instance_config(str(DEPLOY))
    assert config["storage"]["postgres"]["postgres_db"]["hostname"] == {"env": "POSTGRES_HOST"}
    assert config["telemetry"] == {"enabled": False}


@pytest.mark.parametrize("folder", [DEPLOY, ROOT], ids=["production", "single machine"])
def test_rounds_run_one_at_a_time_and_a_failed_gate_is_not_retried(folder: Path) -> None:
    config = yaml.safe_load((folder / "dagster.yaml").read_text())
    assert config["run_coordinator"]["class"] == "QueuedRunCoordinator"
    assert {"key": "flywheel/serial", "limit": 1} in config["run_coordinator"]["config"]["tag_concurrency_limits"]
    assert config["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}
    assert config["run_monitoring"]["enabled"]
    assert set(config["retention"]) == {"schedule", "sensor"}


@pytest.mark.parametrize("folder", [DEPLOY, ROOT], ids=["production", "single machine"])
def test_dagster_accepts_the_workspace(folder: Path) -> None:
    done = process_workspace_config(yaml.safe_load((folder / "workspace.yaml").read_text()))
    assert done.success, done.errors


def test_the_services_fit_together() -> None:
    services = read("compose.yaml")["services"]
    assert set(services) == {"postgres", "code", "webserver", "daemon"}
    server = read("workspace.yaml")["load_from"][0]["grpc_server"]
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert server["host"] in services
    assert f'"-p", "{server["port"]}"' in dockerfile  # the image's own command is the code server
    assert "command" not in services["code"]
    wanted = {v["env"] for v in read("dagster.yaml")["storage"]["postgres"]["postgres_db"].values() if isinstance(v, dict)}
    for name in ("code", "webserver", "daemon"):
        assert wanted <= set(services[name]["environment"]), name
        assert services[name]["volumes"] == ["data:/data"]
        assert services[name]["image"] == services["code"]["image"]
    assert all(port.startswith("127.0.0.1:") for port in services["webserver"]["ports"])


def test_the_image_copies_what_exists_and_does_not_run_as_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    assert text.index("USER flywheel") > text.rindex("RUN ")
    assert "latest" not in text + (DEPLOY / "compose.yaml").read_text()


def test_production_packages_fit_the_locked_dagster() -> None:
    locked = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line)
    extra = dict(line.split("==") for line in (DEPLOY / "requirements.txt").read_text().splitlines() if "==" in line)
    assert extra["dagster-postgres"] == locked["dagster-duckdb"]  # released together: the same number
