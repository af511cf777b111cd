import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from dcgan_lightning.data.decode import BadImage, cover, decode, upright_size
from tests.data.pictures import encoded, noise

SIDES = st.integers(1, 90)


@settings(max_examples=100, deadline=None)
@given(SIDES, SIDES, st.integers(1, 64))
def test_square_is_resize_and_center_crop_of_torchvision(width, height, side):
    image = noise(width, height)
    tutorial = transforms.Compose([transforms.Resize(side), transforms.CenterCrop(side)])
    assert np.array_equal(cover(image, side, side), tutorial(image))


@settings(max_examples=100, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_any_size_covers_any_other(width, height, to_width, to_height):
    pixels, size = decode(encoded(noise(width, height), "PNG"), to_height, to_width, 3)
    assert (pixels.shape, size) == ((3, to_height, to_width), (width, height))


def test_non_square_keeps_proportions_and_centre():
    image = Image.new("RGB", (100, 64), "white")
    image.paste("red", (40, 0, 60, 64))
    pixels, _ = decode(encoded(image, "PNG"), 64, 48, 3)
    assert (pixels[1, 32] == 0).tolist() == [False] * 14 + [True] * 20 + [False] * 14


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_formats(kind):
    lossless = {"lossless": True} if kind == "WEBP" else {}
    image = noise(16, 16)
    pixels, _ = decode(encoded(image, kind, **lossless), 16, 16, 3)
    expected = np.asarray(image).transpose(2, 0, 1)
    assert pixels.dtype == np.uint8
    assert kind == "JPEG" or np.array_equal(pixels, expected)
    assert np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] > 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(orientation, kind):
    upright = Image.new("RGB", (32, 16), "black")
    upright.paste("white", (0, 0, 16, 8))  # the upper left quarter
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    data = encoded(stored, kind, exif=exif)
    pixels, size = decode(data, 16, 32, 3)
    assert size == upright_size(data) == (32, 16)
    assert pixels[:, 1:7, 1:15].min() > 200
    assert pixels[:, 10:, 18:].max() < 55


def test_unreadable_exif_does_not_lose_the_image():
    data = encoded(noise(16, 16), "JPEG", exif=b"Exif\0\0not a TIFF header at all")
    assert decode(data, 16, 16, 3)[0].shape == (3, 16, 16)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_laid_on_white(mode):
    clear, solid = {"RGBA": ((9, 9, 9, 0), (9, 9, 9, 255)), "LA": ((9, 0), (9, 255)), "PA": ((9, 0), (9, 255))}[mode]
    image = Image.new("LA" if mode == "PA" else mode, (16, 16), clear)
    image.paste(solid, (0, 0, 8, 16))
    pixels, _ = decode(encoded(image, "PNG"), 16, 16, 3)
    assert (pixels[:, :, :8] == 9).all()
    assert (pixels[:, :, 8:] == 255).all()


def test_half_transparent_black_is_grey():
    pixels, _ = decode(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"), 4, 4, 1)
    assert (pixels == 127).all()


def test_palette_with_and_without_transparency():
    image = Image.new("P", (16, 16), 0)
    image.putpalette([200, 100, 50, 10, 20, 30])
    image.paste(1, (0, 0, 8, 16))
    pixels, _ = decode(encoded(image, "PNG"), 16, 16, 3)
    assert pixels[:, 0, 0].tolist() == [10, 20, 30]
    assert pixels[:, 0, 15].tolist() == [200, 100, 50]
    pixels, _ = decode(encoded(image, "PNG", transparency=0), 16, 16, 3)
    assert pixels[:, 0, 0].tolist() == [10, 20, 30]
    assert pixels[:, 0, 15].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_is_laid_on_white(mode):
    image = Image.new(mode, (4, 4), 7 if mode == "L" else (7, 7, 7))
    data = encoded(image, "PNG", transparency=7 if mode == "L" else (7, 7, 7))
    assert (decode(data, 4, 4, 3)[0] == 255).all()


def test_grey_is_repeated_and_colour_becomes_luma():
    grey = noise(16, 16).convert("L")
    pixels, _ = decode(encoded(grey, "PNG"), 16, 16, 3)
    assert all(np.array_equal(channel, grey) for channel in pixels)
    pixels, _ = decode(encoded(noise(16, 16), "PNG"), 16, 16, 1)
    assert np.array_equal(pixels[0], noise(16, 16).convert("L"))


def test_black_and_white():
    image = Image.new("1", (8, 8), 1)
    assert (decode(encoded(image, "PNG"), 8, 8, 3)[0] == 255).all()


def test_sixteen_bit_grey_is_scaled_not_clipped():
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    pixels, _ = decode(encoded(Image.fromarray(levels * 257), "PNG"), 16, 16, 1)
    assert np.array_equal(pixels[0], levels)


def test_cmyk_white_is_white():
    pixels, _ = decode(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), 8, 8, 3)
    assert (pixels == 255).all()


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert (decode(data, 8, 8, 3)[0] > 250).all()


def truncated(kind: str) -> bytes:
    data = encoded(noise(64, 64), kind)
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"some text that was named .png", "not a JPEG, PNG, WebP or BMP"),
        (encoded(noise(8, 8), "GIF"), "not a JPEG, PNG, WebP or BMP"),
        (truncated("JPEG"), "truncated"),
        (truncated("PNG"), "truncated"),
        (truncated("WEBP"), "."),
        (truncated("BMP"), "truncated"),
    ],
)
def test_bad_files_say_why(data, reason):
    with pytest.raises(BadImage, match=reason):
        decode(data, 16, 16, 3)


def test_decompression_bomb_is_bad(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadImage, match="decompression bomb"):
        decode(encoded(noise(64, 64), "PNG"), 16, 16, 3)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]), st.integers(0, 3000), st.integers(0, 255))
def test_any_damaged_byte_gives_pixels_or_bad_image(kind, place, value):
    data = bytearray(encoded(noise(24, 24), kind))
    data[place % len(data)] = value
    try:
        pixels, _ = decode(bytes(data), 16, 16, 3)
    except BadImage:
        return
    assert pixels.shape == (3, 16, 16)
