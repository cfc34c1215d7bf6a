"""The strength of an L1 penalty at which each coefficient of a regression dies, from the whole path of the LASSO."""

import torch
from torch import Tensor

RIDGE = 1e-6  # of the mean diagonal, so that channels that depend on each other have one answer
EVENTS = 10  # most entries and exits on the path, for each channel


def lasso_strengths(products: Tensor) -> Tensor:
    """Return for each channel the largest strength at which its coefficient is not zero, (n,).

    `products` (n, n) float64 are the channels' scalar products; their sum is what is rebuilt. Exact, by the homotopy of
    Efron et al. 2004 (arXiv:math/0406456): from max |<Z_c, Y>| down, where all coefficients are zero, they move on
    straight lines between the strengths at which one becomes or ceases to be zero.
    """
    path = _Path(products)
    for _ in range(EVENTS * len(products)):
        if path.everyone_was_in or path.strength <= path.ridge * RIDGE:
            break
        path.advance()
    return path.strengths


class _Path:
    """The present strength, the coefficients there, and the inverse of the products of those that are not zero."""

    def __init__(self, products: Tensor) -> None:
        n = len(products)
        self.ridge = RIDGE * float(products.diagonal().mean())
        self.products = products + self.ridge * torch.eye(n, dtype=torch.float64)
        self.unexplained = self.products.sum(1)  # <Z_c, what is not yet rebuilt of Y>
        self.strength = float(self.unexplained.abs().max())
        self.coefficients = torch.zeros(n, dtype=torch.float64)
        self.signs, self.strengths = torch.zeros_like(self.coefficients), torch.zeros_like(self.coefficients)
        self.inverse = torch.zeros_like(self.products)  # rows and columns of zero coefficients are zero
        self.dead = products.diagonal() <= 0  # channels that add nothing never enter
        self.seen = self.dead.clone()
        if self.strength > self.ridge:
            self._enter(int(self.unexplained.abs().argmax()))

    @property
    def everyone_was_in(self) -> bool:
        """Whether no channel is left to enter for the first time."""
        return bool(self.seen.all())

    def advance(self) -> None:
        """Go down to the next strength at which a coefficient becomes or ceases to be zero."""
        slopes = self.inverse @ self.signs
        change = self.products @ slopes
        entry, leave = self._until_entry(change), self._until_exit(slopes)
        step = min(float(entry.min()), float(leave.min()), self.strength)
        self.coefficients += step * slopes
        self.unexplained -= step * change
        self.strength -= step
        if float(leave.min()) < float(entry.min()):
            self._leave(int(leave.argmin()))
        elif self.strength > 0:
            self._enter(int(entry.argmin()))

    def _until_entry(self, change: Tensor) -> Tensor:
        """Return how far the strength falls until each other channel's |unexplained| meets it, (n,)."""
        up = torch.where(change < 1, (self.strength - self.unexplained) / (1 - change), torch.inf)
        down = torch.where(change > -1, (self.strength + self.unexplained) / (1 + change), torch.inf)
        return torch.minimum(up, down).clamp(min=0).masked_fill((self.signs != 0) | self.dead, torch.inf)

    def _until_exit(self, slopes: Tensor) -> Tensor:
        """Return how far the strength falls until each coefficient is zero again, (n,)."""
        return torch.where(self.coefficients * slopes < 0, -self.coefficients / slopes, torch.inf)

    def _enter(self, channel: int) -> None:
        column = self.products[channel] * (self.signs != 0)
        border = -(self.inverse @ column)
        border[channel] = 1.0
        beyond = float(self.products[channel, channel] + column @ border)  # what the others do not explain of it
        self.inverse.addr_(border, border, alpha=1 / max(beyond, self.ridge))
        self.signs[channel] = self.unexplained[channel].sign()
        if not self.seen[channel]:
            self.strengths[channel], self.seen[channel] = self.strength, True

    def _leave(self, channel: int) -> None:
        column = self.inverse[channel].clone()
        self.inverse.addr_(column, column, alpha=-1 / float(column[channel]))
        self.inverse[channel], self.inverse[:, channel] = 0.0, 0.0
        self.coefficients[channel], self.signs[channel] = 0.0, 0.0
