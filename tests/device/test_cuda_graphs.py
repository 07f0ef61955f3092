"""Training with `--compile reduce-overhead`: results of a CUDA graph are overwritten by its next run."""

import dataclasses

import pytest
import torch
from torch import nn

from accelerator import NAME
from ancestral.training import Trainer
from tiny_models import conditional_stripes, stripes, tiny_config


def pretended_graphs(monkeypatch):
    """Networks whose results, and gradients of weights, become NaN as soon as the next run may overwrite them."""
    memory, compiled = [], []

    def compile_(net, **settings):
        compiled.append(settings)
        forward = net.forward

        def run(*args, **kwargs):
            out = forward(*args, **kwargs)
            memory.append(out.detach())
            return out

        net.forward = run
        for parameter in net.parameters():
            parameter.register_hook(lambda gradient: memory.append(gradient.detach()))

    def begin():
        for tensor in memory:
            tensor.fill_(torch.nan)
        memory.clear()

    monkeypatch.setattr(nn.Module, "compile", compile_)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", begin)
    return compiled


def trainer(device, data, **runtime):
    config = tiny_config(steps=100, precision="fp32", condition_dropout=0.3)
    runtime = dataclasses.replace(config.runtime, log_every=2, **runtime)
    return Trainer(dataclasses.replace(config, runtime=runtime), data, device)


@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("data", [stripes, conditional_stripes])
def test_training_with_cuda_graphs_gives_the_same_weights(data, micro_batch, device, close, monkeypatch):
    plain = trainer(device, data(), micro_batch=micro_batch)
    compiled = pretended_graphs(monkeypatch) if device == NAME else None
    graphs = trainer(device, data(), micro_batch=micro_batch, compile="reduce-overhead")
    assert compiled in (None, [{"dynamic": False, "mode": "reduce-overhead"}])
    losses = []
    for each in (plain, graphs):
        losses.append([])
        for _ in range(2):
            each.take_step()
            each.take_step()
            losses[-1].append(each.read_steps().losses)
        each.dry_run()
        each.dry_run(1)
    assert close(torch.stack(losses[1]), torch.stack(losses[0]), rtol=1e-6)
    tensors, truth = graphs.state.tensors(), plain.state.tensors()
    assert tensors.keys() == truth.keys()
    assert all(close(tensors[name], truth[name], rtol=1e-6) for name in truth)


def test_a_step_with_cuda_graphs_does_not_wait(waits, monkeypatch):
    pretended_graphs(monkeypatch)
    made = trainer(NAME, stripes(), compile="reduce-overhead", micro_batch=3)
    made.advance()
    waits.clear()
    made.take_step()
    assert not waits
