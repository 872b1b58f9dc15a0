"""Stages on a Ray cluster of several machines, all of them on this one. `make test-cluster`; skipped without Ray."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPO, flags, run_script
from PIL import Image

from artatlas import cluster, config
from artatlas.errors import UserError

N_WORKS = 600  # three shards
STAGES = ("prepare_images.py", "extract_features.py", "extract_color.py", "find_similar.py")
OUTPUTS = ("images.h5", "content.h5", "style.h5", "color.h5", "neighbors.h5")
SMALL = ("images.network_px=32", "content.layer=block2_pool", "style.n_components=20", "machine.threads=1")


def machine(**changes):
    return config.load().machine.model_copy(update={"engine": "ray", "threads": 1, **changes})


def test_here_is_a_plain_loop_over_all_jobs_at_once():
    asked = []

    def work(jobs):
        asked.append(list(jobs))
        yield from asked[-1]

    assert list(cluster.run(None, work, [1, 2])) == list(cluster.run(machine(engine="local"), work, [1, 2])) == [1, 2]
    assert asked == [[1, 2], [1, 2]] and cluster.describe(machine(engine="local")) == ""
    assert cluster.ask(machine(engine="local"), os.getpid) == os.getpid()


def test_without_ray_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        UserError, match=r'not installed\. Run: python -m pip install "\.\[cluster\]", or set it to local'
    ):
        list(cluster.run(machine(), list, [1]))


@pytest.mark.parametrize("nowhere", ["127.0.0.1:1", "no port"])
def test_an_address_where_nobody_answers_is_told_at_once(nowhere):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=f"machine.ray_address: {nowhere}: no cluster is to be had"):
        list(cluster.run(machine(ray_address=nowhere), list, [1]))


@pytest.fixture(scope="session")
def address():
    """A head and two more machines of one core each."""
    pytest.importorskip("ray", reason='needs the extra "cluster": make test-cluster')
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made.address
    made.shutdown()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for k in range(N_WORKS):
        image = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((48, 48))
        image.save(folder / "images" / f"{k:04d}.jpg")
    return folder


def settings(pictures, outputs, *more):
    return [*flags(pictures, outputs, "paths.metadata=null", *SMALL, *more)]


@pytest.fixture(scope="session")
def local(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    for script in STAGES:
        run_script(script, *settings(pictures, folder))
    return folder


def run_on(address, *arguments):
    return settings(*arguments, "machine.engine=ray", f"machine.ray_address={address}")


def test_three_machines_give_the_bytes_of_one(address, pictures, local, tmp_path):
    told = [run_script(script, *run_on(address, pictures, tmp_path)).stdout for script in STAGES]
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (local / name).read_bytes(), name
    assert all("by 3 workers of 1 core" in line for line in told[:3])
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in local.iterdir()}  # and no shards


def test_the_page_is_drawn_by_workers_into_the_same_files(address, painted, outputs, finished):
    shutil.rmtree(outputs / "viewer")  # else all tiles are links to those
    on_cluster = flags(painted, outputs, "machine.engine=ray", f"machine.ray_address={address}")
    run_script("build_viewer.py", *on_cluster)
    made, expected = (
        {path.relative_to(folder): path.read_bytes() for path in (folder / "viewer").rglob("*") if path.is_file()}
        for folder in (outputs, finished)
    )
    assert made == expected and sum("tiles" in path.parts for path in made) > 50


def worker_processes():
    """Those of Ray that hold our worker, by the title that Ray gives them."""
    found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in found.splitlines() if "ray::_Worker.do" in line]


def test_a_killed_worker_costs_its_shard_and_nothing_else(address, pictures, local, tmp_path):
    for name in ("images.h5",):
        (tmp_path / name).write_bytes((local / name).read_bytes())
    command = [sys.executable, str(REPO / "extract_color.py"), *run_on(address, pictures, tmp_path, "color.space=lab")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not (busy := worker_processes()) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    os.kill(busy[0], signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "note: 1 worker was lost; 1 shard was computed again" in err
    assert re.fullmatch(r"\S+color\.h5: 600 works, .*\n", out)  # Ray's own news go elsewhere
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    (undisturbed / "images.h5").write_bytes((local / "images.h5").read_bytes())
    run_script("extract_color.py", *settings(pictures, undisturbed, "color.space=lab"))
    assert (tmp_path / "color.h5").read_bytes() == (undisturbed / "color.h5").read_bytes()


@pytest.fixture
def joined(address, monkeypatch):
    """This process as a driver on the cluster."""
    import ray

    monkeypatch.setattr(cluster, "_knock", lambda address: None)  # tests may only speak to 127.0.0.1, Ray has another
    yield machine(ray_address=address)
    ray.shutdown()
    cluster._fleet.cache_clear()


def test_workers_keep_what_they_hold_and_free_ones_go_on(joined):
    def work(jobs, built=[]):  # noqa: B006 - the list is what a worker keeps
        for job in jobs:
            built.append(job)
            time.sleep(1.0 if job == 0 else 0.05)
            yield os.getpid(), len(built), job

    def started(jobs):
        time.sleep(0.5)
        yield os.getpid()

    while len(set(cluster.run(joined, started, [0, 1, 2, 3]))) < 3:
        pass
    results = list(cluster.run(joined, work, list(range(20))))
    assert sorted(job for _, _, job in results) == list(range(20))
    by_worker = {}
    for pid, n_built, job in results:
        by_worker.setdefault(pid, []).append((n_built, job))
    assert len(by_worker) == 3 and os.getpid() not in by_worker
    assert all([n for n, _ in jobs] == list(range(1, len(jobs) + 1)) for jobs in by_worker.values())
    slow = next(jobs for jobs in by_worker.values() if (1, 0) in jobs)
    assert len(slow) == min(map(len, by_worker.values()))  # the others did not wait for it


def test_a_job_that_kills_every_worker_ends_the_run(joined, capfd):
    def work(jobs):
        for job in jobs:
            if job == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            yield job

    with pytest.raises(UserError, match="a shard lost its worker 3 times"):
        list(cluster.run(joined, work, [0, 1]))


def test_what_a_worker_refuses_is_told_as_here(joined):
    def work(jobs):
        raise UserError("style.layers: no. Change it.")
        yield

    with pytest.raises(UserError, match=r"^style\.layers: no\. Change it\.$"):
        list(cluster.run(joined, work, [0]))

    def buggy(jobs):
        yield 1 // len([])

    with pytest.raises(ZeroDivisionError):
        list(cluster.run(joined, buggy, [0]))


def test_too_many_cores_are_refused(joined):
    with pytest.raises(UserError, match=r"machine\.threads: 64 cores for a worker are more than any machine"):
        list(cluster.run(joined.model_copy(update={"threads": 64}), list, [1]))


def test_a_machine_that_leaves_takes_only_its_jobs_and_one_that_joins_gets_some(tmp_path, monkeypatch):
    """The whole machine dies, raylet and all, while all others are busy: Ray itself would let its job wait for ever."""
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(cluster, "_knock", lambda address: None)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    leaving = made.add_node(num_cpus=1)

    def work(jobs):
        for job in jobs:
            (tmp_path / f"{job} {os.getppid()} {time.monotonic_ns()}").touch()
            time.sleep(1)
            yield job, os.getppid()  # the raylet of its machine

    try:
        results = []
        for result in cluster.run(machine(ray_address=made.address), work, list(range(16))):
            results.append(result)
            if len(results) == 4:
                made.remove_node(leaving, allow_graceful=False)
                made.add_node(num_cpus=1)
        assert sorted(job for job, _ in results) == list(range(16))
        assert len({raylet for _, raylet in results}) == 3
        assert len(list(tmp_path.iterdir())) - 16 <= 1  # begun twice: the job that the lost machine had
    finally:
        ray.shutdown()
        cluster._fleet.cache_clear()
        made.shutdown()


def test_where_the_machines_have_gpus_the_network_gets_one_each():
    class Ray:
        def nodes(self):
            return [{"Alive": True, "Resources": {"CPU": 64.0, "GPU": 8.0}},
                    {"Alive": True, "Resources": {"CPU": 16.0, "GPU": 4.0}},
                    {"Alive": True, "Resources": {"CPU": 32.0}},
                    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
                    {"Alive": True, "Resources": {}}]  # fmt: skip

    ray, auto = Ray(), machine(threads="auto")
    assert cluster._needs(ray, auto, network=True) == (4, 1)
    assert cluster._room(ray, 4, 1) == 12
    assert cluster._needs(ray, auto, network=False) == (8, 0)
    assert cluster._room(ray, 8, 0) == 8 + 2 + 4
    assert cluster._needs(ray, machine(threads=3), network=True) == (3, 1)
