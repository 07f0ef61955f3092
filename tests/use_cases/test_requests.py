"""Words of a command and arguments in Python become the same request, which decides all that is sampled."""

import shlex

import pytest

from ancestral.config.request import Request
from ancestral.faces import functions, words
from ancestral.faces.command import COMMANDS
from ancestral.faces.help_text import options_of
from ancestral.use_cases.sampling import requests

SETTINGS = {
    "": {},
    "-n 4 --steps 3": {"n": 4, "steps": 3},
    "--label horizontal none --seed 5": {"label": ("horizontal", "none"), "seed": 5},
    "--label 1": {"label": ("1",)},
    "--index 7 3 --sampler heun:churn=10,steps=4": {"index": (7, 3), "sampler": "heun:churn=10,steps=4"},
    "--guidance 2": {"guidance": 2.0},
    "--guidance label=2 low=1.5": {"guidance": {"label": 2.0, "low": 1.5}},
    "--guidance 2 --guidance-interval 0.5 2 --guidance-rescale 0.3": {
        "guidance": 2.0,
        "guidance_interval": (0.5, 2.0),
        "guidance_rescale": 0.3,
    },
    "--given low=a.png --given angle=30 --given angle=40": {"given": {"low": "a.png", "angle": ["30", "40"]}},
}
SAMPLE_ALONE = {
    "--sampler dpm-sde --eta 0.5": {"sampler": "dpm-sde", "eta": 0.5},
    "--sampler ddpm --variance small": {"sampler": "ddpm", "variance": "small"},
}
"""Options that `edit` does not have."""
COMMANDS_AND_SETTINGS = [("sample run", row) for row in SETTINGS | SAMPLE_ALONE] + [
    ("edit run vary", row) for row in SETTINGS
]


@pytest.mark.parametrize(("command", "options"), COMMANDS_AND_SETTINGS)
def test_words_and_arguments_are_the_same_request(command, options):
    verb, *places = command.split()
    settings = (SETTINGS | SAMPLE_ALONE)[options]
    kind = COMMANDS[verb].declaration
    by_words = kind(**words.read([*places, *shlex.split(options)], options_of(COMMANDS[verb]), verb))
    by_arguments = functions.read(kind, tuple(places), settings)
    further = {name: settings.get(name) for name in ("eta", "variance")}
    names = {"index": "indices"}
    expected = Request.of(**{names.get(name, name): value for name, value in settings.items() if name not in further})
    for request in map(requests.of_options, (by_words, by_arguments)):
        assert request == expected
        assert request.objects.given == expected.objects.given
        assert {name: request.objects.sampler_options.get(name) for name in further} == further
