"""What to type next can be typed, whatever a folder is called."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dcgan_lightning import next_steps


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "a run, resumed=1",
        "(1)",
        "[2]",
        "it's",
        "r#1",
        "ä",
        "1e5",
        "null",
        "back\\slash",
        "a:b",
        "{x}",
        "$HOME",
    ],
)
def test_a_folder_of_any_name_is_an_override_of_hydra(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("[]\n")
    (folder / ".hydra" / "config.yaml").write_text("trainer: {max_epochs: null, fraction: 1}\n")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    monkeypatch.chdir(tmp_path)
    commands = [
        next_steps.sample(folder),
        next_steps.rebuild(folder),
        next_steps.diagnose(folder),
        next_steps.finish(folder),
        next_steps.lengthen(folder, 10),
    ]
    for _, _, *words in commands:
        parsed = {override.key_or_group: override for override in OverridesParser.create().parse_overrides(words)}
        override = parsed["ckpt_path" if "ckpt_path" in parsed else "run"]
        assert not override.is_sweep_override()
        assert override.value() == name
