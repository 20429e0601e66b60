"""What every process tells of its tasks."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from hubbub.telemetry.metrics import ProcessMetrics


async def test_tasks_are_counted_by_kind() -> None:
    """Kinds are the first words of names that the code gives; whose task it is follows."""
    registry = CollectorRegistry()
    metrics = ProcessMetrics(registry, component="test")
    metrics.watch_tasks(asyncio.get_running_loop())
    names = ("funnel room-1", "funnel room-2", "gap-repair", "watch_loop", None)
    tasks = [asyncio.create_task(asyncio.sleep(60), name=name) for name in names]

    def count(kind: str) -> float | None:
        return registry.get_sample_value("hubbub_tasks", {"kind": kind})

    assert count("funnel") == 2
    assert count("gap-repair") == 1
    assert count("watch_loop") == 1
    assert (count("other") or 0) >= 1
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert count("funnel") is None


def test_failures_are_counted_by_kind() -> None:
    registry = CollectorRegistry()
    metrics = ProcessMetrics(registry, component="test")
    metrics.task_failed("durable account")
    metrics.task_failed("durable presence")
    metrics.task_failed("Task-12")

    def count(kind: str) -> float | None:
        return registry.get_sample_value("hubbub_task_failures_total", {"kind": kind})

    assert count("durable") == 2
    assert count("other") == 1
