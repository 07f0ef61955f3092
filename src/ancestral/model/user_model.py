"""A trained model with its ways to sample and to edit."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ancestral.base import storage
from ancestral.base.events import warn
from ancestral.base.registries import MaskPart
from ancestral.config.request import EditRequest, Request
from ancestral.covariance import Covariance
from ancestral.model import editing
from ancestral.model.autoencoders import autoencoder_tensors
from ancestral.model.metadata import metadata_of
from ancestral.model.request_model import RequestModel
from ancestral.operators import Operator


class Model(RequestModel):
    """A denoiser that can be sampled from, and that edits items of the kind that it knows.

    The arguments are those of `SamplingModel`.
    """

    def restore(
        self,
        y: Any,
        operator: Operator | str | None = None,
        noise: float = 0.0,
        n: int | None = None,
        method: str | editing.OwnMethod = "auto",
        covariance: Covariance | None = None,
        iterations: int | None = None,
        **options: Any,
    ) -> editing.Edited:
        """Sample items that fit a measurement y = A x_0 + σ n.

        Args:
            y: What A makes of an item, or of several; sample i fits measurement i modulo their number. Floats are those
                of items in [-1, 1]; integers, Pillow images and files are in the units of the data.
            operator: A: an operator, or a text as of `given` in training, such as "upscale:4+noise:0.05"; None is the
                identity, of items that have noise alone. One that is not linear is for "dps", which "auto" then takes,
                and for a method of your own; y is then floats, as it makes them of items in [-1, 1].
            noise: σ, the standard deviation of the noise of y, in units of [-1, 1]. At 0 the samples agree with y
                exactly, unless the inverse of A would enlarge the rounding of y, or y is not what A makes of the data:
                then the noise of the rounding is taken, or the least that explains y.
            n: The number of samples; None is 4 for each measurement.
            method: A name of `registries.RESTORATIONS`. "auto" takes a condition that the model was trained with, if
                one says the measurement, else the method that was best in the study of methods. Or a method of your
                own: a function of (denoiser, y, operator, noise) that returns a denoiser whose samples fit y.
            covariance: The covariance of the data, for "jfps" and "pigdm"; None computes it of the items that
                the model was trained on.
            iterations: The number of iterations of "pigdm", "mmps" and "jfps"; None is the default of each.
            options: The settings of `Request.of`: sampler, steps, seed, indices, label, given, guidance and its further
                options; batch_size and decode, as of `make`; `window`, the part of a larger image that is edited, (x,
                y, width, height) in pixels, outside of which it stays as it is; and `soften`, the number of pixels
                inside the edge of the window over which the samples pass into the image.

        Returns:
            The samples, as of `sample`, with the `method`, the `reason` why it was taken, and `deviation`, the map of
            their standard deviation.

        Raises:
            InputError: If the model cannot do this.
        """
        options |= {"method": method, "covariance": covariance, "iterations": iterations}
        return self._fitted(EditRequest("restore", noise=noise), {"image": y, "operator": operator}, n, options)

    def inpaint(
        self,
        image: Any,
        mask: Any = None,
        n: int | None = None,
        noise: float = 0.0,
        changes: MaskPart | None = None,
        soften: float = 0.0,
        **options: Any,
    ) -> editing.Edited:
        """Sample a part of an image anew.

        Args:
            image: The image, in any form of `y` of `restore`.
            mask: The part that changes: a path, a Pillow image, an array or a tensor, white or True where the image
                changes; or what is painted on a transparent ground; or a copy of the image with holes. None is what is
                transparent in the image, a picture.
            n: The number of samples; None is 4.
            noise: The standard deviation of the noise of the image, in units of [-1, 1].
            changes: The part of the mask that changes, if it is another: "white", "black", "painted" or "transparent".
                With "grey" each pixel changes by its lightness, or by its opacity in a mask with transparent pixels.
            soften: The number of pixels of the image over which the samples pass into it, inside the edge of the mask.
            options: The further options of `restore`. The `window` is around the mask unless it is given. In place of a
                mask, `extend` adds pixels on each side, (left, top, right, bottom), which windows in the size of the
                model's items fill one after another.

        Returns:
            The samples; what the mask does not change is the image itself. More as of `restore`.

        Raises:
            InputError: If the model cannot do this.
        """
        settings = EditRequest("inpaint", noise=noise, soften=soften or None)
        return self._fitted(settings, {"image": image, "mask": mask, "changes": changes}, n, options)

    def vary(self, image: Any, strength: float = 0.5, n: int | None = None, **options: Any) -> editing.Edited:
        """Sample variations of an image: noise is added, and sampling goes on from there.

        Args:
            image: The image, in any form of `y` of `restore`.
            strength: The share of the schedule's times that noise is added for, above 0 and at most 1. Small ones
                change details, and at 1 nothing is left of the image.
            n: The number of samples; None is 4.
            options: The settings of `Request.of`, and window and soften, as of `restore`.

        Returns:
            The samples, as of `restore`.

        Raises:
            InputError: If the model cannot do this.

        References:
            Meng et al., *SDEdit: guided image synthesis and editing with stochastic differential equations* (2022).
        """
        return self._edited(EditRequest("vary", strength=strength), {"image": image}, n, options)

    def interpolate(
        self, a: Any = None, b: Any = None, n: int = editing.WALK, t: float | None = None, **options: Any
    ) -> editing.Edited:
        """Sample a walk between two images, between two values of conditions, or both.

        Args:
            a: The image at one end, in any form of `y` of `restore`. Without images all samples begin at one noise.
            b: The image at the other end.
            n: The number of samples, the ends included, which are the images themselves.
            t: The time at which images with noise are interpolated; None interpolates spherically between the noise
                that each is sampled from along the probability flow.
            options: The settings of `Request.of`. Labels and values of `given` may be two, one for each end:
                numbers are interpolated, and between classes and between images the estimates are.

        Returns:
            The samples, as of `restore`.

        Raises:
            InputError: If the model cannot do this.

        References:
            Song, Meng and Ermon, *Denoising diffusion implicit models* (2021), section 5.3.
            Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020), figures 8 and 9: with t.
        """
        return self._edited(EditRequest("interpolate", t=t), {"image": a, "other": b}, n, options)

    def invert(self, image: Any, steps: int = editing.FLOW_STEPS, **options: Any) -> Tensor:
        """Find the noise x_T that images are sampled from along the probability flow.

        Args:
            image: The image, or several, in any form of `y` of `restore`.
            steps: The number of steps of Heun's method.
            options: The settings of `Request.of`; a sampler has to be deterministic.

        Returns:
            x_T, float32 (m, C, *sides), of which `reconstruct` with the same options makes the images.

        Raises:
            InputError: If the model cannot do this.
        """
        request = Request.of(steps=steps, **options)
        self._warn(editing.conditioning_of(self, request))
        for note in editing.beyond_data(self.spec, image):
            warn(note)
        return editing.inversion(self, request, image)

    def reconstruct(self, x_T: Tensor, steps: int = editing.FLOW_STEPS, **options: Any) -> editing.Edited:
        """Sample items from given noise along the probability flow: the inverse of `invert`, with its options.

        Args:
            x_T: The noise, floats (m, C, *sides).
            steps: The number of steps of Heun's method.
            options: The settings of `Request.of`.

        Returns:
            The samples, as of `restore`.

        Raises:
            InputError: If the model cannot do this.
        """
        batch_size, decode = options.pop("batch_size", None), options.pop("decode", True)
        request = Request.of(steps=steps, **options)
        return self._edit(editing.reconstruction(self, request, x_T), request, self.batch(batch_size), decode)

    def save(self, path: str | Path) -> None:
        """Write the model file, atomically.

        Args:
            path: Where to write it.

        Raises:
            InputError: If the denoiser has no network, so that there is nothing to save.
            OSError: If the file cannot be written; what was there before stays.
        """
        metadata = metadata_of(self.diffusion, self.config, self.spec, self.step, self.version, self.average)
        tensors = self.diffusion.net.state_dict() | autoencoder_tensors(self.spec)
        storage.write_tensors(Path(path), tensors, metadata)

    def _fitted(
        self, settings: EditRequest, arguments: Mapping[str, Any], n: int | None, options: Mapping[str, Any]
    ) -> editing.Edited:
        """Make samples that fit a measurement, by a method of a name or of the user's."""
        further = dict(options)
        method, covariance = further.pop("method", None), further.pop("covariance", None)
        name, own_method = (method, None) if isinstance(method, str | None) else (None, method)
        settings = dataclasses.replace(settings, method=name, iterations=further.pop("iterations", None))
        return self._edited(settings, {**arguments, "covariance": covariance, "own_method": own_method}, n, further)

    def _edited(
        self, settings: EditRequest, arguments: Mapping[str, Any], n: int | None, options: Mapping[str, Any]
    ) -> editing.Edited:
        further = dict(options)
        batch_size, decode = further.pop("batch_size", None), further.pop("decode", True)
        if settings.task != "interpolate":
            names = ("window", "soften", *(["extend"] if settings.task == "inpaint" else []))
            places = {name: further.pop(name) for name in names if name in further}
            settings = dataclasses.replace(settings, **places)
        edited = self.make(Request.of(n, **further).of_edit(settings, arguments), batch_size, decode=decode)
        assert isinstance(edited, editing.Edited)
        return edited
