"""Written by `python docs/hooks/stub.py`; a test compares it."""

from ancestral import bound as bound
from ancestral import conditions as conditions
from ancestral import config as config
from ancestral import data as data
from ancestral import errors as errors
from ancestral import guidance as guidance
from ancestral import interop as interop
from ancestral import metrics as metrics
from ancestral import nets as nets
from ancestral import objectives as objectives
from ancestral import operators as operators
from ancestral import oracle as oracle
from ancestral import probability_flow as probability_flow
from ancestral import randomness as randomness
from ancestral import results as results
from ancestral import reverse as reverse
from ancestral import samplers as samplers
from ancestral import schedules as schedules
from ancestral import targets as targets
from ancestral.config import Config as Config
from ancestral.config.request import Request as Request
from ancestral.diffusion import Diffusion as Diffusion
from ancestral.errors import InputError as InputError
from ancestral.faces.python import average as average
from ancestral.faces.python import compare as compare
from ancestral.faces.python import distil as distil
from ancestral.faces.python import edit as edit
from ancestral.faces.python import evaluate as evaluate
from ancestral.faces.python import evaluate_samples as evaluate_samples
from ancestral.faces.python import export as export
from ancestral.faces.python import import_pipeline as import_pipeline
from ancestral.faces.python import info as info
from ancestral.faces.python import inspect as inspect
from ancestral.faces.python import push as push
from ancestral.faces.python import runs as runs
from ancestral.faces.python import sample as sample
from ancestral.faces.python import studio as studio
from ancestral.faces.python import train as train
from ancestral.faces.python import train_steps as train_steps
from ancestral.model import Model as Model
from ancestral.model import load as load
from ancestral.targets import Prediction as Prediction
from ancestral.training.snapshot_models import load_snapshot as load_snapshot

__version__: str
