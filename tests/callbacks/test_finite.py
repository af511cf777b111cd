"""Runs whose numbers are none any more: when they stop, what they say, and what is left."""

import csv
import json
import math

import pytest
import torch
from lightning.pytorch import Callback
from torch.utils._python_dispatch import TorchDispatchMode

from dcgan_lightning.callbacks.failure import raise_on_every_rank
from dcgan_lightning.callbacks.finite import Finite
from dcgan_lightning.errors import Refusal
from dcgan_lightning.finite import NonFiniteError, first_not_finite
from dcgan_lightning.sampling import NonFiniteImagesError
from tests.support import gan, trainer
from tests.test_gan_module import networks
from tests.test_overflow import data, scaled_trainer

EVERY = 5


class Spoils(Callback):
    """Writes a value into parameters or buffers after an iteration, and into what an iteration returned."""

    def __init__(self, place: str, iterations: list[int], value: float) -> None:
        self.place, self.iterations, self.value = place, iterations, value

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step - 1 in self.iterations:
            with torch.no_grad():
                (outputs | pl_module.state_dict())[self.place].view(-1)[-1] = self.value


class SpoilsOnce(Spoils):
    """From the command line, where no NaN can be given."""

    def __init__(self, place: str, iteration: int) -> None:
        super().__init__(place, [iteration], math.nan)


class SpoilsRankOne(SpoilsOnce):
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_rank == 1:
            super().on_train_batch_end(trainer, *args)


def spoils(place, *iterations, value=math.nan):
    return Spoils(place, list(iterations), value)


def stopped(tmp_path, *callbacks, max_steps=20, every=EVERY, of=trainer, **settings):
    """The trainer and the error's words; empty words for a run that went to its end."""
    made = of(tmp_path, max_steps, [*callbacks, Finite(every)], **settings)
    try:
        made.fit(gan(*networks(), seed=3), datamodule=data(tmp_path))
    except NonFiniteError as error:
        return made, str(error)
    return made, ""


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("generator.main.1.running_var", math.nan),
        ("generator.main.4.running_mean", -math.inf),
        ("discriminator.main.3.running_mean", math.inf),
    ],
)
def test_a_buffer_is_named_within_so_many_iterations(tmp_path, place, value):
    """BatchNorm never reads these while it trains: losses and images of training would not tell."""
    made, words = stopped(tmp_path, spoils(place, 6, value=value))
    assert words.startswith(
        f"{place} is not finite (NaN or infinity), found after 10 iterations: training has diverged"
    )
    assert made.global_step == 10


@pytest.mark.parametrize(("name", "iteration"), [("loss_d", 5), ("loss_g", 7), ("d_x", 9)])
def test_a_loss_is_named_with_its_own_iteration(tmp_path, name, iteration):
    made, words = stopped(tmp_path, spoils(name, iteration))
    assert words.startswith(f"{name} in iteration {iteration} is not finite (NaN or infinity): training has diverged")
    assert made.global_step == 10


def test_a_weight_that_spoils_all_after_it_is_traced_to_the_first_iteration(tmp_path):
    _, words = stopped(tmp_path, spoils("discriminator.main.0.weight", 6))
    assert words.startswith(
        "loss_d in iteration 7 is not finite (NaN or infinity), nor is generator.main.0.weight after 10"
    )


@pytest.mark.parametrize(("max_steps", "iteration"), [(12, 11), (3, 2), (1, 0)])
def test_the_last_iterations_are_looked_at_too(tmp_path, max_steps, iteration):
    _, words = stopped(tmp_path, spoils("loss_g", iteration), max_steps=max_steps)
    assert f"loss_g in iteration {iteration} " in words


def test_the_state_is_looked_at_where_a_run_is_ended_early(tmp_path):
    class Ends(Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.global_step == 7

    made, words = stopped(tmp_path, spoils("generator.main.1.running_var", 6), Ends())
    assert "found after 7 iterations" in words
    assert made.global_step == 7


def test_the_losses_are_looked_at_before_a_checkpoint_is_saved(tmp_path):
    class Saves(Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.save_checkpoint(tmp_path / f"{trainer.global_step}.ckpt")

    _, words = stopped(tmp_path, spoils("loss_g", 6), Saves())
    assert "loss_g in iteration 6 " in words
    # The callback that saves comes first here, and knows of an iteration only in the next one.
    assert sorted(int(path.stem) for path in tmp_path.glob("*.ckpt")) == [1, 2, 3, 4, 5, 6, 7]


class Kernels(TorchDispatchMode):
    """Counts what is asked of the device, waiting for it included."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is not torch.ops.aten.detach.default
        return function(*args, **(kwargs or {}))


def test_a_sound_run_is_left_alone_and_between_two_looks_the_device_is_asked_for_nothing(tmp_path):
    class Watched(Finite):
        kernels = ()

        def on_train_batch_end(self, *args):
            with Kernels() as kernels:
                super().on_train_batch_end(*args)
            self.kernels = (*self.kernels, kernels.count)

    watched, kept = Watched(EVERY), {}
    for name, callbacks in (("with", [watched]), ("without", [])):
        module = gan(*networks(), seed=3)
        trainer(tmp_path, 12, callbacks).fit(module, datamodule=data(tmp_path))
        kept[name] = module.state_dict()
    assert all(torch.equal(value, kept["without"][name]) for name, value in kept["with"].items())
    assert [iteration for iteration, count in enumerate(watched.kernels, 1) if count] == [5, 10, 12]


@pytest.mark.parametrize("every", [0, -1])
def test_impossible_options_are_refused(every):
    with pytest.raises(Refusal, match=rf"callbacks\.finite\.every={every}"):
        Finite(every)


# float16, where the scaler leaves an update out that overflows


def test_losses_that_overflow_now_and_then_are_no_end_in_float16(tmp_path):
    some = [2, 3, 4, 5, 7, 8, 9, 10, 12, 13]  # never five in a row
    made, words = stopped(tmp_path, spoils("loss_d", *some, value=math.inf), of=scaled_trainer)
    assert (words, made.global_step) == ("", 20)


def test_losses_that_overflow_throughout_are_in_float16(tmp_path):
    made, words = stopped(tmp_path, spoils("loss_d", *range(6, 20), value=math.inf), of=scaled_trainer)
    assert words.startswith("loss_d was not finite (NaN or infinity) from iteration 6 to 10 throughout")
    assert "trainer.precision=bf16-mixed" in words
    assert made.global_step == 15


def test_weights_are_at_once_in_float16(tmp_path):
    _, words = stopped(tmp_path, spoils("generator.main.1.running_var", 6), of=scaled_trainer)
    assert words.startswith("generator.main.1.running_var is not finite (NaN or infinity), found after 10 iterations")


def test_a_scale_that_has_come_down_to_nothing_is_in_float16(tmp_path):
    class Overflows(Callback):
        def on_train_start(self, trainer, pl_module):
            for parameter in pl_module.parameters():
                parameter.register_hook(lambda gradient: torch.full_like(gradient, math.inf))

    made, words = stopped(tmp_path, Overflows(), max_steps=40, of=scaled_trainer)
    # 2^10 and two overflows an iteration: 2^-24 after 17 of them.
    assert words.startswith("every update overflows: after 20 iterations the scale of the gradients has come down to")
    assert made.global_step == 20


# from the command line


def test_the_run_ends_in_one_message_with_the_last_finite_checkpoint_and_the_way_on(command):
    spoils = "_target_:tests.callbacks.test_finite.SpoilsOnce,place:generator.main.1.running_var,iteration:12"
    saves = ("callbacks.checkpoints.every=4", f"callbacks.finite.every={EVERY}", "metrics=none")
    run = command.tiny("trainer.max_steps=30", f"+callbacks.a={{{spoils}}}", *saves)
    assert (run.code, "Traceback" in run.err) == (1, False), run.err
    message = run.err[run.err.index("Stopped: ") :]
    assert message.startswith("Stopped: generator.main.1.running_var is not finite (NaN or infinity), found after 15")
    last = run.folder / "checkpoints" / "last.ckpt"
    assert str(last.relative_to(run.cwd)) in message.replace(f"{run.cwd}/", "")
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint["global_step"] == 12
    assert first_not_finite(checkpoint["state_dict"]) is None
    assert json.loads((run.folder / "run.json").read_text())["status"] == "failed"
    with (run.folder / "metrics.csv").open() as file:
        assert [int(row["iteration"]) for row in csv.DictReader(file)] == list(range(15))
    assert not list(run.folder.glob("*.safetensors"))
    again = command.tiny(f"ckpt_path={run.folder}", "model.lr=1e-5", "model.clip_grad_norm=1", "trainer.max_steps=16")
    assert again.code == 0
    assert json.loads((again.folders[-1] / "run.json").read_text())["iterations"] == 16


def test_a_learning_rate_that_is_far_too_large_is_named_by_the_first_loss(command):
    run = command.tiny("trainer.max_steps=100", "model.lr=1e30", "metrics=none", "trainer.precision=32-true")
    assert run.code == 1
    assert run.err.startswith("Stopped: loss_g in iteration 0 is not finite")
    assert "after 50 iterations" in run.err
    assert "start anew, with a lower model.lr, or with model.clip_grad_norm=1" in run.err
    assert not list(run.folder.glob("**/*.ckpt"))


def test_images_name_the_place_in_the_network(tmp_path):
    made = trainer(tmp_path, 1)
    module = gan(*networks())
    made.strategy.connect(module)
    raise_on_every_rank(made, None)
    with pytest.raises(NonFiniteImagesError, match=r"^3 images$"):
        raise_on_every_rank(made, NonFiniteImagesError("3 images"))
    module.generator.main[1].running_var[0] = math.nan
    with pytest.raises(
        NonFiniteImagesError, match=r"\n  The first that is not finite is generator\.main\.1\.running_var"
    ):
        raise_on_every_rank(made, NonFiniteImagesError("3 images"))
