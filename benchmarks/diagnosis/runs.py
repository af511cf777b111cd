"""The labelled runs: what each is told, and what it is kept for."""

from dataclasses import dataclass
from pathlib import Path

HERE = "benchmarks.diagnosis.broken"


@dataclass(frozen=True)
class Labelled:
    """A run whose truth is read from its curves and images once it is there (:mod:`benchmarks.diagnosis.truth`).

    Attributes:
        name: of its folder and of its curves.
        overrides: of ``train.py``, without ``data.root``.
        source: which of the real data sets it takes; ``shipped``: that of the project.
        bce: whether its losses are judged as those of the original loss.
    """

    name: str
    overrides: tuple[str, ...]
    source: str
    bce: bool = True

    def command(self, data_root: Path, folder: Path) -> list[str]:
        """The arguments of ``train.py``."""
        places = {"mnist": data_root, "celeba": data_root / "celeba", "anime": data_root / "anime" / "faces"}
        root = [f"data.root={places[self.source]}"] if self.source in places else []
        return [*self.overrides, *root, f"hydra.run.dir={folder}", *PLAIN]


# What takes time at a run's end, and is not looked at.
PLAIN = (
    "callbacks.figures=null",
    "callbacks.report=null",
    "callbacks.checkpoints.every=100000",
    "metrics=none",
    "logger=none",
    "+callbacks.ending={_target_:benchmarks.diagnosis.broken.Ending}",
)
GUIDE = ("stable", "mode_collapse", "stacked_batches", "aggressive_adam")
WITHOUT_NORM = f"model.init._target_={HERE}.without_batch_norm"


def _guide(kind: str, digit: int, seed: int, *others: str, name: str = "") -> Labelled:
    overrides = (f"experiment=guide_{kind}", f"data.digit={digit}", f"seed={seed}", *others)
    return Labelled(f"guide_{name or kind}_digit{digit}_s{seed}", overrides, "mnist")


def _dcgan(name: str, source: str, seed: int, steps: int, *others: str, bce: bool = True) -> Labelled:
    data = {"mnist": "mnist", "celeba": "celeba", "anime": "image_folder"}[source]
    overrides = (
        "model=dcgan_small",
        f"data={data}",
        "data.image_size=32",
        f"trainer.max_steps={steps}",
        f"seed={seed}",
    )
    return Labelled(f"{source}_{name}_s{seed}", (*overrides, *others), source, bce)


def kernels_of(size: int) -> tuple[str, ...]:
    return f"model.init._target_={HERE}.with_kernels_of", f"+model.init.size={size}"


def wrong_labels(share: float) -> tuple[str, ...]:
    return f"loss._target_={HERE}.WrongLabels", f"+loss.share={share}", "+loss.seed=0"


HINGE = (f"loss._target_={HERE}.Hinge",)
ADAM = ("model.lr=1.0e-3", "model.optimizer_d.betas=[0.9,0.999]", "model.optimizer_g.betas=[0.9,0.999]")
G_WINS = ("model.optimizer_d.lr=1.0e-7", "model.optimizer_g.lr=2.0e-3")

# By these the thresholds were set.
CALIBRATION = (
    *(_guide(kind, digit, 0) for digit in (8, 3) for kind in GUIDE),
    _guide("stacked_batches", 8, 0, "model.batch_norm=true", name="stacked_batches_bn"),
    _guide("stable", 8, 0, "model.generator.width=16", "model.discriminator.width=8", name="eighth"),
    _guide("stable", 8, 0, *kernels_of(1), name="kernels_of_1"),
    _guide("stable", 8, 0, *kernels_of(11), name="kernels_of_11"),
    _dcgan("default", "mnist", 0, 800),
    _dcgan("lr_x25", "mnist", 0, 800, "model.lr=1.0e-2"),
    _dcgan("lr_1e-7", "mnist", 0, 800, "model.lr=1.0e-7"),
    _dcgan("lr_10", "mnist", 0, 800, "model.lr=10"),
    _dcgan("latent_1", "mnist", 0, 800, "model.generator.latent_dim=1"),
    _dcgan("latent_2", "mnist", 0, 800, "model.generator.latent_dim=2"),
    _dcgan("no_batch_norm", "mnist", 0, 800, WITHOUT_NORM),
    _dcgan("wrong_labels_half", "mnist", 0, 800, *wrong_labels(0.5)),
    _dcgan("wrong_labels_tenth", "mnist", 0, 800, *wrong_labels(0.1)),
    _dcgan("d_every_5", "mnist", 0, 800, "model.d_every=5"),
    _dcgan("g_every_5", "mnist", 0, 800, "model.g_every=5"),
    _dcgan("d_frozen", "mnist", 0, 800, *G_WINS),
    _dcgan("default", "celeba", 0, 800),
    _dcgan("adam", "celeba", 0, 800, *ADAM),
    _dcgan("latent_1", "celeba", 0, 800, "model.generator.latent_dim=1"),
    _dcgan("wrong_labels_half", "celeba", 0, 800, *wrong_labels(0.5)),
    _dcgan("d_frozen", "celeba", 0, 800, *G_WINS),
    _dcgan("default", "anime", 0, 800),
    _dcgan("adam", "anime", 0, 800, *ADAM),
)

# Never looked at while the thresholds were set: other digits, other seeds.
TEST = (
    *(_guide(kind, digit, seed) for seed, digit in enumerate((0, 2, 4, 5, 7), 1) for kind in GUIDE),
    _guide("stacked_batches", 5, 4, "model.batch_norm=true", name="stacked_batches_bn"),
    _dcgan("default", "mnist", 1, 800),
    _dcgan("latent_1", "mnist", 1, 800, "model.generator.latent_dim=1"),
    _dcgan("wrong_labels_half", "mnist", 1, 800, *wrong_labels(0.5)),
    _dcgan("d_frozen", "mnist", 1, 800, *G_WINS),
    _dcgan("lr_10", "mnist", 1, 800, "model.lr=10"),
    _dcgan("lr_1e30", "mnist", 1, 800, "model.lr=1e30"),
    _dcgan("default", "celeba", 1, 800),
    _dcgan("adam", "celeba", 1, 800, *ADAM),
    _dcgan("default", "anime", 1, 800),
    _dcgan("latent_1", "anime", 1, 800, "model.generator.latent_dim=1"),
    _dcgan("hinge", "mnist", 1, 800, *HINGE, bce=False),
    _dcgan("hinge_latent_1", "mnist", 1, 800, *HINGE, "model.generator.latent_dim=1", bce=False),
    _dcgan("hinge_lr_1e-7", "mnist", 1, 800, *HINGE, "model.lr=1.0e-7", bce=False),
)

# What the project ships, with every default, but for the length that a CPU has time for: none of them is a failure.
SHIPPED = (
    Labelled("shipped_default", (), "shipped"),
    *(_guide("stable", 8, seed, name="stable_shipped") for seed in (1, 2)),
    Labelled("shipped_mlp_gan_mnist", ("experiment=mlp_gan_mnist", "trainer.fraction=0.2"), "mnist"),
    Labelled("shipped_celeba_cpu", ("experiment=celeba_cpu",), "celeba"),
    Labelled("shipped_dcgan_celeba", ("experiment=dcgan_celeba",), "celeba"),
    Labelled("shipped_dcgan_anime", ("experiment=dcgan_anime", "trainer.max_steps=300"), "anime"),
    *(
        Labelled(
            f"shipped_anime_ratio_{ratio}",
            (f"experiment=anime_ratio_{ratio}", "data.batch_size=64", f"trainer.max_steps={steps}"),
            "anime",
        )
        for ratio, steps in (("1_1", 300), ("1_5", 300), ("long", 600))
    ),
)
PARTS = {"calibration": CALIBRATION, "test": TEST, "shipped": SHIPPED}
