"""Where a stage's shards are computed: here, one after the other, or by workers all over a Ray cluster.

A stage gives `work`, a function from jobs to results, and the jobs. Here `work` gets all jobs at once. On a cluster
every worker, a process with some cores and perhaps a GPU, holds a copy of `work` for as long as there are jobs and gets
them one by one, the next as soon as it is free, so that a slow machine does less and a new one joins in. Results are
small; what is large, `work` writes below paths.outputs, which all machines share.

Ray notices lost processes and machines. Their jobs go to the next free worker, not back to the actor that Ray would
start again: where all machines are busy, that one waits for a place until every other worker has left, and so would its
job (github.com/ray-project/ray/issues/46937).

Source  Moritz et al. 2018, "Ray: a distributed framework for emerging AI applications"
"""

from __future__ import annotations

import functools
import logging
import math
import os
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from typing import Any

from artatlas import cli
from artatlas.config import Machine
from artatlas.errors import UserError
from artatlas.images import n_threads

CORES = 8  # of a worker, with machine.threads auto: TensorFlow on CPUs gains little from more, a GPU needs no more
MOST_LOST = 3  # workers that one job may lose: whatever kills each of them will kill the next
FAILED_STARTS = 10  # one after the other, without a worker that starts
PATIENCE_S = 5  # after so long without news it is seen whether machines have joined or left

Work = Callable[[Iterable[Any]], Iterator[Any]]  # jobs -> results, in the same order


def at_worker(machine: Machine, network: bool = False) -> Machine:
    """What `machine` is to a worker: the threads of its cores, and no cluster. Unchanged where there is none."""
    if machine.engine == "local":
        return machine
    return machine.model_copy(update={"engine": "local", "threads": _needs(_connected(machine), machine, network)[0]})


def one_core(machine: Machine) -> Machine:
    """For work that threads do not help: on a cluster its workers take a core each, unless the settings say more."""
    if machine.engine == "local" or machine.threads != "auto":
        return machine
    return machine.model_copy(update={"threads": 1})


def run(machine: Machine | None, work: Work, jobs: Sequence[Any], network: bool = False) -> Iterator[Any]:
    """Yields the results of `work` on all jobs: here in their order, on a cluster as they come.

    On a cluster `work` and the jobs are pickled, by Ray. `network` : a worker has a GPU where any machine has one.

    Raises what `work` raises, and UserError where Ray or the cluster is not to be had, or a job loses every worker.
    """
    if machine is None or machine.engine == "local":
        yield from work(jobs)
    elif jobs:
        with redirect_stdout(sys.stderr):  # Ray prints what it notices; stdout is for the closing line
            yield from _workers(machine, network).run(work, jobs)


def ask(machine: Machine, function: Callable, *arguments: Any, network: bool = False) -> Any:
    """What `function(*arguments)` is where the work is done: here, or in one of the workers."""

    def answer(jobs: Iterable[tuple]) -> Iterator[Any]:
        return (function(*job) for job in jobs)

    return next(iter(run(machine, answer, [arguments], network)))


def describe(machine: Machine, network: bool = False) -> str:
    """For closing lines: "", or " by 4 workers of 8 cores"."""
    if machine.engine == "local":
        return ""
    ray = _connected(machine)
    cores, gpus = _needs(ray, machine, network)
    what = cli.count(cores, "core") + (" and a GPU" if gpus else "")
    return f" by {cli.count(_room(ray, cores, gpus), 'worker')} of {what}"


class _Worker:
    """A process of the cluster. Ray makes it an actor."""

    def __init__(self) -> None:
        self._work: Work | None = None
        self._number = -1

    def ready(self) -> None:
        """Answers once the process has started: before that no job is given to it."""

    def do(self, number: int, work: list[Any], job: Any) -> list[Any]:
        """`work` : one reference, in a list so that Ray does not fetch it for every job anew."""
        if number != self._number:
            import ray

            self._work, self._number = ray.get(work[0]), number
        assert self._work is not None
        return list(self._work([job]))


class Workers:
    """The workers of a cluster. They start as they are needed, and end with this process."""

    def __init__(self, ray: Any, cores: int, gpus: int) -> None:
        self._ray, self._cores, self._gpus = ray, cores, gpus
        if not _room(ray, cores, gpus):
            raise UserError(
                f"machine.threads: {cores} cores for a worker are more than any machine of the cluster has. Set it to"
                " auto or to less."
            )
        # No restarts by Ray: see above. A worker that is lost leaves room for a new one.
        actor = ray.remote(num_cpus=cores, num_gpus=gpus, max_restarts=0, scheduling_strategy="SPREAD")
        self._actor = actor(_Worker)
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, int | None]] = {}  # what is waited for -> worker, number of its job
        self._n_works = 0

    def run(self, work: Work, jobs: Sequence[Any]) -> Iterator[Any]:
        """Yields the results of all jobs, as they come."""
        self._n_works += 1
        told = self._n_works, [self._ray.put(work)]  # kept once a machine; workers there share its arrays
        waiting = deque(range(len(jobs)))
        n_done, lost, failed_starts, looked = 0, Counter[int](), 0, -math.inf
        try:
            while n_done < len(jobs):
                if time.monotonic() - looked > PATIENCE_S:
                    room, looked = _room(self._ray, self._cores, self._gpus), time.monotonic()
                while len(self._idle) + len(self._busy) < min(room, len(jobs) - n_done):
                    worker = self._actor.remote()
                    self._busy[worker.ready.remote()] = worker, None
                while self._idle and waiting:
                    worker, job = self._idle.pop(), waiting.popleft()
                    self._busy[worker.do.remote(*told, jobs[job])] = worker, job
                for worker, number, results in self._finished():
                    if isinstance(results, Exception):
                        looked = -math.inf
                        if number is None:
                            failed_starts += 1
                        else:
                            lost[number] += 1
                            waiting.appendleft(number)
                        _give_up_at_last(lost, failed_starts, results)
                        continue
                    self._idle.append(worker)
                    failed_starts = 0
                    if number is not None:
                        n_done += 1
                        yield from results
        finally:
            self._end(was_stopped=n_done < len(jobs), has_lost=bool(lost))
        if lost:
            cli.notice(
                f"{cli.count(lost.total(), 'worker was', 'workers were')} lost;"
                f" {cli.count(len(lost), 'shard was', 'shards were')} computed again"
            )

    def _finished(self) -> list[tuple[Any, int | None, Any]]:
        """Worker, number of its job (None: it has started) and results, or the error by which the worker was lost."""
        if not self._busy:  # every machine has left; others may join
            time.sleep(PATIENCE_S)
            return []
        finished = []
        done, _ = self._ray.wait(list(self._busy), timeout=PATIENCE_S)
        for reference in done:
            worker, number = self._busy.pop(reference)
            try:
                finished.append((worker, number, self._ray.get(reference)))
            except self._ray.exceptions.RayTaskError as error:  # raised by `work`: the worker is well
                if isinstance(error.cause, UserError):
                    raise error.cause from None
                raise
            except self._ray.exceptions.RayError as error:
                finished.append((worker, number, error))
        return finished

    def _end(self, was_stopped: bool, has_lost: bool) -> None:
        if was_stopped:
            for worker, _ in self._busy.values():
                self._ray.kill(worker)
            self._busy.clear()
        if has_lost:  # Ray tells of it at some time, perhaps on stdout after the closing line: now it no longer can
            self._ray.shutdown()
            _fleet.cache_clear()


@functools.cache
def _fleet(cores: int, gpus: int) -> Workers:
    import ray

    return Workers(ray, cores, gpus)


def _workers(machine: Machine, network: bool = False) -> Workers:
    """The same for all that a stage does: starting a process and importing what it needs takes seconds."""
    return _fleet(*_needs(_connected(machine), machine, network))


def _give_up_at_last(lost: Counter[int], failed_starts: int, error: Exception) -> None:
    reason = cli.printable(str(error).strip().splitlines()[0])
    if failed_starts >= FAILED_STARTS:
        raise UserError(
            f"machine.engine: no worker starts on the cluster ({reason}). See that all of its machines have the same"
            " Python, packages and folders; Ray's logs are below /tmp/ray/session_latest/logs on each."
        ) from error
    if max(lost.values(), default=0) >= MOST_LOST:
        raise UserError(
            f"machine.engine: a shard lost its worker {MOST_LOST} times ({reason}). Where memory ran out, raise"
            " machine.threads, so that fewer workers share a machine; then run the same command again: what is done is"
            " kept."
        ) from error


def executor(machine: Machine) -> Executor:
    """For calls of functions that need one core: threads of this machine, or the workers of a cluster."""
    if machine.engine == "local":
        return ThreadPoolExecutor(n_threads(machine.threads))
    return _Calls(one_core(machine))


class _Calls(Executor):
    """The workers as an executor of the standard library; only `map` is there."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def map(self, function: Callable, *iterables: Iterable, **_: Any) -> Iterator[Any]:  # type: ignore[override]
        """As Executor.map, but results come in any order."""
        return run(self._machine, _call, [(function, *arguments) for arguments in zip(*iterables, strict=True)])


def _call(jobs: Iterable[tuple]) -> Iterator[Any]:
    return (function(*arguments) for function, *arguments in jobs)


def _connected(machine: Machine) -> Any:
    """The module ray, connected to the cluster that the settings name, or to one that is started here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray tells its makers of every cluster
    try:
        import ray
    except ImportError:
        raise UserError(
            "machine.engine: ray needs the package ray, which is not installed. Run: python -m pip install"
            ' ".[cluster]", or set it to local.'
        ) from None
    if ray.is_initialized():
        return ray
    address = machine.ray_address
    here: dict[str, Any] = {"num_cpus": n_threads("auto"), "include_dashboard": False} if address is None else {}
    try:
        if address not in (None, "auto"):
            _knock(address)
        with _own_signals():
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = cli.printable(str(error).strip().splitlines()[0])
        raise UserError(
            f"machine.ray_address: {address or 'null'}: no cluster is to be had ({reason}). Start one with ray start"
            " --head and name its host:port, or set it to null."
        ) from None
    return ray


def _knock(address: str) -> None:
    """Raises OSError or ValueError where nobody listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself; who is told to stop is for `cli` to say."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _needs(ray: Any, machine: Machine, network: bool) -> tuple[int, int]:
    """Cores and GPUs of a worker. `auto` cores are so few that every machine is filled by its workers."""
    nodes = [resources for resources in _resources(ray) if resources.get("CPU")]
    with_gpu = [resources for resources in nodes if resources.get("GPU")] if network else []
    if machine.threads != "auto":
        return machine.threads, int(bool(with_gpu))
    if with_gpu:
        return max(1, min(CORES, *(int(node["CPU"] // node["GPU"]) for node in with_gpu))), 1
    return max(1, min(CORES, *(int(node["CPU"]) for node in nodes))) if nodes else 1, 0


def _room(ray: Any, cores: int, gpus: int) -> int:
    """How many workers the machines of the cluster hold."""
    return sum(
        min(int(resources.get("CPU", 0) // cores), int(resources.get("GPU", 0) // gpus) if gpus else 2**31)
        for resources in _resources(ray)
    )


def _resources(ray: Any) -> list[dict[str, float]]:
    """Of every machine of the cluster that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
