"""Importing the package, training and sampling change nothing for other parts of a program.

Processes compare the state of the process, and of packages that users have beside this one, before and after.
"""

import decimal
import gc
import importlib
import importlib.util
import json
import locale
import logging
import os
import pkgutil
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import warnings

import pytest

WITHOUT_TORCH = ("ancestral", "ancestral.config", "ancestral.declarations", "ancestral.results")
DEPENDENCIES = (
    *("torch", "numpy", "safetensors", "PIL.Image", "matplotlib.figure", "jinja2", "psutil"),
    "torch._inductor.config",  # which PyTorch's optimisers import for a part
)
"""What the package needs, imported before states are compared. (Rich is not: it draws a random number.)"""
HEAVY = (
    *("setuptools", "distutils.core", "torch._inductor.compile_fx", "torch.utils.cpp_extension"),
    *("matplotlib.pyplot", "scipy.stats", "jax"),
)
"""What users import beside it, where it is there."""


class PipFinder:
    """As setuptools' own: it turns its distutils off where pip is looked for, so that `import setuptools` raises."""

    asked = False

    def find_spec(self, name, path=None, target=None):
        PipFinder.asked |= name == "pip"


def name(value):
    """The name of a class or a function, or that of the class of an object."""
    return getattr(value, "__qualname__", type(value).__qualname__)


def process_state():
    """What all parts of a process share, as JSON."""
    state = {
        "sys.path": [*sys.path],
        "finders of modules": [list(map(name, sys.meta_path)), list(map(name, sys.path_hooks)), PipFinder.asked],
        "hooks": list(map(name, (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook))),
        "tracing": [str(sys.gettrace()), str(sys.getprofile())],
        "streams": [stream.name for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "warnings": [*map(str, warnings.filters), name(warnings.showwarning)],
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "locale": locale.setlocale(locale.LC_ALL),
        "environment": dict(os.environ),
        "working folder": os.getcwd(),  # noqa: PTH109 (as it is)
        "limits": [sys.getrecursionlimit(), sys.get_int_max_str_digits(), gc.isenabled(), *gc.get_threshold()],
        "logging": [logging.root.level, list(map(name, logging.root.handlers)), logging.root.manager.disable],
        "decimal": [str(decimal.getcontext()), str(decimal.DefaultContext)],
        "random": random.getstate()[1],
    }
    for package, function in {"torch": torch_state, "numpy": numpy_state, "matplotlib": matplotlib_state}.items():
        if package in sys.modules:
            state |= function(sys.modules[package])
    if "PIL" in sys.modules:
        image = importlib.import_module("PIL.Image")
        truncated = importlib.import_module("PIL.ImageFile").LOAD_TRUNCATED_IMAGES
        state["Pillow"] = [sorted(image.OPEN), sorted(image.SAVE), image.EXTENSION, image.MAX_IMAGE_PIXELS, truncated]
    return state


def torch_state(torch):
    modules = torch.nn.modules.module
    return {
        "torch threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "torch dtype and device": [str(torch.get_default_dtype()), str(torch.get_default_device())],
        "torch random": [torch.get_rng_state().tolist(), torch.initial_seed()],
        "torch modes": [
            *(torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
            *(torch.get_deterministic_debug_mode(), torch.is_warn_always_enabled(), torch.is_autocast_enabled("cpu")),
        ],
        "torch precision": [
            *(torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark),
            *(torch.backends.cudnn.deterministic, torch.backends.mkldnn.enabled, torch.tensor(1e-40).mul(1).item()),
        ],
        "torch processes": torch.multiprocessing.get_sharing_strategy(),
        "torch printing": str(torch._tensor_str.PRINT_OPTS),
        "torch pickles": sorted(map(str, torch.serialization.get_safe_globals())),
        "torch hooks": [len(modules._global_forward_hooks), len(modules._global_forward_pre_hooks)],
        "torch.compile": [
            {key: str(value) for key, value in config.get_config_copy().items()}
            for config in (torch._dynamo.config, torch._inductor.config)
        ],
    }


def numpy_state(numpy):
    printing = {key: str(value) for key, value in numpy.get_printoptions().items()}
    return {"numpy": [str(numpy.random.get_state()), numpy.geterr(), printing]}


def matplotlib_state(matplotlib):
    settings = {key: str(value) for key, value in dict.items(matplotlib.rcParams)}  # chooses no backend
    return {"matplotlib": [settings, sorted(matplotlib.colormaps), len(matplotlib.font_manager.fontManager.ttflist)]}


def changes(before, after):
    return {key: [before.get(key), value] for key, value in after.items() if before.get(key) != value}


def use(folder):
    """Import all modules of the package and its public names, train and sample."""
    import ancestral

    for module in pkgutil.walk_packages(ancestral.__path__, "ancestral."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for public in ancestral.__all__:
        getattr(ancestral, public)
    ancestral.train("points", steps=2, batch_size=8, width=16, trackers="none", progress=False, out=f"{folder}/run")
    assert ancestral.load(f"{folder}/run").sample(2, seed=0, steps=2).shape == (2, 2)


def main(task):
    """Write as JSON what `task` changes, and the state when heavy packages were imported behind it."""
    random.seed(0)  # so that the states of two processes are equal
    sys.meta_path.insert(0, PipFinder())
    if task == "without torch":
        before = process_state()
        list(map(importlib.import_module, WITHOUT_TORCH))
        from ancestral.base import errors

        errors.shutil.which = lambda name: None  # as in an environment that is not on the PATH
        assert "pip" in errors.pip_install()
        changed = changes(before, process_state())
        assert "torch" not in sys.modules
        for package in filter(importlib.util.find_spec, ("setuptools",)):
            importlib.import_module(package)
        return changed
    list(map(importlib.import_module, DEPENDENCIES))
    sys.modules["torch"].manual_seed(0)
    sys.modules["numpy"].random.seed(0)
    sys.modules["PIL.Image"].init()  # registers Pillow's own plug-ins
    before = process_state()
    if task == "used":
        with tempfile.TemporaryDirectory() as folder:
            use(folder)
    changed = changes(before, process_state())
    for package in HEAVY:
        if importlib.util.find_spec(package.partition(".")[0]) is not None:
            importlib.import_module(package)
    state = process_state() | {"distutils": getattr(sys.modules.get("distutils"), "__file__", None)}
    return changed, state


def run(task):
    command = [sys.executable, "-W", "ignore", __file__, task]
    variables = os.environ | {"PYTHONHASHSEED": "0"}  # sets have one order
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250, env=variables)
    assert done.returncode == 0, done.stderr
    return json.loads(re.sub(r" at 0x[0-9a-f]+", "", done.stdout.splitlines()[-1]))


def test_importing_what_needs_no_torch_changes_nothing():
    assert run("without torch") == {}


@pytest.mark.long
def test_importing_training_and_sampling_change_nothing():
    """And packages that are imported afterwards are what they are without this package."""
    changed, state = run("used")
    assert changed == {}
    assert changes(run("not used")[1], state) == {}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
