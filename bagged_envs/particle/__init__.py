"""Multi-agent tasks in a particle world: discs on a plane that push themselves and each other.

`world` is the physics, for many worlds at once; `navigation`, `predator_prey` and `triangle_area` are the tasks.
"""
