"""Learners: what improves a policy from transitions."""
