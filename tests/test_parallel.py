"""Jobs of several threads: their order, how far they run ahead, and what becomes of errors."""

import threading
from functools import partial

import pytest
import torch
from PIL import Image

from dcgan_lightning import parallel
from dcgan_lightning.generation import latents, samples
from dcgan_lightning.networks.dcgan import Generator
from dcgan_lightning.parallel import in_order
from dcgan_lightning.sample_files import Batch, Numbered
from dcgan_lightning.sampling import sample_images
from tests.support import some_images


@pytest.fixture(params=[1, 3])
def threads(request, monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: request.param)
    return request.param


def test_results_come_in_the_order_of_their_jobs(threads):
    gates = [threading.Event() for _ in range(9)]

    def job(number):
        if threads == 3 and number % 3 < 2:  # the first of three ends last
            assert gates[number + 1].wait(10)
        gates[number].set()
        return number

    assert list(in_order(partial(job, number) for number in range(9))) == list(range(9))


def test_jobs_are_taken_a_few_ahead_and_no_more(threads):
    taken = []

    def jobs():
        for number in range(50):
            taken.append(number)
            yield lambda number=number: number

    for number in in_order(jobs()):
        assert len(taken) <= number + 1 + 2 * threads
    assert len(taken) == 50


def test_an_error_comes_where_its_result_would_and_ends_the_rest(threads):
    begun, seen = [], []

    def job(number):
        begun.append(number)
        if number == 4:
            raise OSError("disk full")
        return number

    with pytest.raises(OSError, match="disk full"):  # noqa: PT012
        for result in in_order(partial(job, number) for number in range(100)):
            seen.append(result)
    assert seen == [0, 1, 2, 3]
    assert max(begun) <= 4 + 2 * threads


def test_each_thread_computes_on_one_core_and_the_caller_as_before(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert set(in_order([torch.get_num_threads] * 8)) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_files_hold_the_pixels_of_a_plain_loop_bit_by_bit(threads, tmp_path):
    torch.manual_seed(0)
    generator = Generator(image_size=32, channels=3, latent_dim=8, width=4).eval()
    Numbered(tmp_path / "a", ".png", 40).claim(torch.Size((3, 32, 32)))
    Numbered(tmp_path / "a", ".png", 40).write(samples(generator, latents(0, 40, 8, 7)))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = torch.cat([sample_images(generator, z) for z in latents(0, 40, 8, 7)])
    torch.set_num_threads(before)
    files = sorted((tmp_path / "a").iterdir())
    assert [file.name for file in files] == [f"{i:05d}.png" for i in range(40)]
    for file, image in zip(files, expected, strict=True):
        assert Image.open(file).tobytes() == image.permute(1, 2, 0).numpy().tobytes()


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_no_part(threads, tmp_path):
    (tmp_path / "00005.png").mkdir()  # in the way
    batches = [Batch(4, some_images(4).clone) for _ in range(20)]
    with pytest.raises(IsADirectoryError):
        Numbered(tmp_path, ".png", 80).write(batches)
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert all(Image.open(path).size == (28, 28) for path in files)
    assert not [path for path in files if path.name.startswith(".unfinished")]
    assert 5 <= len(files) < 80
