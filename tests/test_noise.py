import torch
from scipy import stats

from dcgan_lightning.noise import rows_of_rank, sample_latents


def test_latents_are_a_function_of_seed_stream_iteration_and_index():
    z = sample_latents(0, "d", 7, 64, 16)
    assert torch.equal(z, sample_latents(0, "d", 7, 64, 16))
    for other in (
        sample_latents(1, "d", 7, 64, 16),
        sample_latents(0, "g", 7, 64, 16),
        sample_latents(0, "d", 8, 64, 16),
    ):
        assert not torch.isin(z, other).any()  # not a number in common: neither shifted nor permuted


def test_a_row_does_not_depend_on_the_size_of_the_batch():
    assert torch.equal(sample_latents(0, "d", 3, 128, 100)[:37], sample_latents(0, "d", 3, 37, 100))


def test_ranks_share_out_the_global_batch():
    z = sample_latents(0, "d", 0, 12, 4)
    ranks = [rows_of_rank(z, rank, 3) for rank in range(3)]
    assert torch.equal(torch.stack(ranks, dim=1).flatten(0, 1), z)


def test_latents_are_standard_normal_within_and_across_iterations():
    z = torch.cat([sample_latents(5, "d", iteration, 10, 10) for iteration in range(200)])
    assert stats.kstest(z.flatten(), "norm").pvalue > 1e-3
    first = torch.stack([sample_latents(5, "d", iteration, 1, 1) for iteration in range(2000)])
    assert stats.kstest(first.flatten(), "norm").pvalue > 1e-3
