"""Faces of tasks with several agents: PettingZoo's, the joint controller's, EPyMARL's, and batches of worlds."""
