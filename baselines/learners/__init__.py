"""Learners: they improve a policy from transitions and know nothing of bags."""
