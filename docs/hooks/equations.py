"""Writes docs/explanation/equations.md: each equation, what it says, the line that computes it, and its test.

    python docs/hooks/equations.py

The table below holds what cannot be found by reading: formulas, words, and which test compares with which truth. The
lines are found by the numbers in the comments of the source: `(7)` is an equation of the DDPM paper, `DDIM (12)` of
another. `tests/docs/test_equations.py` fails when the page is stale, or when a marker of the source is missing here.
"""

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "explanation" / "equations.md"


class Paper(NamedTuple):
    """A paper, and the names by which comments and docstrings refer to it; the first is its heading."""

    names: tuple[str, ...]
    reference: str


class Proof(NamedTuple):
    """A test, as `file::function`, and the truth that it compares with."""

    test: str
    truth: str


class Equation(NamedTuple):
    """A row of the table.

    Attributes:
        paper: The first name of its paper.
        number: Its number, such as "7" or "algorithm 2"; "" where it is not numbered.
        formula: In the notation of the paper, for KaTeX.
        words: What it says.
        places: Where it is computed, `module.Class.method`, or `module.function: text of the line`. Without a text, the
            line is the one that carries the number.
        proofs: The tests.
        why: Why the package has no line for it, or not for all of it.
    """

    paper: str
    number: str
    formula: str
    words: str
    places: tuple[str, ...] = ()
    proofs: tuple[Proof, ...] = ()
    why: str = ""


PAPERS = (
    Paper(
        ("DDPM", "Ho, Jain and Abbeel"),
        "Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020), arXiv 2006.11239",
    ),
    Paper(
        ("NCSN", "Song and Ermon"),
        "Song and Ermon, *Generative modeling by estimating gradients of the data distribution* (2019), arXiv "
        "1907.05600",
    ),
    Paper(
        ("DDIM", "Song, Meng and Ermon"),
        "Song, Meng and Ermon, *Denoising diffusion implicit models* (2021), arXiv 2010.02502. Its $\\alpha_t$ is "
        "DDPM's $\\bar\\alpha_t$",
    ),
    Paper(
        ("improved DDPM", "Improved DDPM", "Nichol and Dhariwal"),
        "Nichol and Dhariwal, *Improved denoising diffusion probabilistic models* (2021), arXiv 2102.09672",
    ),
    Paper(
        ("score SDE", "Song et al."),
        "Song et al., *Score-based generative modeling through stochastic differential equations* (2021), arXiv "
        "2011.13456",
    ),
    Paper(("VDM", "Kingma et al."), "Kingma et al., *Variational diffusion models* (2021), arXiv 2107.00630"),
    Paper(("CFG", "Ho and Salimans"), "Ho and Salimans, *Classifier-free diffusion guidance* (2022), arXiv 2207.12598"),
    Paper(
        ("InstructPix2Pix", "Brooks, Holynski and Efros"),
        "Brooks, Holynski and Efros, *InstructPix2Pix: learning to follow image editing instructions* (2023), arXiv "
        "2211.09800",
    ),
    Paper(
        ("rescaled guidance", "Lin et al."),
        "Lin et al., *Common diffusion noise schedules and sample steps are flawed* (2024), arXiv 2305.08891",
    ),
    Paper(
        ("guidance interval", "Kynkäänniemi et al."),
        "Kynkäänniemi et al., *Applying guidance in a limited interval improves sample and distribution quality in "
        "diffusion models* (2024), arXiv 2404.07724",
    ),
    Paper(
        ("autoguidance",),
        "Karras et al., *Guiding a diffusion model with a bad version of itself* (2024), arXiv 2406.02507",
    ),
    Paper(
        ("EDM", "Karras et al."),
        "Karras et al., *Elucidating the design space of diffusion-based generative models* (2022), arXiv 2206.00364",
    ),
    Paper(
        ("EDM2",),
        "Karras et al., *Analyzing and improving the training dynamics of diffusion models* (2024), arXiv 2312.02696, "
        "section 3 and appendix C. The numbers are those of [the derivation](theory.md#the-average-of-the-weights)",
    ),
    Paper(
        ("DPM-Solver++", "Lu et al."),
        "Lu et al., *DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models* (2022), arXiv "
        "2211.01095",
    ),
    Paper(
        ("UniPC", "Zhao et al."),
        "Zhao et al., *UniPC: a unified predictor-corrector framework for fast sampling of diffusion models* (2023), "
        "arXiv 2302.04867",
    ),
    Paper(
        ("rectified flow", "Liu, Gong and Liu"),
        "Liu, Gong and Liu, *Flow straight and fast: learning to generate and transfer data with rectified flow* "
        "(2022), arXiv 2209.03003. The velocity of Lipman et al., *Flow matching for generative modeling* (2023), "
        "arXiv 2210.02747, is the same for the straight line",
    ),
    Paper(
        ("other papers",),
        "v: Salimans and Ho (2022), arXiv 2202.00512. Min-SNR: Hang et al. (2023), arXiv 2303.09556. P2: Choi et al. "
        "(2022), arXiv 2204.00227. JiT: Li and He (2025), arXiv 2511.13720. Zero terminal SNR: Lin et al. (2024), "
        "arXiv 2305.08891. Sigmoid schedule: Jabri, Fleet and Chen (2022), arXiv 2212.11972. NCSNv2: Song and Ermon "
        "(2020), arXiv 2006.09011. Consistency tuning: Geng et al. (2024), arXiv 2406.14548. Consistency models: Song "
        "et al. (2023), arXiv 2303.01469. Fréchet distance: Heusel et al. (2017), arXiv 1706.08500. KID: Bińkowski et "
        "al. (2018), arXiv 1801.01401. DDNM: Wang, Yu and Zhang (2023), arXiv 2212.00490. ΠGDM: Song et al., "
        "*Pseudoinverse-guided diffusion models for inverse problems* (2023). MMPS: Rozet et al. (2024), arXiv "
        "2405.13712. RePaint: Lugmayr et al. (2022), arXiv 2201.09865. TDS: Wu et al. (2023), arXiv 2306.17775. "
        "SDEdit: Meng et al. (2022), arXiv 2108.01073",
    ),
    Paper(("this package",), "Results of [the theory](theory.md) that the papers do not number"),
)

EQUATIONS = (
    # -- DDPM ---------------------------------------------------------------------------------------------------------
    Equation(
        "DDPM",
        "1",
        r"p_\theta(x_{0:T}) = p(x_T)\prod_{t=1}^T p_\theta(x_{t-1}\mid x_t),\quad "
        r"p_\theta(x_{t-1}\mid x_t)=\mathcal N(\mu_\theta(x_t,t),\sigma_t^2 I)",
        "The model is a chain that starts from noise. Each reverse step is a Gaussian with a predicted mean.",
        ("reverse.prior", "reverse.transition"),
        (Proof("test_samplers.py::test_gaussian_data_gives_the_closed_recursion", "mean and variance in closed form"),),
    ),
    Equation(
        "DDPM",
        "2",
        r"q(x_{1:T}\mid x_0)=\prod_{t=1}^T q(x_t\mid x_{t-1}),\quad "
        r"q(x_t\mid x_{t-1})=\mathcal N(\sqrt{1-\beta_t}\,x_{t-1},\beta_t I)",
        "The forward process is fixed: each step shrinks the signal and adds Gaussian noise.",
        ("schedules.Schedule.forward", "schedules.Schedule.forward_variance: b_t**2 - (a_t / a_s)"),
        (Proof("test_schedules.py::test_composed_steps_are_the_closed_form", "1,000 steps composed, against (4)"),),
    ),
    Equation(
        "DDPM",
        "3",
        r"\mathbb E[-\log p_\theta(x_0)]\le\mathbb E_q\Big[-\log\frac{p_\theta(x_{0:T})}{q(x_{1:T}\mid x_0)}\Big]=L",
        "The bound: the negative log-likelihood is at most the expected log ratio of the two chains.",
        (),
        (
            Proof("test_equations.py::test_3_is_a_bound", "the exact likelihood of the chain, for Gaussian data"),
            Proof("test_equations.py::test_3_by_sampling_chains_is_5", "Monte Carlo over whole chains, 4 errors"),
        ),
        "The log ratio of whole chains has a large variance. The package computes the same number from (5).",
    ),
    Equation(
        "DDPM",
        "4",
        r"q(x_t\mid x_0)=\mathcal N(\sqrt{\bar\alpha_t}\,x_0,(1-\bar\alpha_t)I)",
        "All $t$ forward steps at once, so training needs no chain.",
        ("schedules.Schedule.marginal", "schedules.Schedule.add_noise"),
        (
            Proof("test_schedules.py::test_composed_steps_are_the_closed_form", "(2) iterated"),
            Proof("test_schedules.py::test_linear_has_the_papers_values", "the paper's $\\bar\\alpha_t$"),
        ),
    ),
    Equation(
        "DDPM",
        "5",
        r"L=\mathbb E_q\Big[\underbrace{D_{KL}(q(x_T\mid x_0)\Vert p(x_T))}_{L_T}+\sum_{t>1}"
        r"\underbrace{D_{KL}(q(x_{t-1}\mid x_t,x_0)\Vert p_\theta(x_{t-1}\mid x_t))}_{L_{t-1}}"
        r"\underbrace{-\log p_\theta(x_0\mid x_1)}_{L_0}\Big]",
        "The bound is a sum over time of distances between Gaussians, each in closed form.",
        ("bound.prior_bits", "reverse.step_bits"),
        (
            Proof("test_bound.py::test_every_term_is_its_closed_form", "expectations in closed form, to 1e-8"),
            Proof("test_bound.py::test_L_T_has_the_papers_values", "the values of the paper's code"),
            Proof("test_bound.py::test_kl_by_quadrature", "numerical integration of the KL"),
        ),
    ),
    Equation(
        "DDPM",
        "6",
        r"q(x_{t-1}\mid x_t,x_0)=\mathcal N(\tilde\mu_t(x_t,x_0),\tilde\beta_t I)",
        "The reverse step is known and Gaussian if the clean sample is known.",
        ("schedules.Schedule.posterior",),
        (Proof("test_schedules.py::test_posterior_by_quadrature", "Bayes' rule on a grid"),),
    ),
    Equation(
        "DDPM",
        "7",
        r"\tilde\mu_t=\frac{\sqrt{\bar\alpha_{t-1}}\beta_t}{1-\bar\alpha_t}x_0+"
        r"\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_t,\quad "
        r"\tilde\beta_t=\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t",
        "Mean and variance of that step. The mean is a weighted sum of $x_0$ and $x_t$.",
        (
            "schedules.Schedule.posterior",
            "schedules.Schedule.posterior_variance",
            "reverse.transition",
        ),
        (
            Proof("test_schedules.py::test_posterior_is_brute_force_conditioning", "conditioning a joint Gaussian"),
            Proof("test_schedules.py::test_posterior_coefficients_have_the_papers_values", "the paper's coefficients"),
        ),
    ),
    Equation(
        "DDPM",
        "8",
        r"L_{t-1}=\mathbb E_q\Big[\frac1{2\sigma_t^2}\Vert\tilde\mu_t(x_t,x_0)-\mu_\theta(x_t,t)\Vert^2\Big]+C",
        "With a fixed variance, a term of the bound is a squared distance of means, up to a constant.",
        ("gaussian.DiagonalGaussian.kl",),
        (Proof("test_equations.py::test_8_9_10_and_12_are_one_number", "`step_bits` minus $C$, to 1e-9"),),
    ),
    Equation(
        "DDPM",
        "9",
        r"L_{t-1}-C=\mathbb E_{x_0,\epsilon}\Big[\frac1{2\sigma_t^2}\Big\Vert\tilde\mu_t\Big(x_t,"
        r"\tfrac1{\sqrt{\bar\alpha_t}}(x_t-\sqrt{1-\bar\alpha_t}\,\epsilon)\Big)-\mu_\theta(x_t,t)\Big\Vert^2\Big]",
        "(8) with $x_0$ written in terms of $x_t$ and the noise.",
        (),
        (Proof("test_equations.py::test_8_9_10_and_12_are_one_number", "`step_bits` minus $C$, to 1e-9"),),
        "A step of the derivation from (8) to (12): the same number in other symbols.",
    ),
    Equation(
        "DDPM",
        "10",
        r"=\mathbb E_{x_0,\epsilon}\Big[\frac1{2\sigma_t^2}\Big\Vert\frac1{\sqrt{\alpha_t}}\Big(x_t-"
        r"\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\epsilon\Big)-\mu_\theta(x_t,t)\Big\Vert^2\Big]",
        "(9) with (7) inserted: the target of the mean depends on $x_t$ and the noise alone.",
        (),
        (Proof("test_equations.py::test_8_9_10_and_12_are_one_number", "`step_bits` minus $C$, to 1e-9"),),
        "A step of the derivation from (8) to (12): the same number in other symbols.",
    ),
    Equation(
        "DDPM",
        "11",
        r"\mu_\theta(x_t,t)=\frac1{\sqrt{\alpha_t}}\Big(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}"
        r"\epsilon_\theta(x_t,t)\Big)",
        "The mean in terms of the predicted noise.",
        ("diffusion.Diffusion.mean", "reverse.transition"),
        (
            Proof(
                "test_diffusion.py::test_mean_is_the_lectures_and_equals_the_posterior_at_the_prediction",
                "the formula written out, and (7)",
            ),
        ),
    ),
    Equation(
        "DDPM",
        "12",
        r"L_{t-1}-C=\mathbb E_{x_0,\epsilon}\Big[\frac{\beta_t^2}{2\sigma_t^2\alpha_t(1-\bar\alpha_t)}"
        r"\Vert\epsilon-\epsilon_\theta(\sqrt{\bar\alpha_t}x_0+\sqrt{1-\bar\alpha_t}\epsilon,t)\Vert^2\Big]",
        "A term of the bound is a weighted squared error of the noise.",
        ("objectives.weightings.x0_weights",),
        (
            Proof("test_objectives.py::test_variational_is_ho_et_als_weight_on_eps", "the weight written out"),
            Proof("test_objectives.py::test_variational_loss_is_the_bound", "(5), to 1e-7"),
            Proof("test_bound.py::test_null_model_by_the_formula_in_eps", "(5) of the model $\\hat\\epsilon=0$"),
        ),
    ),
    Equation(
        "DDPM",
        "13",
        r"p_\theta(x_0\mid x_1)=\prod_{i=1}^D\int_{\delta_-(x_0^i)}^{\delta_+(x_0^i)}"
        r"\mathcal N(x;\mu_\theta^i(x_1,1),\sigma_1^2)\,dx",
        "The last step gives each pixel value the probability of its bin. The outermost bins are open.",
        ("reverse.step_bits", "gaussian.DiagonalGaussian.log_bins: inner - outer"),
        (
            Proof("test_bound.py::test_L_0_is_the_integral_of_its_decoder", "quadrature of the density over the bin"),
            Proof("test_bound.py::test_bins_hold_all_the_mass", "the 256 probabilities add up to 1"),
        ),
    ),
    Equation(
        "DDPM",
        "14",
        r"L_{\text{simple}}=\mathbb E_{t,x_0,\epsilon}\big[\Vert\epsilon-"
        r"\epsilon_\theta(\sqrt{\bar\alpha_t}x_0+\sqrt{1-\bar\alpha_t}\epsilon,t)\Vert^2\big]",
        "The training loss: (12) without its weight.",
        ("objectives.objective.Denoising.errors", "objectives.weightings.x0_weights"),
        (
            Proof("test_diffusion.py::test_loss_is_l_simple_written_out", "the formula written out"),
            Proof(
                "test_objectives.py::test_snr_is_l_simple_in_eps_whatever_the_target", "the same loss for each target"
            ),
        ),
    ),
    Equation(
        "DDPM",
        "15",
        r"x_0\approx\hat x_0=(x_t-\sqrt{1-\bar\alpha_t}\,\epsilon_\theta(x_t))/\sqrt{\bar\alpha_t}",
        "(4) solved for the clean sample: the current estimate during sampling, and what a receiver would show.",
        ("targets.Target.solve",),
        (
            Proof("test_equations.py::test_15_solves_4_for_x0", "the formula written out"),
            Proof("test_targets.py::test_solve_undoes_the_matrix", "the known $x_0$ and $\\epsilon$"),
        ),
    ),
    Equation(
        "DDPM",
        "16",
        r"L=D_{KL}(q(x_T)\Vert p(x_T))+\mathbb E_q\Big[\sum_{t\ge1}D_{KL}(q(x_{t-1}\mid x_t)\Vert "
        r"p_\theta(x_{t-1}\mid x_t))\Big]+H(x_0)",
        "The bound exceeds the entropy of the data by how far the model's steps are from the true reverse steps.",
        (),
        (Proof("test_equations.py::test_16_is_5_for_gaussian_data", "(5) by `bits_per_dim`, to 1e-9"),),
        "It needs $q(x_{t-1}\\mid x_t)$ and the entropy of the data, which are known only for data of known density.",
    ),
    Equation(
        "DDPM",
        "section 3.2",
        r"\sigma_t^2=\beta_t\quad\text{or}\quad\sigma_t^2=\tilde\beta_t",
        "Two fixed variances: right for $x_0\\sim\\mathcal N(0,I)$, and for data that is a single point.",
        ("reverse.transition: # (1)",),
        (
            Proof("test_equations.py::test_the_fixed_variances_are_those_of_two_data_sets", "conditioning Gaussians"),
            Proof("test_bound.py::test_the_exact_denoiser_of_one_image_pays_only_for_the_variances", "the cost"),
        ),
    ),
    Equation(
        "DDPM",
        "algorithm 1",
        r"\nabla_\theta\Vert\epsilon-\epsilon_\theta(\sqrt{\bar\alpha_t}x_0+\sqrt{1-\bar\alpha_t}\epsilon,t)\Vert^2",
        "Training: draw a sample, a time and noise, and take a gradient step on (14).",
        ("objectives.objective.Objective.losses: self.draw(",),
        (
            Proof("test_diffusion.py::test_times_cover_one_to_T", "each time is drawn equally often"),
            Proof("test_training.py::test_adam_has_the_papers_constants", "the paper's optimiser"),
        ),
    ),
    Equation(
        "DDPM",
        "algorithm 2",
        r"x_{t-1}=\frac1{\sqrt{\alpha_t}}\Big(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\epsilon_\theta\Big)+\sigma_t z",
        "Sampling: from noise, one draw of the reverse step after another. The last step adds no noise.",
        ("samplers.ddpm.DDPM.advance: algorithm 2, line 4",),
        (
            Proof("test_samplers.py::test_ddpm_is_algorithm_2_written_out", "the loop written out"),
            Proof("test_parity_diffusers.py::test_ddpm_steps", "diffusers' `DDPMScheduler`"),
        ),
    ),
    Equation(
        "DDPM",
        "algorithm 3",
        r"\text{send } x_T\sim q(x_T\mid x_0)\text{ using }p(x_T),\ \dots,\ x_0\text{ using }p_\theta(x_0\mid x_1)",
        "Sending: a coder transmits $x_T$, then each $x_{t-1}$, at a cost of about the terms of (5).",
        ("measure.bound_terms.BoundTerms.over_time: sent += bits",),
        (
            Proof("test_equations.py::test_algorithms_3_and_4_send_samples", "(4), with a coder that tries candidates"),
            Proof("test_evaluate.py::test_over_time", "the rate: the sum of (5) from $T$ down"),
        ),
        "The paper assumes a coder for samples of any distribution. The package computes its bits and codes nothing.",
    ),
    Equation(
        "DDPM",
        "algorithm 4",
        r"\text{receive } x_T\text{ using }p(x_T),\ \dots,\ x_0\text{ using }p_\theta(x_0\mid x_1)",
        "Receiving: decode $x_T$, $x_{T-1}$, and so on. At any time (15) shows what has arrived.",
        ("measure.bound_terms.BoundTerms.over_time: math.sqrt(error)",),
        (
            Proof("test_equations.py::test_algorithms_3_and_4_send_samples", "the error of (15) in closed form"),
            Proof("test_evaluate.py::test_over_time", "the distortion: the error of (15)"),
        ),
        "As for algorithm 3.",
    ),
    # -- NCSN ---------------------------------------------------------------------------------------------------------
    Equation(
        "NCSN",
        "4",
        r"\tilde x_k=\tilde x_{k-1}+\frac\epsilon2\nabla_x\log p(\tilde x_{k-1})+\sqrt\epsilon\,z_k",
        "A Langevin step: move along the score, then add noise.",
        ("samplers.langevin.langevin_step",),
        (Proof("test_samplers.py::test_langevin_is_ncsns_algorithm", "the loop written out"),),
    ),
    Equation(
        "NCSN",
        "5",
        r"\ell(\theta;\sigma)=\frac12\mathbb E\Big[\Big\Vert s_\theta(\tilde x,\sigma)+\frac{\tilde x-x}{\sigma^2}"
        r"\Big\Vert^2\Big]",
        "Denoising score matching: the network learns $-\\epsilon/\\sigma$, whose mean given $\\tilde x$ is the score.",
        ("targets.SCORE",),
        (Proof("test_oracle.py::test_mixtures_eps_is_the_score", "the gradient of the log density, by autograd"),),
    ),
    Equation(
        "NCSN",
        "6",
        r"\mathcal L=\frac1L\sum_i\lambda(\sigma_i)\,\ell(\theta;\sigma_i),\quad\lambda(\sigma)=\sigma^2",
        "All noise levels with weights that make their losses about equal.",
        ("objectives.weightings.x0_weights",),
        (Proof("test_objectives.py::test_snr_is_l_simple_in_eps_whatever_the_target", "(14) of DDPM"),),
    ),
    Equation(
        "NCSN",
        "algorithm 1",
        r"\alpha_i=\epsilon\,\sigma_i^2/\sigma_L^2",
        "Annealed Langevin dynamics: many steps at each level, from the noisiest to the cleanest.",
        ("samplers.langevin.Langevin.advance: alpha = min",),
        (Proof("test_samplers.py::test_langevin_is_ncsns_algorithm", "the loop written out"),),
    ),
    Equation(
        "NCSN",
        "",
        r"\sigma_1/\sigma_2=\dots=\sigma_{L-1}/\sigma_L>1",
        "The noise levels have equal ratios.",
        ("curves.geometric: = sigma_min **",),
        (Proof("test_schedules.py::test_geometric_is_ncsns", "the formula written out"),),
    ),
    # -- DDIM ---------------------------------------------------------------------------------------------------------
    Equation(
        "DDIM",
        "7",
        r"q_\sigma(x_{t-1}\mid x_t,x_0)=\mathcal N\Big(\sqrt{\alpha_{t-1}}x_0+\sqrt{1-\alpha_{t-1}-\sigma_t^2}\,"
        r"\frac{x_t-\sqrt{\alpha_t}x_0}{\sqrt{1-\alpha_t}},\sigma_t^2I\Big)",
        "A family of reverse steps, one for each $\\sigma_t$, that all keep $q(x_t\\mid x_0)$.",
        ("samplers.ddim.DDIM.advance: DDIM (12)",),
        (Proof("test_equations.py::test_ddims_family_keeps_the_marginals", "mean and variance of (4), to 1e-12"),),
    ),
    Equation(
        "DDIM",
        "9",
        r"f_\theta(x_t)=(x_t-\sqrt{1-\alpha_t}\,\epsilon_\theta(x_t))/\sqrt{\alpha_t}",
        "The estimate of $x_0$, as DDPM (15).",
        ("targets.Target.solve",),
        (Proof("test_equations.py::test_15_solves_4_for_x0", "the formula written out"),),
    ),
    Equation(
        "DDIM",
        "12",
        r"x_{t-1}=\sqrt{\alpha_{t-1}}\,\hat x_0+\sqrt{1-\alpha_{t-1}-\sigma_t^2}\,\epsilon_\theta(x_t)+\sigma_tz",
        "The step: the estimated clean sample, noised again, partly by the estimated noise and partly by new noise.",
        ("samplers.ddim.DDIM.advance",),
        (
            Proof(
                "test_samplers.py::test_gaussian_data_gives_the_closed_recursion", "mean and variance in closed form"
            ),
            Proof("test_parity_diffusers.py::test_ddim_steps", "diffusers' `DDIMScheduler`"),
        ),
    ),
    Equation(
        "DDIM",
        "13",
        r"\frac{x_{t-\Delta t}}{\sqrt{\alpha_{t-\Delta t}}}=\frac{x_t}{\sqrt{\alpha_t}}+\Big(\sqrt{\tfrac{1-"
        r"\alpha_{t-\Delta t}}{\alpha_{t-\Delta t}}}-\sqrt{\tfrac{1-\alpha_t}{\alpha_t}}\Big)\epsilon_\theta(x_t)",
        "With $\\sigma_t=0$ the step is Euler's method for an ODE in $x/\\sqrt\\alpha$ and $\\sigma=b/a$.",
        ("samplers.euler.Euler.advance",),
        (
            Proof("test_equations.py::test_ddim_13_is_eulers_step", "the formula written out"),
            Proof("test_samplers.py::test_euler_is_ddim_on_every_schedule", "DDIM with $\\eta=0$"),
        ),
    ),
    Equation(
        "DDIM",
        "16",
        r"\sigma_{\tau_i}(\eta)=\eta\sqrt{\tfrac{1-\alpha_{\tau_{i-1}}}{1-\alpha_{\tau_i}}}"
        r"\sqrt{1-\tfrac{\alpha_{\tau_i}}{\alpha_{\tau_{i-1}}}}",
        "How much new noise: none for $\\eta=0$, that of DDPM with $\\tilde\\beta_t$ for $\\eta=1$.",
        ("samplers.ddim.DDIM.advance",),
        (
            Proof(
                "test_samplers.py::test_gaussian_data_gives_the_closed_recursion", "mean and variance in closed form"
            ),
            Proof("test_samplers.py::test_ddim_with_eta_one_is_ddpm_with_the_small_variance", "DDPM, sample by sample"),
        ),
    ),
    Equation(
        "DDIM",
        "",
        r"x_T^{(w)}=\frac{\sin((1-w)\theta)}{\sin\theta}\,x_T^{(0)}+\frac{\sin(w\theta)}{\sin\theta}\,x_T^{(1)}",
        "Spherical interpolation: between two states of noise all have the length of noise.",
        ("samplers.interpolation.slerp: arc =",),
        (
            Proof("test_interpolation.py::test_slerp_of_noise_has_its_length_and_even_angles", "lengths and chords"),
            Proof("test_interpolation.py::test_slerp_ends_at_its_states_bit_for_bit", "both states"),
        ),
    ),
    # -- improved DDPM ------------------------------------------------------------------------------------------------
    Equation(
        "improved DDPM",
        "15",
        r"\Sigma_\theta(x_t,t)=\exp(v\log\beta_t+(1-v)\log\tilde\beta_t)",
        "A learned variance between its two bounds; the network predicts $v$.",
        ("reverse.transition",),
        (
            Proof("test_bound.py::test_the_ends_of_the_blend_are_the_fixed_variances", "the fixed variances"),
            Proof("test_bound.py::test_the_blend_is_geometric", "the geometric mean"),
        ),
    ),
    Equation(
        "improved DDPM",
        "16",
        r"L_{\text{hybrid}}=L_{\text{simple}}+\lambda L_{\text{vlb}}",
        "A small share of the bound trains the variance. It has no gradient in the mean.",
        ("objectives.objective.Hybrid.errors",),
        (
            Proof(
                "test_bound.py::test_hybrid_loss_is_simple_plus_a_thousandth_of_the_bound", "both parts by themselves"
            ),
        ),
    ),
    Equation(
        "improved DDPM",
        "17",
        r"\bar\alpha_t=\frac{f(t)}{f(0)},\quad f(t)=\cos^2\Big(\frac{t/T+s}{1+s}\cdot\frac\pi2\Big)",
        "The cosine schedule: the signal falls more slowly at both ends.",
        ("schedules.cosine",),
        (Proof("test_schedules.py::test_cosine_has_the_papers_values", "values of the authors' code"),),
    ),
    Equation(
        "improved DDPM",
        "18",
        r"L_{\text{vlb}}=\mathbb E_{t\sim p_t}\Big[\frac{L_t}{p_t}\Big],\quad p_t\propto\sqrt{\mathbb E[L_t^2]}",
        "Times with large losses are drawn more often, and weigh less.",
        ("objectives.times.ImportanceTimes.probabilities",),
        (Proof("test_objectives.py::test_importance_is_improved_ddpms", "the formula written out"),),
    ),
    Equation(
        "improved DDPM",
        "19",
        r"\beta_{S_t}=1-\frac{\bar\alpha_{S_t}}{\bar\alpha_{S_{t-1}}},\quad\tilde\beta_{S_t}="
        r"\frac{1-\bar\alpha_{S_{t-1}}}{1-\bar\alpha_{S_t}}\beta_{S_t}",
        "The variances of longer steps, for sampling with fewer of them.",
        ("schedules.Schedule.forward_variance", "schedules.Schedule.posterior_variance"),
        (
            Proof("test_schedules.py::test_a_long_step_is_the_short_ones_in_turn", "short steps composed"),
            Proof("test_schedules.py::test_posterior_is_brute_force_conditioning", "conditioning a joint Gaussian"),
        ),
    ),
    # -- score SDE ----------------------------------------------------------------------------------------------------
    Equation(
        "score SDE",
        "6",
        r"dx=[f(x,t)-g(t)^2\nabla_x\log p_t(x)]\,dt+g(t)\,d\bar w",
        "The reverse process in continuous time. DDPM, the SDE solvers and Heun with churn are ways to discretise it.",
        ("samplers.dpm_solver.DPMSolver.advance: noise = b_s",),
        (
            Proof(
                "test_orders.py::test_mean_and_variance_of_stochastic_samplers_converge", "the data's mean and variance"
            ),
        ),
    ),
    Equation(
        "score SDE",
        "13",
        r"dx=\Big[f(x,t)-\frac12g(t)^2\nabla_x\log p_t(x)\Big]dt",
        "The probability flow: the same $p_t$ without randomness. Here it is $dx=\\hat x_0\\,da+\\hat\\epsilon\\,db$.",
        ("probability_flow._Flow.step",),
        (
            Proof("test_equations.py::test_the_flow_is_score_sde_13", "drift and diffusion by finite differences"),
            Proof("test_equations.py::test_the_flow_satisfies_the_continuity_equation", "the change of the density"),
            Proof("test_orders.py::test_the_error_falls_with_the_order_that_is_claimed", "the exact solution"),
        ),
    ),
    Equation(
        "score SDE",
        "39",
        r"\log p_0(x(0))=\log p_T(x(T))+\int_0^T\nabla\cdot\tilde f_\theta(x(t),t)\,dt",
        "The likelihood of the flow: the prior's density at its end, and the volume change on the way.",
        ("probability_flow._Flow.step",),
        (
            Proof(
                "test_probability_flow.py::test_it_is_the_exact_density_to_a_ten_thousandth_of_a_nat",
                "the density of a mixture",
            ),
        ),
    ),
    Equation(
        "score SDE",
        "40",
        r"\nabla\cdot\tilde f_\theta=\mathbb E_{p(\epsilon)}[\epsilon^\top\nabla\tilde f_\theta\,\epsilon]",
        "The divergence from random vectors: one backward pass in place of one for each dimension.",
        ("probability_flow._Flow.evaluate",),
        (Proof("test_probability_flow.py::test_hutchinson_is_unbiased", "the exact divergence, 4 errors"),),
    ),
    Equation(
        "score SDE",
        "algorithms 1 to 5",
        r"x\leftarrow x+\epsilon\,s_\theta(x)+\sqrt{2\epsilon}\,z",
        "Predictor-corrector sampling: each reverse step is followed by Langevin steps at the new level.",
        ("samplers.predictor_corrector.PredictorCorrector.advance: langevin_step",),
        (
            Proof(
                "test_samplers.py::test_the_corrector_leaves_the_right_distribution_nearly_alone",
                "the exact distribution",
            ),
            Proof("test_samplers.py::test_what_the_corrector_takes_for_the_ratio_of_norms", "the authors' step size"),
        ),
    ),
    Equation(
        "score SDE",
        "",
        r"dx=f\,x\,dt+g\,dw,\quad f=\dot a/a,\quad g^2=\frac{d(b^2)}{dt}-2f\,b^2",
        "The forward process in continuous time, for any schedule: the limit of short steps.",
        ("schedules.Schedule.forward_variance: return",),
        (
            Proof(
                "test_equations.py::test_drift_and_diffusion_are_the_limits_of_short_steps", "the rates of the curves"
            ),
        ),
    ),
    Equation(
        "score SDE",
        "",
        r"\partial_tp_t=-\nabla\cdot(\mu\,p_t)+\tfrac12g^2\Delta p_t",
        "The Fokker-Planck equation: what a drift $\\mu$ and noise of variance $g^2dt$ do to a density.",
        (),
        (Proof("test_equations.py::test_the_density_satisfies_fokker_plancks_equation", "the change of the density"),),
        "A step of the derivations. `oracle.Mixture.log_density` has densities that satisfy it.",
    ),
    Equation(
        "score SDE",
        "",
        r"dx=\big[-fx+\tfrac12(1+\eta^2)g^2\nabla\log p_t\big]d\tau+\eta\,g\,dw",
        "The reverse process with any amount $\\eta$ of noise, $\\tau=T-t$: 0 is the flow, 1 the reverse SDE.",
        ("samplers.ddim.DDIM.advance: variance =",),
        (
            Proof(
                "test_equations.py::test_a_short_ddim_step_is_the_reverse_process_with_its_eta", "the drift, the noise"
            ),
            Proof("test_equations.py::test_every_eta_has_the_same_density", "Fokker-Planck, backwards in time"),
        ),
    ),
    # -- VDM ----------------------------------------------------------------------------------------------------------
    Equation(
        "VDM",
        "13",
        r"\mathcal L_T=\frac T2\mathbb E\big[(\mathrm{SNR}(s)-\mathrm{SNR}(t))\Vert x-\hat x_\theta(z_t;t)\Vert^2\big]",
        "The bound's terms as an error of $x_0$: the weight is the loss of signal-to-noise ratio in the step.",
        ("objectives.weightings.x0_weights",),
        (Proof("test_objectives.py::test_variational_loss_is_the_bound", "DDPM (5), to 1e-7"),),
    ),
    # -- CFG ----------------------------------------------------------------------------------------------------------
    Equation(
        "CFG",
        "6",
        r"\tilde\epsilon_\theta(z,c)=(1+w)\,\epsilon_\theta(z,c)-w\,\epsilon_\theta(z)",
        "Extrapolate from the estimate without a label through the one with a label. `scale` is $1+w$.",
        ("guidance.extrapolation.guided",),
        (
            Proof("test_equations.py::test_guidance_is_the_score_of_a_sharpened_classifier", "autograd"),
            Proof("test_guidance.py::test_guidance_moves_from_no_class_through_the_label_and_on", "known answers"),
        ),
    ),
    Equation(
        "CFG",
        "",
        r"\tilde\epsilon=\hat\epsilon(c')+\gamma\,(\hat\epsilon(c)-\hat\epsilon(c'))",
        "Towards $c$ and away from $c'$: another value of the condition in the place of its absence.",
        ("guidance.extrapolation.guided: value = value",),
        (
            Proof(
                "test_words.py::test_guidance_by_words_and_away_from_words_is_its_closed_form",
                "the scores of a mixture whose components are named by words, by autograd, to 1e-10",
            ),
        ),
    ),
    # -- InstructPix2Pix, rescaled guidance, guidance interval, autoguidance ------------------------------------------
    Equation(
        "InstructPix2Pix",
        "3",
        r"\tilde e_\theta(z_t,c_I,c_T)=e_\theta(z_t,\varnothing,\varnothing)+s_I\,(e_\theta(z_t,c_I,\varnothing)-"
        r"e_\theta(z_t,\varnothing,\varnothing))+s_T\,(e_\theta(z_t,c_I,c_T)-e_\theta(z_t,c_I,\varnothing))",
        "Two conditions, each with a scale of its own, are added one after another. Here there may be more.",
        ("guidance.extrapolation.guided",),
        (
            Proof(
                "test_guidance.py::test_guidance_of_an_exact_conditional_oracle_is_its_formula",
                "the scores of a joint Gaussian, by autograd",
            ),
            Proof("test_guidance.py::test_a_chain_of_three_scales_adds_one_condition_after_another", "known answers"),
        ),
    ),
    Equation(
        "rescaled guidance",
        "15",
        r"\sigma_{pos}=\mathrm{std}(x_{pos}),\quad\sigma_{cfg}=\mathrm{std}(x_{cfg}),\quad "
        r"x_{rescaled}=x_{cfg}\cdot\sigma_{pos}/\sigma_{cfg}",
        "The guided estimate has the standard deviation of the conditional one, item by item. The paper takes the "
        "network's output; here it is $\\hat x_0$, whatever the network predicts.",
        ("guidance.extrapolation.rescaled",),
        (
            Proof(
                "test_guidance.py::test_rescaled_guidance_has_the_deviation_of_plain_conditioning",
                "the formula written out",
            ),
        ),
    ),
    Equation(
        "rescaled guidance",
        "16",
        r"x_{final}=\phi\,x_{rescaled}+(1-\phi)\,x_{cfg}",
        "A share $\\phi$ of that, `rescale`. $\\hat\\epsilon$ is solved for again.",
        ("guidance.extrapolation.rescaled",),
        (
            Proof(
                "test_guidance.py::test_rescaled_guidance_has_the_deviation_of_plain_conditioning",
                "the formula written out",
            ),
        ),
    ),
    Equation(
        "guidance interval",
        "6",
        r"w(\sigma)=w\ \text{ if }\ \sigma\in(\sigma_{lo},\sigma_{hi}],\quad w(\sigma)=1\ \text{ otherwise}",
        "Guidance at noise levels in the middle, and the plain denoiser at others.",
        ("guidance.interval.Interval.predict",),
        (
            Proof(
                "test_guidance.py::test_an_interval_guides_at_its_noise_levels_alone",
                "the wrapper and the plain denoiser, item by item, with their evaluations counted",
            ),
        ),
    ),
    Equation(
        "autoguidance",
        "3",
        r"D_w(x;\sigma,c)=w\,D_1(x;\sigma,c)+(1-w)\,D_0(x;\sigma,c)",
        "Extrapolate from the estimate of a weaker model through that of the denoiser.",
        ("guidance.extrapolation.guided",),
        (
            Proof(
                "test_guidance.py::test_autoguidance_is_the_score_of_a_ratio_of_densities",
                "the scores of two joint Gaussians, by autograd",
            ),
        ),
    ),
    # -- EDM ----------------------------------------------------------------------------------------------------------
    Equation(
        "EDM",
        "1",
        r"dx=-\dot\sigma(t)\,\sigma(t)\,\nabla_x\log p(x;\sigma(t))\,dt",
        "The probability flow for $a=1$: the state moves towards the denoised sample as the noise falls.",
        ("samplers.euler.Euler.advance",),
        (Proof("test_equations.py::test_the_flow_is_edm_4", "the formula written out"),),
    ),
    Equation(
        "EDM",
        "3",
        r"\nabla_x\log p(x;\sigma)=(D(x;\sigma)-x)/\sigma^2",
        "The score is the direction to the best estimate of the clean sample.",
        ("targets.SCORE",),
        (Proof("test_oracle.py::test_mixtures_eps_is_the_score", "the gradient of the log density, by autograd"),),
    ),
    Equation(
        "EDM",
        "4",
        r"dx=\Big[\frac{\dot s(t)}{s(t)}x-s(t)^2\dot\sigma(t)\sigma(t)\nabla_x\log p\Big(\frac x{s(t)};\sigma(t)\Big)"
        r"\Big]dt",
        "The flow for any scale $s=a$ and noise $\\sigma=b/a$.",
        ("samplers.euler.Euler.advance",),
        (Proof("test_equations.py::test_the_flow_is_edm_4", "the formula written out"),),
    ),
    Equation(
        "EDM",
        "5",
        r"\sigma_i=\Big(\sigma_{\max}^{1/\rho}+\frac i{N-1}\big(\sigma_{\min}^{1/\rho}-\sigma_{\max}^{1/\rho}\big)"
        r"\Big)^\rho",
        "Noise levels that are close together where there is little noise.",
        ("curves.karras", 'samplers.loop.spaced_times: "karras": sigma'),
        (
            Proof("test_schedules.py::test_karras_is_edms", "the formula written out"),
            Proof("test_samplers.py::test_karras_spacing_of_karras_levels_is_every_nth", "levels of fewer steps"),
        ),
    ),
    Equation(
        "EDM",
        "7",
        r"D_\theta(x;\sigma)=c_{\text{skip}}(\sigma)\,x+c_{\text{out}}(\sigma)\,F_\theta(c_{\text{in}}(\sigma)\,x;"
        r"c_{\text{noise}}(\sigma))",
        "Preconditioning: the network's input and its target $F$ have unit variance at every noise level.",
        ("targets.EDM",),
        (Proof("test_targets.py::test_edms_f_is_what_karras_et_al_write", "the formula written out"),),
    ),
    Equation(
        "EDM",
        "8",
        r"\mathbb E\Big[\lambda(\sigma)\,c_{\text{out}}^2\,\Big\Vert F_\theta-\frac{x_0-c_{\text{skip}}x}"
        r"{c_{\text{out}}}\Big\Vert^2\Big],\quad\lambda(\sigma)=\frac{\sigma^2+\sigma_d^2}{(\sigma\sigma_d)^2}",
        "The loss on $F$; this $\\lambda$ makes its weight 1.",
        ("objectives.weightings.x0_weights",),
        (Proof("test_objectives.py::test_edm_is_one_on_edms_own_target", "a weight of 1"),),
    ),
    Equation(
        "EDM",
        "",
        r"\ln\sigma\sim\mathcal N(P_{\text{mean}},P_{\text{std}}^2)",
        "Training visits the noise levels at which there is most to learn (table 1).",
        ("objectives.times.LogNormalTimes: ndtr",),
        (Proof("test_objectives.py::test_lognormal_times_have_edms_noise_levels", "the quantiles of the normal"),),
    ),
    Equation(
        "EDM",
        "algorithm 1",
        r"x_{i+1}=x_i+(t_{i+1}-t_i)\tfrac12(d_i+d_i')",
        "Heun's method: Euler's step, corrected with the slope at its end.",
        ("samplers.heun.Heun.advance: torch.lerp(prediction.x0",),
        (
            Proof("test_samplers.py::test_heun_is_edms_algorithm_1", "the algorithm written out"),
            Proof("test_parity_samplers.py::test_heun_and_euler", "diffusers' `HeunDiscreteScheduler`"),
        ),
    ),
    Equation(
        "EDM",
        "algorithm 2",
        r"\hat t_i=t_i+\gamma_it_i,\quad\hat x_i=x_i+\sqrt{\hat t_i^2-t_i^2}\,\epsilon_i",
        "Churn: before a step, noise is added that the step has to remove again.",
        ("samplers.heun.Heun.start: forward = schedule.forward",),
        (Proof("test_samplers.py::test_churn_is_edms_algorithm_2", "the algorithm written out"),),
    ),
    # -- EDM2 ---------------------------------------------------------------------------------------------------------
    Equation(
        "EDM2",
        "1",
        r"\hat\theta_\gamma(t)=\int_0^t p(\tau)\,\theta(\tau)\,d\tau,\quad "
        r"p(\tau)=\frac{\gamma+1}{t^{\gamma+1}}\,\tau^\gamma",
        "The power-function average: the share of a step grows as a power of its number.",
        ("training.averages.coefficients",),
        (Proof("test_average.py::test_the_recursion_is_the_integral", "the shares of all steps written out"),),
    ),
    Equation(
        "EDM2",
        "2",
        r"\hat\theta_\gamma(t)=\beta_\gamma(t)\,\hat\theta_\gamma(t-1)+(1-\beta_\gamma(t))\,\theta(t),\quad "
        r"\beta_\gamma(t)=(1-1/t)^{\gamma+1}",
        "Its update at each step, which is exact.",
        ("training.averages.power_decay",),
        (Proof("test_average.py::test_the_recursion_is_the_integral", "(1), for random weights"),),
    ),
    Equation(
        "EDM2",
        "3",
        r"\sigma_{rel}=(\gamma+1)^{1/2}(\gamma+2)^{-1}(\gamma+3)^{-1/2}",
        "Its length: the standard deviation of the profile as a share of the steps.",
        ("training.averages.length_of",),
        (Proof("test_average.py::test_the_length_is_the_standard_deviation_of_the_profile", "numerical integration"),),
    ),
    Equation(
        "EDM2",
        "4",
        r"\gamma+2+\tfrac13=2h\cos\Big(\tfrac13\arccos\frac{-q}{2h^3}\Big),\quad "
        r"h^2=\tfrac13(\sigma_{rel}^{-2}+\tfrac13),\ q=\tfrac2{27}+\tfrac43\sigma_{rel}^{-2}",
        "The exponent of a length: the largest root of a cubic.",
        ("training.averages.gamma_of",),
        (
            Proof("test_average.py::test_the_length_is_the_standard_deviation_of_the_profile", "(3), to 1e-14"),
            Proof("test_average.py::test_the_papers_values", "the paper's 16.97 and 6.94"),
        ),
    ),
    Equation(
        "EDM2",
        "5",
        r"\langle u^\alpha,u^\beta\rangle=\int_r^1u^{\alpha+\beta}du=\frac{1-r^{\alpha+\beta+1}}{\alpha+\beta+1}",
        "Inner products of profiles between two snapshots.",
        ("training.averages.coefficients",),
        (Proof("test_average.py::test_coefficients_are_the_least_squares_ones", "Gauss quadrature"),),
    ),
    Equation(
        "EDM2",
        "6",
        r"\min_c\int(c_1u^{\gamma_1}+c_2u^{\gamma_2}-p)^2\,du\ \text{ with }\ "
        r"\int(c_1u^{\gamma_1}+c_2u^{\gamma_2})\,du=\int p\,du",
        "The least-squares profile between two snapshots that keeps the mass of the average there.",
        ("training.averages.coefficients",),
        (
            Proof(
                "test_average.py::test_coefficients_are_the_least_squares_ones",
                "all stored profiles at once, on a grid",
            ),
        ),
    ),
    Equation(
        "EDM2",
        "7",
        r"x_{ik}=\Big(c_{ik}-c_{i+1,k}\Big(\frac{t_i}{t_{i+1}}\Big)^{\gamma_k}\Big)\frac{t_i}{\gamma_k+1}",
        "The share of each snapshot in an average of another length. The shares sum to 1.",
        ("training.averages.coefficients",),
        (
            Proof("test_average.py::test_a_run_gives_averages_that_were_not_tracked", "tracked averages, to 1e-6"),
            Proof("test_average.py::test_coefficients_sum_to_one", "1"),
        ),
    ),
    # -- DPM-Solver++ -------------------------------------------------------------------------------------------------
    Equation(
        "DPM-Solver++",
        "proposition 4.1",
        r"x_t=\frac{\sigma_t}{\sigma_s}x_s+\sigma_t\int_{\lambda_s}^{\lambda_t}e^\lambda\,\hat x_\theta\,d\lambda",
        "The exact solution of the flow: the linear part is solved, only $\\hat x_0$ remains under the integral.",
        (),
        (Proof("test_equations.py::test_dpm_solvers_integral_is_the_exact_solution", "quadrature, for Gaussian data"),),
        "The sampler holds the approximations of the integral below.",
    ),
    Equation(
        "DPM-Solver++",
        "algorithm 2",
        r"x_{t_i}=\frac{\sigma_{t_i}}{\sigma_{t_{i-1}}}x_{t_{i-1}}-\alpha_{t_i}(e^{-h_i}-1)\Big[\Big(1+\frac1{2r_i}\Big)"
        r"\hat x_{i-1}-\frac1{2r_i}\hat x_{i-2}\Big]",
        "2M: the integral for a line through the last two estimates. With $\\eta=1$ it is the appendix's SDE solver.",
        ("samplers.dpm_solver.DPMSolver.advance: # algorithm 2", "samplers.dpm_solver.slope: late - now"),
        (
            Proof("test_parity_samplers.py::test_multistep_solvers", "diffusers' `DPMSolverMultistepScheduler`"),
            Proof("test_parity_samplers.py::test_the_stochastic_dpm_solver", "the same with `sde-dpmsolver++`"),
            Proof("test_equations.py::test_the_first_order_solvers_are_ddim", "DDIM with $\\eta=0$ and $\\eta=1$"),
            Proof("test_orders.py::test_the_error_falls_with_the_order_that_is_claimed", "order 2"),
        ),
    ),
    # -- UniPC --------------------------------------------------------------------------------------------------------
    Equation(
        "UniPC",
        "",
        r"\rho_1+\rho_2=\frac{\varphi_2}{B},\quad r\rho_1+\rho_2=\frac{2\varphi_3}{B}",
        "The corrector repeats the last step with weights by which the first moments of the integral are exact. Here "
        "for order 2 and $B_2(h)$.",
        ("samplers.unipc._corrected: rho_1 =",),
        (
            Proof("test_parity_samplers.py::test_multistep_solvers", "diffusers' `UniPCMultistepScheduler`"),
            Proof("test_orders.py::test_the_error_falls_with_the_order_that_is_claimed", "order 3"),
        ),
    ),
    # -- rectified flow -----------------------------------------------------------------------------------------------
    Equation(
        "rectified flow",
        "1",
        r"\min_v\int_0^1\mathbb E\big[\Vert(X_1-X_0)-v(X_t,t)\Vert^2\big]dt,\quad X_t=tX_1+(1-t)X_0",
        "Learn the velocity of straight lines between noise and data. Here data is at $t=0$, so it is $\\epsilon-x_0$.",
        ("targets.FLOW", "curves.flow: return 1 - t"),
        (
            Proof("test_targets.py::test_the_rows_of_the_table", "known answers"),
            Proof("test_schedules.py::test_flow_is_the_straight_line", "the straight line"),
            Proof("test_equations.py::test_conversions_of_the_glossary", "the velocity in diffusers' flow scheduler"),
        ),
    ),
    # -- other papers -------------------------------------------------------------------------------------------------
    Equation(
        "other papers",
        "",
        r"\mathrm{Attention}(Q,K,V)=\mathrm{softmax}\Big(\frac{QK^T}{\sqrt{d_k}}\Big)V",
        "The average of values with the kernel $e^{q\\cdot k/\\sqrt d}$ (Vaswani et al., *Attention is all you need*, "
        "2017, eq. 1; Nadaraya and Watson 1964). Positions of an image attend to each other, and to words.",
        ("nets.kernels.attention._explicit: weights", "nets.conditioning.CrossAttention.forward: attend"),
        (Proof("test_nets_words.py::test_attention_to_words_is_an_average_with_a_kernel", "the average by loops"),),
    ),
    Equation(
        "other papers",
        "",
        r"\mathbb E\Vert s-\nabla\log q(x_t\mid x_0)\Vert^2=\mathbb E\Vert s-\nabla\log p_t\Vert^2+\frac D{b^2}"
        r"-\mathbb E\Vert\nabla\log p_t\Vert^2",
        "Denoising score matching is score matching up to a constant (Vincent, *A connection between score matching "
        "and denoising autoencoders*, 2011).",
        ("objectives.objective.Denoising.errors: return",),
        (Proof("test_equations.py::test_losses_of_single_examples_differ_by_a_constant", "numerical integration"),),
    ),
    Equation(
        "other papers",
        "",
        r"\mathbb E\Vert v-(\dot ax_0+\dot b\epsilon)\Vert^2=\mathbb E\Vert v-\mathbb E[\dot ax_0+\dot b\epsilon"
        r"\mid x_t]\Vert^2+C",
        "Conditional flow matching is flow matching up to a constant (Lipman et al., *Flow matching for generative "
        "modeling*, 2023).",
        ("objectives.objective.Denoising.errors: return",),
        (Proof("test_equations.py::test_losses_of_single_examples_differ_by_a_constant", "numerical integration"),),
    ),
    Equation(
        "other papers",
        "v (section 4)",
        r"v=\alpha_t\epsilon-\sigma_tx,\quad\hat x=\alpha_tz_t-\sigma_t\hat v",
        "A mixture of noise and data that is defined at every noise level.",
        ("targets.V",),
        (Proof("test_targets.py::test_v_solves_as_salimans_and_ho_write_it", "the formula written out"),),
    ),
    Equation(
        "other papers",
        "progressive distillation (appendix G)",
        r"\tilde x=\frac{z_{t''}-(\sigma_{t''}/\sigma_t)z_t}{\alpha_{t''}-(\sigma_{t''}/\sigma_t)\alpha_t}",
        "The $\\hat x_0$ whose one DDIM step from $t$ ends where two steps of the teacher end, $z_{t''}$.",
        ("objectives.distillation.ProgressiveDistillation.errors: goal.solve",),
        (Proof("test_distil.py::test_one_step_of_the_goal_is_two_of_the_teacher", "the sampler, and the formula"),),
    ),
    Equation(
        "other papers",
        "consistency tuning",
        r"\frac{r}{t}=1-\frac{1}{q^{k+1}}n(t),\quad n(t)=1+8\,\mathrm{sigmoid}(-t)",
        "The earlier noise level of the same path at which $\\hat x_0$ should be the same, closer from stage to stage.",
        ("objectives.distillation.earlier: share =",),
        (Proof("test_distil.py::test_r_is_the_last_time_at_or_below_the_papers", "the formula, at every time"),),
    ),
    Equation(
        "other papers",
        "consistency models, algorithm 2",
        r"\hat x_{t_n}=x_{t_{n+1}}+(t_n-t_{n+1})\,\Phi(x_{t_{n+1}},t_{n+1};\phi)",
        "With a teacher, the earlier point of the path is a step of a solver $\\Phi$ of its probability flow: Heun's.",
        ("objectives.distillation.ConsistencyTuning._step: torch.lerp",),
        (
            Proof(
                "test_distil.py::test_with_a_teacher_x_r_is_its_heun_step_from_x_t", "the step by hand, at every time"
            ),
            Proof(
                "test_distil.py::test_a_teacher_takes_the_chance_out_of_the_loss", "its order, at the exact function"
            ),
        ),
    ),
    Equation(
        "other papers",
        "consistency models, algorithm 1",
        r"x\leftarrow f_\theta(\hat x_{\tau},\tau),\quad\hat x_\tau=x+\sqrt{\tau^2-\epsilon^2}\,z",
        "Sampling by one evaluation, and again from fresh noise on its result.",
        ("samplers.consistency.Consistency.advance: add_noise",),
        (
            Proof(
                "test_distil.py::test_samples_of_the_consistency_function_have_the_moments_of_the_data",
                "mean and standard deviation of the data",
            ),
        ),
    ),
    Equation(
        "other papers",
        "min-SNR (section 3.4)",
        r"w_t=\min\{\mathrm{SNR}(t),\gamma\}",
        "A weight on the error of $x_0$ that caps the share of times with little noise.",
        ("objectives.weightings.x0_weights: MIN_SNR_GAMMA",),
        (
            Proof(
                "test_objectives.py::test_min_snr_as_its_authors_write_it", "the weights on $x_0$, $\\epsilon$ and $v$"
            ),
        ),
    ),
    Equation(
        "other papers",
        "P2",
        r"\lambda'_t=\frac{\lambda_t}{(k+\mathrm{SNR}(t))^\gamma}",
        "A weight on the network's own error that is smaller where little noise is left: $\\lambda_t$ is that of "
        "$L_{\\text{simple}}$.",
        ("objectives.weightings.loss_weights: P2_GAMMA",),
        (
            Proof(
                "test_objectives.py::test_p2_as_its_authors_write_it_on_the_error_of_any_network",
                "the formula on $\\epsilon$, $x_0$, $v$ and EDM's $F$",
            ),
        ),
    ),
    Equation(
        "other papers",
        "JiT, the loss",
        r"\Vert v_\theta-v\Vert^2,\quad v=\frac{x-z_t}{1-t},\quad v_\theta=\frac{x_\theta-z_t}{1-t}",
        "The network predicts $x_0$, and the error is that of the velocity. Here data is at $t=0$, so $1-t$ is $b$; it "
        "is at least 0.05.",
        ("objectives.weightings.x0_weights: MAX_RATE",),
        (
            Proof(
                "test_objectives.py::test_velocity_is_the_error_of_the_flows_velocity_as_jit_clips_it",
                "the formula written out",
            ),
        ),
    ),
    Equation(
        "other papers",
        "JiT, the times",
        r"\mathrm{logit}(t)\sim\mathcal N(-0.8,\,0.8^2)",
        "The logit of the share of data is $-\\ln(b/a)$, so these are EDM's noise levels with other numbers.",
        ("objectives.times.LogNormalTimes: signal[1:]).log()",),
        (Proof("test_objectives.py::test_logit_normal_times_are_jits", "the quantiles of the normal"),),
    ),
    Equation(
        "other papers",
        "zero terminal SNR, algorithm 1",
        r"\sqrt{\bar\alpha_t}'=(\sqrt{\bar\alpha_t}-\sqrt{\bar\alpha_T})\frac{\sqrt{\bar\alpha_1}}"
        r"{\sqrt{\bar\alpha_1}-\sqrt{\bar\alpha_T}}",
        "Shift and scale a schedule so that no signal is left at $T$.",
        ("schedules.zero_terminal: signal = torch.cat",),
        (
            Proof("test_schedules.py::test_zero_terminal_is_lin_et_als_algorithm_1", "the formula written out"),
            Proof("test_interop_export.py::test_zero_terminal_snr_goes_there_and_back", "diffusers' rescaled betas"),
        ),
    ),
    Equation(
        "other papers",
        "zero terminal SNR, table 2",
        r"\text{trailing, leading, linspace}",
        "Which times a sampler of fewer steps visits.",
        ("samplers.loop.spaced_times: round(T - i",),
        (Proof("test_samplers.py::test_spacings_are_those_of_the_table", "the table's times"),),
    ),
    Equation(
        "other papers",
        "DDNM",
        r"\hat x_0(y)=A^{+}y+(1-A^{+}A)\,\hat x_0",
        "Without noise: what $A$ sees of the estimate is replaced by the measurement.",
        ("guidance.posterior.Posterior.predict: moved = self.operator.pseudo_inverse",),
        (
            Proof(
                "test_posterior.py::test_methods_are_exact_for_gaussian_data_of_the_covariance_that_they_assume",
                "$A\\hat x_0(y)=y$",
            ),
        ),
    ),
    Equation(
        "other papers",
        "ΠGDM, r_t",
        r"r_t^2=\frac{b^2v}{a^2v+b^2}",
        "The variance of $x_0$ given $x_t$, for $x_0\\sim\\mathcal N(0,v\\,1)$. The paper takes $v=1$.",
        ('guidance.posterior.Posterior.predict: "isotropic"', "samplers.twisted.TDS.advance: spread ="),
        (
            Proof(
                "test_posterior.py::test_methods_are_exact_for_gaussian_data_of_the_covariance_that_they_assume",
                "the posterior of such data",
            ),
        ),
    ),
    Equation(
        "other papers",
        "MMPS",
        r"V=\mathrm{Cov}(x_0\mid x_t)=\frac{b^2}{a}\,\frac{\partial\hat x_0}{\partial x_t}",
        "Tweedie's formula of second order: the derivative of the estimate is the covariance of what it estimates.",
        ("guidance.posterior.Posterior.predict: tweedie =",),
        (
            Proof("test_equations.py::test_the_derivative_of_the_mean_is_the_covariance", "that of a mixture"),
            Proof(
                "test_posterior.py::test_methods_are_exact_for_gaussian_data_of_the_covariance_that_they_assume",
                "the posterior of Gaussian data",
            ),
        ),
    ),
    Equation(
        "other papers",
        "JFPS",
        r"C=\Big(\Sigma^{-1}+\frac{a^2}{b^2}\,1\Big)^{-1}",
        "The covariance of $x_0$ given $x_t$, for Gaussian data of the covariance $\\Sigma$: no derivative is needed.",
        ("covariance.Covariance.given: return rest",),
        (
            Proof(
                "test_posterior.py::test_methods_are_exact_for_gaussian_data_of_the_covariance_that_they_assume",
                "the posterior of such data",
            ),
        ),
    ),
    Equation(
        "other papers",
        "SDEdit, t_0",
        r"x_{t_0}=a\,x_0+b\,\epsilon,\quad t_0=\text{strength}\cdot T",
        "A variation: noise takes the details below its level away, and sampling from there invents others.",
        ("samplers.interpolation.time_at_strength: return",),
        (
            Proof("test_interpolation.py::test_strength_is_a_share_of_T", "the share"),
            Proof("test_interpolation.py::test_variations_have_the_distribution_of_noise_and_data", "moments"),
        ),
    ),
    Equation(
        "other papers",
        "RePaint, algorithm 1",
        r"x_t\leftarrow m\odot(\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\epsilon)+(1-m)\odot x_t",
        "In each step the known pixels are those of the image, noised to the level t. After some steps x is noised "
        "again and comes down once more. Here m is any measurement, with its pseudo-inverse.",
        ("guidance.replacement.Replacement.predict: x = replaced", "samplers.loop.resampled: path = path"),
        (
            Proof(
                "test_replacement.py::test_with_resampled_times_it_is_repaint_written_out", "the algorithm written out"
            ),
            Proof("test_parity_samplers.py::test_resampled_times_are_repaints", "diffusers' `RePaintScheduler`"),
        ),
    ),
    Equation(
        "other papers",
        "DPS, algorithm 1",
        r"x_{i-1}\leftarrow x'_{i-1}-\zeta_i\nabla_{x_i}\lVert y-\mathcal A(\hat x_0(x_i))\rVert_2^2,\quad"
        r"\zeta_i=\zeta'/\lVert y-\mathcal A(\hat x_0)\rVert",
        "An ancestral step, then one down the gradient of the misfit: by 2ζ' times that of the norm, not squared.",
        ("guidance.dps.DPS.predict: x0 = x0",),
        (Proof("test_dps.py::test_an_ancestral_step_is_the_published_one", "finite differences of the misfit"),),
    ),
    Equation(
        "other papers",
        "TDS, algorithm 1",
        r"w\leftarrow w\,\frac{p_\theta(x_s\mid x_t)\,\tilde p(y\mid x_s)}"
        r"{\tilde p(y\mid x_t)\,\tilde p_\theta(x_s\mid x_t,y)}",
        "The weight of a particle, which corrects for the step by which it was moved towards the measurement.",
        ("samplers.twisted.TDS.advance: return q.mean",),
        (
            Proof("test_twisted.py::test_it_is_the_algorithm_written_out", "densities of torch, loops over particles"),
            Proof("test_twisted.py::test_particles_tend_to_the_posterior", "exact draws from a mixture's posterior"),
        ),
    ),
    Equation(
        "other papers",
        "sigmoid schedule",
        r"\bar\alpha(u)\propto\mathrm{sigmoid}(-z(u))-\mathrm{sigmoid}(-z(1))",
        "A schedule whose signal falls as a sigmoid.",
        ("schedules.sigmoid: fall = ",),
        (Proof("test_schedules.py::test_sigmoid_is_jabri_et_als", "the formula written out"),),
    ),
    Equation(
        "other papers",
        "NCSNv2, technique 3",
        r"s_\theta(x,\sigma)=s_\theta(x)/\sigma",
        "The network's output is divided by the noise level, so it is of order 1.",
        ("targets.SCORE",),
        (Proof("test_diffusion.py::test_what_a_network_sees_and_answers_is_of_order_one", "deviations near 1"),),
    ),
    Equation(
        "other papers",
        "Fréchet distance (6)",
        r"\Vert\mu_x-\mu_y\Vert^2+\mathrm{tr}\big(\Sigma_x+\Sigma_y-2(\Sigma_x\Sigma_y)^{1/2}\big)",
        "The distance of two sets by the means and covariances of their features. With InceptionV3 it is FID.",
        ("metrics.distances.frechet_value: apart + x.root",),
        (
            Proof(
                "test_metrics_distances.py::test_the_frechet_distance_of_gaussians_has_its_closed_form",
                "the closed form",
            ),
            Proof(
                "test_metrics_distances.py::test_the_frechet_distance_is_that_of_torchmetrics_and_of_a_matrix_square_root",
                "torchmetrics",
            ),
        ),
    ),
    Equation(
        "other papers",
        "KID",
        r"\mathrm{MMD}^2\ \text{with}\ k(x,y)=\Big(\frac{x^\top y}d+1\Big)^3",
        "The unbiased squared distance of two sets by a cubic kernel of their features.",
        (
            "metrics.distances.kernel_sums: .div_(x.shape[1]).add_(1).pow_(3)",
            "metrics.distances.kernel_value: (n * (n - 1))",
        ),
        (
            Proof("test_metrics_distances.py::test_kid_is_that_of_torchmetrics", "torchmetrics"),
            Proof("test_metrics_distances.py::test_kid_of_one_distribution_is_nought_on_average", "0 on average"),
        ),
    ),
    Equation(
        "other papers",
        "energy score",
        r"\frac1K\sum_k\Vert X_k-x\Vert-\frac1{2K(K-1)}\sum_{j,k}\Vert X_j-X_k\Vert",
        "How well $K$ samples of a condition forecast its item $x$; proper, and unbiased for any $K$.",
        ("metrics.ensembles.energy_scores: score = ",),
        (
            Proof(
                "test_metrics_ensembles.py::test_the_energy_score_of_the_truth_is_half_the_mean_distance_of_two_items",
                "the closed form for normal values",
            ),
            Proof("test_metrics_ensembles.py::test_no_forecast_beats_the_true_distribution", "wrong forecasts"),
        ),
    ),
    Equation(
        "other papers",
        "CRPS",
        r"\sum_{j<k}\vert x_j-x_k\vert=\sum_k(2k-K-1)\,x_{(k)}",
        "The energy score of a single value, from the sorted members.",
        ("metrics.ensembles.crps: weights = ",),
        (
            Proof(
                "test_metrics_ensembles.py::test_the_crps_of_normal_samples_is_on_average_the_closed_form",
                "the closed form",
            ),
            Proof(
                "test_metrics_ensembles.py::test_the_crps_is_scipys_energy_distance_of_fair_pairs",
                "scipy",
            ),
        ),
    ),
    Equation(
        "other papers",
        "spread and error",
        r"\mathbb E\Vert\bar X-x\Vert^2=\frac{K+1}K\,\mathbb E\,s^2",
        "The variance $s^2$ of the members of a calibrated ensemble predicts the error of their mean $\\bar X$.",
        ("metrics.ensembles.squared_spread_and_error: spreads.append",),
        (
            Proof(
                "test_metrics_ensembles.py::"
                "test_spread_is_the_error_of_a_calibrated_ensemble_for_any_number_of_members",
                "both sides, for normal values",
            ),
        ),
    ),
    # -- this package -------------------------------------------------------------------------------------------------
    Equation(
        "this package",
        "",
        r"\hat x_0=\frac{q\,x_t-b\cdot\text{output}}d,\quad\hat\epsilon=\frac{a\cdot\text{output}-p\,x_t}d,"
        r"\quad d=aq-bp",
        "Any target $p\\,x_0+q\\,\\epsilon$ is solved for both unknowns.",
        ("targets.Target.solve: x0 =", "targets.Target.solve: eps =", "targets.Target.determinant: return"),
        (Proof("test_targets.py::test_solve_undoes_the_matrix", "the known $x_0$ and $\\epsilon$"),),
    ),
    Equation(
        "this package",
        "",
        r"\Vert x_0-\hat x_0\Vert^2=(b/d)^2\,\Vert\text{target}-\text{output}\Vert^2",
        "One weight on the error of $x_0$ serves every target.",
        ("objectives.weightings.loss_weights: target.determinant",),
        (
            Proof("test_objectives.py::test_snr_is_l_simple_in_eps_whatever_the_target", "DDPM (14)"),
            Proof("test_equations.py::test_weights_of_the_glossary", "the weights of each target written out"),
        ),
    ),
    Equation(
        "this package",
        "",
        r"\mathbb E\Vert x_0-f(x_t)\Vert^2=\mathbb E\Vert x_0-\mathbb E[x_0\mid x_t]\Vert^2+"
        r"\mathbb E\Vert\mathbb E[x_0\mid x_t]-f(x_t)\Vert^2",
        "The ideal estimate is the mean of the clean samples that may have led to $x_t$.",
        ("oracle.Gaussian.predict: gain =", "oracle.Mixture.predict: x0 ="),
        (
            Proof("test_equations.py::test_the_mean_minimises_the_loss", "both sides, for Gaussian data"),
            Proof("test_oracle.py::test_mixture_by_quadrature", "the mean by integration"),
            Proof("test_oracle.py::test_empirical_is_the_mean_weighted_by_likelihood", "the mean over a data set"),
        ),
    ),
    Equation(
        "this package",
        "",
        r"a\,\mathbb E[x_0\mid x_t]=x_t+b^2\,\nabla\log p_t(x_t)",
        "Tweedie's formula: the score points to the clean samples.",
        ("oracle.Mixture.log_density: return",),
        (Proof("test_oracle.py::test_mixtures_eps_is_the_score", "the gradient of the log density, by autograd"),),
    ),
    Equation(
        "this package",
        "",
        r"\hat x_0(y)=\hat x_0+O A^\top(A I A^\top+\sigma^2 1)^{-1}(y-A\hat x_0)",
        "An estimate given $y=Ax_0+\\sigma n$, by a covariance of $x_0$ given $x_t$ inside the inverse, $I$, and "
        "outside, $O$: four methods in one line, and exact for Gaussian data.",
        (
            "guidance.posterior.Posterior.predict: self.operator.apply(inner(adjoint(v)))",
            "guidance.posterior.Posterior.predict: moved = outer(adjoint(gmres",
        ),
        (
            Proof(
                "test_posterior.py::test_methods_are_exact_for_gaussian_data_of_the_covariance_that_they_assume",
                "conditioning a joint Gaussian",
            ),
        ),
    ),
    Equation(
        "this package",
        "",
        r"\mathbb E[x_0\mid y]=m+K(y-Am),\quad\mathrm{Cov}(x_0\mid y)=\Sigma-KA\Sigma,\quad"
        r" K=\Sigma A^\top(A\Sigma A^\top+\sigma^2 1)^{-1}",
        "The posterior of Gaussian data given a measurement.",
        ("oracle.Gaussian.given: mean = mean + (residual", "oracle.Gaussian.given: covariance - gain"),
        (
            Proof(
                "test_posterior.py::test_a_gaussian_given_a_measurement_is_that_of_joint_gaussians",
                "conditioning a joint Gaussian",
            ),
        ),
    ),
    Equation(
        "this package",
        "",
        r"\frac{\alpha^2}{\beta^2}=\frac{a^2}{b^2}+\frac{S^2}{\sigma^2}",
        "Along an axis of $A=USV^\\top$, $x_t$ and $y$ are together one measurement $\\alpha x_0+\\beta\\epsilon$, "
        "whose mean a mixture has in closed form.",
        ("oracle.ConditionalMixture._mean: b**2 * S * y",),
        (
            Proof(
                "test_posterior.py::test_a_mixture_given_a_measurement_is_that_of_joint_gaussians",
                "conditioning a joint Gaussian, component by component",
            ),
        ),
    ),
    Equation(
        "this package",
        "",
        r"x_t=a\,\mathrm{clip}(\hat x_0)+b\,\hat\epsilon",
        "After clipping, the noise is solved for again.",
        ("targets.Prediction.clipped: x0, eps",),
        (Proof("test_samplers.py::test_clipping_comes_before_the_step_and_keeps_the_pair_consistent", "$x_t$"),),
    ),
    Equation(
        "this package",
        "",
        r"\mathrm{std}(x_t)=\pi\,b_t/b_T",
        "Where sampling starts at a time below $T$, the prior's deviation $\\pi$ falls with the noise.",
        ("schedules.Schedule.prior_deviation: return",),
        (Proof("test_schedules.py::test_the_priors_deviation_falls_as_the_noise", "a DDIM step with $\\hat x_0=0$"),),
    ),
    Equation(
        "this package",
        "",
        r"-\log P(\text{level})\le\mathbb E_u[-\log p(x+u)]-\log w",
        "Noise $u$, uniform on a bin of width $w$, turns a density into a bound on the cost of the grey levels.",
        ("measure.bound_terms.dequantise: return", "measure.bound_terms.bits_from_nats: return"),
        (Proof("test_equations.py::test_dequantised_bits_are_a_bound", "the mass of each bin, in closed form"),),
    ),
)


# -- finding the lines ------------------------------------------------------------------------------------------------

NAMES = {name: paper.names[0] for paper in PAPERS for name in paper.names}
ANY_NAME = "|".join(sorted(map(re.escape, NAMES), key=len, reverse=True))


class Marker(NamedTuple):
    """The number of an equation in a comment or docstring, and its line."""

    paper: str
    number: str
    line: int


@cache
def parsed(text: str) -> ast.Module:
    """Parse a text once."""
    return ast.parse(text)


def comment_markers(text: str) -> Iterator[Marker]:
    """Find the numbers in comments: `(7)` is DDPM's, `DDIM (12)` is of the paper named before it."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            for name, number in re.findall(rf"(?:({ANY_NAME}) )?\((\d{{1,2}})\)", token.string):
                yield Marker(NAMES[name or "DDPM"], number, token.start[0])


def docstring_markers(text: str) -> Iterator[Marker]:
    """Find "eq. 5" or "eqs. (6) and (7)" in docstrings: of the paper that was named last before it, else of DDPM."""
    for node in ast.walk(parsed(text)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        words = " ".join(str(node.value.value).split())
        for found in re.finditer(r"\beqs?\. \(?\d+\)?(?:(?:, | and )\(?\d+\)?)*", words):
            named = re.findall(ANY_NAME, words[: found.start()])
            for number in re.findall(r"\d+", found.group()):
                yield Marker(NAMES[named[-1]] if named else "DDPM", number, node.lineno)


def definition(module: str, names: list[str]) -> tuple[str, ast.stmt]:
    """Find a class, function, method or constant of a module: the module's text and the statement."""
    text = (ROOT / "src" / "ancestral" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    body: list[ast.stmt] = parsed(text).body
    for name in names:
        node = next((node for node in body if name in _names(node)), None)
        if node is None:
            raise LookupError(f"there is no {name} in {module}")
        body = getattr(node, "body", [])
    return text, node


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {node.name} if isinstance(node, ast.ClassDef | ast.FunctionDef) else set()


def split(place: str) -> tuple[str, list[str], str]:
    """Split "samplers.ddim.DDIM.advance: text" into the module, the names in it, and the text of the line."""
    path, _, text = place.partition(": ")
    parts = path.split(".")
    folder = ROOT / "src" / "ancestral"
    count = next(n for n in range(1, len(parts) + 1) if folder.joinpath(*parts[:n]).with_suffix(".py").is_file())
    return ".".join(parts[:count]), parts[count:], text


def lines(place: str, equation: Equation) -> dict[int, str]:
    """Find the statements of a place that compute an equation, by line; raise LookupError if there is none."""
    module, names, wanted = split(place)
    text, node = definition(module, names)
    rows = text.splitlines()
    inside = range(node.lineno, (node.end_lineno or node.lineno) + 1)
    if wanted:
        hits = [line for line in inside if wanted in rows[line - 1]]
    else:
        key = (equation.paper, equation.number)
        hits = [m.line for m in comment_markers(text) if (m.paper, m.number) == key and m.line in inside]
        if isinstance(node, ast.Assign):
            hits = [node.lineno]
    if not hits:
        raise LookupError(f"{place} has no line of {equation.paper} ({equation.number})")
    return dict(_statement(text, line) for line in hits)


def _statement(text: str, line: int) -> tuple[int, str]:
    """The shortest statement that a line is of, and where it begins; a comment of its own belongs to the line below."""
    rows = text.splitlines()
    code = line + 1 if rows[line - 1].lstrip().startswith("#") else line
    spans = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(parsed(text))
        if isinstance(node, ast.stmt) and node.lineno <= code <= (node.end_lineno or node.lineno)
    ]
    first, last = min(spans, key=lambda span: span[1] - span[0])
    first = min(first, line)
    return first, textwrap.dedent("\n".join(rows[first - 1 : last]))


# -- the page ---------------------------------------------------------------------------------------------------------

INTRODUCTION = """\
---
hide: [navigation, toc]
---

<!-- Written by `python docs/hooks/equations.py`. Edit the table in that file, not this page. -->

# Equations

Each row has an equation, what it says, where the package computes it, and the test that proves it, with the truth that
the test compares with. A link in the column "line" leads to [the lines](#the-lines) at the end of the page. Comments in
the source carry the numbers: `(7)` is an equation of the DDPM paper, `DDIM (12)` one of another paper.
[The theory](theory.md) derives the equations, and [the glossary](glossary.md) translates the symbols.

Formulas are in the notation of their papers. A dash in the first column stands for an equation without a number. Later
papers have more equations; the tables hold those that the source refers to.
"""


def render() -> str:
    """The page."""
    headings = [_heading(paper) for paper in PAPERS]
    parts = [INTRODUCTION, " · ".join(f"[{heading}](#{slug(heading)})" for heading in headings) + "\n"]
    listed: dict[str, dict[int, str]] = {}
    for paper, heading in zip(PAPERS, headings, strict=True):
        parts.append(f"## {heading}\n\n{paper.reference}.\n")
        rows = ["| number | equation, and what it says | line | test, and its truth |", "|---|---|---|---|"]
        for equation in (e for e in EQUATIONS if e.paper == paper.names[0]):
            links = []
            for place in equation.places:
                module, names, _ = split(place)
                title = ".".join([module, *names])
                listed.setdefault(title, {}).update(lines(place, equation))
                short = ".".join(title.split(".")[-2:])
                links.append(f'<span style="white-space: nowrap">[`{short}`](#{slug(title)})</span>')
            links += [equation.why] if equation.why else []
            number = f"({equation.number})" if equation.number.isdigit() else equation.number or "–"
            proofs = "<br>".join(f"`{proof.test}`: {proof.truth}" for proof in equation.proofs)
            what = f"$\\displaystyle {equation.formula}$<br>{equation.words}"
            rows.append(f"| {number} | {what} | {'<br>'.join(links)} | {proofs} |")
        parts.append("\n".join(rows) + "\n")
    parts.append("## The lines\n\nEach place of the tables with its lines, in the order of the modules.\n")
    for title in sorted(listed):
        module = split(title)[0]
        body = "\n".join(text for _, text in sorted(listed[title].items()))
        parts.append(f"### `{title}`\n\n`src/ancestral/{module.replace('.', '/')}.py`\n\n```python\n{body}\n```\n")
    return "\n".join(parts)


def _heading(paper: Paper) -> str:
    return paper.names[0][0].upper() + paper.names[0][1:]


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and Python-Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
