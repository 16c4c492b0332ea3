"""What people run to compare methods, and how the outcome is told."""
