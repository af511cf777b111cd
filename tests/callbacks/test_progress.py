import io
import re

import torch
from rich.console import Console

from dcgan_lightning.callbacks.progress import Progress
from dcgan_lightning.callbacks.scalars import Scalars
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from tests.support import Images, gan, some_images, trainer


def shown(tmp_path, line_every, terminal):
    torch.manual_seed(0)
    sizes = {"image_size": 28, "channels": 1, "width": 4}
    module = gan(Generator(**sizes, latent_dim=6), Discriminator(**sizes))
    progress = Progress(line_every=line_every)
    written = io.StringIO()
    progress.console = Console(file=written, force_terminal=terminal, width=80, highlight=False)
    callbacks = [Scalars(fetch_every=2), progress]
    trainer(tmp_path, 6, callbacks).fit(module, datamodule=Images(some_images(32), 8, tmp_path / "cache"))
    return written.getvalue()


def test_lines_where_the_console_is_no_terminal(tmp_path):
    lines = shown(tmp_path, line_every=0, terminal=False).splitlines()
    assert [line.split()[0] for line in lines] == ["1/6", "2/6", "3/6", "4/6", "5/6", "6/6", "6/6"]
    number = r"\d+\.\d{3}"
    scalars = rf"loss_d {number}  loss_g {number}  D\(x\) {number}  D\(G\(z\)\) {number}"
    assert re.fullmatch(rf"6/6  {scalars}  \d+\.\d it/s  0:00:00 left", lines[-1])


def test_few_lines_when_they_are_to_be_rare(tmp_path):
    assert len(shown(tmp_path, line_every=1000, terminal=False).splitlines()) == 1


def test_a_bar_in_a_terminal(tmp_path):
    text = shown(tmp_path, line_every=0, terminal=True)
    assert re.search(r"6/6 \S*\d+\.\d it/s  0:00:00 left", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text))
    assert re.search(r"D\(G\(z\)\) \d\.\d{3}", text)
