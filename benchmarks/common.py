"""What the benchmarks share: a line that says where they ran, and fair timing of things that are compared.

from common import header, paired
"""

import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path


def header(*packages: str) -> str:
    """One Markdown line: date, processor, cores and memory this process may use, system, versions of `packages`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = _value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
    memory = _value("/proc/meminfo", "MemTotal").removesuffix("kB")
    parts = [datetime.date.today().isoformat(), f"{model}, {cores} cores" if cores != 1 else f"{model}, 1 core"]
    parts += [f"{int(memory) / 2**20:.0f} GiB"] if memory else []
    parts += [f"{platform.system()} {platform.machine()}", f"Python {platform.python_version()}"]
    return ", ".join([*parts, *(f"{name} {metadata.version(name)}" for name in packages)])


def _value(path: str, key: str) -> str:
    """Of the first line `key : value` in a file of /proc; "" on systems that have none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def paired(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Wall seconds of every function, `repeats` of each, taken in turns after one call that is not counted.

    A machine that others use too is slow for seconds at a time: in turns that meets all functions alike. Compare two
    of them by the median of the ratios of their k-th runs, which stood next to each other.
    """
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for k in range(repeats):
        names = list(functions) if k % 2 == 0 else list(functions)[::-1]  # none always comes second
        for name in names:
            start = time.perf_counter()
            functions[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(slower: list[float], faster: list[float]) -> float:
    """Median of how many times `faster` is faster, over runs that stood next to each other."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))
