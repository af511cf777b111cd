"""The animation of a run's grids: every frame, its mark, and what becomes of it when something fails."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from dcgan_lightning import animation
from dcgan_lightning.animation import draw_gif, draw_mp4, evenly
from dcgan_lightning.captions import captioned, font_size
from dcgan_lightning.curves import NotThere


def grey(seed, height=90, width=120):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def run_with(folder, pictures):
    """A run folder with these grids by number."""
    (folder / "grids").mkdir()
    for number, picture in pictures.items():
        Image.fromarray(picture).convert("RGB").save(folder / "grids" / f"iteration_{number:06d}.png")
    return folder


def frames_of(path):
    with Image.open(path) as gif:
        return [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]


def test_every_grid_is_a_frame_marked_with_its_iteration_in_a_band_of_its_own(tmp_path):
    pictures = {number: grey(number) for number in (250, 500, 1200)}
    (path,) = draw_gif(run_with(tmp_path, pictures))
    frames = frames_of(path)
    assert path == tmp_path / "progress.gif"
    band = 2 * font_size(120)
    assert len(frames) == 3
    for frame, (number, picture) in zip(frames, pictures.items(), strict=True):
        assert frame.shape == (90 + band, 120, 3)
        np.testing.assert_array_equal(frame[band:, :, 0], picture)
        expected = captioned(Image.fromarray(picture), f"iteration {number:,}", (120, 90 + band), font_size(120))
        np.testing.assert_array_equal(frame, np.array(expected))
        assert frame[:band].min() == 0  # ink
    assert (frames[0][:band] != frames[1][:band]).any()


def test_it_plays_for_ever_and_holds_the_last_frame(tmp_path):
    (path,) = draw_gif(run_with(tmp_path, {number: grey(number) for number in range(4)}))
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert durations == [400, 400, 400, 2000]


def test_a_single_grid_is_a_frame(tmp_path):
    (path,) = draw_gif(run_with(tmp_path, {250: grey(0)}))
    assert len(frames_of(path)) == 1


@pytest.mark.parametrize(("count", "most"), [(1000, 200), (201, 200), (200, 200), (7, 200), (1, 200), (0, 200)])
def test_thinning_is_even_and_keeps_both_ends(count, most):
    kept = evenly(count, most)
    assert len(kept) == min(count, most) == len(set(kept))
    assert (kept[:1], kept[-1:]) == ([0][:count], [count - 1][:count])
    steps = np.diff(kept)
    assert not len(steps) or steps.max() - steps.min() <= 1


def test_of_many_grids_some_are_shown_and_faster(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "MOST", 3)
    monkeypatch.setattr(animation, "SECONDS", 0.3)
    (path,) = draw_gif(run_with(tmp_path, {number: grey(number) for number in range(9)}))
    shown = [frame[-90:, :, 0] for frame in frames_of(path)]
    for frame, number in zip(shown, (0, 4, 8), strict=True):
        np.testing.assert_array_equal(frame, grey(number))
    with Image.open(path) as gif:
        assert gif.info["duration"] == 100


def test_frames_are_made_one_after_the_other(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(animation, "captioned", lambda picture, words, *_: made.append(words) or picture)
    pictures = animation.animation(run_with(tmp_path, {number: grey(number) for number in (1, 2, 3)})).pictures()
    assert made == []
    next(pictures)
    assert made == ["iteration 1"]


def test_grids_of_several_sizes_share_a_canvas(tmp_path):
    (path,) = draw_gif(run_with(tmp_path, {1: grey(1), 2: grey(2, 50, 201)}))
    band = 2 * font_size(201)
    one, two = (frame[band:, :, 0] for frame in frames_of(path))
    assert one.shape == (90, 202)  # even
    np.testing.assert_array_equal(one[:, 41:161], grey(1))
    np.testing.assert_array_equal(two[:50, :201], grey(2, 50, 201))
    assert (two[50:] == 255).all()


def test_large_grids_are_shrunk(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "SIDE", 60)
    flat = np.full((90, 120), 77, dtype=np.uint8)
    (path,) = draw_gif(run_with(tmp_path, {1: flat}))
    (frame,) = frames_of(path)
    assert (frame[-46:] == 77).all(axis=2).sum() == 45 * 60  # one row makes the height even


def test_colours_come_close(tmp_path):
    rows, columns = np.mgrid[0:260, 0:270]
    picture = np.stack([rows % 256, columns % 256, np.full((260, 270), 90)], axis=2).astype(np.uint8)
    (path,) = draw_gif(run_with(tmp_path, {1: picture, 2: picture[::-1]}))
    for frame, expected in zip(frames_of(path), (picture, picture[::-1]), strict=True):
        assert len(np.unique(frame.reshape(-1, 3), axis=0)) <= 256
        assert abs(frame[-260:].astype(int) - expected).mean() < 8


def test_a_half_written_grid_is_left_out(tmp_path):
    run_with(tmp_path, {number: grey(number) for number in (1, 2, 3)})
    last = tmp_path / "grids" / "iteration_000003.png"
    last.write_bytes(last.read_bytes()[:3000])
    (tmp_path / "grids" / "iteration_000002.png").write_bytes(b"")
    (frame,) = frames_of(*draw_gif(tmp_path))
    np.testing.assert_array_equal(frame[-90:, :, 0], grey(1))


def test_without_grids_there_is_none(tmp_path):
    for draw in (draw_gif, draw_mp4):
        with pytest.raises(NotThere, match="grids"):
            draw(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("draw", [draw_gif, draw_mp4])
def test_what_fails_half_way_leaves_the_older_animation(tmp_path, monkeypatch, draw):
    run_with(tmp_path, {number: grey(number) for number in (1, 2, 3)})
    if draw is draw_mp4:
        pytest.importorskip("imageio_ffmpeg")
    (path,) = draw(tmp_path)
    before = path.read_bytes()

    def fails_at_the_second(picture, words, *rest):
        if words == "iteration 2":
            raise OSError("no space left")
        return captioned(picture, words, *rest)

    monkeypatch.setattr(animation, "captioned", fails_at_the_second)
    with pytest.raises(OSError, match="no space left"):
        draw(tmp_path)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["grids", path.name]


def test_the_film_has_even_sides_and_holds_its_last_frame(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    pictures = {number: np.full((91, 123), 60 * number, dtype=np.uint8) for number in (1, 2, 3)}
    (path,) = draw_mp4(run_with(tmp_path, pictures))
    assert path == tmp_path / "progress.mp4"
    film = ffmpeg.read_frames(path)
    meta = next(film)
    band = 2 * font_size(123)
    width, height = meta["size"]
    assert (width, height) == (124, 91 + band + 1)
    shades = [np.frombuffer(frame, np.uint8).reshape(height, width, 3)[-45, 60].mean() for frame in film]
    assert shades == pytest.approx([60, 120, *[180] * 5], abs=4)  # 5 times 0.4 s
    assert meta["fps"] == pytest.approx(2.5)


def test_without_an_encoder_the_film_is_left_out_with_the_way_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr(animation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotThere, match="pip install"):
        draw_mp4(run_with(tmp_path, {1: grey(1)}))


def test_an_encoder_that_fails_is_noticed(tmp_path, monkeypatch):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    run_with(tmp_path, {1: grey(1), 2: grey(2)})
    monkeypatch.setattr(ffmpeg, "count_frames_and_secs", lambda path: (1, 0.4))
    with pytest.raises(OSError, match="1 frames of 6"):
        draw_mp4(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["grids"]
