"""What the benchmarks compute: pages with sections, the loops they compare, and the counted work."""

import copy
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback

from benchmarks import bare_loop, run, sides, tutorial_loop
from benchmarks.bursts import Pace, paced
from benchmarks.flops import forward_flops, step_flops
from benchmarks.profile import OUTSIDE, shares
from benchmarks.report import replace_section
from benchmarks.rows import ROWS
from dcgan_lightning.networks import dcgan, guide
from dcgan_lightning.networks.init import keras_normal
from tests.reference import algorithm
from tests.reference import guide as reference_guide
from tests.reference.guide import NetD, NetG
from tests.support import Images, composed, composed_module, some_images, trainer


def test_a_section_is_appended_once_and_then_replaced_with_the_words_around_it_kept(tmp_path):
    page = tmp_path / "docs" / "page.md"
    replace_section(page, "speed", "first")
    assert page.read_text() == "<!-- speed:begin -->\nfirst\n<!-- speed:end -->\n"
    page.write_text(f"# Title\n\n{page.read_text()}\nBy hand.\n")
    replace_section(page, "data", "other")
    replace_section(page, "speed", "\nsecond\n")
    assert page.read_text() == (
        "# Title\n\n<!-- speed:begin -->\nsecond\n<!-- speed:end -->\n\nBy hand.\n\n"
        "<!-- data:begin -->\nother\n<!-- data:end -->\n"
    )


@pytest.mark.parametrize("broken", ["<!-- speed:begin -->", "<!-- speed:end -->\n<!-- speed:begin -->"])
def test_a_page_with_broken_markers_is_refused_and_left_alone(tmp_path, broken):
    page = tmp_path / "page.md"
    page.write_text(broken)
    with pytest.raises(ValueError, match="speed:end"):
        replace_section(page, "speed", "new")
    assert page.read_text() == broken


WIDTH, SIZE, BATCH = 4, 32, 8


@pytest.fixture
def double():
    """What the loops make themselves is float64, in which they can be compared closely."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def batches(n, size, batch=BATCH):
    return [torch.rand(batch, 1, size, size).mul(2).sub(1) for _ in range(n)]


def test_the_tutorials_loop_is_algorithm_1(double):
    real = batches(4, SIZE)
    torch.manual_seed(5)
    net_g = tutorial_loop.train(real, (1, SIZE, SIZE), WIDTH)
    torch.manual_seed(5)
    reference = dcgan.Generator(SIZE, 1, 100, WIDTH).apply(tutorial_loop.weights_init)
    net_d = dcgan.Discriminator(SIZE, 1, WIDTH).apply(tutorial_loop.weights_init)
    latents = [torch.randn(BATCH, 100, 1, 1) for _ in real]
    algorithm.train(reference, net_d, real, latents, 1, 1, lr=0.0002, betas=(0.5, 0.999))
    assert_same_weights(net_g, reference)


def test_the_guides_loop_is_the_guides(double):
    real = batches(3, 28, batch=2)
    torch.manual_seed(5)
    net_g = tutorial_loop.train_guide(real)
    torch.manual_seed(5)
    ours = guide.Generator(28, 1, 50, 128, False), guide.Discriminator(28, 1, 64, False)
    for network in ours:
        keras_normal(network, 0.02)
    with torch.random.fork_rng():
        reference = [with_weights_of(network, kind()) for network, kind in zip(ours, (NetG, NetD), strict=True)]
    reference_guide.train(*reference, real, lambda _, i, n: torch.randn(n, 50), stacked=False, lr=0.0002, beta1=0.5)
    assert_same_weights(net_g, reference[0])


def test_the_bare_loop_is_the_kits_maths(tmp_path):
    overrides = ["model=dcgan", f"model.generator.width={WIDTH}", f"model.discriminator.width={WIDTH}"]
    torch.manual_seed(0)
    module = composed_module(*overrides)
    bare = copy.deepcopy(module)
    seen = Seen()
    trainer(tmp_path, 5, [seen]).fit(module, datamodule=Images(some_images(64, size=SIZE), BATCH, tmp_path / "cache"))
    history = bare_loop.train(bare, seen.batches, bf16=False)
    # The same operations on the same numbers.
    assert history == [pytest.approx([row[name] for name in OF_BARE], rel=1e-6) for row in seen.rows]
    assert_same_weights(bare, module, rtol=1e-6, atol=1e-7)


OF_BARE = ("loss_d", "loss_d_real", "loss_d_fake", "loss_g", "d_x", "d_gz_before", "d_gz_after", "acc_real", "acc_fake")


class Seen(Callback):
    def __init__(self):
        self.batches, self.rows = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches.append(batch.clone())
        self.rows.append({name: value.item() for name, value in outputs.items()})


def with_weights_of(network, reference):
    """The reference with the network's weights, matched by their order."""
    reference.load_state_dict(dict(zip(reference.state_dict(), network.state_dict().values(), strict=True)))
    return reference


def assert_same_weights(network, reference, rtol=0, atol=1e-9):
    for value, expected in zip(network.state_dict().values(), reference.state_dict().values(), strict=True):
        torch.testing.assert_close(value, expected, rtol=rtol, atol=atol)


def test_the_operations_of_a_dcgan_at_64_are_those_of_its_layers():
    module = composed_module("model=dcgan", "data.image_size=64", "data.channels=3")
    # Inputs x kernel of G, outputs x kernel of D; multiply-adds, layer by layer.
    g = [100 * 512 * 16, 4**2 * 512 * 256 * 16, 8**2 * 256 * 128 * 16, 16**2 * 128 * 64 * 16, 32**2 * 64 * 3 * 16]
    d = [32**2 * 3 * 64 * 16, 16**2 * 64 * 128 * 16, 8**2 * 128 * 256 * 16, 4**2 * 256 * 512 * 16, 512 * 16]
    assert forward_flops(module.generator, torch.zeros(1, 100)) == [2 * n for n in g]
    assert forward_flops(module.discriminator, torch.zeros(1, 3, 64, 64)) == [2 * n for n in d]
    frozen = 2 * (3 * sum(g) - g[0] + 8 * sum(d) - 2 * d[0])
    assert step_flops(module) == frozen
    assert step_flops(module, frozen=False) == frozen + 2 * sum(d)
    assert step_flops(module, own_latents=2) == 2 * (7 * sum(g) - 2 * g[0] + 10 * sum(d) - 2 * d[0])


def test_linear_layers_are_counted_with_their_inputs():
    network = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1))
    assert forward_flops(network, torch.zeros(1, 7)) == [2 * 7 * 5, 2 * 5]


class End:
    """A connection that asks for these bursts and takes what comes back."""

    def __init__(self, *asked):
        self.asked, self.bursts = list(asked), []

    def recv(self):
        return self.asked.pop(0)

    def send(self, burst):
        self.bursts.append(burst)


def test_a_burst_counts_its_iterations_and_its_images():
    end = End(2, 3, 1)
    for batch in paced([torch.zeros(n) for n in (4, 4, 5, 6, 7, 8)], Pace(end, "cpu")):
        assert len(batch) < 8 or len(end.bursts) == 2
    assert [(burst.iterations, burst.images) for burst in end.bursts] == [(2, 8), (3, 18)]


@pytest.mark.parametrize(("asked", "first"), [(4, [0, 4, 10]), (9, [0, 10, 20]), (20, [0, 20])])
def test_a_burst_keeps_clear_of_what_happens_besides_training_unless_it_is_longer(asked, first):
    """Of what happens at the end of iterations 9, 19 and so on."""
    end = Noting(asked)
    pace = Pace(end, "cpu")
    for end.iteration in range(50):
        pace.border(1, end.iteration, events=[10])
    assert [at - asked for at in end.sent_at][: len(first)] == first


class Noting:
    """A connection that asks for the same again and again, and notes before which iteration each burst came back."""

    def __init__(self, asked):
        self.asked, self.iteration, self.sent_at = asked, 0, []

    def recv(self):
        return self.asked

    def send(self, burst):
        self.sent_at.append(self.iteration)


def test_an_operator_is_counted_by_its_name_and_by_what_called_it_and_once():
    def event(name, us, parent=None):
        return SimpleNamespace(name=name, self_cpu_time_total=us, cpu_parent=parent)

    step = event("Optimizer.step#Adam.step", 5e4)
    convolution = event("aten::conv2d", 1e5)
    inner = event("aten::mkldnn_convolution", 2e5, convolution)
    found = shares([step, event("aten::sqrt", 1e5, event("aten::_x", 0, step)), convolution, inner], seconds=1.0)
    expected = {"optimizers": 0.1, "convolutions and matrix products": 0.3, OUTSIDE: 0.6}
    assert found == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("row", ["lightning", "card"])
def test_a_row_is_measured_and_written_into_its_section(tmp_path, row):
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    run.main(["--quick", "--rows", row, "--page", str(page)])
    text = page.read_text()
    assert text.startswith("# Title\n")
    section = "benchmarks.run" if row == "lightning" else "benchmarks.run.cuda"
    _, _, text = text.partition(f"<!-- {section}:begin -->")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) >= 3
    assert {line.count("|") for line in rows} == {rows[0].count("|")}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows", "card", "guide"], "by itself"),
        (["--rows", "unknown"], "invalid choice"),
        (["--device", "cuda"], "no"),
    ],
)
def test_what_cannot_be_measured_is_refused(monkeypatch, capsys, arguments, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        run.main(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_both_sides_of_a_row_train_the_same_networks_on_batches_of_the_same_shape():
    for row in ROWS.values():
        cfg = composed(*row.kit)
        model, data = cfg.model, cfg.data
        loop, arguments = row.tutorial.loop, row.tutorial.arguments
        if loop is sides.guide:
            ours = (data.batch_size,)
            assert (data.image_size, data.channels, model.generator.latent_dim) == (28, 1, 50)
            assert (model.generator.width, model.discriminator.width) == (128, 64)
        else:
            assert model.generator.width == model.discriminator.width
            shape = (data.channels, data.image_size, data.image_size)
            ours = (shape, data.batch_size, model.generator.width)
            if loop is sides.tutorial_with_data:
                assert (data.channels, data.batch_size, data.variant) == (1, 128, "mnist_mini")
                ours = (data.image_size, model.generator.width)
        assert arguments == ours
