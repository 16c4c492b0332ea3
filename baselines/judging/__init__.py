"""How good a redistribution is, without reinforcement learning: with the true rewards known, and without."""
