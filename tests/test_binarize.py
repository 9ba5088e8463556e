"""The binarizer: values and gradients."""

from __future__ import annotations

import pytest
import torch

from bitcodec.models.sign.binarize import binarize, binary_tanh, stochastic_binary_tanh


def test_sign_of_zero_is_plus_one() -> None:
    y = torch.tensor([-2.0, -1.0, -1e-9, -0.0, 0.0, 1e-9, 3.0])
    assert binary_tanh(y).tolist() == [-1, -1, -1, 1, 1, 1, 1]


def test_levels() -> None:
    y = torch.tensor([-0.5, 0.5])
    assert binarize(y, levels="zero-one").tolist() == [0, 1]
    assert binarize(y).tolist() == [-1, 1]


@pytest.mark.parametrize("rule", ["deterministic", "stochastic"])
def test_gradient_is_that_of_hardtanh(rule: str) -> None:
    y = torch.tensor([-1.5, -1.0, -0.3, 0.0, 0.7, 1.0, 1.01], requires_grad=True)
    weight = torch.arange(1.0, 8.0)
    (binarize(y, rule) * weight).sum().backward()  # type: ignore[arg-type]
    assert y.grad is not None
    assert y.grad.tolist() == [0, 2, 3, 4, 5, 6, 0]


def test_stochastic_has_the_probability_of_the_hard_sigmoid() -> None:
    y = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0])
    generator = torch.Generator().manual_seed(3)
    draws = stochastic_binary_tanh(y.expand(20000, 5), generator)
    share = (draws > 0).float().mean(0)
    assert share[0] == 0
    assert share[4] == 1
    torch.testing.assert_close(share, torch.tensor([0, 0.25, 0.5, 0.75, 1]), atol=0.015, rtol=0)


def test_unknown_rule_and_levels() -> None:
    with pytest.raises(ValueError, match="binarizer"):
        binarize(torch.zeros(1), "sometimes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="levels"):
        binarize(torch.zeros(1), levels="ternary")  # type: ignore[arg-type]
