"""What turns denoising steps into moves of a chain: EDICT, DDIM, or one to come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from doodl.sampling.schedule import Step

if TYPE_CHECKING:
    from doodl.sampling.adjoints import Move


class Method(ABC):
    """Turns denoising steps into moves of a chain.

    Attributes:
        num_latents: that the chain moves together.
        reversible: whether every move can be undone.
    """

    num_latents: int
    reversible: bool

    @abstractmethod
    def moves(self, steps: Sequence[Step], *, start: int = 0) -> Sequence[Move]:
        """Return the moves of a chain; those that change nothing are left out.

        Args:
            steps: of the full schedule.
            start: index of the first step that is done, for a partial chain.
        """
