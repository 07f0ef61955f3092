"""The templates for SLURM and Kubernetes, run without either: local processes in the place of machines."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import kill
from ancestral.training import Checkpoints

FOLDER = Path(__file__).parents[2] / "docs" / "how-to" / "cluster"
SLURM, KUBERNETES = FOLDER / "slurm.sh", FOLDER / "kubernetes.yaml"
SMALL = ["digits", *kill.SMALL, "--steps", "60", "--save-every", "20", "--precision", "fp32", "--trackers", "none"]
OPTIONS = [*SMALL, "--log-every", "1", "--threads", "1"]

SRUN = """#!/bin/bash
[ "$1" = --kill-on-bad-exit=0 ] && shift
for node in 0 1; do
    "$@" & echo $! >> "$FAKE/step"
done
code=0
for pid in $(cat "$FAKE/step"); do wait "$pid" || code=$?; done
rm "$FAKE/step"
exit $code
"""
SCANCEL = """#!/bin/bash
[ "$1" = --signal=TERM ] && kill -TERM $(cat "$FAKE/step")
"""
SCONTROL = """#!/bin/bash
case "$1" in
    show) printf 'localhost\\nlocalhost\\n' ;;
    requeue) echo "$2" >> "$FAKE/requeued" ;;
esac
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition, *processes):
    """Wait for a condition, or the end of one of the processes."""
    until = time.monotonic() + 300
    while not condition() and all(process.poll() is None for process in processes):
        assert time.monotonic() < until
        time.sleep(0.02)


def steps(run):
    return Checkpoints(run / "checkpoints").steps()


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """The run of two processes that nothing disturbed."""
    out = tmp_path_factory.mktemp("alone") / "run"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ancestral", "train"]
    kill.run_to_end([sys.executable, *launcher, *OPTIONS, "--out", str(out)])
    return out


# -- SLURM ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def slurm(tmp_path):
    """Programs of SLURM that start two local processes for two nodes, and the variables that SLURM sets."""
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    for name, text in {"srun": SRUN, "scancel": SCANCEL, "scontrol": SCONTROL}.items():
        (fakes / name).write_text(text)
        (fakes / name).chmod(0o755)
    path = os.pathsep.join([str(fakes), str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {"FAKE": str(fakes), "PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    variables |= {"SLURM_JOB_ID": str(free_port()), "SLURM_JOB_NODELIST": "node[0-1]"}
    return {**os.environ, **variables, "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "1"}


def test_the_slurm_script_has_the_options_that_it_relies_on():
    """Requeued, appended to one output file, and signalled longer before the end than torchrun's workers have."""
    text = SLURM.read_text()
    if shutil.which("bash"):
        subprocess.run(["bash", "-n", SLURM], check=True)
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", text, re.MULTILINE))
    assert {"requeue", "nodes", "gpus-per-node", "time"} <= options.keys()
    assert (options["ntasks-per-node"], options["open-mode"]) == ("1", "append")
    number, seconds = re.fullmatch(r"B:([A-Z0-9]+)@(\d+)", options["signal"]).groups()
    assert f"time_over=yes; stop' {number}" in text
    assert int(re.search(r"SHUTDOWN_TIMEOUT=(\d+)", text)[1]) < int(seconds)
    assert text.index("#SBATCH --signal") < text.index("set -u")  # options after the first command are ignored


@pytest.mark.slow
def test_a_slurm_job_is_requeued_when_its_time_is_over_and_ends_in_the_run_that_was_left_alone(
    tmp_path, slurm, left_alone
):
    run, requeued, jobs = tmp_path / "run", Path(slurm["FAKE"]) / "requeued", 0
    argv = ["bash", SLURM, *OPTIONS, "--out", run]
    while True:
        requeued.unlink(missing_ok=True)
        with (tmp_path / "output.txt").open("a") as output:
            job = subprocess.Popen(argv, env=slurm, stdout=output, stderr=output)
        before = steps(run)
        if jobs < 2:  # in the middle of a run
            wait_until(lambda before=before: set(steps(run)) - set(before), job)
            job.send_signal(signal.SIGUSR1)
        code, jobs = job.wait(300), jobs + 1
        assert jobs < 4, (tmp_path / "output.txt").read_text()[-4000:]
        if not requeued.exists():
            break
        assert code != 0
        assert requeued.read_text().split() == [slurm["SLURM_JOB_ID"]]
    assert (code, jobs) == (0, 3), (tmp_path / "output.txt").read_text()[-4000:]
    assert "Stopped after step" in (tmp_path / "output.txt").read_text()
    assert kill.equal(left_alone, run)


@pytest.mark.slow
def test_a_slurm_job_that_is_cancelled_is_saved_and_not_requeued(tmp_path, slurm):
    run, fakes = tmp_path / "run", Path(slurm["FAKE"])
    with (tmp_path / "output.txt").open("w") as output:
        job = subprocess.Popen(["bash", SLURM, *OPTIONS, "--out", run], env=slurm, stdout=output, stderr=output)
    wait_until(lambda: steps(run), job)
    job.terminate()
    assert job.wait(300) != 0
    assert not (fakes / "requeued").exists()
    assert "Stopped after step" in (tmp_path / "output.txt").read_text()


# -- Kubernetes -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def objects():
    """The objects of the manifest by their kinds."""
    return {each["kind"]: each for each in yaml.safe_load_all(KUBERNETES.read_text())}


def test_the_parts_of_the_kubernetes_job_fit_together(objects):
    """Kubernetes refuses or never starts the job if one of these does not hold."""
    job, service, claim = (objects[kind] for kind in ("Job", "Service", "PersistentVolumeClaim"))
    assert (job["apiVersion"], service["apiVersion"], claim["apiVersion"]) == ("batch/v1", "v1", "v1")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    name = job["metadata"]["name"]
    assert spec["completionMode"] == "Indexed"  # the pods are NAME-0, NAME-1, ..., with JOB_COMPLETION_INDEX
    assert spec["completions"] == spec["parallelism"] == int(environment["NODES"])
    assert container["resources"]["limits"]["nvidia.com/gpu"] == environment["PROCESSES"]
    assert pod["restartPolicy"] == "Never"  # a failure policy is refused otherwise
    assert spec["podFailurePolicy"]["rules"][0]["action"] == "Ignore"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": name}  # the label of a job's pods
    assert pod["subdomain"] == service["metadata"]["name"]
    assert environment["FIRST"] == f"{name}-0.{pod['subdomain']}"
    assert [port["port"] for port in service["spec"]["ports"]] == [29500]
    assert int(environment["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]) < pod["terminationGracePeriodSeconds"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    assert volumes["work"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert all(isinstance(word, str) for word in [*container["command"], *container["args"], *environment.values()])


def start_pod(objects, index, run, port, output):
    """Start the command of a pod with its variables, for two nodes with one process each on this machine."""
    (container,) = objects["Job"]["spec"]["template"]["spec"]["containers"]
    script, word, *_ = container["args"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    variables |= {"PROCESSES": "1", "FIRST": "localhost", "JOB_COMPLETION_INDEX": str(index)}
    variables |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    variables |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [*container["command"], script.replace(":29500", f":{port}"), word, *OPTIONS, "--out", str(run)]
    return subprocess.Popen(argv, env={**os.environ, **variables}, stdout=output, stderr=output)


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1], ids=["the pod of the rendezvous", "another pod"])
def test_a_pod_that_is_evicted_is_replaced_and_the_job_ends_in_the_run_that_was_left_alone(
    tmp_path, objects, left_alone, index
):
    """Pods that fail are started again, as the job controller does, until each one ended with code 0."""
    run, port, started = tmp_path / "run", free_port(), 2
    with (tmp_path / "output.txt").open("a") as output:
        pods = {number: start_pod(objects, number, run, port, output) for number in range(2)}
        wait_until(lambda: steps(run), *pods.values())
        pods[index].terminate()
        while pods:
            for number, pod in list(pods.items()):
                if (code := pod.poll()) is not None:
                    del pods[number]
                    if code != 0:
                        pods[number], started = start_pod(objects, number, run, port, output), started + 1
                        assert started < 8, (tmp_path / "output.txt").read_text()[-4000:]
            time.sleep(0.1)
    assert "Stopped after step" in (tmp_path / "output.txt").read_text()
    assert kill.equal(left_alone, run)
