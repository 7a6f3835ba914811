"""How many rows may be other than they should: a number, or a share of all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """``5`` allows five rows, ``2.5%`` that share of all."""

    amount: float
    is_share: bool

    @classmethod
    def parse(cls, text: str | float) -> Limit:
        """A whole number, or a number with a percent sign. Raises ValueError."""
        written = str(text).strip()
        is_share = written.endswith("%")
        try:
            amount = float(written.removesuffix("%"))
        except ValueError:
            amount = -1.0
        if not 0 <= amount < float("inf") or (is_share and amount > 100) or not (is_share or amount.is_integer()):
            raise ValueError(f"neither a number of rows nor a share such as '1%': {text!r}")
        return cls(amount, is_share)

    def allows(self, count: int, total: int) -> bool:
        return count <= (self.amount * total / 100 if self.is_share else self.amount)

    def __str__(self) -> str:
        return f"{self.amount:g}%" if self.is_share else f"{self.amount:,.0f}"
