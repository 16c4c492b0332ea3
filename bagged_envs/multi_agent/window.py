"""A window for render_mode="human"."""

from __future__ import annotations

from typing import Any

from gymnasium.error import DependencyNotInstalled


class Window:
    """Shows pictures, at most so many per second; opened by the first."""

    def __init__(self, title: str, frames_per_second: int) -> None:
        """Remember what to open.

        Raises:
            gymnasium.error.DependencyNotInstalled: pygame is missing.
        """
        try:
            import pygame
        except ImportError as error:
            message = f'render_mode="human" needs pygame: pip install "bagged_envs[marl]" ({error})'
            raise DependencyNotInstalled(message) from error
        self._pygame, self._title, self._rate = pygame, title, frames_per_second
        self._screen: Any = None
        self._clock = pygame.time.Clock()

    def show(self, picture: Any) -> None:
        """Show a picture, uint8 `(height, width, 3)`, and wait until the next may come."""
        pygame = self._pygame
        if self._screen is None:
            pygame.display.init()
            pygame.display.set_caption(self._title)
            self._screen = pygame.display.set_mode((picture.shape[1], picture.shape[0]))
        self._screen.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._rate)

    def close(self) -> None:
        """Close the window."""
        if self._screen is not None:
            self._pygame.display.quit()
            self._screen = None
