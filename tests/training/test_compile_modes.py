"""The modes of `--compile`: what is compiled, and what a run with CUDA graphs cannot have."""

import dataclasses
import json

import pytest
import torch

from ancestral import config as configs
from ancestral.training import Trainer
from tiny_models import stripes, tiny_config


def with_runtime(**runtime):
    config = tiny_config()
    return dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, **runtime))


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
@pytest.mark.long
def test_cuda_graphs_are_of_the_whole_network(mode):
    net = Trainer(with_runtime(compile=mode), stripes(), "cpu").state.net
    assert [name for name, module in net.named_modules() if module._compiled_call_impl is not None] == [""]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_on_a_cpu_the_mode_trains_to_the_same_numbers():
    losses = []
    for mode in (False, "reduce-overhead"):
        config = with_runtime(compile=mode)
        net = dataclasses.replace(config.net, mults=(1,), blocks=1, attention=())  # compiles in a minute
        trainer = Trainer(dataclasses.replace(config, net=net), stripes(), "cpu")
        losses.append(torch.stack([trainer.advance().losses for _ in range(3)]))
    assert torch.allclose(*losses, rtol=0.02, atol=1e-3)  # bfloat16 where it is native
    assert not torch.equal(losses[0][0], losses[0][1])


@pytest.mark.parametrize(("value", "graphs"), [(False, False), (True, False), ("reduce-overhead", True)])
def test_a_config_holds_the_mode(value, graphs):
    config = with_runtime(compile=value)
    tree = json.loads(config.to_json())
    assert tree["runtime"]["compile"] == value
    again = configs.Config.from_json(json.dumps(tree))
    assert (again.runtime.compile, again.runtime.cuda_graphs) == (value, graphs)
    assert again.identity() == tiny_config().identity()
    assert tiny_config().with_settings(compile=value).runtime.compile == value


def test_fewer_items_than_a_step_has_are_not_compiled_for(monkeypatch):
    """Their memory is measured on networks as they are: each number of items would be compiled for."""
    stances, trainer = [], Trainer(with_runtime(compile=True), stripes(), "cpu")
    monkeypatch.setattr(
        trainer.gradients, "_in_parts", lambda *_: stances.append(torch._dynamo.eval_frame._stance.stance)
    )
    trainer.dry_run(1)
    trainer.dry_run()
    assert stances == ["force_eager", "default"]
