import pytest
import torch

from dcgan_lightning.losses import BCE

LOGITS = torch.tensor([-3.0, -0.5, 0.0, 2.0], dtype=torch.float64)


def test_bce_is_the_papers_formula():
    d = torch.sigmoid(LOGITS)
    torch.testing.assert_close(BCE().d_real(LOGITS), -torch.log(d).mean())
    torch.testing.assert_close(BCE().d_fake(LOGITS), -torch.log(1 - d).mean())
    torch.testing.assert_close(BCE().g(LOGITS), -torch.log(d).mean())


@pytest.mark.parametrize("term", ["d_real", "d_fake", "g"])
def test_bce_stays_finite_where_the_sigmoid_saturates(term):
    logits = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = getattr(BCE(), term)(logits)
    loss.backward()
    assert loss.item() == pytest.approx(5e3)
    assert logits.grad.isfinite().all()
