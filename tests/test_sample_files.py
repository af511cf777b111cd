"""Which files samples go to, and what stands in them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from dcgan_lightning.errors import Refusal
from dcgan_lightning.pictures import save_gif, save_picture
from dcgan_lightning.sample_files import Batch, Pictures, numbered, pictures
from tests.support import some_images

HERE = Path("run/samples")


def pixels(picture):
    """(C, H, W) of a picture by Pillow."""
    array = np.array(picture)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("out", "format_", "strips", "files"),
    [
        (None, None, False, ["run/samples.png"]),
        (None, "webp", False, ["run/samples.webp"]),
        ("a.jpg", None, False, ["a.jpg"]),
        ("a.PNG", "png", False, ["a.PNG"]),
        (None, None, True, ["run/samples.png", "run/samples.gif"]),
        (None, "gif", True, ["run/samples.gif"]),
        (None, "png", True, ["run/samples.png"]),
        ("b/walk", None, True, ["b/walk.png", "b/walk.gif"]),
        ("b/walk_1.5", "jpg", True, ["b/walk_1.5.jpg"]),
        ("b/walk.gif", None, True, ["b/walk.gif"]),
        ("b/walk.webp", None, True, ["b/walk.webp"]),
    ],
)
def test_out_and_format_name_these_files(out, format_, strips, files):
    assert [str(file) for file in pictures(out, format_, HERE, 8, 4, strips).files] == files


@pytest.mark.parametrize(
    ("out", "format_", "option", "words"),
    [
        ("a.png", "jpg", "format", "out=a.png"),
        ("samples", None, "out", r"\*\.png, \*\.jpg, \*\.webp"),
        ("samples", "jpg", "out", "one file"),
        ("a.tiff", None, "out", "one file"),
        ("a.gif", None, "out", "animation"),
        (None, "gif", "format", "animation"),
        (".", None, "out", "is a folder"),
    ],
)
def test_what_is_no_file_of_a_grid_is_refused(out, format_, option, words):
    with pytest.raises(Refusal, match=words) as refusal:
        pictures(out, format_, HERE, 8, 4, strips=False)
    assert refusal.value.option == option


def test_numbered_files_are_no_animation(tmp_path):
    with pytest.raises(Refusal, match="format=gif"):
        numbered(str(tmp_path / "new"), "gif", 3)


@pytest.mark.parametrize(("ending", "side"), [(".webp", 16_383), (".jpg", 65_500)])
def test_a_picture_that_its_type_cannot_hold_is_refused_before_it_is_drawn(tmp_path, ending, side):
    rows = (side - 2) // 34  # images of 32 pixels and their padding
    shape = torch.Size((1, 32, 32))
    file = tmp_path / "new" / f"grid{ending}"
    with pytest.raises(Refusal, match=rf"format={ending[1:]}: holds {side} pixels"):
        Pictures([file], rows * 2 + 1, 2, False).claim(shape)
    with pytest.raises(Refusal, match=str(side)):
        Pictures([file], rows + 1, rows + 1, False).claim(shape)
    assert not file.parent.exists()
    Pictures([file], rows * 2, 2, False).claim(shape)
    Pictures([file.with_suffix(".png")], rows * 2 + 1, 2, False).claim(shape)
    assert file.parent.is_dir()


@pytest.mark.parametrize("channels", [1, 3])
def test_png_and_webp_keep_every_pixel_and_jpg_nearly(tmp_path, channels):
    smooth = (
        torch.arange(32)[None, :, None] * 4 + torch.arange(32)[None, None] * 3 + torch.arange(channels)[:, None, None]
    )
    for image in (smooth.to(torch.uint8), some_images(1, channels, 32)[0]):
        for ending in (".png", ".webp"):
            save_picture(image, tmp_path / f"a{ending}")
            # Pillow reads a grey WebP as RGB.
            assert torch.equal(pixels(Image.open(tmp_path / f"a{ending}"))[:channels], image)
    save_picture(smooth.to(torch.uint8), tmp_path / "a.jpg")
    read = Image.open(tmp_path / "a.jpg")
    assert read.format == "JPEG"
    assert (pixels(read).int() - smooth).abs().max() <= 4


def test_a_grey_gif_keeps_every_frame_and_repeats_for_ever(tmp_path):
    images = some_images(6, 1, 20)
    save_gif(images, tmp_path / "new" / "a.gif", 70)
    read = Image.open(tmp_path / "new" / "a.gif")
    frames = [(pixels(frame.convert("L")), frame.info["duration"]) for frame in ImageSequence.Iterator(read)]
    assert read.info["loop"] == 0
    assert [duration for _, duration in frames] == [70] * 6
    for (frame, _), image in zip(frames, images, strict=True):
        assert torch.equal(frame, image)


def test_a_gif_in_colour_is_close(tmp_path):
    smooth = (
        torch.arange(32)[None, :, None] * 4
        + torch.arange(32)[None, None] * 3
        + torch.tensor([0, 20, 40])[:, None, None]
    )
    images = torch.stack([smooth, smooth.flip(1)]).to(torch.uint8)
    save_gif(images, tmp_path / "a.gif", 100)
    frames = [pixels(frame.convert("RGB")).int() for frame in ImageSequence.Iterator(Image.open(tmp_path / "a.gif"))]
    assert (torch.stack(frames) - images.int()).abs().float().mean() <= 3


def test_an_animation_shows_the_joints_of_strips_once_and_small_images_large(tmp_path, capsys):
    images = some_images(12, 1, 30)
    images[4], images[8] = images[3], images[7]  # three strips of four, each from where the one before it ended
    strips = pictures(str(tmp_path / "walk"), None, HERE, 12, 4, strips=True)
    strips.write(Batch(len(batch), batch.clone) for batch in images.split(5))
    frames = [pixels(frame.convert("L")) for frame in ImageSequence.Iterator(Image.open(tmp_path / "walk.gif"))]
    shown = [images[i] for i in range(12) if i not in (4, 8)]
    assert [frame.shape for frame in frames] == [(1, 150, 150)] * 10  # five times as large: the least from 128
    for frame, image in zip(frames, shown, strict=True):
        assert torch.equal(frame, image.repeat_interleave(5, 1).repeat_interleave(5, 2))
    strip = pixels(Image.open(tmp_path / "walk.png"))
    assert strip.shape == (3, 3 * 32 + 2, 4 * 32 + 2)
    assert torch.equal(strip[:1, 34:64, 98:128], images[7])  # the second strip's last
    assert capsys.readouterr().out.split() == ["strip", f"{tmp_path}/walk.png", "animation", f"{tmp_path}/walk.gif"]
