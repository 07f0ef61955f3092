"""Options by their names in other programs, and what to say of them."""

from collections.abc import Sequence

SYNONYMS = {
    "--device cuda": ("gpu", "cuda", "use-gpu"),
    "--device cpu": ("cpu", "no-gpu", "no-cuda"),
    "--image-size": ("resolution", "res", "size", "img-size", "height", "side"),
    "--label": ("class", "class-label", "category", "digit"),
    "--guidance": ("cfg", "cfg-scale", "guidance-scale"),
    "--steps": ("num-steps", "max-steps", "train-steps", "iterations", "iters", "num-inference-steps"),
    "--lr": ("learning-rate",),
    "--batch-size": ("batch", "bs", "train-batch-size"),
    "--data": ("dataset", "data-dir", "train-data-dir", "input", "folder", "images", "path"),
    "--out": ("output", "output-dir", "outdir", "save-dir", "dir", "name"),
    "--to": ("format",),
    "-n": ("num", "num-samples", "num-images", "count", "number"),
    "--seed": ("random-seed", "rng"),
    "--timesteps": ("noise-steps", "num-train-timesteps", "diffusion-steps"),
    "--width": ("channels-base", "base-channels", "model-channels", "dim", "hidden-size"),
    "--mults": ("dim-mults", "channel-mults", "channel-mult"),
    "--target": ("prediction-type", "parameterization", "predict"),
    "--schedule": ("noise-schedule", "beta-schedule"),
    "--ema": ("ema-decay",),
    "--micro-batch": ("gradient-accumulation-steps", "accumulate", "grad-accum"),
    "--clip-norm": ("grad-clip", "max-grad-norm"),
    "--precision": ("fp16", "bf16", "half", "amp", "mixed-precision", "dtype"),
    "--workers": ("num-workers",),
    "--channels 1": ("grayscale", "greyscale", "gray", "grey"),
    "--channels 4": ("rgba", "alpha", "transparency", "transparent"),
    "--flip": ("augment", "augmentation", "hflip", "horizontal-flip", "random-flip", "mirror"),
    "--from": ("pretrained", "checkpoint", "init", "weights", "finetune"),
}
"""Options by their names in other programs."""
ABSENT = {
    "no model here reads text: ancestral sample chooses a class of the data by --label": (
        *("prompt", "text", "negative-prompt", "caption"),
    ),
    "images have the size that the model was trained on (ancestral train --image-size)": SYNONYMS["--image-size"],
    "training counts steps, batches of --batch-size items: --steps": ("epochs", "num-epochs", "epoch"),
    "several GPUs are started by torchrun: torchrun --nproc_per_node 2 -m ancestral train ...": (
        *("gpus", "num-gpus", "devices"),
    ),
    "--attention without a number leaves self-attention out": ("no-attention", "no-attn"),
    "name the run folder or the model file without an option": (
        *("model", "run", "ckpt", "checkpoint", "weights", "path"),
    ),
}
"""What to say of options of other programs that no option here answers, where SYNONYMS has none either."""


def hint_for(name: str, option_names: Sequence[str]) -> str:
    """Say what an option of other programs is here, or ""."""
    word = name.lstrip("-").replace("_", "-")
    for option, names in SYNONYMS.items():
        if word in names and option.partition(" ")[0] in option_names:
            return f"did you mean {option}?"
    return next((text for text, names in ABSENT.items() if word in names), "")
