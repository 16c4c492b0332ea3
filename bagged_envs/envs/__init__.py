"""Small tasks of our own, each fully specified in its class's docstring and solved exactly in the tests."""
