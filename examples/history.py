"""Seven methods, 2019 to 2024, trained on points, compared by the network evaluations that they need, and drawn.

    python examples/history.py

Six methods are the same core with a few settings changed. The seventh, consistency tuning, distils the model of EDM.
Each is sampled by its own sampler, with rising numbers of steps. Cost is counted in evaluations (passes) of the
network, since a step of Heun's method takes two and a level of Langevin's several. A run that was stopped is resumed.

Reached: 251 network evaluations for NCSN, 50 for DDPM, DDIM, Improved DDPM and rectified flow, 35 for EDM and 1 for
consistency tuning; five minutes on two cores. The picture is docs/images/history.png.
"""

import math
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba

import ancestral
from ancestral import data

STYLE = "ancestral.render.figures"
"""The figure style of the documentation."""
TEXT, LINE = "#7f7f7f", "#808080"
"""Its greys."""
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
"""Numbers of sampling steps that are tried, as fractions of the method's own."""
MAX_PASSES = 1000
"""Evaluations of the network above which no larger number of steps is tried: what DDPM takes."""
TOLERANCE = 1.5
"""A method has converged within this factor of its best distance: two sets of the data differ by about as much."""
PATHS, STATES, CLOUD = 30, 100, 2000
"""The numbers of paths, of states of a path, and of points of a cloud that are drawn."""


@dataclass(frozen=True)
class Method:
    """A method: its paper, its run, and how it is drawn.

    Args:
        title: The name.
        paper: Authors and year.
        run: The name of its run: a preset for points, or "consistency".
        predicts: What its network predicts.
        sampled: The name of its sampler.
        colour: The colour in the picture.
        sampler: The sampler, where it is another than that of the run.
    """

    title: str
    paper: str
    run: str
    predicts: str
    sampled: str
    colour: str
    sampler: str | None = None


EPS, F = r"the noise  $\varepsilon$", r"$F$, between $x_0$ and $\varepsilon$ by the noise"
SCORE, VELOCITY = r"the score  $\nabla\,\log\,p_t(x_t) = -\varepsilon/b$", r"the velocity  $\varepsilon - x_0$"
ROWS = (
    ("NCSN", "Song and Ermon 2019", "ncsn-points", SCORE, "annealed Langevin, {} × 5 steps", "#8f6bc2"),
    ("DDPM", "Ho, Jain and Abbeel 2020", "ddpm-points", EPS, "DDPM, {} steps", "#3b82c4"),
    # the model of DDPM, with another sampler
    ("DDIM", "Song, Meng and Ermon 2021", "ddpm-points", EPS, "DDIM, {} steps", "#9a8420", "ddim"),
    (
        "Improved DDPM",
        "Nichol and Dhariwal 2021",
        "improved-points",
        EPS,
        "DDPM, {} steps, learned variance",
        "#2f9e6e",
    ),
    ("EDM", "Karras et al. 2022", "edm-points", F, "Heun, {} steps", "#d9772b"),
    ("Rectified flow", "Liu, Gong and Liu 2022", "flow-points", VELOCITY, "Euler, {} steps", "#c2455f"),
    ("Consistency tuning", "Geng et al. 2024, starting from EDM", "consistency", F, "consistency, {} steps", "#17a2b8"),
)
NAMES = ("ncsn", "ddpm", "ddim", "improved", "edm", "flow", "consistency")
METHODS = {name: Method(*row) for name, row in zip(NAMES, ROWS, strict=True)}


def train(run, models, options):
    """Train or resume a run, and those that it starts from, unless it is among the models; return its model."""
    if run in models:
        return models[run]
    common = {"out": options.out / run, "resume": True, "seed": options.seed, "device": options.device}
    if options.steps is not None:
        common["steps"] = options.steps
    if run == "consistency":
        train("edm-points", models, options)
        stages = min(10, options.steps or 10)
        result = ancestral.distil(options.out / "edm-points", method="tuning", stages=stages, **common)
    else:
        result = ancestral.train(run, data=options.data, **common)
    models[run] = result.model
    return result.model


# -- measure ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """The distance of samples to the data for a number of sampling steps, and of network evaluations (passes)."""

    steps: int
    passes: int
    distance: float


@dataclass(frozen=True, eq=False)
class Sweep:
    """The distances for rising numbers of steps; the samples (N, 2), and states (S, PATHS, 2) on their way, by its own.

    Args:
        schedule: The schedule.
        points: The distances.
        own_steps: The number of steps of the method's own sampler.
        samples: The samples by this number.
        paths: States of the first samples, at one scale.
    """

    schedule: ancestral.schedules.Schedule
    points: list[Point]
    own_steps: int
    samples: torch.Tensor
    paths: torch.Tensor

    def needed(self, floor):
        """Return the fewest passes whose distance is within TOLERANCE of the best, or at most `floor`."""
        enough = max(TOLERANCE * min(point.distance for point in self.points), floor)
        return min((point for point in self.points if point.distance <= enough), key=lambda point: point.passes)


def sweep(model, name, reference, seed=0):
    """Sample as many points as the reference set (N, 2) has with each number of steps, and measure the distance to it.

    All numbers of steps start from the same x_T.
    """
    schedule, decode = model.denoiser.schedule, model.spec.codec.decode
    own = len(model.sampler(name).times(schedule)) - 1
    x_T, points = even_prior(schedule, len(reference), seed).to(model.device), []
    for steps in sorted({max(1, round(fraction * own)) for fraction in FRACTIONS}):
        if steps > schedule.steps:
            break
        sampler = model.sampler(name, steps=steps)
        passes = sampler.nfe(schedule)
        if steps > own and passes > MAX_PASSES:
            break
        kept = {round(i * steps / STATES) for i in range(STATES + 1)}
        states = []
        for step in sampler.trajectory(model.denoiser, x_T, seed=seed):
            if step.index in kept:
                states.append(one_scale(schedule, step.t, decode(step.x[:PATHS]).cpu()))
        samples = decode(step.x).cpu()
        points.append(Point(steps, passes, sliced_wasserstein(samples, reference)))
        if steps == own:
            own_samples, paths = samples, torch.stack(states)
    return Sweep(schedule, points, own, own_samples, paths)


def one_scale(schedule, t, x):
    """Return x_t/max(1, √(a_t² + b_t²)): the states of exploding schedules at the scale of the data."""
    return x / max(1.0, math.hypot(*schedule.at(t)))


def even_prior(schedule, count, seed):
    """Draw x_T (count, 2) from the prior by a scrambled Sobol sequence: deterministic samplers keep its evenness."""
    uniform = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed).draw(count, dtype=torch.float64)
    return (schedule.prior_std * torch.special.ndtri(uniform.clamp(1e-9, 1 - 1e-9))).float()


def sliced_wasserstein(points, others, directions=64):
    """Return the sliced Wasserstein-2 distance of two clouds (N, 2), over evenly spaced directions."""
    angles = torch.arange(directions, dtype=torch.float64) * math.pi / directions
    rays = torch.stack([angles.cos(), angles.sin()])
    one, other = ((cloud.double() @ rays).sort(0).values for cloud in (points, others))
    return (one - other).square().mean().sqrt().item()


def data_floor(points, reference):
    """Return the distance of the data to itself, the smallest that can be expected of samples.

    It is the mean distance of disjoint sets of N training points to a reference set (N, 2) of held-out points.
    """
    clouds = points[: len(points) // len(reference) * len(reference)].reshape(-1, *reference.shape)
    return sum(sliced_wasserstein(cloud, reference) for cloud in clouds) / len(clouds)


# -- draw -------------------------------------------------------------------------------------------------------------

CURVE_TEXT = """$x_t = a_t\\,x_0 + b_t\\,\\varepsilon$

dashed:  $a_t$, the signal
solid:  $b_t$, the noise

over $t/T$, from data to noise;
logarithmic above 1"""
PATHS_TEXT = f"""{PATHS} paths by the method's own
sampler, from $x_T$ (ring) to the
sample (dot), over the data.

Where noise is added to a signal
of constant scale (NCSN, EDM),
$x_t$ is divided by $(a^2 + b^2)^{{1/2}}$
to fit into the plot."""
TITLES = ("", "noise curve", "from noise to sample", "samples", "distance to the data, over passes of the network")


def draw(sweeps, floor, held_out, source):
    """Draw a row for the data, then one for each method."""
    rows = 1 + len(sweeps)
    height = 182 + 240 * rows
    figure, grid = plt.subplots(
        rows,
        5,
        figsize=(16, height / 100),
        squeeze=False,
        width_ratios=(285, 208, 216, 216, 470),
        gridspec_kw={"left": 0.015, "right": 0.985, "top": 1 - 138 / height, "bottom": 78 / height,
                     "wspace": 0.14, "hspace": 0.25},
    )  # fmt: skip
    write(grid[0, 0], 0, -84, "A history of denoising diffusion", size=21, weight="bold")
    subtitle = "Every row is the same core with a few settings changed, and the same small network."
    write(grid[0, 0], 0, -56, subtitle, size=11)
    for axes, title in zip(grid[0], TITLES, strict=True):
        axes.set_title(title, loc="left", fontsize=11.5, weight="bold", pad=12)
    write(grid[0, 0], 0, -23, "The data", size=16, weight="bold")
    write(grid[0, 0], 0, 0, f"{len(held_out):,} points of {source}\nthat no method was trained on", size=10.5)
    for axes, text in zip(grid[0, :3], ("", CURVE_TEXT, PATHS_TEXT), strict=True):
        axes.set_axis_off()
        write(axes, 0, 0, text, size=10)
    draw_cloud(grid[0, 3], held_out, TEXT)
    draw_costs(grid[0, 4], sweeps, floor)
    for row, (name, found) in zip(grid[1:], sweeps.items(), strict=True):
        row[0].plot([0, 5.442], [1.09, 1.09], transform=row[0].transAxes, color=LINE, alpha=0.4, linewidth=0.8,
                    clip_on=False)  # fmt: skip
        describe(row[0], METHODS[name], found, floor)
        draw_schedule(row[1], found.schedule, METHODS[name].colour)
        draw_paths(row[2], found.paths.double(), held_out, METHODS[name].colour)
        draw_cloud(row[3], found.samples, METHODS[name].colour)
        draw_costs(row[4], sweeps, floor, name)
    foot = (
        f"Ring: the fewest passes within {TOLERANCE} times the method's best distance, or as near as the data "
        f"is to itself (dotted). Distance: sliced Wasserstein-2, {len(held_out):,} samples to as many held-out points."
    )
    figure.text(0.015, 12 / height, foot, size=9.5)
    return figure


def describe(axes, method, found, floor):
    """What the method is."""
    axes.set_axis_off()
    write(axes, 0, 0, method.title, size=16, weight="bold", color=method.colour)
    write(axes, 0, 20, method.paper, size=10.5)
    spec = found.schedule.spec
    sigmas = ", σ {sigma_min:g} to {sigma_max:g}".format_map(spec) if "sigma_max" in spec else ""
    rows = {
        "predicts": method.predicts,
        "schedule": f"{spec['name']}{sigmas}",
        "sampler": method.sampled.format(found.own_steps),
    }
    for number, (key, value) in enumerate(rows.items()):
        write(axes, 0, 42 + 17 * number, key, size=9.5)
        write(axes, 49, 42 + 17 * number, value, size=9.5)
    passes = found.needed(floor).passes
    write(axes, 0, 96, f"needs {passes} pass{'es' if passes > 1 else ''}", size=12, weight="bold")


def draw_schedule(axes, schedule, colour):
    """a_t and b_t, linear up to 1 and logarithmic above, so that all schedules share an axis."""
    u = [t / schedule.steps for t in range(schedule.steps + 1)]
    axes.axhline(1, color=LINE, alpha=0.4, linewidth=1, zorder=0)
    axes.plot(u, schedule.signal.tolist(), color=colour, linewidth=1.6, dashes=(4, 2))
    axes.plot(u, schedule.noise.tolist(), color=colour, linewidth=2)
    axes.set_yscale("symlog", linthresh=1, linscale=1.6)
    axes.set(xlim=(0, 1), ylim=(0, 130))
    axes.set_xticks([0, 0.5, 1], ["0", "t/T", "1"])
    axes.set_yticks([0, 0.5, 1, 10, 100], ["0", "½", "1", "10", "100"])
    frame(axes)


def draw_paths(axes, paths, held_out, colour):
    """Lines that darken from x_T to the sample, over the data."""
    axes.scatter(*held_out[:CLOUD].double().T, s=6, color=LINE, linewidths=0, alpha=0.3, zorder=1)
    count = len(paths) - 1
    faint = min(0.6, 2 / float(paths.diff(dim=0).norm(dim=2).sum(0).mean()))  # long random walks would fill the plot
    shades = [to_rgba(colour, faint + (0.8 - faint) * (i / count) ** 3) for i in range(count)]
    for path in paths.transpose(0, 1):
        lines = torch.stack([path[:-1], path[1:]], dim=1)
        axes.add_collection(LineCollection(lines.tolist(), colors=shades, linewidths=0.8, zorder=2))
    axes.scatter(*paths[0].T, s=10, facecolors="none", edgecolors=colour, linewidths=0.9, zorder=3)
    axes.scatter(*paths[-1].T, s=18, color=TEXT, linewidths=0, zorder=4)
    axes.set(xlim=(-2.9, 2.9), ylim=(-2.46, 2.46), xticks=[], yticks=[])
    frame(axes)


def draw_cloud(axes, cloud, colour):
    """The first points of a cloud."""
    axes.scatter(*cloud[:CLOUD].double().T, s=4, color=colour, linewidths=0, alpha=0.55)
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.21, 1.21), xticks=[], yticks=[])
    frame(axes)


def draw_costs(axes, sweeps, floor, name=None):
    """Distance over passes: of one method before the others in grey, or of all in their colours."""
    axes.axhline(floor, color=TEXT, linewidth=1, dashes=(2, 2), zorder=1)
    for place, (other, found) in enumerate(sweeps.items()):
        shown = name in (None, other)
        colour, marker = METHODS[other].colour if shown else LINE, "o" if other == name else ""
        axes.plot([p.passes for p in found.points], [p.distance for p in found.points], color=colour,
                  alpha=1 if shown else 0.3,
                  linewidth=1.8 if shown else 1.2, marker=marker, markersize=4, zorder=3 if shown else 0)  # fmt: skip
        if name is None:
            axes.text(0.985, 0.97 - 0.08 * place, METHODS[other].title, transform=axes.transAxes, fontsize=9.5,
                      color=colour, ha="right", va="top")  # fmt: skip
    if name is None:
        axes.text(1.1, floor * 0.93, "the data itself", fontsize=9, color=TEXT, va="top")
    else:
        needed, colour = sweeps[name].needed(floor), METHODS[name].colour
        axes.plot(needed.passes, needed.distance, marker="o", markersize=10, markerfacecolor="none",
                  markeredgecolor=colour, markeredgewidth=1.6, zorder=4)  # fmt: skip
        axes.annotate(str(needed.passes), (needed.passes, needed.distance), (0, 11), textcoords="offset points",
                      ha="center", fontsize=10.5, weight="bold", color=colour)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(0.9, 1.25 * MAX_PASSES), ylim=(0.006, 1.3))
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    frame(axes)


def frame(axes):
    """A thin frame, without a grid."""
    axes.minorticks_off()
    axes.grid(False)
    axes.tick_params(labelsize=8.5, length=3)
    axes.spines[:].set(color=LINE, alpha=0.6, linewidth=0.8, visible=True)


def write(axes, x, y, text, **style):
    """Text at (x, y) points right of and below the top left corner of axes."""
    axes.annotate(text, (0, 1), (x, -y), xycoords="axes fraction", textcoords="offset points", va="top",
                  annotation_clip=False, linespacing=1.5, **style)  # fmt: skip


def main(words=None):
    """Train, measure and draw."""
    parser = ArgumentParser()
    parser.add_argument("--out", type=Path, default="runs/history", help="the folder of the runs and of history.png")
    parser.add_argument("--data", choices=("moons", "swissroll", "checkerboard"), default="moons")
    parser.add_argument("--steps", type=int, help="training steps of each run in the place of its own number")
    parser.add_argument(
        "--samples", type=int, default=5000, help="samples, and held-out points that they are compared with"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args(words)

    models = {}
    for name in options.methods:
        train(METHODS[name].run, models, options)
    held_out = data.load(options.data, split="test").items[: options.samples]
    floor = data_floor(data.load(options.data).items, held_out)
    sweeps = {}
    for name in options.methods:
        method = METHODS[name]
        sweeps[name] = sweep(models[method.run], method.sampler, held_out, options.seed)
        needed = sweeps[name].needed(floor)
        print(f"{method.title:18} needs {needed.passes:4} network evaluations (distance {needed.distance:.4f})")
    print(f"The distance of the data to itself is {floor:.4f}.")
    with plt.style.context(STYLE):
        draw(sweeps, floor, held_out, options.data).savefig(options.out / "history.png", dpi=100)
    print(options.out / "history.png")


if __name__ == "__main__":
    main()
