"""Run folders made of plain files, and pages read back as a browser reads them."""

import csv
import json
from html.parser import HTMLParser

import numpy as np
from PIL import Image

VOID = {"meta", "img", "input", "br", "link"}
SAMPLES = "iteration,grad_norm_d,grad_norm_g,diversity,diversity_real,nearest,nearest_real,gap,entropy,entropy_real"
FIDS = ((500, 210.5), (1000, 88.2), (1500, 51.3), (2000, 121.7))
RUN = {
    "status": "stopped",
    "error": "SIGTERM after 2000 iterations",
    "first_iteration": 0,
    "iterations": 2000,
    "planned_iterations": 4000,
    "epochs": 25.6,
    "iterations_per_epoch": 78,
    "seconds": 120.0,
    "images_per_s": 2125.2,
    "precision": "bf16-mixed",
    "seed": 7,
    "experiment": None,
    "data": {"kind": "Faces", "root": "/data/faces", "images": 8189, "shape": [3, 64, 48], "fingerprint": "fe" * 16},
    "environment": {
        "python": "3.12.1",
        "packages": {"torch": "2.15.0", "lightning": "2.6.6"},
        "trained_on": "NVIDIA H100",
        "devices": 4,
        "cpu": "AMD EPYC, 2 core(s)",
        "os": "Linux-6.1",
    },
    "git": {"commit": "3bcf640" * 5, "dirty": True},
}
DIAGNOSIS = {
    "verdict": "mode_collapse",
    "since": 1650,
    "judged_at": 1950,
    "evidence": {
        "diversity": {"value": 0.321, "threshold": 0.6, "relation": "below", "meaning": "distance between two samples"}
    },
    "history": [
        {"verdict": "warming_up", "since": 0, "until": 400},
        {"verdict": "stable", "since": 400, "until": 1650},
        {"verdict": "mode_collapse", "since": 1650, "until": None},
    ],
    "advice": ["Give G more latents.", "Slow G down."],
    "source": "the guide, on collapse",
    "not_judged": ["The entropy of the classes."],
}
CONFIG = (
    "seed: 7\ncallbacks:\n  grid:\n    latents: fixed\n    seed: 64\ntrainer:\n  max_epochs: null\n  fraction: 1.0\n"
)
CHOICES = "hydra:\n  runtime:\n    choices:\n      model: dcgan\n      data: image_folder\n      loss: bce\n"


def run_folder(folder, iterations=2000, grids=(500, 1000, 1500, 2000), side=30, **changed):
    """A run that collapsed after its best checkpoint and was stopped; ``changed``: parts of run.json."""
    random = np.random.default_rng(0)
    (folder / ".hydra").mkdir(parents=True)
    for name, words in (("config", CONFIG), ("hydra", CHOICES), ("overrides", "- model=dcgan\n- model.lr=1e-3\n")):
        (folder / ".hydra" / f"{name}.yaml").write_text(words)
    columns = ("loss_d", "loss_g", "loss_d_real", "loss_d_fake", "acc_real", "acc_fake")
    values = random.uniform(0.5, 0.9, (iterations, len(columns)))
    values[:, 0] = values[:, 2] + values[:, 3]
    with (folder / "metrics.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["iteration", *columns], *([i, *row] for i, row in enumerate(values))])
    (folder / "samples.csv").write_text(
        f"{SAMPLES},samples,network\n"
        + "".join(f"{i},1,1,{2 if i < 1650 else 0.5},4,1,4,0.25,2,2.3,128,digits\n" for i in range(50, 2001, 50))
    )
    by = "10000,2000,digits,abab,none"
    (folder / "fid.csv").write_text(
        "iteration,tag,value,samples_real,samples_fake,network,weights_sha256,resize\n"
        + "".join(f"{iteration},fid/digits,{value},{by}\n" for iteration, value in FIDS)
    )
    (folder / "grids").mkdir()
    for number in grids:
        noise(folder / "grids" / f"iteration_{number:06d}.png", side, random)
    noise(folder / "real.png", side, random)
    (folder / "run.json").write_text(json.dumps(RUN | changed))
    (folder / "diagnosis.json").write_text(json.dumps(DIAGNOSIS))
    (folder / "checkpoints").mkdir()
    for name in ("best", "last"):
        (folder / "checkpoints" / f"{name}.ckpt").write_bytes(bytes(2_000_000))
    return folder


def noise(file, side, random):
    Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file)


class Page(HTMLParser):
    """A page's elements, and its words as they are read.

    ``elements``: (tag, attributes) in order; ``words``: all text but that of scripts and styles, white space collapsed;
    ``scripts``: the text of each script; ``headings``: the words of each h2.
    """

    def __init__(self, file):
        super().__init__()
        self.elements, self.open, self.scripts, self.headings = [], [], [], []
        self._words = []
        self.feed(file.read_text(encoding="utf-8"))
        self.close()
        self.words = " ".join(" ".join(self._words).split())
        self.unclosed = [tag for tag in self.open if tag not in VOID]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts[-1] += data
        elif "style" not in self.open:
            self._words.append(data)
            if "h2" in self.open:
                self.headings[-1] += data

    @property
    def frames(self):
        """What the slider shows."""
        return json.loads(self.scripts[0])

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]
