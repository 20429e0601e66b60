"""What several dashboards ask alike."""

from __future__ import annotations

from deploy.dashboards.grafana import Query

ONLINE = """sum(max by (namespace, app_kubernetes_io_instance, status) (
    hubbub_presence_users{status!="offline",@}))"""
"""Users; every replica of presence counts all of them."""

NONE = " or vector(0)"
"""Behind what has no series while all is well, so that an empty panel means a fault."""

OURS = "and on (namespace, pod) hubbub_build_info{@}"
"""Keeps what is of Hubbub's processes, of metrics that others have as well."""


def per_second(
    metric: str, by: str = "", *, only: str = "", legend: str = "", rare: bool = False
) -> Query:
    """How fast a counter grows, summed by labels.

    Args:
        only: matchers, as `outcome="ok"`.
        rare: it may never have happened; then there is a zero, and not nothing.
    """
    matchers = f"{only},@" if only else "@"
    group = f" by ({by})" if by else ""
    named = legend or " ".join(f"{{{{{label}}}}}" for label in by.split(", ") if label)
    zero = NONE if rare else ""
    return Query(
        f"sum{group} (rate({metric}{{{matchers}}}[$__rate_interval])){zero}", named or "all"
    )


def percentile(
    share: float, histogram: str, by: str = "", *, only: str = "", legend: str = ""
) -> Query:
    """A percentile of a histogram, by labels."""
    matchers = f"{only},@" if only else "@"
    labels = f"{by}, le" if by else "le"
    named = legend or " ".join(f"{{{{{label}}}}}" for label in by.split(", ") if label)
    return Query(
        f"histogram_quantile({share:g}, sum by ({labels}) "
        f"(rate({histogram}_bucket{{{matchers}}}[$__rate_interval])))",
        named or f"p{share * 100:g}",
    )


def buckets(histogram: str) -> str:
    """A histogram for a heat map."""
    return f"sum by (le) (increase({histogram}_bucket{{@}}[$__rate_interval]))"


def level(metric: str, by: str = "", *, only: str = "", of: str = "sum", legend: str = "") -> Query:
    """A gauge, summed by labels."""
    matchers = f"{only},@" if only else "@"
    group = f" by ({by})" if by else ""
    named = legend or " ".join(f"{{{{{label}}}}}" for label in by.split(", ") if label)
    return Query(f"{of}{group} ({metric}{{{matchers}}})", named or "all")
