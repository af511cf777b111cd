"""Files that would run code, take all memory, or lead elsewhere, if they were read as carelessly as many programs do.

Each maker writes one file; what it would run creates the file ``marker``.
"""

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dcgan_lightning.networks import describe
from dcgan_lightning.networks.dcgan import Discriminator, Generator

Maker = Callable[[Path, Path], None]  # (file to write, marker)
CARELESS: dict[str, Maker] = {}  # torch.load(weights_only=False), or pickle.load, runs what is in these
OTHERS: dict[str, Maker] = {}  # what would do harm in another way
HARMLESS: dict[str, Maker] = {}  # valid checkpoints, in which something stands that others instantiate: to be ignored


class Payload:
    """Unpickled, it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


class Module(nn.Module):
    """A whole module, as torch.save keeps it by its class; this one brings a payload along."""

    def __init__(self, payload: Payload) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.payload = payload


def listed(where: dict[str, Maker], name: str) -> Callable[[Maker], Maker]:
    def add(maker: Maker) -> Maker:
        where[name] = maker
        return maker

    return add


def checkpoint(**changed: Any) -> dict[str, Any]:
    """A checkpoint that sampling takes, of networks that are made in an instant."""
    generator = Generator(image_size=28, channels=1, latent_dim=8, width=2)
    discriminator = Discriminator(image_size=28, channels=1, width=2)
    networks = {"generator": generator, "discriminator": discriminator}
    state = {f"{role}.{key}": value for role, net in networks.items() for key, value in net.state_dict().items()}
    return {
        "epoch": 0,
        "global_step": 3,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": state,
        "loops": {},
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
        "dcgan_lightning": {
            **{role: describe(net) for role, net in networks.items()},
            "optimizers": ["Adam", "Adam"],
        },
    } | changed


def with_record(**changed: Any) -> dict[str, Any]:
    """A checkpoint whose record of the generator is changed."""
    content = checkpoint()
    content["dcgan_lightning"]["generator"] |= changed
    return content


def with_kwargs(**changed: Any) -> dict[str, Any]:
    content = checkpoint()
    content["dcgan_lightning"]["generator"]["kwargs"] |= changed
    return content


def saver(make: Callable[[Path], Any], **options: Any) -> Maker:
    return lambda file, marker: torch.save(make(marker), file, **options)


CARELESS |= {
    "pickle": lambda file, marker: torch.save(Payload(marker), file, _use_new_zipfile_serialization=False),
    "state dict with a payload": saver(lambda m: {"main.0.weight": torch.zeros(2), "extra": Payload(m)}),
    "checkpoint with a payload in hyper_parameters": saver(
        lambda m: checkpoint(hyper_parameters={"lr": 1e-4, "extra": Payload(m)})
    ),
    "checkpoint with a payload in a callback's state": saver(lambda m: checkpoint(callbacks={"FID": [Payload(m)]})),
    "checkpoint with a payload in the optimizers": saver(
        lambda m: checkpoint(optimizer_states=[{"state": Payload(m)}])
    ),
    "checkpoint with a payload as a kwarg": saver(lambda m: with_kwargs(width=Payload(m))),
    "legacy file of torch": saver(lambda m: {"a": Payload(m)}, _use_new_zipfile_serialization=False),
    "whole module": saver(lambda m: Module(Payload(m))),
}


def opcodes(module: str, name: str, argument: str) -> Maker:
    """A pickle that calls ``module.name(argument)``, written out by hand."""

    def make(file: Path, marker: Path) -> None:
        text = argument.format(marker=marker).encode()
        call = f"c{module}\n{name}\n".encode() + b"(X" + struct.pack("<I", len(text)) + text + b"tR."
        blank = io.BytesIO()
        torch.save({"a": 1}, blank)
        with zipfile.ZipFile(blank) as good, zipfile.ZipFile(file, "w") as bad:
            for member in good.namelist():
                bad.writestr(member, b"\x80\x02" + call if member.endswith("data.pkl") else good.read(member))

    return make


CARELESS |= {
    "call of builtins.eval": opcodes("builtins", "eval", "open('{marker}', 'w')"),
    "call of builtins.exec": opcodes("builtins", "exec", "open('{marker}', 'w')"),
    "call of posix.system": opcodes("posix", "system", "touch '{marker}'"),
    "call of subprocess.getoutput": opcodes("subprocess", "getoutput", "touch '{marker}'"),
}


@listed(OTHERS, "TorchScript archive")
def torchscript(file: Path, marker: Path) -> None:
    """Made by hand, since TorchScript is on its way out: what torch knows it by is constants.pkl beside code."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/constants.pkl", pickle.dumps((), protocol=2))
        archive.writestr("x/data.pkl", pickle.dumps(Payload(marker), protocol=2))
        archive.writestr("x/code/__torch__.py", f"import os\nos.system(\"touch '{marker}'\")\n")
        archive.writestr("x/version", "3\n")


@listed(OTHERS, "zip bomb")
def bomb(file: Path, marker: Path) -> None:
    blank = io.BytesIO()
    torch.save({"main.0.weight": torch.zeros(2**22)}, blank)  # 16 MB become 16 KB; more would be the same
    with zipfile.ZipFile(blank) as good, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bad:
        for member in good.namelist():
            bad.writestr(member, good.read(member))


@listed(OTHERS, "tar archive, as torch wrote before 0.1.10")
def tar(file: Path, marker: Path) -> None:
    with tarfile.open(file, "w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            data = pickle.dumps(Payload(marker), protocol=2)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@listed(OTHERS, "safetensors with a header of 2 to the 62 bytes")
def lying_header(file: Path, marker: Path) -> None:
    file.write_bytes(struct.pack("<Q", 2**62) + b'{"main.0.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}')


@listed(OTHERS, "safetensors with more numbers than bytes")
def lying_sizes(file: Path, marker: Path) -> None:
    tensor = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}
    header = json.dumps({"main.0.weight": tensor}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"0000")


@listed(OTHERS, "containers that hold themselves")
def cycle(file: Path, marker: Path) -> None:
    own: list[Any] = []
    own.append(own)
    torch.save(checkpoint(callbacks={"own": own}), file)


@listed(OTHERS, "ten to the 30 values by reference")
def laughs(file: Path, marker: Path) -> None:
    inner: list[Any] = ["ha"]
    for _ in range(30):
        inner = [inner] * 10
    torch.save(with_record(kwargs={"width": inner}), file)


def _swollen(shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(()).expand(shape)  # one number, seen from everywhere


def _swollen_checkpoint(marker: Path) -> dict[str, Any]:
    """A generator as wide as its record says, of tensors that are a number each."""
    with torch.device("meta"):
        wide = Generator(image_size=28, channels=1, latent_dim=8, width=10**5)
    content = with_kwargs(width=10**5)
    content["state_dict"] |= {f"generator.{k}": _swollen(tuple(v.shape)) for k, v in wide.state_dict().items()}
    return content


OTHERS |= {
    "tensors of one number that claim 10 to the 11": saver(_swollen_checkpoint),
    "sparse tensor": saver(lambda m: checkpoint(state_dict={"generator.x": torch.zeros(10**6).to_sparse()})),
    "tensor without memory": saver(lambda m: checkpoint(state_dict={"generator.x": torch.empty(3, device="meta")})),
    "state dict that is none": saver(lambda m: checkpoint(state_dict=[1, 2])),
    "10 to the 12 feature maps": saver(lambda m: with_kwargs(width=10**12)),
    "a number of 10,000 digits": saver(lambda m: with_kwargs(width=1 << 33220)),
    "images of 10 to the 9 pixels a side": saver(lambda m: with_kwargs(image_size=10**9)),
    "words for numbers": saver(lambda m: with_kwargs(width="__import__('os')", image_size="a")),
    "a dict for a number": saver(lambda m: with_kwargs(width={"_target_": "os.system", "command": f"touch '{m}'"})),
    "an argument that there is not": saver(lambda m: with_kwargs(_target_="os.system")),
    "a name that steers a terminal": saver(lambda m: with_record(family="\x1b[2J\x1b]0;x\x07")),
}
OTHERS |= {
    f"family {name}": saver(lambda m, name=name: with_record(family=name))  # type: ignore[misc]
    for name in ("os", "..", "../os", "__import__", "subprocess", "convolution", "dcgan.Generator", "__init__", "")
}
OTHERS["role system of family os"] = saver(lambda m: with_record(family="os", role="system", kwargs={"command": "x"}))


def _target(marker: Path) -> dict[str, Any]:
    return {"_target_": "os.system", "_args_": [f"touch '{marker}'"], "command": f"touch '{marker}'"}


def _hyper_parameters(marker: Path) -> dict[str, Any]:
    """What load_from_checkpoint of lightning 2.6.5 and before imported and called."""
    return {
        "hparams_name": "kwargs",
        "hyper_parameters": {"_instantiator": "os.system", "class_path": "os.system", "init_args": _target(marker)},
        "datamodule_hyper_parameters": {"_instantiator": "os.system", "_class_path": "os.system"},
    }


@listed(HARMLESS, "code beside the weights in the archive")
def code_members(file: Path, marker: Path) -> None:
    torch.save(checkpoint(), file)
    with zipfile.ZipFile(file, "a") as archive:
        top = archive.namelist()[0].partition("/")[0]
        for name in ("__init__.py", "sitecustomize.py", "code/__torch__.py", "../../torch.py"):
            archive.writestr(f"{top}/{name}", f"open('{marker}', 'w')\n")


HARMLESS |= {
    "_target_ in hyper_parameters": saver(lambda m: checkpoint(hyper_parameters=_target(m), hparams_name="cfg")),
    "_instantiator in hyper_parameters": saver(lambda m: checkpoint(**_hyper_parameters(m))),
    "pickle as bytes in a callback's state": saver(
        lambda m: checkpoint(callbacks={"FID": pickle.dumps(Payload(m), protocol=2)})
    ),
    "an interpolation in hyper_parameters": saver(
        lambda m: checkpoint(hyper_parameters={"x": "${oc.env:HOME}", "y": "${eval:1}", "_target_": "builtins.exec"})
    ),
}
