"""Iterations captured once and replayed, by a recorder that stands in for CUDA graphs on the CPU."""

import functools
import inspect
import sys
from contextlib import contextmanager, nullcontext

import pytest
import torch
from lightning.pytorch import Callback
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dcgan_lightning import captured
from dcgan_lightning.captured import WARM_UP, CUDAGraphs, refuse_unfit
from dcgan_lightning.errors import Refusal
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.optimizers import checked, settle
from dcgan_lightning.schedule import CarriedLatents, FreshLatents, SeparateSteps, StackedBatch
from tests.conftest import assert_refused
from tests.support import Images, composed_module, gan, some_images, trainer

BATCH = 8


class Tape(TorchDispatchMode):
    """Notes every kernel with the very tensors that it read and wrote, as a CUDA graph notes their addresses."""

    def __init__(self):
        super().__init__()
        self.kernels, self.before, self.made = [], {}, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function is not torch.ops.aten._local_scalar_dense.default, "the host waits for a tensor's value"
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        for storage in (tensor.untyped_storage() for tensor in given):
            if storage.data_ptr() not in self.made | self.before.keys():
                self.before[storage.data_ptr()] = storage, storage.clone()
        result = function(*args, **(kwargs or {}))
        theirs = {tensor.untyped_storage().data_ptr() for tensor in given}
        new = [t for t in tree_leaves(result) if torch.is_tensor(t) and t.untyped_storage().data_ptr() not in theirs]
        self.made |= {tensor.untyped_storage().data_ptr() for tensor in new}
        self.kernels.append((function, args, kwargs or {}, result))
        return result

    def undo(self):
        """A capture runs nothing; what was there before has its values back."""
        for storage, values in self.before.values():
            storage.copy_(values)

    @torch.no_grad()
    def replay(self):
        for function, args, kwargs, noted in self.kernels:
            for old, new in zip(tree_leaves(noted), tree_leaves(function(*args, **kwargs)), strict=True):
                if torch.is_tensor(old) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class OnCPU:
    """Records on the CPU."""

    made = ()

    def __init__(self, device):
        self.tapes, self.replays, self.eager = [], 0, 0
        OnCPU.made = (*OnCPU.made, self)

    def beside(self):
        self.eager += 1
        return nullcontext()

    def record(self, work):
        tape = Tape()
        with tape:
            result = work()
        tape.undo()
        self.tapes.append(tape)

        def replay():
            self.replays += 1
            tape.replay()

        return replay, result


@pytest.fixture(autouse=True)
def adam_that_counts_on_the_device(monkeypatch):
    """Let Adam's capturable form run on the CPU, where its authors saw no use for it."""
    monkeypatch.setattr(
        sys.modules["torch.optim.adam"], "_get_capturable_supported_devices", lambda *_: ["cpu", "cuda"]
    )
    monkeypatch.setattr(OnCPU, "made", ())


class Kept(Callback):
    """Keeps each iteration's scalars as they are handed out."""

    def __init__(self):
        self.scalars = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.scalars.append(outputs)


class Slower(Callback):
    """Lowers G's learning rate before an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.iteration:
            trainer.optimizers[1].param_groups[0]["lr"] /= 10


def trained(
    folder, cuda_graph, images=64, max_steps=16, precision="32-true", callbacks=(), accelerator="cpu", **settings
):
    """A module after a run, and the scalars; without capture with the same form of Adam."""
    torch.manual_seed(0)
    networks = Generator(image_size=28, channels=1, latent_dim=6, width=4), Discriminator(28, 1, width=4)
    module, kept = gan(*networks, seed=3, cuda_graph=cuda_graph, channels_last=True, **settings), Kept()
    module.recorder = OnCPU if accelerator == "cpu" else CUDAGraphs
    if not cuda_graph:
        module.make_optimizers = [functools.partial(make, capturable=True) for make in module.make_optimizers]
    data = Images(some_images(images), BATCH, folder / "cache")
    made = trainer(folder, max_steps, [kept, *callbacks], precision=precision, accelerator=accelerator)
    made.fit(module, datamodule=data)
    return module, [{name: value.item() for name, value in row.items()} for row in kept.scalars]


def assert_same(tmp_path, **settings):
    """A captured run equals an eager one to the last bit; its recorder."""
    eager, rows = trained(tmp_path, False, **settings)
    assert OnCPU.made == ()
    module, replayed_rows = trained(tmp_path, True, **settings)
    (recorder,) = OnCPU.made
    for (name, value), expected in zip(module.state_dict().items(), eager.state_dict().values(), strict=True):
        assert torch.equal(value, expected), name
    assert replayed_rows == rows
    assert recorder.eager + recorder.replays == len(rows)
    assert recorder.replays > 0
    return recorder


@pytest.mark.parametrize(
    ("d_every", "g_every", "kinds", "eager"),
    # 1:5 has its kind of iteration with both updates at 0, 5, 10 and 15, of which the last is replayed.
    [(1, 1, 1, WARM_UP), (1, 5, 2, 2 * WARM_UP), (5, 1, 2, 2 * WARM_UP)],
)
@pytest.mark.parametrize("latents", [None, CarriedLatents()], ids=["shared", "carried"])
def test_replayed_iterations_equal_eager_ones_and_each_kind_is_captured_once(
    tmp_path, d_every, g_every, kinds, eager, latents
):
    recorder = assert_same(tmp_path, d_every=d_every, g_every=g_every, latents=latents)
    assert (len(recorder.tapes), recorder.eager) == (kinds, eager)


def test_the_smaller_last_batch_of_an_epoch_is_a_kind_of_its_own(tmp_path):
    recorder = assert_same(tmp_path, images=3 * BATCH + 3, max_steps=12)
    assert (len(recorder.tapes), recorder.eager) == (1, 2 * WARM_UP)  # the small one has come three times


@pytest.mark.parametrize("rule", [SeparateSteps(), StackedBatch()])
def test_other_rules_and_twice_as_many_latents_for_g(tmp_path, rule):
    assert_same(tmp_path, d_rule=rule, latents=FreshLatents(2), max_steps=6)


def test_gradients_are_shortened_in_replays_too(tmp_path):
    assert_same(tmp_path, clip_grad_norm=0.05, max_steps=8)
    free, _ = trained(tmp_path, False, max_steps=8)
    shortened, _ = trained(tmp_path, True, max_steps=8, clip_grad_norm=0.05)
    assert not all(torch.equal(*pair) for pair in zip(free.parameters(), shortened.parameters(), strict=True))


def test_the_weights_casts_to_bfloat16_are_part_of_the_capture(tmp_path):
    assert_same(tmp_path, precision="bf16-mixed", max_steps=8)


def test_a_new_learning_rate_is_captured_anew(tmp_path):
    recorder = assert_same(tmp_path, callbacks=[Slower(iteration=8)])
    assert (len(recorder.tapes), recorder.eager) == (2, 2 * WARM_UP)


def test_scalars_that_a_callback_keeps_do_not_change_under_it(tmp_path):
    _, rows = trained(tmp_path, True)  # read after the run
    assert len({row["loss_d"] for row in rows}) == len(rows)


def test_adam_with_its_count_on_the_device_differs_by_rounding_alone(tmp_path):
    torch.manual_seed(0)
    networks = Generator(image_size=28, channels=1, latent_dim=6, width=4), Discriminator(28, 1, width=4)
    plain = gan(*networks, seed=3, channels_last=True)
    trainer(tmp_path, 1).fit(plain, datamodule=Images(some_images(64), BATCH, tmp_path / "cache"))
    replayed, _ = trained(tmp_path, True, max_steps=1)
    for value, expected in zip(replayed.parameters(), plain.parameters(), strict=True):
        # On the device 1 - 0.999 is a float32, off by up to 3e-5 of itself, and Adam takes its root; a step is 2e-4.
        torch.testing.assert_close(value, expected, rtol=2**-23, atol=2e-4 * 3e-5)


def test_off_by_default_and_with_adam_s_count_on_the_cpu():
    module = composed_module()
    assert not module.cuda_graph
    assert [optimizer.defaults["capturable"] for optimizer in module.configure_optimizers()] == [False, False]
    on = composed_module("model.cuda_graph=true").configure_optimizers()
    assert [optimizer.defaults["capturable"] for optimizer in on] == [True, True]


def test_an_optimizer_that_cannot_be_captured_is_refused():
    with pytest.raises(Refusal, match=r"model\.cuda_graph.*model\.optimizer_g, SGD"):
        checked("optimizer_g", torch.optim.SGD, 0.1, captured=True)
    assert checked("optimizer_g", torch.optim.SGD, 0.1, captured=False).keywords == {"lr": 0.1}


@pytest.mark.parametrize(
    ("devices", "options", "words"),
    [
        (1, {"accelerator": "cpu"}, "no CUDA device"),
        (2, {}, "single device"),
        (1, {"strategy": "ddp_find_unused_parameters_true"}, "single device"),
        (1, {"precision": "16-mixed"}, "16-mixed"),
        (1, {"detect_anomaly": True}, "detect_anomaly"),
        (1, {}, ""),
    ],
)
def test_what_cannot_be_captured_is_refused(monkeypatch, devices, options, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    given = {"accelerator": "auto", "strategy": "auto", "precision": "auto"} | options
    refuse_unfit(False, given, devices)
    with pytest.raises(Refusal, match=f"model.cuda_graph=true.*{words}") if words else nullcontext():
        refuse_unfit(True, given, devices)


def test_the_cpu_refuses_before_anything_is_made(command):
    run = command("train", "model.cuda_graph=true", "trainer.accelerator=cpu")
    assert_refused(run, "model.cuda_graph=true", "no CUDA device trains here", "model.cuda_graph=false")


def test_a_checkpoint_moves_between_runs_with_and_without_capture():
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.ones(1)
    captured_one = torch.optim.Adam([parameter], capturable=True, lr=1e-3)
    captured_one.step()
    plain = torch.optim.Adam([parameter], lr=2e-4)
    plain.load_state_dict(captured_one.state_dict())
    assert (plain.param_groups[0]["capturable"], plain.param_groups[0]["lr"]) == (True, 1e-3)
    settle(plain)
    assert (plain.param_groups[0]["capturable"], plain.param_groups[0]["lr"]) == (False, 2e-4)
    assert plain.state[parameter]["step"] == 1

    on_meta = torch.nn.Parameter(torch.ones(1, device="meta"))
    other = torch.optim.Adam([on_meta], capturable=True)
    other.param_groups[0]["capturable"] = False  # as a checkpoint of a run without capture leaves it
    other.state[on_meta]["step"] = torch.tensor(1.0)
    settle(other)
    assert other.state[on_meta]["step"].device == on_meta.device


class Flags(Callback):
    """What float32 is to a GPU inside an iteration."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.inside = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision


@pytest.mark.parametrize(("precision", "form"), [("32-true", "ieee"), ("64-true", "ieee"), ("bf16-mixed", "tf32")])
def test_float32_is_float32_where_it_was_asked_for(tmp_path, precision, form):
    flags, outside = Flags(), (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    before = [kind.fp32_precision for kind in outside]
    trained(tmp_path, False, max_steps=1, precision=precision, callbacks=[flags])
    assert flags.inside == (form, form)
    assert [kind.fp32_precision for kind in outside] == before


def test_cuda_graphs_are_asked_for_as_pytorch_has_it(monkeypatch):
    """The order of calls alone: there is no CUDA in these tests."""
    calls = []

    class Stream:
        def __init__(self, device="cuda:0"):
            self.device = device

        def wait_stream(self, other):
            calls.append(("wait", self is usual))

    class Graph:
        def replay(self):
            calls.append("replay")

    @contextmanager
    def entered(*args, **kwargs):
        calls.append(("enter", args, kwargs))
        yield
        calls.append("leave")

    usual, real_signature = Stream(), inspect.signature(torch.cuda.graph)
    for name, stand_in in {
        "Stream": Stream,
        "CUDAGraph": Graph,
        "stream": entered,
        "graph": entered,
        "graph_pool_handle": lambda: "pool",
        "current_stream": lambda device: usual,
    }.items():
        monkeypatch.setattr(captured.torch.cuda, name, stand_in)
    graphs = CUDAGraphs("cuda:0")
    with graphs.beside():
        calls.append("work")
    assert calls == [("wait", False), ("enter", (graphs.stream,), {}), "work", "leave", ("wait", True)]
    calls.clear()
    replay, result = graphs.record(lambda: "result")
    (_, (graph,), settings), leave = calls
    assert (isinstance(graph, Graph), leave, result) == (True, "leave", "result")
    assert settings == {"pool": "pool", "stream": graphs.stream, "capture_error_mode": "thread_local"}
    real_signature.bind(graph, **settings)
    replay()
    assert calls[-1] == "replay"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("d_every", "g_every"), [(1, 1), (1, 5), (5, 1)])
def test_on_a_gpu_replayed_iterations_equal_eager_ones(tmp_path, monkeypatch, precision, d_every, g_every):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    same = {"precision": precision, "d_every": d_every, "g_every": g_every, "accelerator": "gpu", "images": 61}
    eager, rows = trained(tmp_path, False, max_steps=40, **same)
    replayed, replayed_rows = trained(tmp_path, True, max_steps=40, **same)
    for (name, value), expected in zip(replayed.state_dict().items(), eager.state_dict().values(), strict=True):
        assert torch.equal(value, expected), name
    assert replayed_rows == rows
