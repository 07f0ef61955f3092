"""Scores of forecasts by lead time: samples that roll out from states of the data, beside persistence and climatology.

The starts are evenly chosen, and no two forecasts have a state in common. Errors are those of blocks of starts.
"""

from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.events import Event
from ancestral.base.options import option
from ancestral.conditions import LABEL, rolling
from ancestral.data.dataset import evenly_spaced
from ancestral.measure.conditional_samples import EnsembleEvaluation, encoded_items, in_units, skill, value_roots
from ancestral.metrics import baselines, ensembles, uncertainty
from ancestral.model.process import made
from ancestral.results.evaluation_result import LeadScores


def lead_scores(
    ensemble: EnsembleEvaluation, states: int, batch_size: int
) -> Generator[Event, None, tuple[LeadScores, ...]]:
    """Roll out samples from items in a row, and score each state.

    Args:
        ensemble: The evaluation, of which the items, the number of starts and of members are taken.
        states: The number of states in time.
        batch_size: The number of samples in a batch.

    Returns:
        The scores of each state, the first one first.

    Raises:
        InputError: If fewer than two rows of this number of items follow one another.
    """
    evaluation, items, members = ensemble.evaluation, ensemble.items, ensemble.members
    model, spec = evaluation.model, evaluation.model.spec
    name, kind = rolling(spec.further, states)
    rows = _rows(items.items, items.conditions[name][:, : spec.shape[0]], states, len(ensemble.chosen))
    first = rows[:, 0]
    given = {one: values[first] for one, values in items.conditions.items()}
    if items.labels is not None:
        given[LABEL] = items.labels[first]
    process = model.process(evaluation.request.replace(n=members * len(rows), rollout=states, given=given))
    samples = (yield from made(process, batch_size)).samples.view(members, len(rows), states, *spec.shape)
    newest = items.conditions[name][first, : spec.shape[0]][:, None]
    random = ensemble.rest[baselines.random_items(len(rows), members, len(ensemble.rest))]
    climate = evaluation.references.train.items[random]
    scores = list[LeadScores]()
    for state in range(states):
        truth, ensemble_of = items.items[rows[:, state]], samples[:, :, state].transpose(0, 1)
        roots = value_roots(spec, model.config.data.weights, truth)
        x, still, usual = (encoded_items(spec, roots, part) for part in (ensemble_of, newest, climate))
        y = encoded_items(spec, roots, truth[:, None])[:, 0]
        values, true_values = in_units(spec, x, roots), in_units(spec, y, roots)
        own, of_still, of_usual = (ensembles.energy_scores(part, y) for part in (x, still, usual))
        scores.append(
            LeadScores(
                lead=state + 1,
                hours=kind.hours * (state + 1) or None,
                starts=len(rows),
                energy=uncertainty.mean(own, ordered=True),
                ratio=ensembles.calibration(x, y, ordered=True).ratio,
                crps=ensembles.channel_crps(values, true_values, ordered=True),
                persistence=skill(own, of_still, ordered=True),
                climatology=skill(own, of_usual, ordered=True),
            )
        )
    return tuple(scores)


def _rows(items: Tensor, before: Tensor, states: int, most: int) -> Tensor:
    """The places (N, states) of items that follow one another, none in two rows: each begins the next one's states.

    Args:
        items: The items (M, C, *space).
        before: The newest state before each of them.
        states: The number of items in a row.
        most: The largest number of rows.

    Raises:
        InputError: If there are less than two.
    """
    flat, last = items.flatten(1).nan_to_num(), before.flatten(1)
    known = ~last.isnan().all(1)
    last = last.nan_to_num()
    stride = next((k for k in range(1, len(flat)) if known[k] and torch.equal(last[k], flat[0])), 1)
    follows = torch.zeros(len(flat), dtype=torch.bool)
    follows[stride:] = known[stride:] & (last[stride:] == flat[:-stride]).all(1)
    rows = torch.tensor(list(_chains(follows.tolist(), known.tolist(), states, stride)))
    if len(rows) < 2:
        raise InputError(
            f"{option('rollout', states)} needs two rows of {states} items in time that were held out: hold out more "
            f"({option('validation', 0.2)}, the last of the times), or roll out fewer"
        )
    return rows[torch.tensor(evenly_spaced(min(most, len(rows)), len(rows)))]


def _chains(follows: list[bool], known: list[bool], states: int, stride: int) -> Iterator[list[int]]:
    """Rows of items that follow one another, as many as have none in common."""
    taken = set[int]()
    for start in range(len(follows)):
        row = [start + stride * state for state in range(states)]
        if row[-1] < len(follows) and known[start] and taken.isdisjoint(row) and all(follows[one] for one in row[1:]):
            taken.update(row)
            yield row
