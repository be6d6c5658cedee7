"""The graph as text, one line a thing: what the snapshot compares.

python -m tests.graph.definitions_text > tests/graph/definitions.txt
"""

from __future__ import annotations

import dagster as dg


def lines(defs: dg.Definitions) -> list[str]:
    """Assets with dependencies (and partition offsets), groups, checks; jobs, schedules, sensors."""
    graph, repository = defs.resolve_asset_graph(), defs.get_repository_def()
    found = []
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        parents = []
        for parent in sorted(node.parent_keys):
            mapping = node.partition_mappings.get(parent)
            window = f"[{mapping.start_offset}..{mapping.end_offset}]" if isinstance(mapping, dg.TimeWindowPartitionMapping) else ""
            parents.append(parent.to_user_string() + window)
        kind = "external" if node.is_external else "asset"
        weekly = "weekly" if node.partitions_def else "unpartitioned"
        found.append(f"{kind} {key.to_user_string()} ({node.group_name}, {weekly}) <- {', '.join(parents) or 'nothing'}")
    for check in sorted(graph.asset_check_keys):
        node = graph.get(check)
        found.append(f"check {check.asset_key.to_user_string()}:{check.name} {'blocking' if node.blocking else 'not blocking'}")
    for job in sorted(repository.get_all_jobs(), key=lambda j: j.name):
        if not job.name.startswith("__"):
            keys = sorted(k.to_user_string() for k in job.asset_layer.executable_asset_keys)
            found.append(f"job {job.name} {dict(sorted(job.tags.items()))}: {', '.join(keys)}")
    found += [f"schedule {s.name} -> {s.job_name} at {s.cron_schedule} UTC, {s.default_status.name}" for s in repository.schedule_defs]
    for sensor in sorted(repository.sensor_defs, key=lambda s: s.name):
        targets = ", ".join(t.job_name for t in sensor.targets)
        found.append(f"sensor {sensor.name} ({sensor.sensor_type.name}) -> {targets}, {sensor.default_status.name}")
    return found


if __name__ == "__main__":
    from assets.definitions import build_defs

    print("\n".join(lines(build_defs())))
