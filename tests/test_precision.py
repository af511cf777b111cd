"""What trainer.precision=auto takes, and what a run says of it."""

import json

import pytest
import torch

from dcgan_lightning import precision
from dcgan_lightning.precision import reason, resolved
from tests.support import CONF, composed


@pytest.mark.parametrize("instructions", ["AMX", "AVX512-BF16", ""])
def test_a_cpu_takes_bfloat16_where_it_has_instructions_for_it(monkeypatch, instructions):
    monkeypatch.setattr(precision, "bf16_instructions", lambda: instructions)
    assert resolved("auto", "cpu") == ("bf16-mixed" if instructions else "32-true")
    words = reason("auto", "cpu")
    assert f"{instructions} multiplies bfloat16 fast" in words if instructions else "nothing here" in words
    assert ("32-true is the way back" in words) == bool(instructions)


@pytest.mark.parametrize(
    ("capability", "built_for", "taken"),
    [((7, 5), "12.8", "32-true"), ((8, 0), "12.8", "bf16-mixed"), ((9, 0), "12.8", "bf16-mixed")],
)
def test_an_nvidia_gpu_takes_it_from_ampere_on(monkeypatch, capability, built_for, taken):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA Something")
    monkeypatch.setattr(torch.version, "cuda", built_for)
    assert resolved("auto", "auto") == taken
    assert ("NVIDIA Something" in reason("auto", "auto")) == (taken == "bf16-mixed")


def test_another_accelerator_stays_in_float32(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolved("auto", "mps") == "32-true"


@pytest.mark.parametrize("asked", ["32-true", "bf16-mixed", "16-mixed", "64-true"])
def test_what_is_asked_for_is_taken(asked):
    assert (resolved(asked, "cpu"), reason(asked, "cpu")) == (asked, "")


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_every_experiment_leaves_it_to_the_hardware(experiment):
    assert composed(f"experiment={experiment}").trainer.precision == "auto"


@pytest.mark.parametrize("asked", ["auto", "32-true"])
def test_the_start_of_a_run_says_what_it_took_and_why(command, asked):
    run = command.tiny(f"trainer.precision={asked}", "trainer.max_steps=1", "metrics=none")
    taken = resolved(asked, "cpu")
    words = reason(asked, "cpu")
    assert f"precision {taken}" + (f" ({words})" if words else "\n") in run.out
    assert json.loads((run.folder / "run.json").read_text())["precision"] == taken
